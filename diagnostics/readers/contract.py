"""What a log reader is, and what can be told to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from diagnostics.readers.following import Growing
from diagnostics.run import Run


@dataclass(frozen=True)
class Hints:
    """What is known of a log beside its records; None where nothing is.

    A reader tells what its format shows (`framework`, `version`, `unit` of the steps: "updates",
    "examples" or "micro-batches"); a user tells what the log does not hold. `method` may be a
    method or one of its aliases, `loss_type` is the framework's own word. `beta` is what the
    rewards are multiplied by. `columns` maps the log's own names to schema names. `is_selection`
    says that somebody chose what is in the log: that a key is missing then says nothing.
    """

    beta: float | None = None
    method: str | None = None
    loss_type: str | None = None
    framework: str | None = None
    version: str | None = None
    unit: str | None = None
    is_selection: bool | None = None
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def over(self, other: Hints) -> Hints:
        """Return these hints, completed by those of `other`."""
        known: dict[str, Any] = {}
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            known[one.name] = theirs if mine is None else mine
        known["columns"] = {**other.columns, **self.columns}
        return Hints(**known)


NO_HINTS = Hints()


@dataclass(frozen=True)
class Reader:
    """One log format.

    `recognises` is cheap (a name, or the first few kilobytes), never raises, and says whether
    `read` is worth a try. `read` returns the runs that the path holds, at least one, or raises a
    ReadError, nothing else; its second argument is what the user knows of the log (`NO_HINTS`
    when nothing). `export_hint` is one sentence: what a user of the framework has to do to get
    such a log. `follow` starts reading a log that grows; None for a format whose file is written
    anew each time, or that is read on anyway.
    """

    name: str
    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Hints], tuple[Run, ...]]
    export_hint: str
    follow: Callable[[Path, Hints], Growing] | None = None
