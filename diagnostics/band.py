"""The disentanglement band: which way both sides of a pair move to first order.

With s_w and s_l the gradients of the chosen and the rejected log-prob z_w and z_l, and d_w and
d_l the weights of the loss, a gradient step moves along d_w s_w - d_l s_l, and the log-probs at
the rates

    dz_w ~ d_w |s_w|^2 - d_l <s_w, s_l>      dz_l ~ d_w <s_w, s_l> - d_l |s_l|^2

With q = d_w/d_l, q* = |s_l|/|s_w| and rho = cos(s_w, s_l), chosen rises if and only if
q > rho q*, and rejected falls if and only if q < q*/rho (for rho <= 0: always). q = 1 is
Condition 1 of arXiv 2410.13828; the band in logarithms is that of arXiv 2604.18239. The same
holds for a batch, with s_w and s_l the means of the pairs' gradients weighted by d_w and d_l.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, inf, isfinite, log, nan


@dataclass(frozen=True)
class Band:
    """Gradients of both sides and how hard the loss pulls on each, for one pair or one batch.

    `weight_*` are d_w and d_l [loss units per nat], `norm_*` the lengths of s_w and s_l,
    `cosine` is rho. What cannot be told is NaN.
    """

    weight_chosen: float
    weight_rejected: float
    norm_chosen: float
    norm_rejected: float
    cosine: float

    @property
    def q(self) -> float:
        """Incentive ratio d_w/d_l; infinite where only the chosen side is pulled."""
        if self.weight_rejected == 0:
            return inf if self.weight_chosen > 0 else nan
        return self.weight_chosen / self.weight_rejected

    @property
    def q_star(self) -> float:
        """Length of the rejected gradient divided by that of the chosen one."""
        return self.norm_rejected / self.norm_chosen if self.norm_chosen > 0 else nan

    @property
    def low(self) -> float:
        """The lower edge rho q*: chosen rises above it."""
        return self.cosine * self.q_star

    @property
    def high(self) -> float:
        """The upper edge q*/rho: rejected falls below it; infinite for rho <= 0."""
        return self.q_star / self.cosine if self.cosine > 0 else inf

    @property
    def slack(self) -> float:
        """Distance of q from the nearer edge [natural log of a ratio]; below 0 outside the band.

        Infinite for rho <= 0, where every positive q is inside.
        """
        if not (self.q >= 0 and isfinite(self.q_star) and self.weight_rejected >= 0):
            return nan
        if self.cosine <= 0:
            return inf
        if self.q in (0.0, inf):
            return -inf
        return min(log(self.q) - log(self.low), log(self.high) - log(self.q))

    @property
    def chosen_rate(self) -> float:
        """First-order rate of the chosen log-prob, up to the learning rate."""
        return self.weight_chosen * self.norm_chosen**2 - self.weight_rejected * self._overlap

    @property
    def rejected_rate(self) -> float:
        """First-order rate of the rejected log-prob, up to the learning rate."""
        return self.weight_chosen * self._overlap - self.weight_rejected * self.norm_rejected**2

    @property
    def share(self) -> float:
        """Chosen share S_0 of the margin's first-order growth; NaN where the margin does not grow.

        Examples
        --------
        >>> Band(1.0, 1.0, 3.0, 1.0, 0.5).share  # 9 - 1.5 of 9 - 1.5 + 1 - 1.5
        1.0714...
        """
        growth = self.chosen_rate - self.rejected_rate
        return self.chosen_rate / growth if growth > 0 else nan

    @property
    def regime(self) -> str:
        """Name of the regime that the first-order rates predict; "unknown" where one is NaN."""
        chosen, rejected = self.chosen_rate, self.rejected_rate
        if not (isfinite(chosen) and isfinite(rejected)):
            return "unknown"
        return predicted_regime(chosen, rejected)

    @property
    def _overlap(self) -> float:
        return self.cosine * self.norm_chosen * self.norm_rejected


def predicted_regime(chosen: float, rejected: float) -> str:
    """Return the name of the regime for first-order changes of both sides.

    Examples
    --------
    >>> predicted_regime(1.0, -1.0), predicted_regime(-1.0, -2.0), predicted_regime(1.0, 2.0)
    ('ideal', 'both_fall', 'margin_loss')
    """
    if chosen == rejected:
        return "flat" if chosen == 0 else "margin_loss"
    if chosen < rejected:
        return "reversed" if chosen < 0 < rejected else "margin_loss"
    if rejected > 0:
        return "both_rise"
    return "both_fall" if chosen < 0 else "ideal"


@dataclass(frozen=True)
class SftWindow:
    """Coefficients of the SFT term between which chosen rises and rejected falls, to first order.

    At `low` the chosen side stops falling, at `high` the rejected side starts to rise; infinite
    where it never does.
    """

    low: float
    high: float


def sft_window(band: Band, pull: float, coefficient: float = 0.0) -> SftWindow | None:
    """Return the coefficients of the SFT term that put q inside the band.

    The term adds `pull` times its coefficient to d_w, so that
    low = coefficient + (d_l rho q* - d_w)/pull and high = coefficient + (d_l q*/rho - d_w)/pull.
    Adding it changes no direction as long as it weighs the pairs as the loss does.

    Parameters
    ----------
    band
        With the present weights, the SFT term's share included.
    pull
        What a coefficient of 1 adds to d_w [loss units per nat]: see `sft_pull`.
    coefficient
        The present one.

    Returns
    -------
    SftWindow | None
        None where no coefficient of at least 0 keeps rejected from rising, or nothing is known.

    Examples
    --------
    >>> both_fall = Band(0.05, 0.05, norm_chosen=1.0, norm_rejected=2.0, cosine=0.8)
    >>> window = sft_window(both_fall, pull=1 / 100)
    >>> round(window.low, 9), round(window.high, 9)  # 100 tokens * 0.05 * (0.8 * 2 - 1), …
    (3.0, 7.5)
    """
    if not (pull > 0 and isfinite(band.low) and band.weight_rejected > 0):
        return None
    low, high = (
        coefficient + (band.weight_rejected * edge - band.weight_chosen) / pull
        for edge in (band.low, band.high)
    )
    return SftWindow(max(0.0, low), high) if high >= 0 else None


def sft_pull(lengths: Sequence[float], reduction: str = "token") -> float:
    """Return what an SFT coefficient of 1 adds to the mean d_w of a paired loss [per nat].

    `lengths` are those of the chosen completions [tokens]; NaN where none is known. The mean over
    the batch's tokens adds 1 / (mean n_w) to every pair, the mean over sequences 1 / n_w to each.

    Examples
    --------
    >>> sft_pull([50, 150]), round(sft_pull([50, 150], "sequence"), 5)
    (0.01, 0.01333)
    """
    known = [length for length in lengths if length > 0]
    if not known:
        return nan
    if reduction == "sequence":
        return fsum(1 / length for length in known) / len(known)
    return len(known) / fsum(known)


def batch_band(
    weights_chosen: Sequence[float],
    weights_rejected: Sequence[float],
    q_star: float,
    cosine: float,
) -> Band:
    """Return the band of a batch from its pairs' weights and the geometry of their weighted means.

    Weights are summed over the batch and divided by its rows, NaN counting as no side. Lengths are
    in units of the chosen one, which changes neither q nor the share.
    """
    chosen, rejected = (
        fsum(value for value in weights if value == value) / max(1, len(weights))
        for weights in (weights_chosen, weights_rejected)
    )
    return Band(chosen, rejected, 1.0, q_star, cosine)
