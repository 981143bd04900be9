"""Home-made logs: CSV, JSON, JSONL and Parquet tables whose columns say what they hold.

A column is recognised by the words of its name in any order (`aliases`), or named by the user. A
column that says train or eval, and one that names the run, split the rows. What framework made
the numbers is not known unless the user says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diagnostics.errors import MalformedLog
from diagnostics.readers import aliases
from diagnostics.readers.assembly import Origin, Record, assemble, assemble_frames
from diagnostics.readers.columns import Columns
from diagnostics.readers.contract import NO_HINTS, Hints, Reader
from diagnostics.readers.following import GrowingFile
from diagnostics.readers.jsonlines import JsonColumns
from diagnostics.readers.numbers import number
from diagnostics.readers.opening import head, recognising
from diagnostics.readers.sidecars import configuration_beside
from diagnostics.readers.table_files import TableFile, kind_of, names_of, read_table
from diagnostics.run import Run, empty_steps
from diagnostics.runlog import FORMAT

# Names by which other readers know their files; a table with one of these is theirs.
_OTHERS = frozenset(
    (
        *("current_steps", "global_step/max_steps", "log_probs/chosen", "total_steps"),
        *("best_metric", "path_columns"),  # the latter is a record of the casebook
    )
)
# One of these stands in every log, and in no data set.
_BESIDE = frozenset((aliases.STEP, "loss", "epoch", "rewards/margins", "rewards/accuracies"))
_EVAL = frozenset(("eval", "val", "valid", "validation", "test", "evaluation", "dev"))
# A file of more runs than this has no column of runs.
MOST_RUNS = 200
# Rows out of order are put through records one by one; beyond this the last of a step counts.
MOST_RECORDS = 200_000


@dataclass(frozen=True)
class Preview:
    """What the columns of a table seem to mean, for the user to confirm or to correct.

    `mapping` is by the table's own names; `others` are the columns that mean nothing to us.
    """

    mapping: Mapping[str, str]
    others: tuple[str, ...]

    @property
    def is_enough(self) -> bool:
        """Whether both sides of a pair are among the columns."""
        return aliases.has_both_sides(self.mapping)


def preview(path: Path, columns: Mapping[str, str] | None = None) -> Preview:
    """Return what the columns of a table seem to mean; `columns` is what the user said.

    Raises
    ------
    ReadError
        When a column that the user named is not there.
    """
    names = names_of(path)
    mapping = _mapping(path, names, columns or {})
    return Preview(mapping, tuple(name for name in names if name not in mapping))


def is_table(path: Path) -> bool:
    """Say whether a file may be a table, whatever its columns are called."""
    return path.is_file() and kind_of(path) is not None


@recognising
def recognises(path: Path) -> bool:
    """Say whether the path is a table with both sides of a pair among its columns."""
    if not path.is_file() or FORMAT.encode() in head(path)[:4096]:
        return False
    names = names_of(path)
    if _OTHERS & set(names) or ("log_history" in names and "raw_log_history" not in names):
        return False
    # The columns of a W&B export are named "run - metric".
    mapping = aliases.proposed(names)
    # A preference data set has columns called chosen and rejected too, of texts.
    if {"chosen", "rejected"} & mapping.keys() and not _BESIDE & set(mapping.values()):
        return False
    return not any(" - " in name for name in names) and aliases.has_both_sides(mapping)


def read(path: Path, hints: Hints = NO_HINTS) -> tuple[Run, ...]:
    """Return the runs of a table, one unless a column names several.

    Raises
    ------
    ReadError
        When it cannot be opened, or a column that the user named is not there.
    MalformedLog
        When it is no table, or holds no side of a pair.
    """
    return GrowingTable(path, hints).read()


class GrowingTable:
    """The runs of a table; rows that were appended to one of JSON lines are all that is read."""

    appended = False

    def __init__(self, path: Path, hints: Hints) -> None:
        self._path, self._hints = path, hints
        self._lines = GrowingFile(JsonColumns)

    def read(self) -> tuple[Run, ...]:
        """Return the runs now."""
        return _runs(self._path, read_table(self._path, self._lines), self._hints)


def _runs(path: Path, table: TableFile, hints: Hints) -> tuple[Run, ...]:
    mapping = _mapping(path, list(table.columns), hints.columns)
    meant = set(mapping.values())
    if not any(name.endswith(("/chosen", "/rejected")) for name in meant):
        names = ", ".join(list(table.columns)[:8])
        raise MalformedLog(
            f"{path}: none of its columns ({names}) is known as chosen or rejected, expected"
            " rewards or log-probs of both sides; name them with --map chosen=COLUMN"
            " --map rejected=COLUMN"
        )
    columns = {mapping.get(name, name): values for name, values in table.columns.items()}
    told = replace(hints, columns={}, is_selection=True)
    runs = []
    for label, rows in _by_run(columns):
        own = {name: values[rows] for name, values in columns.items() if name != aliases.RUN}
        origin = Origin(
            path=path,
            reader=READER.name,
            config=configuration_beside(path),
            name=label or path.stem,
            part=label,
            hints=told,
            caveats=table.caveats,
        )
        runs.append(_run(own, origin))
    return tuple(runs)


def _mapping(path: Path, names: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return what the columns mean, the user's word first."""
    for column in given:
        if column not in names:
            near = difflib.get_close_matches(column, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names[:8])}"
            raise MalformedLog(
                f"{path}: has no column {column!r}, expected a column to take"
                f" {given[column]} from; {hint}"
            )
    meant = aliases.proposed(name for name in names if name not in given)
    return {**{n: m for n, m in meant.items() if m not in set(given.values())}, **given}


def _by_run(columns: Columns) -> list[tuple[str | None, Any]]:
    """Return the rows of each run with its name; all rows where no column names runs."""
    named = columns.get(aliases.RUN)
    count = len(next(iter(columns.values())))
    if named is not None and count:
        codes, labels = pd.factorize(pd.Series(named, dtype=object).astype(str))
        if 1 < len(labels) <= MOST_RUNS:
            return [(str(label), np.flatnonzero(codes == at)) for at, label in enumerate(labels)]
        if len(labels) == 1:
            return [(str(labels[0]), slice(None))]
    return [(None, slice(None))]


def _run(columns: Columns, origin: Origin) -> Run:
    """Return the run of one table's rows."""
    count = len(next(iter(columns.values())))
    evals = _eval_rows(columns.pop(aliases.KIND, None), count)
    said: list[str] = []
    steps = _steps(columns.pop(aliases.STEP, None), evals, said)
    origin = replace(origin, caveats=[*origin.caveats, *said])
    keep = steps >= 0
    frames = []
    for wanted in (~evals & keep, evals & keep):
        own = steps[wanted]
        if len(own) and (own[1:] <= own[:-1]).any():
            if count <= MOST_RECORDS:
                return _through_records(columns, steps, evals, origin)
            wanted = np.flatnonzero(wanted)[_last_of_each(own)]
            own = steps[wanted]
        rows = slice(None) if len(own) == count else wanted
        frames.append(_frame({name: values[rows] for name, values in columns.items()}, own))
    train, eval_frame = _separated(*frames)
    return assemble_frames(train, eval_frame, origin)


def _last_of_each(steps: Any) -> Any:
    """Return the places of the last row of each step, by ascending step."""
    order = np.argsort(steps, kind="stable")
    sorted_steps = steps[order]
    return order[np.append(sorted_steps[1:] != sorted_steps[:-1], True)]


def _eval_rows(kinds: Any, count: int) -> Any:
    if kinds is None:
        return np.zeros(count, bool)
    codes, words = pd.factorize(pd.Series(kinds, dtype=object).astype(str))
    return np.array([word.strip().lower() in _EVAL for word in words], dtype=bool)[codes]


def _steps(given: Any, evals: Any, said: list[str]) -> Any:
    """Return the step of each row, -1 for a row that has none."""
    count = len(evals)
    steps = None if given is None else _floats(given)
    if steps is None or not np.isfinite(steps).any():
        said.append("The log states no steps: they were worked out by counting rows.")
        return np.maximum(np.cumsum(~evals), 1) if not evals.all() else np.arange(1, count + 1)
    whole = np.isfinite(steps) & (steps >= 0) & (steps < 2**53)
    without = int((~whole).sum())
    if without:
        said.append(f"{without} rows without a step were left out.")
    return np.where(whole, np.rint(np.where(whole, steps, 0)), -1).astype(np.int64)


def _floats(values: Any) -> Any:
    """Return values as numbers, NaN for what is none."""
    if values.dtype != object:
        return values
    found = (number(value) for value in values)
    return np.array([np.nan if one is None else one for one in found], dtype=np.float64)


def _frame(columns: Columns, steps: Any) -> pd.DataFrame:
    if not len(steps):
        return empty_steps()
    index = pd.Index(steps, dtype=np.int64, name="step")
    # Most columns are as they were read: of a log that grows, they are not copied again.
    own = {name: values for name, values in columns.items() if not _is_empty(values)}
    return pd.DataFrame(own, index=index, copy=False)


def _is_empty(values: Any) -> bool:
    if values.dtype == object:
        return all(value is None for value in values)
    # Mostly the first row tells.
    return bool(np.isnan(values[:1]).all() and np.isnan(values).all())


def _separated(train: pd.DataFrame, evals: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move columns named "eval_…" to the eval rows, where they have a value."""
    own = [name for name in train.columns if str(name).startswith("eval_")]
    if own:
        moved = train[own].dropna(how="all").rename(columns=lambda name: name[len("eval_") :])
        train = train.drop(columns=own)
        train = train.dropna(how="all")
        evals = moved if evals.empty else evals.combine_first(moved)
    if len(evals):
        evals = evals.rename(columns=lambda name: str(name).removeprefix("eval_"))
        evals = evals.loc[:, ~evals.columns.duplicated()]
    return train, evals


def _through_records(columns: Columns, steps: Any, evals: Any, origin: Origin) -> Run:
    """Return the run of rows that are out of order or repeated: resumes are undone there."""
    names = list(columns)
    records = []
    for step, is_eval, *values in zip(
        steps.tolist(),
        evals.tolist(),
        *(columns[name].tolist() for name in names),
        strict=True,
    ):
        if step < 0:
            continue
        row = {n: v for n, v in zip(names, values, strict=True) if v is not None and v == v}
        held_out = {n.removeprefix("eval_"): v for n, v in row.items() if n.startswith("eval_")}
        own = {n: v for n, v in row.items() if not n.startswith("eval_")}
        if own:
            records.append(Record(step, "eval" if is_eval else "train", own, own.pop("time", None)))
        if held_out:
            records.append(Record(step, "eval", held_out))
    return assemble(
        records,
        path=origin.path,
        reader=origin.reader,
        config=origin.config,
        name=origin.name,
        part=origin.part,
        hints=origin.hints,
        caveats=origin.caveats,
    )


READER = Reader(
    name="table",
    title="CSV, JSON, JSONL or Parquet table",
    recognises=recognises,
    read=read,
    export_hint=(
        "Write one row a step with columns step, chosen_reward, rejected_reward (or name yours:"
        " --map chosen=COLUMN)."
    ),
    follow=GrowingTable,
)
