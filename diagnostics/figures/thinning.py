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
    where the log does. The first and the newest point always stay.

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
    xs, ys = np.asarray(x), finite(y)
    n = len(ys)
    if n <= limit:
        return xs, ys
    gaps = np.isnan(ys)
    each = 3 if gaps.any() else 2
    buckets = max(1, (limit - 2) // each)
    edges = np.linspace(0, n, buckets + 1).astype(int)[:-1]
    smallest = _first_where(ys, np.minimum.reduceat(np.where(gaps, np.inf, ys), edges), edges)
    largest = _first_where(ys, np.maximum.reduceat(np.where(gaps, -np.inf, ys), edges), edges)
    kept = [np.array([0, n - 1]), smallest, largest]
    if gaps.any():
        kept.append(_first_where(gaps, np.logical_or.reduceat(gaps, edges), edges, only=True))
    chosen = np.unique(np.concatenate(kept))
    return xs[chosen], ys[chosen]


def smooth(y: ArrayLike, window: int) -> Floats:
    """Return the centred running mean over `window` points, gaps left out of each mean.

    Near the ends the window shrinks to what exists; where it holds no number the result is NaN.

    Examples
    --------
    >>> smooth([1.0, 4.0, float("nan"), 2.0], 3)
    array([2.5, 2.5, 3. , 2. ])
    """
    ys = finite(y)
    if window <= 1 or len(ys) == 0:
        return ys
    known = ~np.isnan(ys)
    totals = np.concatenate([[0.0], np.cumsum(np.where(known, ys, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    centre = np.arange(len(ys))
    low = np.maximum(centre - window // 2, 0)
    high = np.minimum(centre + (window - 1) // 2 + 1, len(ys))
    number = counts[high] - counts[low]
    mean = np.full(len(ys), np.nan)
    np.divide(totals[high] - totals[low], number, out=mean, where=number > 0)
    return mean


def finite(y: ArrayLike) -> Floats:
    """Return the series as floats with everything that is not a finite number as NaN."""
    ys = np.array(y, dtype=float)
    ys[~np.isfinite(ys)] = np.nan
    return ys


def _first_where(
    y: NDArray[Any], wanted: NDArray[Any], edges: NDArray[np.int_], *, only: bool = False
) -> NDArray[np.int_]:
    """Return for each bucket the index of its first point equal to the bucket's wanted value.

    With `only`, buckets whose wanted value is False are left out.
    """
    sizes = np.diff(np.append(edges, len(y)))
    hits = np.flatnonzero(y == np.repeat(wanted, sizes))
    bucket = np.repeat(np.arange(len(edges)), sizes)[hits]
    found, first = np.unique(bucket, return_index=True)
    picked = hits[first]
    return picked[wanted[found].astype(bool)] if only else picked
