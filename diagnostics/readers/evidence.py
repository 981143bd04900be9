"""What the numbers of a log prove about themselves: beta, sums or means, how the loss began."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log

import numpy as np
import pandas as pd

from diagnostics.intervals import Floats
from diagnostics.readers.numbers import numbers

SIDES = ("chosen", "rejected")
LOG_2 = log(2)
# A mean log-prob per token below the log of any vocabulary's size is that of a model worse than
# guessing: such a number is a sum over tokens. exp(15) is 3.3 million, above every vocabulary.
LOWEST_MEAN = -15.0
# Rounding to 4 digits leaves about 5e-4; a real disagreement is far above this.
FIT = 0.01
# The first record averages a window in which the loss has begun to fall.
START_FALL = 0.35


@dataclass(frozen=True)
class Slope:
    """Rewards move `factor` for one nat of log-prob; `how` says where that was seen."""

    factor: float
    how: str
    without_reference: bool


def column(frame: pd.DataFrame, name: str) -> Floats:
    """Return a column as floats (T,), NaN where it is missing or no number."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    values = frame[name].to_numpy()
    found = numbers(values.tolist()) if values.dtype == object else np.asarray(values, float)
    return np.full(len(frame), np.nan) if found is None else np.asarray(found)


def pairs_of(frame: pd.DataFrame, logps: str = "logps") -> list[tuple[Floats, Floats]]:
    """Return (log-probs, rewards) of each side, at the steps where both are finite."""
    found = []
    for side in SIDES:
        z, reward = column(frame, f"{logps}/{side}"), column(frame, f"rewards/{side}")
        both = np.isfinite(z) & np.isfinite(reward)
        found.append((z[both], reward[both]))
    return found


def constant_ratio(train: pd.DataFrame, evals: pd.DataFrame) -> Slope | None:
    """Return beta where reward = beta * log-prob in every row: then no reference is in it."""
    sides = [pair for frame in (train, evals) for pair in pairs_of(frame)]
    z, reward = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    if len(z) < 4 or not np.all(z < 0) or not np.all(reward < 0):
        return None
    ratios = reward / z
    middle = float(np.median(ratios))
    if np.max(np.abs(ratios - middle)) > FIT * middle:
        return None
    how = "every reward is that multiple of its log-prob"
    return Slope(rounded(middle), how, without_reference=True)


def eval_slope(evals: pd.DataFrame) -> Slope | None:
    """Return beta from evaluations of the same pairs: reward = beta (log-prob - a constant).

    The reference's log-prob of a fixed set does not change, so both sides lie on lines of slope
    beta. None where they do not, or do not move enough to tell.
    """
    if len(evals) < 2:
        return None
    top = bottom = 0.0
    moves, rewards = [], []
    for z, reward in pairs_of(evals):
        if len(z) < 2:
            return None
        dz, dr = z - z.mean(), reward - reward.mean()
        # 6 digits of a table: below this spread the slope would be that of the rounding.
        if np.ptp(z) < 1e-4 * np.abs(z).max():
            return None
        top, bottom = top + float(dz @ dr), bottom + float(dz @ dz)
        moves.append(dz)
        rewards.append(dr)
    factor = top / bottom
    # Two evaluations give two slopes, which may agree by chance; more leave nothing to chance.
    fit = FIT if len(moves[0]) > 2 else FIT / 4
    for dz, dr in zip(moves, rewards, strict=True):
        if factor <= 0 or np.max(np.abs(dr - factor * dz)) > fit * np.ptp(dr):
            return None
    how = "the eval rewards move by it for one nat of the eval log-probs"
    return Slope(rounded(factor), how, without_reference=False)


def rounded(value: float) -> float:
    """Return a measured setting as the round number it is close to, else to 4 digits.

    Examples
    --------
    >>> rounded(0.099981), rounded(0.180123), rounded(0.13337)
    (0.1, 0.18, 0.1334)
    """
    near = float(f"{value:.2g}")
    return near if abs(near - value) < FIT / 2 * abs(value) else float(f"{value:.4g}")


def are_sums(train: pd.DataFrame, evals: pd.DataFrame) -> bool:
    """Say whether the log-probs at the start are too low for means per token."""
    firsts = []
    for frame in (train, evals):
        for side in SIDES:
            values = column(frame, f"logps/{side}")
            firsts += values[np.isfinite(values)][:1].tolist()
    return bool(firsts) and min(firsts) < LOWEST_MEAN


def first_loss(train: pd.DataFrame) -> tuple[int, float] | None:
    """Return step and value of the first logged training loss."""
    values = column(train, "loss")
    found = np.flatnonzero(np.isfinite(values))
    if not len(found):
        return None
    return int(train.index[found[0]]), float(values[found[0]])


def begins_at(train: pd.DataFrame, start: float) -> bool:
    """Say whether the first logged loss is what a window that began at `start` can show."""
    first = first_loss(train)
    return first is not None and (1 - START_FALL) * start <= first[1] <= 1.05 * start


def is_positive_somewhere(*frames: pd.DataFrame) -> bool:
    """Say whether any reward is above zero, which a log-prob never is."""
    values = [column(frame, f"rewards/{side}") for frame in frames for side in SIDES]
    return any(bool((one[np.isfinite(one)] > 0).any()) for one in values)


def multiple(value: float, unit: float) -> int | None:
    """Return the whole number of at least 2 that `value` is of `unit`, None where it is none.

    Examples
    --------
    >>> multiple(5.545, 0.6931), multiple(0.6931, 0.6931), multiple(0.9, 0.6931)
    (8, None, None)
    """
    if not (isfinite(value) and unit > 0):
        return None
    times = round(value / unit)
    return times if times >= 2 and abs(value / unit - times) < 0.02 * times else None
