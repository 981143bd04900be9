"""At which optimizer steps the rows of a printed log were written.

The console shows no steps. They are in the progress bars where each row has one of its own, in
the number of rows where the number of steps is known, or nowhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diagnostics.readers.keys import Record
from diagnostics.readers.lines import Printed
from diagnostics.readers.numbers import number

# Rounder logging intervals are likelier; the first of these that divides one makes it round.
ROUND = (1000, 500, 250, 200, 100, 50, 25, 20, 10, 5, 2, 1)


class Row(NamedTuple):
    """One record with the text that it was printed in."""

    record: Record
    printed: Printed


def stepped(rows: Sequence[Row]) -> list[Record]:
    """Return the records of one run with their steps, as far as the text shows them."""
    # Rows are many: what all of them need is taken by its place.
    records = [row[0] if row[1][3] is None else _numbered(row) for row in rows]
    if all(record[0] is not None or record[1] == "final" for record in records):
        return records
    steps = _train_steps(rows, records)
    if steps is None:
        return records
    return _with_steps(records, steps)


def _numbered(row: Row) -> Record:
    """Return a record with the step that its own line states."""
    record, printed = row
    if record.step is not None:
        return record
    if printed.heading == "openrlhf" and printed.bar is not None:
        done, total = printed.bar
        return record._replace(step=(printed.stated or 0) * total + done)
    if printed.heading is not None and printed.stated is not None:
        return record._replace(step=printed.stated)
    return record


def _train_steps(rows: Sequence[Row], records: Sequence[Record]) -> list[int] | None:
    """Return the step of every train row, None where nothing tells."""
    bars = [row[1][1] for row in rows if row[0][1] == "train"]
    if not bars:
        return None
    return _by_bars(bars) or _by_total(_total(rows), len(bars), records)


def _by_bars(bars: Sequence[tuple[int, int] | None]) -> list[int] | None:
    """Return the steps of the bars in front of the rows, where every row has its own.

    Bars are drawn ten times a second at most and may lag behind; in a regular log they do not.
    """
    done = [bar[0] for bar in bars if bar is not None]
    totals = {bar[1] for bar in bars if bar is not None}
    if len(done) < len(bars) or len(totals) != 1:
        return None
    gaps = np.diff(done)
    if len(done) == 1:
        return done if done[0] > 0 else None
    interval = Counter(gaps.tolist()).most_common(1)[0][0]
    regular = interval > 0 and bool((gaps[1:] == interval).all())
    return done if regular and done[0] > 0 else None


def _total(rows: Sequence[Row]) -> int | None:
    """Return the number of steps of the run: of its bars, or of its speed and duration."""
    totals = Counter(
        row.printed.bar[1]
        for row in rows
        if row.printed.bar is not None and row.record.kind != "eval"
    )
    if totals:
        return totals.most_common(1)[0][0]
    for row in reversed(rows):
        values = row.record.values
        speed = number(values.get("train_steps_per_second"))
        time = number(values.get("train_runtime"))
        if row.record.kind == "final" and speed and time and math.isfinite(speed * time):
            # The speed has three decimals; when that is under one step in two hundred, it tells.
            return round(speed * time) if speed > 0.1 or speed * time < 50 else None
    return None


def _by_total(total: int | None, count: int, records: Sequence[Record]) -> list[int] | None:
    """Return the steps of evenly spaced rows of a run that ended after `total` steps."""
    ended = any(record.kind == "final" for record in records)
    if total is None or not ended or not 0 < count <= total:
        return None
    fitting = range(total // (count + 1) + 1, total // count + 1)
    if not fitting:
        return None
    every = min(fitting, key=lambda one: next(i for i, r in enumerate(ROUND) if one % r == 0))
    return [every * (number + 1) for number in range(count)]


def _with_steps(records: Sequence[Record], steps: Sequence[int]) -> list[Record]:
    """Return records with the train rows at `steps` and the eval rows between them by epoch."""
    if len(steps) == len(records):  # all of them are train rows
        return [
            Record(step, kind, values, time, epoch, True, split)
            for step, (_, kind, values, time, epoch, _, split) in zip(steps, records, strict=True)
        ]
    epochs = [record[4] for record in records if record[1] == "train"]
    last = next((i for i in reversed(range(len(epochs))) if _positive(epochs[i])), None)
    rate = None if last is None else steps[last] / float(epochs[last] or 1)
    placed, current, seen = [], 0, 0
    for _, kind, values, time, epoch, _, split in records:
        step = current
        if kind == "train":
            step = current = steps[seen]
            seen += 1
        elif kind == "eval" and rate is not None and _positive(epoch):
            same = seen > 0 and epoch == epochs[seen - 1]
            ahead = steps[seen] if seen < len(steps) else None
            guess = current if same else max(current, round(rate * float(epoch or 0)))
            step = guess if ahead is None else min(guess, ahead)
        placed.append(Record(step, kind, values, time, epoch, True, split))
    return placed


def _positive(epoch: float | None) -> bool:
    return epoch is not None and math.isfinite(epoch) and epoch > 0
