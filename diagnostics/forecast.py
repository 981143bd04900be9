"""Where the chosen curve is going: its peak, where it comes back to 0, and its sign at the end.

Any policy pays for its margin with a fall of all that it used to write, and that fall grows with
the square of the margin. To second order the chosen side therefore follows

    Delta_w = S_0 m - kappa m^2 / 2                                                     (1)

with m the growth of the margin: it rises at first by its share S_0, peaks at m = S_0 / kappa and
is back at 0 at m = 2 S_0 / kappa. In a Gaussian policy that DPO tilts, (1) is exact with
kappa = 1 / |D|^2 (`diagnostics.examples.gaussian_tilt`); in a language model it is a curve to fit.

The forecast is a Refusal where (1) does not describe the run so far, and reaches no further than
it was tested: to `REACH` times the margin seen. `SKILL` says how well it did on the second half
of runs whose first half it was given.

References
----------
- arXiv 2404.12358, Eq. 16: the reference's own text falls by the KL divergence, which is of
  second order in the distance travelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, nan

import numpy as np
from scipy.special import stdtrit

from diagnostics.intervals import CONFIDENCE, UNDEFINED, Floats, Interval, fieller, in_words, number
from diagnostics.share import ShareEstimate

# Proposals of this project.
MIN_EVALUATIONS = 4  # with a margin, after the start: two are spent on S_0 and kappa
MAX_MISFIT = 0.25  # residual spread over the spread of chosen: beyond it (1) is no description
REACH = 3.0  # times the largest margin seen: as far as the skill below was measured
LOOK_AHEAD = 10.0  # times the steps taken: nothing further away is dated
POINTS_AHEAD = 25  # of the curve that is drawn
NORMAL = 1.959963984540054


Clock = Callable[[Floats], Floats]


def learning_rate_clock(schedule: str, total_steps: int, warmup_ratio: float = 0.0) -> Clock | None:
    """Return the sum of the planned learning rates up to a step, in units of the peak rate.

    `schedule` is "constant", "constant_with_warmup", "linear" or "cosine", as transformers calls
    them; None for any other.

    Examples
    --------
    >>> clock = learning_rate_clock("linear", 100)
    >>> [round(float(one), 1) for one in clock(np.array([0.0, 50.0, 100.0]))]
    [0.0, 37.5, 50.0]
    """
    shapes: dict[str, Callable[[Floats], Floats]] = {
        "constant": np.ones_like,
        "constant_with_warmup": np.ones_like,
        "linear": lambda part: 1 - part,
        "cosine": lambda part: (1 + np.cos(np.pi * part)) / 2,
    }
    if schedule not in shapes or total_steps < 1:
        return None
    rise = int(np.ceil(warmup_ratio * total_steps)) if schedule != "constant" else 0
    middles = np.arange(total_steps) + 0.5
    part = np.clip((middles - rise) / max(1, total_steps - rise), 0.0, 1.0)
    rates = np.where(middles < rise, middles / max(1, rise), shapes[schedule](part))
    steps, sums = np.arange(total_steps + 1.0), np.concatenate([[0.0], np.cumsum(rates)])
    return lambda step: np.asarray(np.interp(step, steps, sums), dtype=np.float64)


def _plain(step: Floats) -> Floats:
    return np.asarray(step, dtype=np.float64)


@dataclass(frozen=True)
class Skill:
    """How a forecast from the first half of a run did on its second half.

    `sign` is the share of runs whose final sign of chosen was right, out of `runs`;
    `sign_at_half` the same for the sign at half time, and `sign_linear` for a straight line
    through the second quarter of the run. `error`, `error_at_half` and `error_linear` are the
    median errors of chosen at the end [nats per token]. `crossings` counts the runs in which
    chosen came back
    to 0 in the second half and the forecast said where; `crossing_error` is the median error of
    that step as a share of the run, `crossing_error_linear` the straight line's over the same.
    """

    runs: int
    sign: Interval
    sign_at_half: Interval
    sign_linear: Interval
    error: float
    error_at_half: float
    error_linear: float
    crossings: int
    crossing_error: float
    crossing_error_linear: float


# On the recorded runs of examples/casebook; `python -m benchmarks forecast` measures it again.
SKILL = Skill(
    runs=79,
    sign=Interval(0.9873, 0.9317, 0.9978),
    sign_at_half=Interval(0.9114, 0.8282, 0.9564),
    sign_linear=Interval(0.9747, 0.9123, 0.993),
    error=0.03324,
    error_at_half=0.0258,
    error_linear=0.07223,
    crossings=6,
    crossing_error=0.04163,
    crossing_error_linear=0.2317,
)


@dataclass(frozen=True)
class Refusal:
    """Why nothing is forecast, as a clause."""

    reason: str


@dataclass(frozen=True)
class Forecast:
    """Where the chosen side of the probe pairs is going.

    `share` is S_0 and `curvature` kappa of (1) [tokens per nat]. `peak_margin`, `crossing_margin`
    [nats per token] and `peak` (chosen at its peak, nats per token) are None where no bend shows
    yet; the steps are None where the margin is not on its way there or is too far off.
    `final` is chosen at `final_step` [nats per token], None where no such step was asked for.
    `path` leads from the last evaluation to the furthest of these steps: (step, chosen there with
    its prediction interval [nats per token]); empty where none of them lies ahead.
    """

    share: Interval
    curvature: Interval
    peak_margin: Interval | None
    peak: float | None
    crossing_margin: Interval | None
    peak_step: Interval | None
    crossing_step: Interval | None
    final_step: int | None
    final: Interval | None
    sentence: str
    path: tuple[tuple[float, Interval], ...] = ()


def forecast(
    estimates: Sequence[ShareEstimate],
    final_step: int | None = None,
    clock: Clock | None = None,
) -> Forecast | Refusal:
    """Return where chosen is going by (1), fitted to the evaluations so far, or why that is open.

    Intervals are 95 % and those of the fit: they speak of these probe pairs and hold if (1) goes
    on to describe them.

    Parameters
    ----------
    estimates
        One for each evaluation of the probe set, as `share.trajectory` returns them.
    final_step
        Optimizer steps of the whole run, where chosen's place at its end is asked for.
    clock
        How far training has come at a step, as `learning_rate_clock` returns it: margins grow as
        the learning rate lets them. Steps themselves when None.

    Examples
    --------
    >>> from diagnostics.examples import gaussian_tilt
    >>> from diagnostics.share import trajectory
    >>> path = trajectory(gaussian_tilt((3.0, 0.0), (1.0, 0.2), range(0, 600, 50)))
    >>> there = forecast(path)
    >>> round(there.share.value, 3), round(there.crossing_margin.value, 3)  # m = 2 a.D
    (1.485, 12.0)
    """
    path = _Path.of(estimates)
    if len(path.step) < MIN_EVALUATIONS:
        return Refusal(
            f"the probe set was scored {len(path.step)} times after the start, and a forecast "
            f"needs {MIN_EVALUATIONS}"
        )
    if not estimates[-1].margin.low > 0:
        return Refusal("the margin of the probe pairs has not grown beyond chance")
    fit = _Fit.of(path)
    if not fit.misfit <= MAX_MISFIT:
        return Refusal(
            "chosen does not follow a parabola of the margin: what is left of its spread after "
            f"the fit is {number(100 * fit.misfit)} %, and {number(100 * MAX_MISFIT)} % is the most"
        )
    return _forecast(path, fit, final_step, clock or _plain)


@dataclass(frozen=True)
class _Path:
    """The evaluations after the start with numbers: steps, means, and chosen's standard error."""

    start: int
    step: Floats
    margin: Floats
    chosen: Floats
    error: Floats

    @staticmethod
    def of(estimates: Sequence[ShareEstimate]) -> _Path:
        rows = [
            (one.step, one.margin.value, one.delta_chosen.value, _error(one.delta_chosen))
            for one in estimates
            if one.step > one.start_step
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        table = table[np.isfinite(table[:, :3]).all(axis=1)]
        start = estimates[0].start_step if estimates else 0
        return _Path(start, *table.T)


def _error(interval: Interval) -> float:
    return (interval.high - interval.low) / (2 * NORMAL)


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares of (1): S_0 and kappa, their covariance, and how good it is."""

    share: float
    curvature: float
    covariance: Floats
    residual: float  # weighted standard deviation of chosen around the curve
    misfit: float  # that over chosen's own weighted size
    quantile: float

    @staticmethod
    def of(path: _Path) -> _Fit:
        known = path.error[np.isfinite(path.error) & (path.error > 0)]
        # An evaluation whose spread is not known counts as the usual one; none counts for all.
        usual = float(np.median(known)) if len(known) else 1.0
        error = np.where(np.isfinite(path.error) & (path.error > usual / 10), path.error, usual)
        root = usual / error  # square roots of the weights, 1 for the usual evaluation
        design = np.stack([path.margin, -(path.margin**2) / 2], axis=1) * root[:, None]
        target = path.chosen * root
        found, _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
        if rank < 2:
            return _Fit(nan, nan, np.full((2, 2), nan), nan, inf, nan)
        left = target - design @ found
        freedom = len(target) - 2
        variance = float(left @ left) / freedom
        size = float(target @ target) / len(target)
        return _Fit(
            share=float(found[0]),
            curvature=float(found[1]),
            covariance=np.asarray(variance * np.linalg.inv(design.T @ design), dtype=np.float64),
            residual=variance**0.5,
            misfit=(variance / size) ** 0.5 if size > 0 else inf,
            quantile=float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)),
        )

    def coefficient(self, which: int) -> Interval:
        value = (self.share, self.curvature)[which]
        half = self.quantile * float(self.covariance[which, which]) ** 0.5
        return Interval(value, value - half, value + half)

    @property
    def peak(self) -> Interval | None:
        """The margin S_0 / kappa, where the curve is known to bend and to rise at first."""
        if not (self.coefficient(0).low > 0 and self.coefficient(1).low > 0):
            return None
        variances = self.covariance[0, 0], self.covariance[1, 1], self.covariance[0, 1]
        return fieller(self.share, self.curvature, tuple(map(float, variances)), self.quantile)  # type: ignore[arg-type]

    def at(self, margin: Interval) -> Interval:
        """Return chosen where the margin is so large, with its prediction interval."""
        m = margin.value
        row = np.array([m, -m * m / 2])
        slope = self.share - self.curvature * m
        error = (margin.high - margin.low) / (2 * NORMAL)
        variance = row @ self.covariance @ row + self.residual**2 + (slope * error) ** 2
        half = self.quantile * float(variance) ** 0.5
        value = float(row @ (self.share, self.curvature))
        return Interval(value, value - half, value + half)


def _forecast(path: _Path, fit: _Fit, final_step: int | None, clock: Clock) -> Forecast:
    seen = float(path.margin.max())
    peak = fit.peak
    crossing = None if peak is None else Interval(2 * peak.value, 2 * peak.low, 2 * peak.high)
    trend = _Trend.of(path, clock)
    final = None
    if final_step is not None and final_step > path.step[-1]:
        there = trend.margin_at(final_step)
        final = fit.at(there) if 0 < there.value <= REACH * seen else None
    peak_step, crossing_step = (
        trend.step_at(one, path) if one is not None and one.value <= REACH * seen else None
        for one in (peak, crossing)
    )
    ends = [one.value for one in (peak_step, crossing_step) if one is not None]
    ends += [final_step] if final is not None and final_step is not None else []
    return Forecast(
        share=fit.coefficient(0),
        curvature=fit.coefficient(1),
        peak_margin=peak,
        peak=None if peak is None else fit.share**2 / (2 * fit.curvature),
        crossing_margin=crossing,
        peak_step=peak_step,
        crossing_step=crossing_step,
        final_step=None if final is None else final_step,
        final=final,
        sentence=_sentence(path, fit, crossing, crossing_step, final_step, final),
        path=_ahead(trend, fit, max(ends, default=0.0)),
    )


def _ahead(trend: _Trend, fit: _Fit, end: float) -> tuple[tuple[float, Interval], ...]:
    """Return the curve from the last evaluation to step `end`; nothing where that is past."""
    if not end > trend.step:
        return ()
    steps = np.linspace(trend.step, end, POINTS_AHEAD)
    return tuple((float(step), fit.at(trend.margin_at(step))) for step in steps)


@dataclass(frozen=True)
class _Trend:
    """The margin's line through the later half of the evaluations, over the training clock."""

    step: float
    margin: float
    slope: Interval
    clock: Clock

    @staticmethod
    def of(path: _Path, clock: Clock) -> _Trend:
        later = slice(min(len(path.step) // 2, len(path.step) - 3), None)
        time, margin = clock(path.step)[later], path.margin[later]
        centred = time - time.mean()
        square = float(centred @ centred)
        if not square > 0:  # the rate was 0 all the while
            return _Trend(float(path.step[-1]), float(path.margin[-1]), UNDEFINED, clock)
        slope = float(centred @ margin) / square
        left = margin - margin.mean() - slope * centred
        freedom = len(time) - 2
        quantile = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))
        half = quantile * (float(left @ left) / freedom / square) ** 0.5
        around = Interval(slope, slope - half, slope + half)
        return _Trend(float(path.step[-1]), float(path.margin[-1]), around, clock)

    def margin_at(self, step: float) -> Interval:
        now, then = self.clock(np.array([self.step, step]))
        return Interval(*(self.margin + float(then - now) * one for one in _parts(self.slope)))

    def step_at(self, margin: Interval, path: _Path) -> Interval | None:
        """Return when the margin is there: in the past as it was, ahead as the line goes on."""
        if self.margin >= margin.value:
            highest = np.maximum.accumulate([0.0, *path.margin])
            past = float(np.interp(margin.value, highest, [path.start, *path.step]))
            return Interval(past, past, past)
        when = self._when(margin.value, self.slope.value)
        if when == inf:
            return None
        low, high = self._when(margin.low, self.slope.high), self._when(margin.high, self.slope.low)
        return Interval(when, low, high)

    def _when(self, margin: float, slope: float) -> float:
        """Return the step at which a line reaches the margin; infinity for never."""
        ahead = margin - self.margin
        if ahead <= 0:
            return self.step
        if not slope > 0:
            return inf
        steps = np.linspace(self.step, LOOK_AHEAD * self.step, 2000)
        grown = (self.clock(steps) - self.clock(steps[:1])) * slope
        reached = int(np.searchsorted(grown, ahead))
        return float(steps[reached]) if reached < len(steps) else inf


def _parts(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _sentence(
    path: _Path,
    fit: _Fit,
    crossing: Interval | None,
    crossing_step: Interval | None,
    final_step: int | None,
    final: Interval | None,
) -> str:
    begin = f"by a fit to {len(path.step)} evaluations (S_0 = {in_words(fit.coefficient(0))})"
    if crossing is None:
        rises = fit.coefficient(0).low > 0
        ahead = "rises with the margin, and no bend shows yet" if rises else "does not rise"
        text = f"{begin}, chosen {ahead}"
    else:
        text = (
            f"{begin}, chosen peaks at a margin of {number(crossing.value / 2)} nats/token and is "
            f"back at its start at {in_words(crossing)}"
        )
        if crossing_step is None:
            text += ", too far off to say when"
        elif crossing_step.value <= path.step[-1]:
            text += f", passed at step {crossing_step.value:.0f}"
        else:
            text += f", about step {crossing_step.value:.0f} as the margin grows now"
    if final is not None:
        # Its sign only: at the end itself, staying where it is did no worse (`SKILL.error`).
        side = "above" if final.value > 0 else "below"
        text += (
            f"; at step {final_step} it is {side} its start (the sign of such forecasts was right "
            f"in {100 * SKILL.sign.value:.0f} % of {SKILL.runs} recorded runs)"
        )
    return text
