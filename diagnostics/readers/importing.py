"""Keeping a foreign log as a run folder of Seesaw, with everything that was found out about it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from diagnostics.errors import ReadError
from diagnostics.readers.native import write
from diagnostics.run import Run
from diagnostics.runlog import LOG_NAME, LogWriteError

LONGEST_NAME = 80


def import_runs(runs: Iterable[Run], to: str | os.PathLike[str]) -> list[Path]:
    """Write each run as a run folder in a folder, and return where they lie.

    A folder is named after the run; a name that is taken gets a number. Reading a folder back
    gives the same rows, method, meaning, caveats, configuration and framework.

    Raises
    ------
    ReadError
        When a folder cannot be written.
    """
    made: list[Path] = []
    for run in runs:
        place = _free_place(Path(to), folder_name(run))
        try:
            write(run, place)
        except LogWriteError as error:
            raise ReadError(str(error)) from None
        made.append(place)
    return made


def folder_name(run: Run) -> str:
    """Return a name for the folder of a run that every file system takes."""
    part = run.source.part
    name = run.name if part is None or part in run.name else f"{run.name}-{part}"
    plain = re.sub(r"[^\w.+=-]+", "-", name).strip("-.")[:LONGEST_NAME]
    return plain or "run"


def _free_place(folder: Path, name: str) -> Path:
    """Return the first of name, name-2, name-3, … that holds no run."""
    number = 1
    while True:
        place = folder / (name if number == 1 else f"{name}-{number}")
        if not (place / LOG_NAME).exists():
            return place
        number += 1
