"""What a named regime is: its record, its phases, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite

from diagnostics.intervals import Interval
from diagnostics.regimes import Regime
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.share import ShareEstimate
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence

# Proposals, not published values; in nats per token where not said otherwise.
EFFECT_FLOOR = 0.01  # a smaller change of a side is no direction, however significant
MEANINGFUL_CHANGE = 0.05  # `flat` must exclude a change this large: below it, severity is mild
SEVERITY_BANDS = ((0.05, "mild"), (0.3, "moderate"), (1.0, "severe"), (inf, "collapse"))


class Basis(StrEnum):
    """What a regime was read from."""

    PROBE = "probe"  # fixed pairs, scored again during training
    REWARDS = "rewards"  # the averages that the trainer logged
    NONE = "none"


@dataclass(frozen=True)
class Directions:
    """What both sides and their margin did."""

    chosen: Direction = Direction.INCONCLUSIVE
    rejected: Direction = Direction.INCONCLUSIVE
    margin: Direction = Direction.INCONCLUSIVE


@dataclass(frozen=True)
class NamedPhase:
    """A stretch of steps under one regime.

    On the probe's basis regime and directions are those of the change since the start of the run,
    as its evaluations show it; on the rewards' basis those of the change within the stretch.
    `is_start` marks the stretch before the second evaluation, of which nothing can be known yet.
    """

    start: int
    end: int
    regime: Regime
    directions: Directions
    basis: Basis
    is_start: bool = False

    @property
    def label(self) -> str:
        """The regime in words, or "start"."""
        if self.is_start:
            return "start"
        side = one_sided(self.directions) if self.regime is Regime.MIXED else None
        return side or self.regime.label.lower()


@dataclass(frozen=True)
class Movement:
    """The changes that a regime was named from, with their unit."""

    chosen: Interval
    rejected: Interval
    margin: Interval
    unit: str


@dataclass(frozen=True)
class RegimeVerdict:
    """The named regime with everything its sentence was made from.

    `reason` says why the regime is `unknown`, and is None otherwise. `since_step` is the first
    step from which on the regime holds to the end. `severity` is a word of `SEVERITY_BANDS`, None
    for a regime that is no alarm, or whose size in nats per token is not known. `benign` marks a
    fall of both sides that is no larger than that of the initial policy's own samples.
    `estimate` is the probe's, without pairs where there is no probe. `share` is S on the basis of
    the verdict. `phases` partition the run on that basis; `logged_phases` are those of the logged
    rewards, also where a probe is the basis.
    """

    regime: Regime
    sentence: str
    confidence: str
    since_step: int | None
    estimate: ShareEstimate
    evidence: tuple[Evidence, ...]
    caveats: tuple[str, ...]
    reason: str | None = None
    severity: str | None = None
    basis: Basis = Basis.NONE
    directions: Directions = Directions()
    movement: Movement | None = None
    share: Interval | None = None
    phases: tuple[NamedPhase, ...] = ()
    logged_phases: tuple[NamedPhase, ...] = ()
    benign: bool = False

    @property
    def label(self) -> str:
        """The regime in words, with the side that moved where only one did."""
        return label_of(self.regime, self.directions, benign=self.benign)


def label_of(regime: Regime, directions: Directions, *, benign: bool = False) -> str:
    """Return a regime in words: with the side that moved where one did, and the tide's name."""
    side = one_sided(directions) if regime is Regime.MIXED else None
    label = f"{regime.label}, {side}" if side else regime.label
    return f"{label}, within the tide" if benign else label


def one_sided(directions: Directions) -> str | None:
    """Return which side alone moved, in words; None where both or neither did.

    Examples
    --------
    >>> one_sided(Directions(Direction.UP, Direction.FLAT, Direction.UP))
    'chosen only'
    """
    still = (Direction.FLAT, Direction.INCONCLUSIVE)
    if directions.chosen not in still and directions.rejected is Direction.FLAT:
        return "chosen only"
    if directions.rejected not in still and directions.chosen is Direction.FLAT:
        return "rejected only"
    return None


_QUADRANTS = {
    (Direction.UP, Direction.DOWN): Regime.IDEAL,
    (Direction.UP, Direction.UP): Regime.BOTH_RISE,
    (Direction.DOWN, Direction.DOWN): Regime.BOTH_FALL,
    (Direction.DOWN, Direction.UP): Regime.REVERSED,
}


def regime_of(found: Directions) -> Regime:
    """Return the regime of three directions.

    A shrinking margin is a margin loss, unless chosen falls and rejected rises. Sides that move
    together without a grown margin are mixed.

    Examples
    --------
    >>> regime_of(Directions(Direction.DOWN, Direction.DOWN, Direction.UP)).value
    'both_fall'
    """
    regime = _QUADRANTS.get((found.chosen, found.rejected))
    if regime is Regime.REVERSED:
        return regime
    if found.margin is Direction.DOWN:
        return Regime.MARGIN_LOSS
    if regime is Regime.IDEAL or (regime is not None and found.margin is Direction.UP):
        return regime
    everything = (found.chosen, found.rejected, found.margin)
    if any(one in (Direction.UP, Direction.DOWN) for one in everything):
        return Regime.MIXED
    still = found.chosen is Direction.FLAT and found.rejected is Direction.FLAT
    return Regime.FLAT if still else Regime.UNKNOWN


def severity_of(size: float) -> str:
    """Return the word for a change of this size [nats per token].

    Examples
    --------
    >>> severity_of(-0.2), severity_of(1.5)
    ('moderate', 'collapse')
    """
    rounded = round(abs(size), 3)  # as it is printed: word and number agree
    return next(word for limit, word in SEVERITY_BANDS if rounded < limit or limit == inf)


def severity(
    regime: Regime, movement: Movement, corrected: Interval | None
) -> tuple[str | None, bool]:
    """Return how bad a regime is, and whether its fall is no larger than the tide.

    Where reference samples were scored, a fall of the chosen side counts by what is left of it
    beyond theirs (arXiv 2404.12358, Eq. 16: their mean change is minus the forward KL). A fall
    that is within the tide has no severity, and neither has one of which it is not known.
    """
    if movement.unit != NATS_PER_TOKEN:
        return None, False
    falls = regime in (Regime.BOTH_FALL, Regime.REVERSED)
    if falls and corrected is not None and isfinite(corrected.value):
        if corrected.value < -EFFECT_FLOOR and corrected.high < 0:
            return severity_of(corrected.value), False
        within = corrected.value >= -EFFECT_FLOOR or corrected.low > -MEANINGFUL_CHANGE
        return None, within and regime is Regime.BOTH_FALL
    sizes = {
        Regime.BOTH_FALL: movement.chosen,
        Regime.REVERSED: movement.chosen,
        Regime.BOTH_RISE: movement.rejected,
        Regime.MARGIN_LOSS: movement.margin,
    }
    return (severity_of(sizes[regime].value), False) if regime in sizes else (None, False)
