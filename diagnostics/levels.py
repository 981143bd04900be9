"""Where a short log ends: its level against a start that is known to be 0.

Over ten or fifteen records nobody can tell a bend from autocorrelated noise, so the trend of a
short log is mostly open, however plain it looks. Logged training rewards of a method with a
reference offer more: they are exactly 0 before the first step, and each record averages batches of
its own, so that their noise is nearly independent. The mean of the second half of the records is
then held against 0, with the noise taken from second differences, which no slow curve reaches.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from diagnostics.intervals import Floats, Interval
from diagnostics.trends import MIN_POINTS, Direction, PairTrends, Trend

# Proposals of this project. On simulated logs of 6 to 19 records that stay at 0, with noise that
# is constant or grows from a tenth, a side is named at most 0.3 % of the time where neighbours
# correlate by 0.3 or less, and 6 % where they do by 0.6.
FEW = 20  # records; from here on the trend itself can tell
LEVEL = 0.0025  # one-sided
INFLATED = 2.5  # times the standard error of independent records
FREEDOM = 0.6  # degrees of freedom that each second difference is worth
BEGINS = 0.5  # of the level: a first record beyond it does not show where the log began


def with_levels(
    trends: PairTrends, series: tuple[Floats, Floats, Floats], floor: float
) -> PairTrends:
    """Return the trends with the open directions of a short log decided by the level at its end.

    `series` are chosen, rejected and margin (n,), changes since a reference that is 0 at step 0,
    averaged over batches of their own. `floor` is the smallest level that counts, in their unit.
    """
    chosen, rejected, margin = series
    return replace(
        trends,
        chosen=_decided(trends.chosen, chosen, floor),
        rejected=_decided(trends.rejected, rejected, floor),
        margin=_decided(trends.margin, margin, floor),
    )


def _decided(trend: Trend, values: Floats, floor: float) -> Trend:
    known = values[np.isfinite(values)]
    if trend.direction is not Direction.INCONCLUSIVE or not MIN_POINTS <= len(known) < FEW:
        return trend
    with np.errstate(all="ignore"):
        level, error, freedom = _level(known)
        beyond = float(stdtr(freedom, -(abs(level) - floor / 2) / error)) if error > 0 else 0.0
    starts = abs(known[0]) <= BEGINS * abs(level)
    if not (np.isfinite(level) and starts and abs(level) >= floor and beyond < LEVEL):
        return trend
    half = float(stdtrit(freedom, 0.975)) * error
    return replace(
        trend,
        direction=Direction.UP if level > 0 else Direction.DOWN,
        change=Interval(level, level - half, level + half),
        probability=1 - beyond,
        reason=None,
    )


def _level(values: Floats) -> tuple[float, float, float]:
    """Return the mean of the second half, its standard error and the degrees of freedom."""
    half = (len(values) + 1) // 2
    bends = np.diff(values, 2)
    noise = sqrt(float((bends * bends).mean()) / 6)
    error = INFLATED * noise / sqrt(half)
    return float(values[-half:].mean()), error, max(1.0, FREEDOM * len(bends))
