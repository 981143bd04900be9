"""Is this series rising, falling, flat, or can nobody tell? Arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from diagnostics.intervals import Floats, Interval, Ints


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
    raise NotImplementedError


def pair_trends(
    steps: Ints, chosen: Floats, rejected: Floats, margin: Floats | None = None, *, floor: float
) -> PairTrends:
    """Return the directions of both sides and their margin, with the phases between."""
    raise NotImplementedError
