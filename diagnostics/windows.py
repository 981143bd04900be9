"""Windows: the settings for which, to first order, chosen rises and rejected falls in this run.

All come from one measurement, the band of the probe batch: with d_w and d_l the mean weights of
the loss, q = d_w/d_l, and rho and q* of the weighted gradients, chosen rises above rho q* and
rejected falls below q*/rho (arXiv 2410.13828, equations 4 and 5; arXiv 2604.18239). A setting that
changes q alone moves the run against fixed edges. Weights are in loss units per nat, so beta and
the scale of rewards do not enter except as the loss has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, nan

import numpy as np

from diagnostics.entanglement import Measured, safe_window
from diagnostics.intervals import number
from diagnostics.reading import Reading

# Share of a step's first-order gain that curvature may take back; proposal of this project.
TOLERATED_CURVATURE = 0.25
# No step tells more than one order of magnitude: the second order is exact only near the step.
MOST_REDUCTION = 10.0


@dataclass(frozen=True)
class Window:
    """Safe values of one setting; `high` is infinite where nothing bounds it from above.

    `step` is the evaluation whose gradients were used.
    """

    low: float
    high: float
    step: int

    @property
    def centre(self) -> float:
        """A value inside: the geometric mean, or twice the lower end of an open window."""
        if isfinite(self.high):
            return float(np.sqrt(self.low * self.high)) if self.low > 0 else self.high / 2
        return 2 * self.low


def band_in_words(reading: Reading) -> str | None:
    """Return where the last q lies, what it foretells, and the SFT window; None without one."""
    bands = reading.bands
    if not bands:
        return None
    last = bands[-1]
    band, step = last.band, last.step
    edges = f"{number(band.low)} to {number(band.high)}"
    if band.q < band.low:
        place = f"below the band of {edges}, so that chosen falls"
    elif band.q > band.high:
        place = f"above the band of {edges}, so that rejected rises"
    elif band.low <= band.q:
        place = f"inside the band of {edges}, so that chosen rises and rejected falls"
    else:
        return None
    text = f"at step {step} q = {number(band.q)} lies {place}, to first order"
    window = safe_window(reading.run, step)
    if window is None:
        return text
    ends = f"{window.low:.2g} to {window.high:.2g}"
    if not isfinite(window.high):
        ends = f"above {window.low:.2g}"
    now = hyper_number(reading, "sft_weight", 0.0)
    return f"{text}; there, an SFT coefficient of {ends} keeps q inside (now {now:.2g})"


def decisive(reading: Reading, *, falling: bool = True) -> Measured | None:
    """Return the first evaluation at which q is below the band (`falling`) or above it.

    Where there is none, the first of all: the pull d_l decays as pairs are learned, so a late
    window would be too low for the start.
    """
    bands = reading.bands
    outside = [
        one
        for one in bands
        if (one.band.q < one.band.low if falling else one.band.q > one.band.high)
    ]
    return next(iter([*outside, *bands]), None)


def sft_weight(reading: Reading, reduction: str, *, falling: bool = True) -> Window | None:
    """Return the safe coefficients of an SFT term with "token" or "sequence" reduction.

    `falling` says whether chosen falls, or else rejected rises. None where gradients were not
    measured, or no coefficient keeps rejected from rising.
    """
    found = decisive(reading, falling=falling)
    if found is None or not isfinite(hyper_number(reading, "sft_weight", 0.0)):
        return None
    window = safe_window(reading.run, found.step, reduction)
    return None if window is None else _window(window.low, window.high, found.step)


def odds_weight(reading: Reading) -> Window | None:
    """Return the safe values of ORPO's lambda at a fixed SFT term.

    With e the SFT term's share of d_w and lambda u_w, lambda u_l the odds term's shares of d_w and
    d_l, chosen rises if e/lambda > u_l rho q* - u_w and rejected falls if
    e/lambda < u_l q*/rho - u_w.
    """
    found = decisive(reading, falling=False)
    weight, lam = (hyper_number(reading, name) for name in ("sft_weight", "beta"))
    scope = reading.run.config.get("sft_scope", "completion")
    if found is None or scope != "completion" or not (weight > 0 and lam > 0):
        return None
    sft = weight * found.pull
    up, down = (found.band.weight_chosen - sft) / lam, found.band.weight_rejected / lam
    if not (isfinite(sft) and down > 0):
        return None
    least, most = down * found.band.high - up, down * found.band.low - up
    if least <= 0:
        return None  # the odds term alone lifts the rejected side
    low = 0.0 if least == inf else sft / least
    return _window(low, sft / most if most > 0 else inf, found.step)


def desirable_ratio(reading: Reading) -> Window | None:
    """Return the safe values of lambda_D / lambda_U, KTO's two weights, by their gradients."""
    found = decisive(reading, falling=False)
    up, down = (hyper_number(reading, f"{name}desirable_weight") for name in ("", "un"))
    if found is None or not (up > 0 and down > 0):
        return None
    now = up / down
    q = found.band.q
    if not (q > 0 and isfinite(q) and isfinite(found.band.low)):
        return None
    return _window(max(0.0, now * found.band.low / q), now * found.band.high / q, found.step)


@dataclass(frozen=True)
class Curvature:
    """How much of the first-order gain one real step lost: k, at which step and learning rate."""

    k: float
    step: int
    rate: float | None

    def lower_rate(self, tolerated: float = TOLERATED_CURVATURE) -> float | None:
        """Return the rate at which k would be `tolerated`: to second order k is linear in it."""
        if self.rate is None or not self.k > tolerated:
            return None
        return self.rate * max(tolerated / self.k, 1 / MOST_REDUCTION)


def curvature(reading: Reading) -> Curvature | None:
    """Return the largest curvature among the evaluations near the peak learning rate.

    Only where the gradient promises the chosen side a rise: k is measured against that.
    """
    steps, values = reading.column("curvature", "evals")
    firsts = dict(zip(*reading.column("first_order/chosen", "evals"), strict=True))
    train, rates = reading.column("learning_rate")
    found = []
    for step, k in zip(steps, values, strict=True):
        if not firsts.get(step, 1.0) > 0:
            continue
        # The step tried is the next one; its rate is the first that is logged after it.
        after = rates[(train > step) & (rates > 0)]
        rate = float(after[0]) if after.size else float(rates.max()) if rates.size else None
        found.append(Curvature(float(k), int(step), rate if rate and rate > 0 else None))
    peak = max((one.rate for one in found if one.rate is not None), default=0.0)
    near = [one for one in found if one.rate is None or one.rate >= peak / 2]
    return max(near, key=lambda one: one.k, default=None)


def safe_settings(reading: Reading) -> dict[str, str]:
    """Return what this run measured of the safe values of its settings, one sentence each.

    Keys are settings of the trainer, without those that the run does not tell anything of.
    """
    found = {}
    reduction = str(reading.hyper.get("sft_reduction", "token"))
    windows = {"sft_weight": sft_weight(reading, reduction)}
    if reading.run.method == "orpo":  # elsewhere beta weighs no term beside the SFT term
        windows["beta"] = odds_weight(reading)
    ratio, undesirable = desirable_ratio(reading), hyper_number(reading, "undesirable_weight")
    if ratio is not None:
        windows["desirable_weight"] = Window(
            undesirable * ratio.low, undesirable * ratio.high, ratio.step
        )
    for name, window in windows.items():
        if window is not None:
            above = f"from {window.low:.3g} to {window.high:.3g}"
            ends = above if isfinite(window.high) else f"above {window.low:.3g}"
            found[name] = f"chosen rises and rejected falls {ends}, gradients of step {window.step}"
    bent = curvature(reading)
    if bent is not None and bent.rate is not None:
        lower = bent.lower_rate()
        kept = f"; {lower:.2g} keeps that to {100 * TOLERATED_CURVATURE:.0f} %" if lower else ""
        found["learning_rate"] = (
            f"a step at {bent.rate:.3g} loses {100 * max(0.0, bent.k):.0f} % of its first-order "
            f"gain{kept}"
        )
    return found


def _window(low: float, high: float, step: int) -> Window | None:
    return Window(low, high, step) if isfinite(low) and high > max(low, 0.0) else None


def hyper_number(reading: Reading, name: str, default: float = nan) -> float:
    """Return a setting of the method as a number; NaN where it is none, `default` if not known."""
    value = reading.hyper.get(name, default)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if usable else nan
