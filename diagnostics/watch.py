"""The online form of `trends`: repeated looks at a growing log that share one error rate.

A run that is looked at again and again gets as many chances of a false alarm. Every look is
therefore held to the level of a finished log divided by the number of looks (Bonferroni), and
only a direction is announced, never a flat or an inconclusive stretch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from diagnostics.intervals import Floats, Ints
from diagnostics.trends import LEVEL, Direction, PairTrends, Phase, pair_trends

LOOKS = 20  # one every 5 % of the run
MIN_POINTS = 12  # points before the first look: the noise of fewer is hardly known
MOVED = (Direction.UP, Direction.DOWN)
# The estimates of the noise are cautious by about this factor (benchmarks/results/trends.md).
CAUTION = 1.35


@dataclass(frozen=True)
class Alert:
    """A pair of directions, announced at the first look that shows it.

    `step` is the last step logged by then; `phase` what is announced, with its own first step.
    """

    step: int
    phase: Phase

    @property
    def directions(self) -> tuple[Direction, Direction]:
        """The directions of chosen and rejected."""
        return self.phase.chosen.direction, self.phase.rejected.direction


def look(
    steps: Ints,
    chosen: Floats,
    rejected: Floats,
    margin: Floats | None = None,
    *,
    floor: float,
    looks: int = LOOKS,
    from_zero: bool = False,
) -> PairTrends:
    """Return the trends of a log that is still growing, for one of `looks` planned looks.

    Arguments as for `pair_trends`. Over all looks a log in which nothing moves is given a
    direction as seldom as a finished log is.
    """
    level = LEVEL / max(1, looks)
    return pair_trends(
        steps, chosen, rejected, margin, floor=floor, level=level, from_zero=from_zero
    )


def watch(
    steps: Ints,
    chosen: Floats,
    rejected: Floats,
    margin: Floats | None = None,
    *,
    floor: float,
    looks: int = LOOKS,
    from_zero: bool = False,
) -> tuple[Alert, ...]:
    """Return what a log would have announced as it grew, looked at `looks` times.

    An alert comes at the first look at which a side has a direction, and again whenever a side
    that had none gets one or a direction turns.
    """
    alerts: list[Alert] = []
    for end in np.unique(np.linspace(0, len(steps), looks + 1).round().astype(int))[1:]:
        part = [one if one is None else one[:end] for one in (chosen, rejected, margin)]
        if part[0] is None or part[1] is None or end < MIN_POINTS:
            continue
        seen = look(steps[:end], *part, floor=floor, looks=looks, from_zero=from_zero)  # type: ignore[arg-type]
        new = announced(seen)
        if new is not None and _is_news(new, alerts):
            alerts.append(Alert(int(seen.phases[-1].end), new))
    return tuple(alerts)


def announced(seen: PairTrends) -> Phase | None:
    """Return what one look announces: its last phase, or the whole log where only that moved."""
    if not seen.phases:
        return None
    last, first = seen.phases[-1], seen.phases[0]
    whole = Phase(first.start, last.end, seen.chosen, seen.rejected, seen.margin)
    moves = [sum(side.direction in MOVED for side in (p.chosen, p.rejected)) for p in (last, whole)]
    if not max(moves):
        return None
    return last if moves[0] >= moves[1] else whole


def expected_delay(t: float, *, looks: int = LOOKS, from_zero: bool = False) -> float:
    """Return the fraction of a run after which a steady change is announced, on the median.

    `t` = change / noise sd × sqrt(n_eff / 12) is the signal-to-noise of the whole change: what a
    part x of the run shows of it is t x^(3/2), twice that where the start is known. 1 or more
    where the run ends before.

    Examples
    --------
    >>> round(expected_delay(30), 2), round(expected_delay(15, from_zero=True), 2)
    (0.35, 0.35)
    """
    if not t > 0:
        return 1.0
    needed = -float(ndtri(LEVEL / max(1, looks))) * CAUTION
    exact = (needed / (t * (2 if from_zero else 1))) ** (2 / 3)
    return float(np.ceil(exact * looks - 1e-9) / looks)


def _is_news(new: Phase, alerts: list[Alert]) -> bool:
    if not alerts:
        return True
    before = alerts[-1].directions
    now = (new.chosen.direction, new.rejected.direction)
    return any(is_ in MOVED and is_ != was for is_, was in zip(now, before, strict=True))
