"""What a pathology is: the record type of the family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.verdicts import Verdict

HEADINGS = (
    "What it is",
    "Is it normal?",
    "How it is measured",
    "Thresholds",
    "When this is wrong",
    "What to try",
    "References",
)


@dataclass(frozen=True)
class Pathology:
    """One thing that can be wrong with a run, named for what is seen.

    `text` is the module's docstring: one line, then the `HEADINGS`. `check` never raises on any
    run; its thresholds are keyword arguments. `example(seed)` returns a run in which the
    pathology is present.
    """

    name: str
    title: str
    text: str
    check: Callable[[Reading], Verdict]
    example: Callable[[int], Run]
