"""Numbers as logs write them: quoted, rounded, missing, not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# What trainers, notebooks and model cards write for "no value".
BLANKS = frozenset(("", "no log", "none", "null", "na", "n/a", "-", "–", "—"))


def number(value: Any) -> float | None:
    """Return a value as a number: NaN where it says that there is none, None for other text.

    Examples
    --------
    >>> number("0.6931"), number("1.59e+05"), number("No log"), number("48m 4s")
    (0.6931, 159000.0, nan, None)
    """
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:  # an integer beyond 1e308
            return math.inf if value > 0 else -math.inf
    if value is None:
        return math.nan
    if not isinstance(value, str):
        return None
    try:
        return float(value)
    except ValueError:
        text = value.strip().lower().replace("−", "-")
    if text in BLANKS:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None


def numbers(values: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """Return values as numbers (T,), or None when any of them is text or a structure."""
    try:
        found = np.asarray(values, dtype=np.float64)
        if found.ndim == 1:
            return found
    except (TypeError, ValueError, OverflowError):
        pass
    parsed = []
    for value in values:
        one = number(value)
        if one is None:
            return None
        parsed.append(one)
    return np.asarray(parsed, dtype=np.float64)
