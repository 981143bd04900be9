"""CSV files of TensorBoard's download link: one scalar a file, `Wall time,Step,Value`.

The tag stands in the name of the file, its slashes turned to underscores
(`run-dpo-tag-train_rewards_chosen.csv`), so the files of one run in a folder are put together.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from diagnostics.errors import MalformedLog
from diagnostics.readers.aliases import alias
from diagnostics.readers.assembly import Origin, assemble_frames
from diagnostics.readers.contract import Hints, Reader
from diagnostics.readers.opening import check_access, names_in, recognising
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.readers.table_files import names_of, read_table
from diagnostics.run import Run, empty_steps

HEADERS = (("wall time", "step", "value"), ("step", "value"))
_NAME = re.compile(r"(?:run-(?P<run>.*?)-tag-|(?P<other>.*?)\.)?(?P<tag>[^.]+)")
MOST_FILES = 500


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is such a file, or a folder that holds some."""
    return bool(_files(path))


def read(path: Path, hints: Hints) -> tuple[Run, ...]:
    """Return the runs of such files, those beside a single file included.

    Raises
    ------
    ReadError
        When the system refuses to read a file.
    MalformedLog
        When no file is of a side of a pair.
    """
    folder = path if path.is_dir() else path.parent
    check_access(folder)
    runs: dict[str, dict[str, pd.Series]] = {}
    for file in _files(folder):
        run, tag = _run_and_tag(file)
        table = read_table(file).columns
        series = _series({name.strip().lower(): values for name, values in table.items()})
        if series is not None:
            runs.setdefault(run, {})[tag] = series
    sides = ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected")
    if not any(name.removeprefix("eval_") in sides for own in runs.values() for name in own):
        raise MalformedLog(
            f"{path}: holds one scalar a file and none is of chosen or rejected, expected their"
            " rewards among the files; download rewards/chosen and rewards/rejected as well"
        )
    return tuple(
        assemble_frames(
            _frame({tag: s for tag, s in own.items() if not tag.startswith("eval_")}),
            _frame({tag[5:]: s for tag, s in own.items() if tag.startswith("eval_")}),
            Origin(
                path=path,
                reader=READER.name,
                config=configuration_beside(path),
                name=run or folder.absolute().name,
                part=run if len(runs) > 1 else None,
                hints=hints.over(Hints(is_selection=True)),
            ),
        )
        for run, own in runs.items()
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        names = [name for name in names_in(path) if name.endswith(".csv")][:MOST_FILES]
        return [path / name for name in names if _is_one(path / name)]
    return [path] if path.is_file() and _is_one(path) else []


def _is_one(path: Path) -> bool:
    return tuple(name.lower() for name in names_of(path)) in HEADERS


def _run_and_tag(file: Path) -> tuple[str, str]:
    """Return the run and the tag (a schema name where it is known) in the name of a file."""
    parts = _NAME.fullmatch(file.stem)
    if parts is None:
        return "", file.stem
    tag = parts["tag"]
    return parts["run"] or parts["other"] or "", alias(tag) or tag


def _series(columns: dict[str, object]) -> pd.Series | None:
    """Return the values by step; of several of one step the last counts."""
    steps, values = (np.asarray(columns.get(name, [])) for name in ("step", "value"))
    if steps.dtype == object or values.dtype == object or len(steps) != len(values):
        return None
    good = np.isfinite(steps) & (steps >= 0) & (steps < 2**53)
    series = pd.Series(values[good], index=steps[good].astype(np.int64))
    return series[~series.index.duplicated(keep="last")].sort_index()


def _frame(columns: dict[str, pd.Series]) -> pd.DataFrame:
    columns = {tag: series for tag, series in columns.items() if len(series)}
    if not columns:
        return empty_steps()
    frame = pd.DataFrame(columns)
    frame.index = pd.Index(frame.index, dtype=np.int64, name="step")
    return frame.astype(np.float64)


READER = Reader(
    name="scalar-csv",
    title="TensorBoard scalars as CSV",
    recognises=recognises,
    read=read,
    export_hint=(
        "In TensorBoard: Show data download links, CSV, for the tags rewards/chosen and"
        " rewards/rejected, into one folder; or give the event files themselves."
    ),
)
