"""The regime that the probe set shows: the same pairs, scored again at every evaluation.

A side has a *direction* where its 95 % interval excludes 0 and its change exceeds the effect
floor; the margin has one where its interval excludes 0. With a grown margin the pair of directions
is the same as the place of the interval of S: above 1 both rise, within (0, 1) ideal, below 0 both
fall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from math import inf, isfinite
from typing import TYPE_CHECKING

from diagnostics.intervals import Interval, in_words, number
from diagnostics.naming import (
    EFFECT_FLOOR,
    MEANINGFUL_CHANGE,
    Basis,
    Directions,
    Movement,
    NamedPhase,
    RegimeVerdict,
    severity,
)
from diagnostics.regimes import Regime
from diagnostics.schema import NATS_PER_TOKEN, metric
from diagnostics.share import SPLITS, ShareEstimate, trajectory
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence

if TYPE_CHECKING:
    from diagnostics.run import Run

# Proposals, not published values.
MIN_EVALUATIONS = 3  # after the start
MIN_STEPS = 10  # optimizer steps between the first and the last evaluation
MIN_PAIRS = 8
CLEAR = 2.0  # a deciding value this many half-widths from 0 is called clear
# Three intervals are looked at, so one of them must exclude 0 at 1 - 0.05/3 (Bonferroni) before
# anything has moved: that is 2.39 / 1.96 half-widths of its 95 % interval.
FAMILY_WISE = 1.22


@dataclass(frozen=True)
class Rules:
    """What a regime takes; `floor` and `meaningful` in nats per token."""

    floor: float = EFFECT_FLOOR
    meaningful: float = MEANINGFUL_CHANGE
    min_evaluations: int = MIN_EVALUATIONS
    min_steps: int = MIN_STEPS
    min_pairs: int = MIN_PAIRS


DEFAULT_RULES = Rules()


def name_probed(run: Run, estimates: Sequence[ShareEstimate], rules: Rules) -> RegimeVerdict:
    """Return the regime at the last of at least one evaluation, with its evidence."""
    last = estimates[-1]
    found = spans(estimates, rules)
    start, _, regime = found[-1]
    reason = None
    if regime is Regime.UNKNOWN:
        reason = _too_short(estimates, rules) or _too_poor(last, start, rules)
    movement = Movement(last.delta_chosen, last.delta_rejected, last.margin, NATS_PER_TOKEN)
    word, benign = severity(regime, movement, last.tide_corrected_chosen)
    return RegimeVerdict(
        regime=regime,
        sentence=_sentence(regime, last, start, reason, rules, benign=benign),
        confidence=_confidence(regime, last, start, rules),
        since_step=start,
        estimate=last,
        evidence=_evidence(last, rules),
        caveats=(*_caveats(last, rules), *_other_views(run, regime, last, rules)),
        reason=reason,
        severity=word,
        basis=Basis.PROBE,
        directions=directions(last, rules),
        movement=movement if last.n_pairs else None,
        share=last.share,
        phases=_phases(found, estimates, rules),
        benign=benign,
    )


def classify(estimate: ShareEstimate, rules: Rules = DEFAULT_RULES) -> Regime:
    """Return the regime that one evaluation shows, regardless of how long the run is."""
    if estimate.n_pairs < rules.min_pairs:
        return Regime.UNKNOWN
    if not _moved(estimate, rules):
        return Regime.FLAT if _reach(estimate) <= rules.meaningful else Regime.UNKNOWN
    chosen = _direction(estimate.delta_chosen, rules.floor)
    rejected = _direction(estimate.delta_rejected, rules.floor)
    if chosen < 0 < rejected:
        return Regime.REVERSED
    margin = _direction(estimate.margin, 0.0)
    if margin <= 0:
        return Regime.MARGIN_LOSS if margin else Regime.MIXED
    quadrants = {
        (1, -1): Regime.IDEAL,
        (1, 1): Regime.BOTH_RISE,
        (-1, -1): Regime.BOTH_FALL,
    }
    return quadrants.get((chosen, rejected), Regime.MIXED)


def directions(estimate: ShareEstimate, rules: Rules = DEFAULT_RULES) -> Directions:
    """Return what each side and the margin did since the start, as one evaluation shows it."""
    if estimate.n_pairs < rules.min_pairs:
        return Directions()
    floors = (rules.floor, rules.floor, 0.0)
    return Directions(
        *(
            _in_words(interval, floor, rules)
            for interval, floor in zip(_intervals(estimate), floors, strict=True)
        )
    )


def _in_words(interval: Interval, floor: float, rules: Rules) -> Direction:
    sign = _direction(interval, floor)
    if sign:
        return Direction.UP if sign > 0 else Direction.DOWN
    bounded = max(-interval.low, interval.high) <= rules.meaningful
    return Direction.FLAT if bounded else Direction.INCONCLUSIVE


def spans(estimates: Sequence[ShareEstimate], rules: Rules) -> list[tuple[int, int, Regime]]:
    """Return the regimes as spans (first step, last step, regime) that partition the run."""
    last = estimates[-1].step
    if _too_short(estimates, rules):
        return [(estimates[0].step, last, Regime.UNKNOWN)]
    starts: list[tuple[int, Regime]] = []
    for one in estimates:
        regime = classify(one, rules)
        if not starts or starts[-1][1] is not regime:
            starts.append((one.step, regime))
    ends = [step for step, _ in starts[1:]] + [last]
    return [(step, end, regime) for (step, regime), end in zip(starts, ends, strict=True)]


def _phases(
    found: Sequence[tuple[int, int, Regime]], estimates: Sequence[ShareEstimate], rules: Rules
) -> tuple[NamedPhase, ...]:
    """Return the spans with the directions at their ends.

    At the first evaluation nothing has changed by definition: a span of that one alone is the
    start, not a flat phase.
    """
    steps = [one.step for one in estimates]
    phases = []
    for index, (start, end, regime) in enumerate(found):
        is_last = index == len(found) - 1
        at = len(steps) - 1 if is_last else steps.index(end) - 1
        shown = Directions() if regime is Regime.UNKNOWN else directions(estimates[at], rules)
        is_start = at == 0 and not is_last
        phases.append(NamedPhase(start, end, regime, shown, Basis.PROBE, is_start))
    return tuple(phases)


# Deciding.


def _direction(interval: Interval, floor: float) -> int:
    if interval.low > 0 and interval.value > floor:
        return 1
    return -1 if interval.high < 0 and interval.value < -floor else 0


def _intervals(estimate: ShareEstimate) -> tuple[Interval, Interval, Interval]:
    return estimate.delta_chosen, estimate.delta_rejected, estimate.margin


def _moved(estimate: ShareEstimate, rules: Rules) -> bool:
    """Whether any of the three changes is beyond the floor and beyond chance."""
    return any(
        _direction(interval, rules.floor) and _clearness(interval) >= FAMILY_WISE
        for interval in _intervals(estimate)
    )


def _reach(estimate: ShareEstimate) -> float:
    """Return the largest change that the intervals still allow [nats per token]."""
    return max(max(-interval.low, interval.high) for interval in _intervals(estimate))


def _clearness(interval: Interval) -> float:
    """Return the distance of the value from 0 in half-widths of its interval."""
    half = (interval.high - interval.low) / 2
    return abs(interval.value) / half if half > 0 else inf


# Saying why nothing can be told.


def _too_short(estimates: Sequence[ShareEstimate], rules: Rules) -> str | None:
    evaluations, steps = len(estimates) - 1, estimates[-1].step - estimates[0].step
    if evaluations < rules.min_evaluations:
        return (
            f"the probe set was scored {_count(evaluations, 'time')} after the start, and "
            f"{rules.min_evaluations} are needed"
        )
    if steps < rules.min_steps:
        return (
            f"the probe set covers {_count(steps, 'optimizer step')}, and {rules.min_steps} "
            "are needed"
        )
    return None


def _too_poor(last: ShareEstimate, since: int, rules: Rules) -> str:
    if not last.n_pairs:
        return f"no probe pair has a finite log-probability since step {since}"
    if last.n_pairs < rules.min_pairs:
        return (
            f"only {_count(last.n_pairs, 'probe pair')} can be used, and {rules.min_pairs} are "
            "needed"
        )
    if last.n_prompts < 2:
        return "all probe pairs share one prompt, so their spread over prompts is not known"
    return (
        f"the probe set is too small or too diverse: a change of {number(_reach(last))} "
        f"nats/token could not be seen, and {number(rules.meaningful)} would matter"
    )


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# Putting the verdict into words.


def _sentence(
    regime: Regime,
    last: ShareEstimate,
    since: int,
    reason: str | None,
    rules: Rules,
    *,
    benign: bool,
) -> str:
    if regime is Regime.UNKNOWN:
        return f"cannot tell: {reason}"
    label = f"{regime.label.lower()}{', within the tide,' if benign else ''}"
    where = "" if last.split == SPLITS[0] else " on held-out pairs"
    changes = (
        f"chosen {number(last.delta_chosen.value, sign=True)} and rejected "
        f"{number(last.delta_rejected.value, sign=True)} nats/token from the start"
    )
    if regime is Regime.FLAT:
        behind = f"changes above {number(rules.meaningful)} are excluded"
    elif last.share is not None:
        behind = f"S = {in_words(last.share)}"
    else:
        behind = f"margin {in_words(last.margin, sign=True)}"
    if regime is Regime.MIXED:
        behind = f"{behind}; {_why_mixed(last, rules)}"
    return f"{label} since step {since}{where}: {changes} ({behind})"


def _why_mixed(last: ShareEstimate, rules: Rules) -> str:
    sides = {"chosen": last.delta_chosen, "rejected": last.delta_rejected}
    undecided = [name for name, side in sides.items() if not _direction(side, rules.floor)]
    if len(undecided) == 2:
        return "the margin grows, but neither side has a direction of its own"
    if not undecided:
        return "both sides move together, the margin does not"
    grows = "grows" if last.margin.low > 0 else "has no direction"
    name = undecided[0]
    return f"the margin {grows} and {name} could be {_span(sides[name])}"


def _span(interval: Interval) -> str:
    return f"{number(interval.low, sign=True)}…{number(interval.high, sign=True)}"


def _confidence(regime: Regime, last: ShareEstimate, since: int, rules: Rules) -> str:
    """Return how firmly the regime stands, in words."""
    if regime is Regime.UNKNOWN:
        return "none"
    pairs = _count(last.n_pairs, "pair")
    if since == last.step:
        return f"low: {pairs}, and seen at the last evaluation only"
    if regime is Regime.FLAT:
        clear = CLEAR * _reach(last) <= rules.meaningful
        return (
            f"{'high' if clear else 'moderate'}: {pairs}, and no change above "
            f"{number(_reach(last))} nats/token is left possible"
        )
    if regime is Regime.MIXED:
        return f"moderate: {pairs}, and the sides do not fall into one quadrant"
    deciding = {"margin": last.margin}
    if regime is not Regime.MARGIN_LOSS:
        deciding |= {"chosen": last.delta_chosen, "rejected": last.delta_rejected}
    weakest = min(deciding, key=lambda name: _clearness(deciding[name]))
    if _clearness(deciding[weakest]) < CLEAR:
        return f"moderate: {pairs}, and the interval of the {weakest} change only just excludes 0"
    return f"high: {pairs}, and every deciding interval stays well clear of 0"


def _evidence(last: ShareEstimate, rules: Rules) -> tuple[Evidence, ...]:
    fraction = metric("rewards/accuracies").unit
    candidates = (
        ("Δ chosen", last.delta_chosen, NATS_PER_TOKEN, rules.floor),
        ("Δ rejected", last.delta_rejected, NATS_PER_TOKEN, rules.floor),
        ("margin", last.margin, NATS_PER_TOKEN, 0.0),
        ("chosen share S", last.share, "share of the margin", None),
        ("reward accuracy", last.reward_accuracy, fraction, None),
        ("ranking accuracy", last.ranking_accuracy, fraction, None),
        ("drift", last.drift, NATS_PER_TOKEN, None),
        ("Δ chosen, tide-corrected", last.tide_corrected_chosen, NATS_PER_TOKEN, 0.0),
    )
    found = [
        Evidence(quantity, interval.value, unit, threshold, interval.low, interval.high)
        for quantity, interval, unit, threshold in candidates
        if interval is not None and isfinite(interval.value)
    ]
    return (*found, Evidence("probe pairs", last.n_pairs, "pairs", rules.min_pairs))


def _caveats(last: ShareEstimate, rules: Rules) -> Iterator[str]:
    if last.start_step > 0:
        yield (
            f"the probe set was first scored at step {last.start_step}: changes count from there, "
            "not from the start of the run"
        )
    if last.left_out and last.n_pairs:
        yield f"{_count(last.left_out, 'probe pair')} left out: a log-probability is not finite"
    if last.n_pairs and not any(any(astuple(interval)) for interval in _intervals(last)):
        yield (
            "every probe log-probability is exactly what it was at the start: the weights that "
            "were scored have not changed"
        )
    tide = last.tide_corrected_chosen
    if tide is not None and _direction(last.delta_chosen, rules.floor) < 0:
        verb = "falls more than" if tide.high < 0 else "is not seen to fall more than"
        yield (
            f"chosen {verb} samples of the initial policy do (tide-corrected "
            f"{in_words(tide, sign=True)} nats/token)"
        )


def _other_views(run: Run, regime: Regime, last: ShareEstimate, rules: Rules) -> Iterator[str]:
    """Yield what the summed scale and the held-out pairs say where it is something else."""
    if regime is Regime.UNKNOWN:
        return
    summed = replace(
        last,
        delta_chosen=last.delta_chosen_sum,
        delta_rejected=last.delta_rejected_sum,
        margin=last.margin_sum,
    )
    length = last.completion_tokens
    scaled = replace(rules, floor=rules.floor * length, meaningful=rules.meaningful * length)
    other = classify(summed, scaled)
    if other not in (regime, Regime.UNKNOWN):
        yield (
            f"summed over completions the regime is {other.label.lower()} (chosen "
            f"{number(last.delta_chosen_sum.value, sign=True)}, rejected "
            f"{number(last.delta_rejected_sum.value, sign=True)} nats/completion), where "
            "long completions weigh more"
        )
    held_out = trajectory(run, SPLITS[1]) if last.split == SPLITS[0] else []
    if not held_out or _too_short(held_out, rules):
        return
    other = classify(held_out[-1], rules)
    if other not in (regime, Regime.UNKNOWN):
        yield (
            f"on held-out pairs the regime is {other.label.lower()} (chosen "
            f"{number(held_out[-1].delta_chosen.value, sign=True)}, rejected "
            f"{number(held_out[-1].delta_rejected.value, sign=True)} nats/token)"
        )
