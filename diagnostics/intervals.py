"""Estimates with 95 % intervals: clustered means, their ratios, fractions. Arrays in, numbers out.

Observations that share a cluster (here: a prompt) are not independent, so every variance is
cluster-robust: the sum over clusters of each cluster's squared influence on the estimate, times
G / (G - 1), with Student's t for G - 1 degrees of freedom.

References
----------
- E. C. Fieller, "Some problems in interval estimation", J. R. Stat. Soc. B 16 (1954): `fieller`.
- E. B. Wilson, J. Am. Stat. Assoc. 22 (1927): `wilson`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf, nan, sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

CONFIDENCE = 0.95

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; bounds are infinite where the spread is unknown."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the quantity is significantly different from 0."""
        return self.low > 0 or self.high < 0

    def __neg__(self) -> Interval:
        return Interval(-self.value, -self.high, -self.low)


UNDEFINED = Interval(nan, nan, nan)


@dataclass(frozen=True)
class Mean:
    """A mean with each cluster's influence on it, so that sums and differences keep covariance.

    `influence` (G) lists the clusters in an order that all means of one analysis share;
    `clusters` counts those with an observation.
    """

    value: float
    influence: Floats
    clusters: int

    def __add__(self, other: Mean) -> Mean:
        return Mean(
            self.value + other.value,
            self.influence + other.influence,
            min(self.clusters, other.clusters),
        )

    def __sub__(self, other: Mean) -> Mean:
        return self + Mean(-other.value, -other.influence, other.clusters)

    def covariance(self, other: Mean) -> float:
        """Return the covariance of the two estimates (of one with itself: its variance)."""
        return float(self.influence @ other.influence)

    @property
    def quantile(self) -> float:
        """Student's t for the clusters at hand, two-sided; infinite below two clusters."""
        if self.clusters < 2:
            return inf
        return float(stdtrit(self.clusters - 1, 0.5 + CONFIDENCE / 2))

    @property
    def interval(self) -> Interval:
        """The mean with its 95 % interval, unbounded below two clusters."""
        if not np.isfinite(self.value):
            return UNDEFINED
        half = self.quantile * sqrt(self.covariance(self)) if self.clusters > 1 else inf
        return Interval(self.value, self.value - half, self.value + half)


def clustered_mean(
    values: Floats, clusters: Ints, n_clusters: int, weights: Floats | None = None
) -> Mean:
    """Return sum(values) / sum(weights) over the finite values; without weights the plain mean.

    `clusters` holds an index below `n_clusters` for each value. With weights this is a ratio of
    sums, linearised; the weights of finite values must be finite and positive in total.

    Examples
    --------
    >>> mean = clustered_mean(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2]), 3)
    >>> mean.value, round(mean.covariance(mean), 6)  # the variance of the mean is 1 / 3
    (2.0, 0.333333)
    """
    used = np.isfinite(values)
    if not used.any():
        return Mean(nan, np.zeros(n_clusters), 0)
    weight = np.ones(int(used.sum())) if weights is None else weights[used]
    total = float(weight.sum())
    value = float(values[used].sum()) / total
    count = len(np.unique(clusters[used]))
    correction = sqrt(count / max(1, count - 1))
    influence = np.zeros(n_clusters)
    np.add.at(influence, clusters[used], (values[used] - value * weight) * (correction / total))
    return Mean(value, influence, count)


def clustered_fraction(flags: Flags, clusters: Ints, n_clusters: int) -> Interval:
    """Return the fraction of true flags with Wilson's interval at the effective sample size.

    The effective size is p (1 - p) over the clustered variance, never above the flags at hand.
    Where all flags agree they show no spread, and only a cluster counts as an observation.
    """
    mean = clustered_mean(flags.astype(np.float64), clusters, n_clusters)
    spread = mean.value * (1 - mean.value)
    if mean.clusters < 2 or not spread > 0:
        return wilson(mean.value, mean.clusters)
    return wilson(mean.value, spread / max(mean.covariance(mean), spread / len(flags)))


def clustered_ratio(numerator: Mean, denominator: Mean) -> Interval | None:
    """Return numerator / denominator with Fieller's interval from their joint covariance.

    None where the denominator is not significantly different from 0.
    """
    covariance = (
        numerator.covariance(numerator),
        denominator.covariance(denominator),
        numerator.covariance(denominator),
    )
    return fieller(numerator.value, denominator.value, covariance, denominator.quantile)


def fieller(
    numerator: float,
    denominator: float,
    covariance: tuple[float, float, float],
    quantile: float,
) -> Interval | None:
    """Return the ratio of two estimated means with Fieller's interval.

    Parameters
    ----------
    numerator, denominator
        The two means.
    covariance
        Variance of the numerator, variance of the denominator, their covariance.
    quantile
        Of Student's t, two-sided: 1.96 for 95 % and many observations.

    Returns
    -------
    Interval | None
        None where the denominator is not significantly different from 0: the set is then
        unbounded, and no ratio should be reported.

    Examples
    --------
    >>> fieller(1.0, 2.0, (0.0, 0.0, 0.0), 1.96)
    Interval(value=0.5, low=0.5, high=0.5)
    >>> fieller(1.0, 2.0, (0.01, 4.0, 0.0), 1.96) is None
    True
    """
    known = np.isfinite([numerator, denominator, *covariance, quantile]).all()
    if denominator == 0 or not known:
        return None
    # Dividing by the denominator first keeps very large and very small scales representable.
    ratio, t2 = numerator / denominator, quantile * quantile
    var_n, var_d, cov = (part / denominator / denominator for part in covariance)
    # The set of S with (ratio - S)^2 <= t2 (var_n - 2 S cov + S^2 var_d).
    a = 1 - t2 * var_d
    if not a > 0:
        return None
    half_b = ratio - t2 * cov
    root = sqrt(max(0.0, half_b * half_b - a * (ratio * ratio - t2 * var_n)))
    return Interval(ratio, (half_b - root) / a, (half_b + root) / a)


def wilson(fraction: float, count: float, quantile: float = 1.959963984540054) -> Interval:
    """Return a fraction of `count` observations with Wilson's score interval.

    Examples
    --------
    >>> interval = wilson(0.9, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.596, 0.982)
    """
    if not count > 0:
        return Interval(fraction, 0.0, 1.0)
    z2 = quantile * quantile / count
    centre = (fraction + z2 / 2) / (1 + z2)
    half = sqrt(max(0.0, fraction * (1 - fraction) * z2 + z2 * z2 / 4)) / (1 + z2)
    return Interval(fraction, max(0.0, centre - half), min(1.0, centre + half))


def number(value: float, *, sign: bool = False) -> str:
    """Return a number in words: two decimals, three below 0.1, none from 100 on.

    Examples
    --------
    >>> number(-0.312), number(0.02, sign=True), number(1234.5), number(float("-inf"))
    ('-0.31', '+0.020', '1234', 'unbounded')
    """
    if isinf(value):
        return "unbounded"
    size = abs(value)
    decimals = 3 if size < 0.0995 else 2 if size < 100 else 0
    rounded = round(value, decimals) + 0.0  # adding 0 turns -0.0 into 0.0
    text = f"{rounded:{'+' if sign else ''}.{decimals}f}"
    return text if size < 1e6 else f"{value:{'+' if sign else ''}.2e}"


def in_words(interval: Interval, *, sign: bool = False) -> str:
    """Return an interval in words.

    Examples
    --------
    >>> in_words(Interval(0.5, 0.25, 0.75))
    '0.50, 95 % 0.25…0.75'
    """
    low, high = number(interval.low, sign=sign), number(interval.high, sign=sign)
    return f"{number(interval.value, sign=sign)}, 95 % {low}…{high}"
