"""Fewer points for the screen, without hiding what happened between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_POINTS = 1000
"""Points of one line that leave the server; more cost time and cannot be seen."""

Floats = NDArray[np.float64]


def thin(
    x: ArrayLike, y: ArrayLike, limit: int = MAX_POINTS
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return at most `limit` of the points, keeping the extremes of every bucket.

    Each bucket of neighbouring points keeps its smallest and its largest value, so a spike of
    one step survives; a bucket with a gap (NaN or infinite) keeps one NaN, so the line breaks
    where the log does. The first and the newest point always stay. Buckets hold 2, 3, 4, 6, 8,
    12 … points, counted from the first: in a growing log what was kept stays kept, until the
    buckets take their next size.

    Parameters
    ----------
    x, y
        Equally long (n,) series, in order of x.
    limit
        Largest number of points returned, at least 8.

    Examples
    --------
    >>> values = np.zeros(10_000)
    >>> values[1234] = 7.0
    >>> steps, kept = thin(np.arange(10_000), values, limit=100)
    >>> len(kept) <= 100, int(steps[kept.argmax()])
    (True, 1234)
    """
    xs, ys = np.asarray(x), np.asarray(y, dtype=float)
    n = len(ys)
    if n <= limit:
        return xs, finite(ys)
    kept = np.concatenate(_extremes(ys, bucket_size(n, (limit - 2) // 2)))
    if not np.isfinite(ys[kept]).all():
        ys = finite(ys)
        kept = _extremes_and_gaps(ys, bucket_size(n, max(1, (limit - 2) // 3)))
    chosen = np.unique(np.concatenate([[0, n - 1], kept]))
    return xs[chosen], ys[chosen]


def bucket_size(n: int, buckets: int) -> int:
    """Return the least of 1, 2, 3, 4, 6, 8, 12 … of which at most `buckets` cover n points.

    Examples
    --------
    >>> bucket_size(1000, 500), bucket_size(1001, 500), bucket_size(1501, 500)
    (2, 3, 4)
    """
    needed = -(-n // buckets)
    power = 1 << (needed - 1).bit_length()
    between = power * 3 // 4
    return between if power >= 4 and between >= needed else power


def mean_line(
    x: ArrayLike,
    y: ArrayLike,
    window: int,
    limit: int = MAX_POINTS,
    part: slice = slice(None),
) -> tuple[NDArray[Any], Floats]:
    """Return at most `limit` points of the centred running mean over `window` points.

    Every mean is that of the whole series (see `smooth`), of which `part` is shown; where that is
    long, means are worked out at evenly spaced places only, which a mean over a window several
    times their distance cannot tell from all of them. The first and the last point always stay.
    """
    xs, shown = np.asarray(x)[part], np.arange(len(np.asarray(y)))[part]
    n = len(shown)
    size = bucket_size(n, max(1, limit - 2)) if n > limit else 1
    if size == 1 or window < 4 * size:
        return thin(xs, smooth(y, window, shown), limit)
    at = np.unique(np.concatenate([[0], np.arange(size // 2, n, size), [n - 1]]))
    return xs[at], smooth(y, window, shown[at])


def smooth(y: ArrayLike, window: int, at: NDArray[np.int_] | None = None) -> Floats:
    """Return the centred running mean over `window` points, gaps left out of each mean.

    Near the ends the window shrinks to what exists; where it holds no number the result is NaN.
    With `at` (m,) only the means at these places are worked out.

    Examples
    --------
    >>> smooth([1.0, 4.0, float("nan"), 2.0], 3)
    array([2.5, 2.5, 3. , 2. ])
    """
    ys = np.asarray(y, dtype=float)
    centre = np.arange(len(ys)) if at is None else at
    if window <= 1 or len(ys) == 0:
        return finite(ys)[centre]
    low = np.maximum(centre - window // 2, 0)
    high = np.minimum(centre + (window - 1) // 2 + 1, len(ys))
    with np.errstate(invalid="ignore", over="ignore"):
        totals = np.cumsum(ys)
    if np.isfinite(totals[-1]):
        return np.asarray(_between(totals, low, high) / (high - low))
    known = np.isfinite(ys)
    number = _between(np.cumsum(known), low, high)
    total = _between(np.cumsum(np.where(known, ys, 0.0)), low, high)
    mean = np.full(len(centre), np.nan)
    np.divide(total, number, out=mean, where=number > 0)
    return mean


def _between(totals: NDArray[Any], low: NDArray[np.int_], high: NDArray[np.int_]) -> NDArray[Any]:
    """Return the sums from `low` up to before `high` of a series with these running totals."""
    return np.asarray(totals[high - 1] - np.where(low > 0, totals[low - 1], 0))


def finite(y: ArrayLike) -> Floats:
    """Return the series as floats with everything that is not a finite number as NaN."""
    ys = np.array(y, dtype=float)
    ys[~np.isfinite(ys)] = np.nan
    return ys


def _extremes(ys: NDArray[Any], size: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return where each bucket is smallest and where it is largest; a NaN counts as both."""
    whole = len(ys) - len(ys) % size
    first = np.arange(0, len(ys), size)
    buckets = ys[:whole].reshape(-1, size)
    low, high = buckets.argmin(axis=1), buckets.argmax(axis=1)
    if whole < len(ys):
        low, high = np.append(low, ys[whole:].argmin()), np.append(high, ys[whole:].argmax())
    return first + low, first + high


def _extremes_and_gaps(ys: Floats, size: int) -> NDArray[np.int_]:
    """Return where each bucket is smallest and largest, and where it first has a NaN."""
    gaps = np.isnan(ys)
    low, _ = _extremes(np.where(gaps, np.inf, ys), size)
    _, high = _extremes(np.where(gaps, -np.inf, ys), size)
    _, gap = _extremes(gaps, size)
    return np.concatenate([low, high, gap[gaps[gap]]])
