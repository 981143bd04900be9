"""Is this series rising, falling, flat, or can nobody tell? Arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import nan

import numpy as np
from scipy.special import stdtr, stdtrit

from diagnostics.intervals import UNDEFINED, Floats, Interval, Ints

MIN_POINTS = 6  # with fewer, no direction is named
MAX_BLOCKS = 200
LEVEL = 5e-4  # one-sided, that the change is beyond half the floor


class Direction(StrEnum):
    """What a series did over a stretch of steps."""

    UP = "up"
    DOWN = "down"
    FLAT = "flat"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Trend:
    """The change of one series over a stretch of steps, in the series' own unit.

    `probability` is that of the named direction, calibrated on simulations (NaN when
    inconclusive for want of points). `effective_points` discounts autocorrelation. `reason` says
    what an inconclusive answer lacks, None otherwise.
    """

    direction: Direction
    change: Interval
    probability: float
    points: int
    effective_points: float
    reason: str | None = None


@dataclass(frozen=True)
class Phase:
    """A stretch of steps, first and last, in which both sides keep their direction."""

    start: int
    end: int
    chosen: Trend
    rejected: Trend
    margin: Trend


@dataclass(frozen=True)
class PairTrends:
    """Chosen, rejected and margin over the whole log, and the phases between change points.

    `unstable` says, one sentence each, why the log does not behave like a noisy curve. `dropped`
    counts points left out because they are not finite, `spikes` those clipped.
    """

    chosen: Trend
    rejected: Trend
    margin: Trend
    phases: tuple[Phase, ...]
    unstable: tuple[str, ...] = ()
    dropped: int = 0
    spikes: int = 0


def trend(steps: Ints, values: Floats, *, floor: float) -> Trend:
    """Return the direction of one series; `floor` is the smallest change that counts."""
    _, (cleaned,), _ = _cleaned(steps, values)
    return _straight(cleaned, floor)


def pair_trends(
    steps: Ints, chosen: Floats, rejected: Floats, margin: Floats | None = None, *, floor: float
) -> PairTrends:
    """Return the directions of both sides and their margin, with the phases between."""
    given = np.asarray(chosen, float) - np.asarray(rejected, float) if margin is None else margin
    kept, sides, dropped = _cleaned(steps, chosen, rejected, given)
    whole = [_straight(one, floor) for one in sides]
    ends = (int(kept[0]), int(kept[-1])) if len(kept) else (0, 0)
    phases = (Phase(*ends, *whole),) if len(kept) >= MIN_POINTS else ()
    return PairTrends(*whole, phases=phases, dropped=dropped)


def _cleaned(steps: Ints, *series: Floats) -> tuple[Ints, list[Floats], int]:
    """Return ascending unique steps (the last write wins) and the series where all are finite."""
    table = np.array([np.asarray(one, dtype=np.float64) for one in series])
    order = np.asarray(steps).size - 1 - np.arange(np.asarray(steps).size)
    kept, first = np.unique(np.asarray(steps)[order], return_index=True)
    table = table[:, order[first]]
    finite = np.isfinite(table).all(axis=0)
    return kept[finite], list(table[:, finite]), int((~finite).sum())


def _straight(values: Floats, floor: float) -> Trend:
    """Return the direction of a straight line through block means, discounting autocorrelation."""
    points = len(values)
    if points < MIN_POINTS:
        reason = f"{points} usable points, and {MIN_POINTS} are needed"
        return Trend(Direction.INCONCLUSIVE, UNDEFINED, nan, points, 0.0, reason)
    blocks = np.array([block.mean() for block in np.array_split(values, min(points, MAX_BLOCKS))])
    count = len(blocks)
    place = np.linspace(-0.5, 0.5, count)
    slope = float(place @ blocks / (place @ place))
    rest = blocks - blocks.mean() - slope * place
    power = float(rest @ rest)
    rho = float(rest[1:] @ rest[:-1]) / power if power > 0 else 0.0
    rho = min(0.99, max(0.0, (count * rho + 1) / (count - 4)))
    effective = max(2.001, count * (1 - rho) / (1 + rho))
    freedom = effective - 2
    scatter = power / max(count - 2, 1) * count / effective
    error = float(np.sqrt(scatter / (place @ place)))
    half = float(stdtrit(freedom, 0.975)) * error
    change = Interval(slope, slope - half, slope + half)
    t = (abs(slope) - floor / 2) / error if error > 0 else np.inf * np.sign(abs(slope) - floor / 2)
    tail = float(stdtr(freedom, -t))
    direction, reason = Direction.INCONCLUSIVE, None
    if abs(slope) >= floor and tail < LEVEL:
        direction = Direction.UP if slope > 0 else Direction.DOWN
    elif max(-change.low, change.high) <= floor:
        direction, tail = Direction.FLAT, 0.05
    else:
        reason = "the change is not clear of the noise"
    return Trend(direction, change, 1 - tail, points, effective, reason)
