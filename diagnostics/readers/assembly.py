"""From the records of a foreign log to a Run in schema names.

Steps that were logged twice and branches that a resume abandoned are undone, keys are renamed,
and what the numbers mean is worked out by `identity`. Everything that could not be known
becomes a caveat.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diagnostics.intervals import Ints
from diagnostics.readers import evidence, identity
from diagnostics.readers.contract import NO_HINTS, Hints
from diagnostics.readers.keys import Record, records_of
from diagnostics.readers.native import MOST_UNRECOGNISED
from diagnostics.readers.numbers import number, numbers
from diagnostics.run import EXTRA_COLUMNS, Run, Source, empty_steps
from diagnostics.schema import METRICS

__all__ = ["Origin", "Record", "assemble", "assemble_frames", "records_of"]


@dataclass(frozen=True)
class Origin:
    """Where the records of one run came from, and what is known beside them.

    `config` is the configuration found beside the log; `part` names the run inside a file of
    several; `caveats` are what the reader itself has to say.
    """

    path: Path
    reader: str
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    part: str | None = None
    hints: Hints = NO_HINTS
    caveats: Sequence[str] = ()


def assemble(
    records: Iterable[Record],
    *,
    path: Path,
    reader: str,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
    part: str | None = None,
    hints: Hints | None = None,
    caveats: Sequence[str] = (),
) -> Run:
    """Return the run of one log's records, given in the order in which they were written."""
    rows = list(records)
    origin = Origin(path, reader, config or {}, name, part, hints or NO_HINTS, caveats)
    final = [row for row in rows if row[1] == "final"]
    rows = [row for row in rows if row[1] != "final"] if final else rows
    said: list[str] = []
    steps = _steps(rows, origin, said)
    kept = _order(steps, said)
    kinds = [row[1] for row in rows]
    evaluated = [place for place in kept if kinds[place] == "eval"] if "eval" in kinds else []
    trained = [place for place in kept if kinds[place] == "train"] if evaluated else kept
    train, evals = (
        _frame([rows[place] for place in places], steps[places], said)
        for places in (trained, evaluated)
    )
    summary = next((row[2] for row in reversed(final)), None)
    return assemble_frames(train, evals, origin, final=summary, said=said)


def assemble_frames(
    train: pd.DataFrame,
    evals: pd.DataFrame,
    origin: Origin,
    *,
    final: Mapping[str, Any] | None = None,
    said: Sequence[str] = (),
) -> Run:
    """Return the run of two frames by step under the framework's own keys (see `Record`).

    For readers whose format is columnar: they skip the records, and everything else is the same.
    The index is ascending and unique. `final` is the record that sums up the run.
    """
    train, evals, said = _in_updates(train, evals, origin, said)
    facts = identity.Facts(train, evals, origin.config, origin.hints, final)
    found = identity.identify(facts)
    dropped: set[str] = set()
    frames = [_renamed(frame, found, dropped) for frame in (train, evals)]
    if found.derive_margins:
        frames = [_with_margins(frame) for frame in frames]
    known = {*METRICS, *EXTRA_COLUMNS}
    unrecognised = sorted({*frames[0].columns, *frames[1].columns} - known)
    caveats = [*origin.caveats, *said, *found.caveats]
    if dropped:
        caveats.append(
            f"{len(dropped)} columns beyond the first {MOST_UNRECOGNISED} were left out."
        )
    return Run(
        name=origin.name or origin.path.stem,
        method=found.method,
        train=frames[0],
        evals=frames[1],
        config={**origin.config, **found.config},
        source=Source(
            path=str(origin.path),
            reader=origin.reader,
            framework=found.framework,
            version=found.version,
            part=origin.part,
        ),
        status="completed" if final is not None or _is_over(origin.config, frames) else "running",
        unrecognised=tuple(unrecognised),
        caveats=tuple(dict.fromkeys(caveats)),
        meaning=found.meaning,
    )


def _steps(rows: Sequence[Record], origin: Origin, said: list[str]) -> Ints:
    """Return the step of every row (T,); rows without one are counted off in logging intervals."""
    stated = [row[0] for row in rows]
    if None not in stated:
        if any(row[5] for row in rows):
            said.append(_INFERRED.format(how="from the progress bars or the order of the lines"))
        return np.array(stated, dtype=np.int64)
    every = _interval(origin.config)
    how = f"by counting rows {every} apart" if (every or 1) > 1 else "by counting rows"
    said.append(_INFERRED.format(how=how))
    counted, step = [], 0
    trained = any(row.kind == "train" for row in rows)
    for row in rows:
        if row.step is not None:
            step = row.step
        elif row.kind == "train" or not trained:
            step += every or 1
        counted.append(step)
    return np.array(counted, dtype=np.int64)


_INFERRED = "The log states no steps: they were worked out {how}."


def _interval(config: Mapping[str, Any]) -> int | None:
    """Return the configured logging interval in steps, None where it is none or a share."""
    every = config.get("logging_steps")
    return every if isinstance(every, int) and not isinstance(every, bool) and every > 0 else None


def _order(steps: Ints, said: list[str]) -> list[int]:
    """Return which rows count, by ascending step; later rows of one step come later.

    A step below the one before it means that the run was resumed there: what an earlier process
    logged from that step on belongs to a branch that was given up.
    """
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    if len(back) > max(MOST_RESUMES, len(steps) // 3):
        said.append("The rows are not in the order of their steps; they were sorted.")
        return [int(row) for row in np.argsort(steps, kind="stable")]
    if not len(back):
        return list(range(len(steps)))
    # The lowest step that a later resume goes back to, for every row.
    floor = np.full(len(steps), np.iinfo(np.int64).max)
    for position in back:
        floor[:position] = np.minimum(floor[:position], steps[position])
    keep = steps < floor
    times = "once" if len(back) == 1 else f"{len(back)} times"
    said.append(
        f"The run was resumed {times} (at step {', '.join(map(str, steps[back][:3].tolist()))});"
        f" {int((~keep).sum())} rows of abandoned branches were left out."
    )
    return [int(row) for row in np.flatnonzero(keep)]


# More backward steps than this in a third of the rows are no resumes.
MOST_RESUMES = 3


def _frame(rows: Sequence[Record], steps: Ints, said: list[str]) -> pd.DataFrame:
    """Return rows as a frame by step; what is logged twice for a step counts as logged last."""
    if not rows:
        return empty_steps()
    splits = [split for split in dict.fromkeys(row[6] for row in rows) if split is not None]
    main = splits[0] if len(splits) > 1 else None
    if main is not None:
        said.append(
            f"There are {len(splits)} evaluation sets ({', '.join(splits[:4])}); the eval columns"
            f" are those of {main}, the others keep their set's name."
        )
    index, place = np.unique(steps, return_inverse=True)
    table: dict[str, Any] = {}
    left_out: set[str] = set()
    # A later row of a step adds to the earlier ones, and overrules them.
    alike = _alike(rows, _rounds(place), main)
    for (_, names), members in sorted(alike.items(), key=lambda item: item[0][0]):
        positions = place[members]
        for name, column in _columns(names, [rows[i] for i in members], main):
            if name in table or len(table) < MOST_COLUMNS:
                _fill(table, name, positions, column, len(index))
            else:
                left_out.add(name)
    if left_out:
        said.append(f"{len(left_out)} columns beyond the first {MOST_COLUMNS} were left out.")
    return pd.DataFrame(table, index=pd.Index(index, dtype=np.int64, name="step"), copy=False)


# A log of more columns is damaged, or made to fill the memory.
MOST_COLUMNS = 2000


def _rounds(place: Ints) -> list[int]:
    """Return for every row how many rows of its step came before it."""
    if len(place) < 2 or (np.diff(place) > 0).all():
        return [0] * len(place)
    seen: Counter[int] = Counter()
    rounds = []
    for one in place.tolist():
        rounds.append(seen[one])
        seen[one] += 1
    return rounds


Alike = dict[tuple[int, tuple[str, ...]], list[int]]


def _alike(rows: Sequence[Record], rounds: Sequence[int], main: str | None) -> Alike:
    """Return the rows of one round and one set of names; a lesser split's carry its name."""
    groups: Alike = {}
    before: tuple[int, tuple[str, ...]] | None = None
    for place, (row, turn) in enumerate(zip(rows, rounds, strict=True)):
        names = tuple(row[2])
        if main is not None and row[6] not in (None, main):
            names = tuple(f"{row[6]}/{name}" for name in names)
        # Mostly a row is like the one before it, and no group need be looked up.
        if (turn, names) != before:
            before = (turn, names)
            members = groups.setdefault(before, [])
        members.append(place)
    return groups


def _columns(
    names: tuple[str, ...], rows: Sequence[Record], main: str | None
) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield name and values of each column of rows that are alike, epoch and time at the end."""
    yield from zip(names, zip(*[row[2].values() for row in rows], strict=True), strict=True)
    split = rows[0].split
    prefix = f"{split}/" if main is not None and split not in (None, main) else ""
    if "epoch" not in rows[0][2]:
        yield f"{prefix}epoch", [row[4] for row in rows]
    times = [row[3] for row in rows]
    if times.count(None) < len(times):
        yield f"{prefix}time", times


def _fill(
    table: dict[str, Any], name: str, positions: Ints, column: Sequence[Any], size: int
) -> None:
    """Write values into a column of a table; nothing overwrites what is missing in them."""
    found = numbers(column)
    old = table.get(name)
    if found is None:
        texts = np.full(size, None, dtype=object)
        if old is not None:
            texts[:] = old
        texts[positions] = column
        table[name] = texts
        return
    there = ~np.isnan(found)
    if old is None:
        if not there.any() and name.endswith(("epoch", "time")):
            return  # not logged
        table[name] = old = np.full(size, np.nan)
    old[positions[there]] = found[there]


def _renamed(frame: pd.DataFrame, found: identity.Identity, dropped: set[str]) -> pd.DataFrame:
    """Return a frame under schema names, known columns first; others keep the framework's key."""
    table: dict[str, Any] = {}
    for key in frame.columns:
        name, factor = found.names.get(key, (key, 1.0))
        values = frame[key].to_numpy()
        if name in METRICS or name in EXTRA_COLUMNS:
            floats = numbers(values.tolist()) if values.dtype == object else values
            if floats is None:
                floats = np.array([np.nan if (n := number(v)) is None else n for v in values])
            if name not in table:
                table[name] = floats * factor if factor != 1.0 else floats
        elif name not in table:
            table[name] = values
    ordered = [name for name in (*EXTRA_COLUMNS, *METRICS) if name in table]
    others = sorted(set(table) - set(ordered))
    dropped.update(others[MOST_UNRECOGNISED:])
    columns = {
        # A column of texts stays one of any values, as the native reader gives it.
        name: pd.Series(table[name], frame.index, dtype=object)
        if table[name].dtype == object
        else table[name]
        for name in (*ordered, *others[:MOST_UNRECOGNISED])
    }
    return pd.DataFrame(columns, index=frame.index, copy=False)


def _with_margins(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the difference of both rewards as the margin, where none is logged."""
    sides = [f"rewards/{side}" for side in ("chosen", "rejected")]
    if "rewards/margins" in frame or not all(side in frame for side in sides):
        return frame
    place = list(frame.columns).index(sides[1]) + 1
    frame = frame.copy()
    frame.insert(place, "rewards/margins", frame[sides[0]] - frame[sides[1]])
    return frame


def _is_over(config: Mapping[str, Any], frames: Sequence[pd.DataFrame]) -> bool:
    """Say whether the last configured step has been logged."""
    last = max((int(frame.index[-1]) for frame in frames if len(frame)), default=0)
    total = config.get("max_steps")
    return isinstance(total, int) and 0 < total <= last


def _in_updates(
    train: pd.DataFrame, evals: pd.DataFrame, origin: Origin, said: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return frames by optimizer step where the log counts examples and says how many make one."""
    said = list(said)
    if origin.hints.unit != "examples":
        if origin.hints.unit == "micro-batches":
            said.append("Steps are micro-batches of one rank, not optimizer updates.")
        return train, evals, said
    updates = evidence.column(train, "counters/updates")
    sizes = train.index.to_numpy(np.float64) / np.where(updates > 0, updates, np.nan)
    size = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else 0.0
    if not size >= 1 or np.nanmax(np.abs(sizes - size)) > 0.01 * size:
        return train, evals, [*said, "Steps are examples seen, not optimizer updates."]
    frames = []
    for frame in (train, evals):
        steps = pd.Index(np.round(frame.index.to_numpy() / size), dtype=np.int64, name="step")
        frame = frame.set_axis(steps)
        frames.append(frame[~steps.duplicated(keep="last")])
    said.append(f"The log counts examples; {size:g} of them are one optimizer step here.")
    return frames[0], frames[1], said
