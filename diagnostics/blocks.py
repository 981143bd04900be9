"""A log made ready for fitting: repeated steps sorted out, gaps dropped, spikes clipped, blocks.

Block means make a million points cost what two hundred do, and their noise is close to Gaussian
whatever the tails of a single point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diagnostics.intervals import Flags, Floats, Ints

# Proposals of this project, measured in benchmarks/results/trends.md.
MAX_BLOCKS = 200
SPIKE = 7.0  # robust sd from what the neighbours suggest
MIN_FOR_SPIKES = 20  # points; with fewer a bend cannot be told from a spike
ENOUGH = 500  # points for a median
MIN_FOR_ENDS = 40  # points; in a shorter log the first and last two are where it began and ended
LOCAL = 25  # points from which a local spread is taken
# The median distance from the guess is this part of the sd of independent Gaussian noise.
MEDIAN_DISTANCE = 0.92


@dataclass(frozen=True)
class Blocks:
    """Block means of S series in units of `unit`; `place` runs from 0 to 1 by step.

    `values` (K, S); `first` and `last` (K,) steps of each block; `points` finite ones before
    blocking, `per_block` of them in a block. `steps` (n,) and `table` (S, n) are the cleaned
    points, in the same unit. `spikes` are flags (n,) of clipped points, `gaps` flags by row
    written of those left out because they are not finite.
    """

    place: Floats
    values: Floats
    first: Ints
    last: Ints
    steps: Ints
    table: Floats
    spikes: Flags
    gaps: Flags
    unit: float

    @property
    def points(self) -> int:
        """The number of usable points."""
        return len(self.steps)


def blocks(steps: Ints, series: list[Floats], floor: float) -> Blocks:
    """Return the cleaned blocks of several series that share their steps (n,)."""
    table = np.array([np.asarray(one, dtype=np.float64).ravel() for one in series])
    count = min(table.shape[1], np.size(steps))
    steps, table = np.asarray(steps).ravel()[:count], table[:, :count]
    kept = _last_written(steps)
    if len(kept) < count:
        steps, table = steps[kept], table[:, kept]
    finite = np.isfinite(table).all(axis=0)
    if not finite.all():
        steps, table = steps[finite], table[:, finite]
    steps = steps.astype(np.int64)
    largest = float(np.abs(table).max(initial=0.0))
    # Anything squared later must not overflow, however large the numbers are.
    unit = max(abs(floor), largest * 1e-100, 1e-290)
    table = table / unit
    spikes = np.zeros(len(steps), dtype=bool)
    for index, one in enumerate(table):
        table[index], hit = _without_spikes(one)
        spikes |= hit
    return _blocked(steps, table, spikes, ~finite, unit)


def _last_written(steps: Ints) -> Ints:
    """Return the rows to keep, ascending by step: later rows replace what a resume went back over.

    Steps in no order at all are sorted, the last of equal ones wins.
    """
    usable = np.flatnonzero(np.isfinite(steps))
    steps = steps[usable]
    if len(steps) < 2 or (steps[1:] > steps[:-1]).all():
        return usable
    later = np.minimum.accumulate(steps[::-1])[::-1]
    kept = np.append(np.flatnonzero(steps[:-1] < later[1:]), len(steps) - 1)
    if 2 * len(kept) < len(np.unique(steps)):
        _, reverse = np.unique(steps[::-1], return_index=True)
        kept = len(steps) - 1 - reverse
    return np.asarray(usable[kept])


def _without_spikes(values: Floats) -> tuple[Floats, Flags]:
    """Return the values with isolated spikes set to their local median, and which they were."""
    count = len(values)
    if count < MIN_FOR_SPIKES:
        return values, np.zeros(count, dtype=bool)
    middle = _from_neighbours(values)
    distance = np.abs(values - middle)
    limit = SPIKE * _local_spread(distance) / MEDIAN_DISTANCE
    hit = distance > limit
    if count < MIN_FOR_ENDS:
        hit[[0, 1, -2, -1]] = False
    # Two in a row are a burst or a step: no accident of one record.
    alone = ~(np.append(hit[1:], False) & hit) & ~(np.append(False, hit[:-1]) & hit)
    hit &= alone
    clipped = values.copy()
    clipped[hit] = middle[hit]
    return clipped, hit


def _from_neighbours(x: Floats) -> Floats:
    """Return for each point a guess from its neighbours that one wild neighbour cannot spoil.

    The median of the mean of both second neighbours and of the straight lines from either side;
    a slope alone moves it by nothing.
    """
    guess = np.empty_like(x)
    guess[2:-2] = median_of_three((x[:-4] + x[4:]) / 2, 2 * x[1:-3] - x[:-4], 2 * x[3:-1] - x[4:])
    for ends, y in ((guess, x), (guess[::-1], x[::-1])):
        ends[0] = np.median([2 * y[1] - y[2], (3 * y[1] - y[3]) / 2, 2 * y[2] - y[4]])
        ends[1] = np.median([(y[0] + y[2]) / 2, 2 * y[2] - y[3], (3 * y[2] - y[4]) / 2])
    return guess


def median_of_three(a: Floats, b: Floats, c: Floats) -> Floats:
    """Return the middle one of three numbers, place by place (n,)."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _local_spread(distance: Floats) -> Floats:
    """Return the median distance near each point, at least 0.6 of that of the whole log."""
    count = len(distance)
    parts = int(np.clip(count // LOCAL, 1, 40))
    size = count // parts
    # A few hundred points of a part say its median as well as all of them.
    some = distance[: parts * size].reshape(parts, size)[:, :: max(1, size // ENOUGH)]
    medians = np.median(some, axis=1)
    medians = np.maximum(medians, 0.6 * float(np.median(some)))
    if not medians.max() > 0:  # most values repeat exactly: no spread to judge by
        return np.full(count, np.inf)
    centres = (np.arange(parts) + 0.5) * size
    return np.asarray(np.interp(np.arange(count), centres, medians))


def _blocked(steps: Ints, table: Floats, spikes: Flags, gaps: Flags, unit: float) -> Blocks:
    count = len(steps)
    per_block = max(1, -(-count // MAX_BLOCKS))
    starts = np.arange(0, count, per_block)
    if len(starts) > 1 and 2 * (count - starts[-1]) < per_block:
        starts = starts[:-1]  # a short rest joins the block before it
    if not count:
        empty = np.empty(0, dtype=np.int64)
        none = np.empty((0, len(table)))
        return Blocks(np.empty(0), none, empty, empty, steps, table, spikes, gaps, unit)
    sizes = np.diff(np.append(starts, count))
    means = np.add.reduceat(table, starts, axis=1) / sizes
    since = steps.astype(np.float64) - float(steps[0])
    place = np.add.reduceat(since, starts) / sizes / max(1.0, since[-1])
    last = steps[np.append(starts[1:], count) - 1]
    return Blocks(place, means.T, steps[starts], last, steps, table, spikes, gaps, unit)
