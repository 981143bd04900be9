"""Label flips: which pairs move against their labels, and whether chance would deal out as many.

The test deals the increments between evaluations out anew among the pairs, each evaluation for
itself: that keeps chance and the common trend, and destroys what a pair does persistently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from diagnostics.intervals import Flags, Floats, clustered_mean, number
from diagnostics.probegrid import ProbeGrid

# Proposals of this project.
MIN_PAIRS = 16
MIN_EVALUATIONS = 4  # after the start
PERSISTENCE = 0.8  # share of the evaluations at which the margin is below 0
FLOOR = 0.01  # nats per token
# Enough for p = 1/200, and at most 50 evaluations of them: a second for 512 pairs.
DEALS = 199
MOST_EVALUATIONS = 50
BLOCK = 2_000_000  # numbers dealt out at once


@dataclass(frozen=True)
class Flips:
    """The pairs that move against their labels, and how sure it is that they are a group."""

    against: Flags
    p: float
    median_against: float
    median_with: float
    apart: float
    p_length: float

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.against.sum())


def too_little(grid: ProbeGrid | None) -> str | None:
    """Return why flips cannot be looked for, None where they can."""
    if grid is None:
        return "the run has no probe pairs with both sides"
    pairs, evaluations = len(grid.pairs), len(_whole_steps(grid)) - 1
    if pairs < MIN_PAIRS or evaluations < MIN_EVALUATIONS:
        return (
            f"{pairs} probe pairs were scored {evaluations} times after the start, and "
            f"{MIN_PAIRS} pairs and {MIN_EVALUATIONS} times are needed"
        )
    margin = clustered_mean(grid.margins[-1], grid.prompts, int(grid.prompts.max()) + 1).interval
    if not margin.low > 0:
        return (
            f"the margin of all pairs ({number(margin.value, sign=True)} nats/token) has not "
            "grown, so no pair can move against the rest"
        )
    return None


def _whole_steps(grid: ProbeGrid) -> Floats:
    """Return the margins (T, P) of the evaluations at which every pair has one."""
    margins = grid.margins
    margins = margins[np.isfinite(margins).all(axis=1)]
    if len(margins) > MOST_EVALUATIONS:
        margins = margins[np.linspace(0, len(margins) - 1, MOST_EVALUATIONS).round().astype(int)]
    return margins


def find(grid: ProbeGrid, seed: int = 0) -> Flips:
    """Return the pairs that move against their labels, with p from dealing out increments anew."""
    margins = _whole_steps(grid)
    increments = np.diff(margins, axis=0)
    against = _against(increments)
    draw = np.random.default_rng(seed)
    as_many = sum(
        int((_against(draw.permuted(block, axis=-1)).sum(axis=-1) >= against.sum()).sum())
        for block in _copies(increments)
    )
    last = margins[-1]
    lengths = np.log(grid.tokens[0] / grid.tokens[1])
    return Flips(
        against=against,
        p=(1 + as_many) / (1 + DEALS),
        median_against=float(np.median(last[against])) if against.any() else 0.0,
        median_with=float(np.median(last[~against])) if not against.all() else 0.0,
        apart=_apart(last[against], last[~against]),
        p_length=_p_of_difference(lengths, against, draw),
    )


def _copies(increments: Floats) -> Iterator[Floats]:
    """Yield `DEALS` copies (D, T, P) of the increments in blocks that fit into the memory."""
    at_once = max(1, BLOCK // increments.size)
    for start in range(0, DEALS, at_once):
        count = min(at_once, DEALS - start)
        yield np.broadcast_to(increments, (count, *increments.shape))


def _against(increments: Floats) -> Flags:
    """Return which pairs (…, P) end below 0 and were there mostly, from increments (…, T, P)."""
    margins = np.cumsum(increments, axis=-2)
    below = (margins < 0).mean(axis=-2) >= PERSISTENCE
    return np.asarray(below & (margins[..., -1, :] < -FLOOR))


def _apart(one: Floats, other: Floats) -> float:
    """Return Ashman's D of two groups; 0 where one of them is too small to have a spread."""
    if min(one.size, other.size) < 2:
        return 0.0
    spread = np.sqrt(one.var(ddof=1) + other.var(ddof=1))
    return float(np.sqrt(2) * abs(one.mean() - other.mean()) / max(spread, 1e-12))


def _p_of_difference(values: Floats, group: Flags, draw: np.random.Generator) -> float:
    """Return p of a permutation test of whether the group's mean is that of the rest."""
    if not 0 < group.sum() < group.size:
        return 1.0
    # The mean of the group alone orders the deals as the difference of both means does.
    centred = values - values.mean()
    labels = draw.permuted(np.broadcast_to(group, (DEALS, group.size)), axis=-1)
    as_far = np.abs(labels @ centred) >= abs(float(group @ centred)) * (1 - 1e-12)
    return (1 + int(as_far.sum())) / (1 + DEALS)
