"""Is this series rising, falling, flat, or can nobody tell? Arrays in, numbers out.

A log is cleaned and blocked (`blocks`), both sides are fitted together by continuous lines with
shared joinpoints (`joinpoints`), and the change over each piece is held against an effect floor
with standard errors that count autocorrelated points for what they are worth. The margin is
judged on its own series over the same phases. A significant change below the floor is flat; where
neither a change nor its absence is established the answer is inconclusive, with the reason.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite, nan, sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from diagnostics.blocks import Blocks, blocks
from diagnostics.intervals import UNDEFINED, Floats, Interval, Ints
from diagnostics.joinpoints import (
    Fit,
    autocorrelation,
    fit,
    fit_with_swing,
    unbiased,
    whitened,
)
from diagnostics.stability import unstable
from diagnostics.walks import Walk

# Proposals of this project; error rates are measured in benchmarks/results/trends.md.
MIN_POINTS = 6  # with fewer, no direction is named
LEVEL = 5e-4  # one-sided, that a change is beyond half the floor: every run makes many looks
MIN_FREEDOM = 2.0  # effective degrees of freedom below which nothing is named
FEW_FREEDOM = 8.0  # below which a change must also exceed some residual sd,
FEW_CLEAR = 8.0  # as many as this at MIN_FREEDOM
WALK_LEVEL = 0.004  # one-sided, of a rise or fall that not even a random walk would show: nine
# records that all move one way
# What a t distribution states, and what was observed of 2,500 simulated runs of any clearness:
# first that a change exceeds half the floor, then that it is below the floor. Where many runs are
# clear and many are flat, what is unclear is mostly nothing.
MOVED_STATED = (0.0, 0.48, 0.55, 0.65, 0.75, 0.85, 0.926, 0.967, 0.99, 0.998, 0.9995, 1.0)
MOVED_SHOWN = (0.05, 0.21, 0.27, 0.34, 0.42, 0.58, 0.76, 0.87, 0.92, 0.95, 0.965, 0.998)
FLAT_STATED = (0.0, 0.055, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.85, 0.94, 0.98, 1.0)
FLAT_SHOWN = (0.10, 0.24, 0.44, 0.62, 0.73, 0.79, 0.85, 0.92, 0.94, 0.955, 0.97, 0.998)
NOTHING_SEEN = 0.99  # two-sided; a change inside this interval may be none,
MANY_FREEDOM = 20.0  # with so many effective degrees of freedom; with fewer, 0.95 rules
DETECTABLE = 10.0  # floors; an unseen change this small would have been seen, so the side is flat
MAX_PHI = 0.98
KNOWN = 100.0  # weight of a known start, in points
EDGE = 0.4  # sd of the autocorrelation above its estimate that are reckoned with,
STEEP = 1.5  # and so many more times the autocorrelation: near 1 an error costs most
CORNER = 0.12  # of the run: a shorter piece may only round a corner
DRAWN = 41  # places at which a fitted line is drawn, beside its bends


class Direction(StrEnum):
    """What a series did over a stretch of steps."""

    UP = "up"
    DOWN = "down"
    FLAT = "flat"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Trend:
    """The change of one series over a stretch of steps, in the series' own unit.

    `probability`, calibrated on simulations, is that a rise or fall exceeds half the floor, that a
    flat side moved less than the floor, or that an inconclusive change is beyond half the floor
    its way (NaN for want of points). `effective_points` discounts autocorrelation. `reason` says
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


@dataclass(frozen=True)
class FittedLines:
    """The fitted lines of chosen and rejected: `steps` (n,), `lines` and `half` (n, 2).

    `half` is half the width of their pointwise 95 % band, NaN where the points cannot tell it.
    """

    steps: Ints
    lines: Floats
    half: Floats


def trend(steps: Ints, values: Floats, *, floor: float) -> Trend:
    """Return the direction of one series over the whole log.

    `steps` (n,) and `values` (n,) stand in the order written; `floor` is the smallest change that
    counts, in the unit of the values. Never raises.
    """
    ready = blocks(steps, [values], floor)
    if ready.points < MIN_POINTS:
        return _too_few(ready.points)
    with np.errstate(all="ignore"):
        found = fit(ready.place, ready.values)
        return _Judge.of(found, ready.values, ready, _Terms(floor / ready.unit)).trend(0, 0.0, 1.0)


def pair_trends(
    steps: Ints,
    chosen: Floats,
    rejected: Floats,
    margin: Floats | None = None,
    *,
    floor: float,
    level: float = LEVEL,
    from_zero: bool = False,
) -> PairTrends:
    """Return the directions of both sides and their margin, with the phases between.

    All arrays have shape (n,) in the order written; `margin` is chosen minus rejected where it is
    not given. `floor` is the smallest change that counts, in their unit; `level` the one-sided
    error rate of a direction over the whole log. `from_zero` says that both sides were exactly 0
    at step 0, as changes against the reference are; early in a run this halves the uncertainty.
    Never raises.
    """
    with np.errstate(all="ignore"):
        series = [np.asarray(one, dtype=np.float64) for one in (chosen, rejected)]
        own = series[0] - series[1] if margin is None else np.asarray(margin, dtype=np.float64)
        known = np.where(np.isfinite(own), own, series[0] - series[1])
        ready = blocks(steps, [*series, known], floor)
        dropped, spikes = int(ready.gaps.sum()), int(ready.spikes.sum())
        if ready.points < MIN_POINTS:
            nothing = _too_few(ready.points)
            return PairTrends(nothing, nothing, nothing, (), (), dropped, spikes)
        found, cycles = fit_with_swing(ready.place, ready.values[:, :2])
        terms = _Terms(floor / ready.unit, level, from_zero)
        sides = _Judge.of(found, ready.values[:, :2], ready, terms)
        margins = _Judge.of(found, ready.values[:, 2:], ready, terms)
        whole = [sides.trend(0, 0.0, 1.0), sides.trend(1, 0.0, 1.0), margins.trend(0, 0.0, 1.0)]
        return PairTrends(
            chosen=whole[0],
            rejected=whole[1],
            margin=whole[2],
            phases=_phases(sides, margins, ready),
            unstable=unstable(ready, found, _swing(found, cycles)),
            dropped=dropped,
            spikes=spikes,
        )


def fitted(steps: Ints, chosen: Floats, rejected: Floats) -> FittedLines | None:
    """Return the fitted lines of both sides, for drawing; None below `MIN_POINTS`."""
    with np.errstate(all="ignore"):
        ready = blocks(steps, [chosen, rejected], 1.0)
        if ready.points < MIN_POINTS:
            return None
        found, _ = fit_with_swing(ready.place, ready.values)
        sides = _Judge.of(found, ready.values, ready, _Terms(1.0))
        place = np.unique(np.concatenate([np.linspace(0, 1, DRAWN), found.knots]))
        rows = np.array([found.row(one, found.extra) for one in place])
        freedom = sides.effective - rows.shape[1]
        spread = np.sqrt(np.maximum(0, np.sum((rows @ sides.covariance) * rows, axis=1)))
        half = np.outer(spread, np.sqrt(sides.variance)) * _quantile(freedom)
        span = float(ready.steps[-1]) - float(ready.steps[0])
        at = np.round(ready.steps[0] + place * span).astype(np.int64)
        return FittedLines(at, rows @ sides.coefficients * ready.unit, half * ready.unit)


def _quantile(freedom: float) -> float:
    """Return Student's t of a 95 % interval, NaN where there is no freedom to estimate it."""
    return float(stdtrit(freedom, 0.975)) if freedom > 0 else nan


def _too_few(points: int) -> Trend:
    reason = f"{points} usable points, and {MIN_POINTS} are needed"
    return Trend(Direction.INCONCLUSIVE, UNDEFINED, nan, points, 0.0, reason)


def _swing(found: Fit, cycles: float | None) -> tuple[float, float] | None:
    """Return the sd and the cycles of the regular swing in a fit."""
    if cycles is None:
        return None
    part = found.design[:, -found.extra :] @ found.coefficients[-found.extra :]
    return float(part.std(axis=0).min()), cycles


@dataclass(frozen=True)
class _Terms:
    """What a direction takes: the floor in units of the blocks, the level, a known start."""

    floor: float
    level: float = LEVEL
    from_zero: bool = False


@dataclass(frozen=True)
class _Judge:
    """Changes of S series along one fit, with standard errors. In units of the blocks.

    `coefficients` (p, S) by generalised least squares at `phi`, the upper edge of the residual
    autocorrelation; `covariance` (p, p) times `variance` (S,) is theirs. `spread` (S,) is the sd
    of the residuals. n_eff = K (1 - phi) / (1 + phi).
    """

    found: Fit
    coefficients: Floats
    covariance: Floats
    variance: Floats
    spread: Floats
    effective: float
    points: int
    terms: _Terms
    unit: float
    values: Floats

    @classmethod
    def of(cls, found: Fit, values: Floats, ready: Blocks, terms: _Terms) -> _Judge:
        count, parameters = found.design.shape
        root = np.sqrt(found.weights)[:, None]
        plain = np.linalg.lstsq(root * found.design, root * values, rcond=None)[0]
        rest = values - found.design @ plain
        phi = unbiased(autocorrelation(rest, found.weights), count, parameters)
        phi = min(MAX_PHI, max(0.0, min(phi, found.loose_phi)))
        phi = min(
            MAX_PHI,
            phi
            + (EDGE + phi) * sqrt((1 - phi * phi) / (count * (1.5 if rest.shape[1] > 1 else 1))),
        )
        design, target = whitened(root * found.design, phi), whitened(root * values, phi)
        if terms.from_zero:
            first, last = float(ready.steps[0]), float(ready.steps[-1])
            known = KNOWN * found.row(-first / max(1.0, last - first), found.extra)
            design = np.vstack([design, known])
            target = np.vstack([target, np.zeros((1, values.shape[1]))])
        coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
        errors = target - design @ coefficients
        return cls(
            found=found,
            coefficients=np.asarray(coefficients, dtype=np.float64),
            covariance=np.asarray(np.linalg.pinv(design.T @ design), dtype=np.float64),
            variance=(errors * errors).sum(axis=0) / max(1, count - parameters),
            spread=np.sqrt((rest * rest).sum(axis=0) / max(1, count - parameters)),
            effective=count * (1 - phi) / (1 + phi),
            points=ready.points,
            terms=terms,
            unit=ready.unit,
            values=values,
        )

    def trend(self, series: int, begin: float, end: float) -> Trend:
        """Return the trend of one series between two places."""
        extra = self.found.extra
        row = self.found.row(end, extra) - self.found.row(begin, extra)
        change = float(row @ self.coefficients[:, series])
        error = sqrt(max(0.0, float(row @ self.covariance @ row) * float(self.variance[series])))
        freedom = self.effective - len(row)
        # A stretch of length w was found among about 1/w begins and as many ends.
        level = self.terms.level * (end - begin) ** 2
        direction, probability, reason = self._label(change, error, freedom, series, level)
        half = float(stdtrit(freedom, 0.975)) * error if freedom > 0 else inf
        if freedom < FEW_FREEDOM and end - begin == 1 and direction is Direction.INCONCLUSIVE:
            walk = Walk.of(self.values[:, series])
            half = min(half, walk.half)
            beyond = walk.beyond(change, self.terms.floor / 2)
            if abs(change) >= self.terms.floor and beyond <= WALK_LEVEL:
                direction = Direction.UP if change > 0 else Direction.DOWN
                probability, reason = 1 - beyond, None
        shown = (
            (FLAT_STATED, FLAT_SHOWN)
            if direction is Direction.FLAT
            else (MOVED_STATED, MOVED_SHOWN)
        )
        probability = float(np.interp(probability, *shown)) if isfinite(probability) else nan
        interval = Interval(
            change * self.unit, (change - half) * self.unit, (change + half) * self.unit
        )
        return Trend(direction, interval, probability, self.points, self.effective, reason)

    def _label(
        self, change: float, error: float, freedom: float, series: int, level: float
    ) -> tuple[Direction, float, str | None]:
        if freedom < MIN_FREEDOM:
            reason = f"the points are worth {self.effective:.1f} independent ones, too few"
            return Direction.INCONCLUSIVE, nan, reason
        beyond = _tail(abs(change) - self.terms.floor / 2, error, freedom)
        clear = FEW_CLEAR * (FEW_FREEDOM - freedom) / (FEW_FREEDOM - MIN_FREEDOM)
        few = abs(change) < clear * float(self.spread[series])
        if abs(change) >= self.terms.floor and beyond < level and not few:
            return (Direction.UP if change > 0 else Direction.DOWN), 1 - beyond, None
        half = float(stdtrit(freedom, 0.975)) * error
        detectable = half + float(stdtrit(freedom, 0.8)) * error
        inside = abs(change) + half <= self.terms.floor
        sure = NOTHING_SEEN if freedom >= MANY_FREEDOM else 0.95
        unseen = float(stdtrit(freedom, 0.5 + sure / 2)) * error
        loose = freedom >= FEW_FREEDOM and abs(change) <= unseen
        if inside or (loose and detectable < DETECTABLE * self.terms.floor):
            low = _tail(self.terms.floor - change, error, freedom)
            high = _tail(self.terms.floor + change, error, freedom)
            return Direction.FLAT, max(0.0, 1 - low - high), None
        reason = "the change is not clear of the noise: log more points"
        return Direction.INCONCLUSIVE, 1 - beyond, reason


def _tail(distance: float, error: float, freedom: float) -> float:
    """Return the one-sided probability that noise alone makes this distance."""
    if not error > 0:
        return 0.0 if distance > 0 else 1.0
    return float(stdtr(freedom, -distance / error))


# Phases.


def _phases(sides: _Judge, margins: _Judge, ready: Blocks) -> tuple[Phase, ...]:
    """Return the phases: the pieces of the fit, with neighbours of one kind merged."""
    cuts = [0.0, *sides.found.knots.tolist(), 1.0]
    cuts = _without_corners(cuts, sides)
    cuts = _merged(cuts, sides)
    # A cut belongs to the block it falls on; a phase begins at the block after.
    ends = [int(np.searchsorted(ready.place, cut, side="right")) - 1 for cut in cuts[1:-1]]
    ends = [*ends, len(ready.place) - 1]
    begins = [0, *(end + 1 for end in ends[:-1])]
    return tuple(
        Phase(
            start=int(ready.first[begin]),
            end=int(ready.last[end]),
            chosen=sides.trend(0, *place),
            rejected=sides.trend(1, *place),
            margin=margins.trend(0, *place),
        )
        for begin, end, place in zip(begins, ends, itertools.pairwise(cuts), strict=True)
    )


def _labels(sides: _Judge, begin: float, end: float) -> tuple[Direction, ...]:
    return tuple(sides.trend(side, begin, end).direction for side in (0, 1))


def _without_corners(cuts: list[float], sides: _Judge) -> list[float]:
    """Return the cuts without short pieces whose slopes lie between those of both neighbours."""
    slopes = [
        (sides.found.row(b, sides.found.extra) - sides.found.row(a, sides.found.extra))
        @ sides.coefficients
        / (b - a)
        for a, b in itertools.pairwise(cuts)
    ]
    for index in range(1, len(cuts) - 2):
        before, own, after = slopes[index - 1 : index + 2]
        between = (np.minimum(before, after) <= own) & (own <= np.maximum(before, after))
        if cuts[index + 1] - cuts[index] <= CORNER and between.all():
            middle = (cuts[index] + cuts[index + 1]) / 2
            shorter = [*cuts[:index], middle, *cuts[index + 2 :]]
            return _without_corners(shorter, sides)
    return cuts


def _merged(cuts: list[float], sides: _Judge) -> list[float]:
    """Return the cuts without those between pieces whose directions agree.

    An undecided piece joins a neighbour where both together keep the neighbour's directions.
    """
    for index in range(1, len(cuts) - 1):
        left = _labels(sides, cuts[index - 1], cuts[index])
        right = _labels(sides, cuts[index], cuts[index + 1])
        both = _labels(sides, cuts[index - 1], cuts[index + 1])
        if all(_agree(*labels) for labels in zip(left, right, both, strict=True)):
            return _merged([*cuts[:index], *cuts[index + 1 :]], sides)
    return cuts


def _agree(left: Direction, right: Direction, both: Direction) -> bool:
    decided = {left, right} - {Direction.INCONCLUSIVE}
    return left == right or decided == {both}
