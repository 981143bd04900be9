"""What a log reader is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diagnostics.run import Run


@dataclass(frozen=True)
class Reader:
    """One log format.

    `recognises` is cheap (a name, or the first few kilobytes), never raises, and says whether
    `read` is worth a try. `read` returns the runs that the path holds, at least one, or raises a
    ReadError, nothing else. `export_hint` is one sentence: what a user of the framework has to do
    to get such a log.
    """

    name: str
    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], tuple[Run, ...]]
    export_hint: str
