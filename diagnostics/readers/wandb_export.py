"""CSV files that the W&B web page exports: a step column, then `run - metric` for each run.

One file holds one chart, so the files of a folder are put together by run and step. The columns
`__MIN` and `__MAX` are the range that the chart's smoothing hides and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diagnostics.errors import MalformedLog, ReadError
from diagnostics.readers.assembly import assemble, records_of
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.opening import check_access, names_in, recognising
from diagnostics.readers.table_files import names_of, read_table
from diagnostics.run import Run

STEP_COLUMNS = ("train/global_step", "global_step", "eval/global_step", "Step", "_step")
_COLUMN = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<range>__MIN|__MAX)?")
MOST_FILES = 200
MOST_RUNS = 200


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is such a file, or a folder that holds some."""
    return bool(_exports(path))


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of an export; a file is read with the others of its folder.

    Raises
    ------
    ReadError
        When the system refuses to read a file.
    MalformedLog
        When no row holds a number.
    """
    runs: dict[str, dict[int, dict[str, float]]] = {}
    counted = False
    folder = path if path.is_dir() else path.parent
    check_access(folder)
    for file in _exports(folder):
        table = read_table(file)
        axis, columns = _columns(list(table.columns))
        if axis is None:
            continue
        counted = counted or axis in ("Step", "_step")
        steps = table.columns[axis]
        for name, (run, metric) in columns.items():
            if run not in runs and len(runs) >= MOST_RUNS:
                continue
            _add(runs.setdefault(run, {}), metric, steps, table.columns[name])
    runs = {run: rows for run, rows in runs.items() if rows}
    if not runs:
        raise MalformedLog(
            f"{path}: holds no numbers by run, expected columns named 'run - metric';"
            " export the charts of W&B again as CSV"
        )
    said = []
    if counted:
        said.append(
            "The steps are W&B's own count of calls, which need not be optimizer steps;"
            " set the chart's x axis to train/global_step before exporting."
        )
    return tuple(
        assemble(
            [
                record
                for step in sorted(rows)
                for record in records_of({**rows[step], "step": step})
            ],
            path=path,
            reader=READER.name,
            name=run,
            part=run if len(runs) > 1 else None,
            hints=hints.over(Hints(is_selection=True)),
            caveats=said,
        )
        for run, rows in runs.items()
    )


def _exports(path: Path) -> list[Path]:
    """Return the exported files that a path stands for."""
    if path.is_dir():
        named = (path / name for name in names_in(path) if name.endswith(".csv"))
        return [file for _, file in zip(range(MOST_FILES), named, strict=False) if _is_one(file)]
    return [path] if _is_one(path) else []


def _is_one(path: Path) -> bool:
    try:
        axis, columns = _columns(names_of(path)) if path.is_file() else (None, {})
    except ReadError:
        return False
    return axis is not None and bool(columns)


def _columns(names: list[str]) -> tuple[str | None, dict[str, tuple[str, str]]]:
    """Return the column of steps, and run and metric of each column of values."""
    axis = next((name for name in STEP_COLUMNS if name in names), None)
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        parts = _COLUMN.fullmatch(name)
        if parts is not None and parts["range"] is None:
            found[name] = parts["run"], parts["metric"]
    return axis, found


def _add(rows: dict[int, dict[str, float]], metric: str, steps: Any, values: Any) -> None:
    for step, value in _pairs(steps, values):
        rows.setdefault(step, {})[metric] = value


def _pairs(steps: Any, values: Any) -> Iterator[tuple[int, float]]:
    if steps.dtype == object or values.dtype == object:
        return
    good = np.isfinite(steps) & (steps >= 0) & (steps < 2**53) & ~np.isnan(values)
    yield from zip(steps[good].astype(np.int64).tolist(), values[good].tolist(), strict=True)


READER = Reader(
    name="wandb-export",
    title="W&B chart as CSV",
    recognises=recognises,
    read=read,
    export_hint=(
        "On the chart in W&B: Export, CSV, for the chosen and for the rejected reward, into one"
        " folder."
    ),
)
