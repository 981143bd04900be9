"""The regime that logged rewards show, where no probe set was scored.

Directions and phases are those of `trends`; the regime is that of the change over the whole log.
Rewards of a method with a reference are 0 where the policy is the reference, so their level at the
end is evidence beside the change within the log. Without a reference 0 means nothing, and a run is
held against its own first record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite, sqrt
from typing import TYPE_CHECKING

import numpy as np

from diagnostics.intervals import Floats, Interval, fieller, in_words, number
from diagnostics.meaning import Base
from diagnostics.naming import (
    Basis,
    Directions,
    Movement,
    NamedPhase,
    RegimeVerdict,
    label_of,
    regime_of,
    severity,
)
from diagnostics.regimes import Regime
from diagnostics.schema import NATS_PER_TOKEN, REWARD_UNIT
from diagnostics.series import MIN_LOGGED, ROWS, Changes, Logged, refusal, tide_corrected
from diagnostics.share import ShareEstimate
from diagnostics.trends import Direction, PairTrends
from diagnostics.verdicts import Evidence

if TYPE_CHECKING:
    from diagnostics.run import Run

# Proposals of this project.
END = 0.15  # share of the records whose mean is the level at the end
SMOOTH = 0.1  # share of the records that one value of the smoothed sides averages
SURE, FAIRLY_SURE = 0.99, 0.95  # the least probability of a direction for these words
SHORT_UNITS = {NATS_PER_TOKEN: "nats/token"}
SIGNS = {
    Regime.IDEAL: (1, -1),
    Regime.BOTH_RISE: (1, 1),
    Regime.BOTH_FALL: (-1, -1),
    Regime.REVERSED: (-1, 1),
}


def name_logged(
    run: Run, logged: Sequence[Logged], nothing: ShareEstimate, why_no_probe: str
) -> RegimeVerdict:
    """Return the regime of the logged rewards; `nothing` is the probe's empty estimate."""
    reason = _refusal(run, logged)
    if reason is not None:
        return _unknown(logged, nothing, reason if logged else f"{why_no_probe}, and {reason}")
    first = logged[0]
    found, moved = directions(first.trends), movement(first)
    regime = _regime(found, moved, first.changes)
    if regime is Regime.UNKNOWN:
        return _unknown(logged, nothing, _undecided(first.trends))
    share = share_of(moved, first.trends)
    phases = named_phases(first.trends)
    since = _since(first.changes, regime, phases)
    corrected = tide_corrected(moved.chosen, first.changes)
    word, benign = severity(regime, moved, corrected)
    return RegimeVerdict(
        regime=regime,
        sentence=_sentence(first, label_of(regime, found, benign=benign), since, share),
        confidence=_confidence(first.trends, found),
        since_step=since,
        estimate=nothing,
        evidence=tuple(_evidence(first, share, corrected)),
        caveats=tuple(_caveats(logged, regime, phases)),
        severity=word,
        basis=Basis.REWARDS,
        directions=found,
        movement=moved,
        share=share,
        phases=phases,
        logged_phases=phases,
        benign=benign,
    )


def movement(one: Logged) -> Movement:
    """Return the changes since the start of the run.

    Where 0 is the reference, that is the level at the end: the mean of the last `END` of the
    records, so that it does not depend on how much had happened before the first one. Otherwise it
    is the change over the log. Intervals keep the width of the trend's.
    """
    changes, trends = one.changes, one.trends
    return Movement(
        chosen=_at_end(changes, changes.chosen, trends.chosen.change),
        rejected=_at_end(changes, changes.rejected, trends.rejected.change),
        margin=_at_end(changes, changes.margin, trends.margin.change),
        unit=changes.unit,
    )


def _at_end(changes: Changes, values: Floats, change: Interval) -> Interval:
    finite = values[np.isfinite(values)]
    if not changes.from_reference or not finite.size:
        return change
    level = float(finite[-max(1, round(END * finite.size)) :].mean())
    return Interval(level, level + change.low - change.value, level + change.high - change.value)


def _regime(found: Directions, moved: Movement, changes: Changes) -> Regime:
    """Return the regime that directions within the log and changes since the start agree on."""
    regime = regime_of(found)
    if regime is Regime.FLAT:
        largest = max(abs(one.value) for one in (moved.chosen, moved.rejected, moved.margin))
        return Regime.FLAT if largest <= 2 * changes.floor else Regime.MIXED
    if regime is Regime.MARGIN_LOSS:
        return regime if moved.margin.value < 0 else Regime.MIXED
    if regime not in SIGNS:
        return regime
    # A side may have jumped before the first record and come back half way since.
    signs = SIGNS[regime]
    agree = moved.chosen.value * signs[0] > 0 and moved.rejected.value * signs[1] > 0
    return regime if agree else Regime.MIXED


def directions(trends: PairTrends) -> Directions:
    """Return the directions over the whole log."""
    return Directions(trends.chosen.direction, trends.rejected.direction, trends.margin.direction)


def named_phases(trends: PairTrends) -> tuple[NamedPhase, ...]:
    """Return the phases between change points, each under the regime of its own directions."""
    phases = []
    for one in trends.phases:
        found = Directions(one.chosen.direction, one.rejected.direction, one.margin.direction)
        phases.append(NamedPhase(one.start, one.end, regime_of(found), found, Basis.REWARDS))
    return tuple(phases)


def share_of(moved: Movement, trends: PairTrends) -> Interval | None:
    """Return the chosen share S with Fieller's interval; None unless the margin has grown.

    The joint covariance comes from the three intervals: with m = chosen - rejected,
    2 cov(chosen, m) = var(chosen) + var(m) - var(rejected). Where the logged margin is not the
    difference of the logged sides, the two sides count as independent.

    References
    ----------
    Fieller 1954, J. R. Stat. Soc. B 16.
    """
    if trends.margin.direction is not Direction.UP or not moved.margin.low > 0:
        return None
    sides = (moved.chosen, moved.rejected, moved.margin)
    var_c, var_r, var_m = (((one.high - one.low) / 2) ** 2 for one in sides)
    grown = moved.chosen.value - moved.rejected.value
    if abs(grown - moved.margin.value) > 0.1 * sqrt(var_m) + 1e-6 * abs(grown):
        var_m = var_c + var_r
    bound = sqrt(var_c * var_m)
    covariance = min(bound, max(-bound, (var_c + var_m - var_r) / 2))
    # The variances are those of half-widths, which hold Student's quantile already.
    return fieller(moved.chosen.value, grown, (var_c, var_m, covariance), quantile=1.0)


def _since(changes: Changes, regime: Regime, phases: Sequence[NamedPhase]) -> int:
    """Return the first step from which on the smoothed sides keep the signs of the regime.

    Without a reference the signs hang on the luck of the first record: then it is the first of the
    last phases that do not speak against the regime.
    """
    if not changes.from_reference:
        since = int(changes.steps[np.isfinite(changes.chosen) & np.isfinite(changes.rejected)][0])
        for phase in reversed(phases):
            if phase.regime is regime:
                since = phase.start
            elif phase.regime not in (Regime.FLAT, Regime.UNKNOWN):
                break
        return since
    usable = np.isfinite(changes.chosen) & np.isfinite(changes.rejected)
    usable &= np.isfinite(changes.margin)
    width = max(1, round(SMOOTH * usable.sum()))
    holds = np.ones(int(usable.sum()), dtype=np.bool_)
    if regime in SIGNS:
        for side, sign in zip((changes.chosen, changes.rejected), SIGNS[regime], strict=True):
            holds &= sign * smoothed(side[usable], width) > changes.floor
    elif regime is Regime.MARGIN_LOSS:
        holds = smoothed(changes.margin[usable], width) < -changes.floor
    broken = np.flatnonzero(~holds)
    first = int(broken[-1]) + 1 if broken.size else 0
    return int(changes.steps[usable][min(first, len(holds) - 1)])


def smoothed(values: Floats, width: int) -> Floats:
    """Return the means of up to `width` values around each one, shorter at the ends.

    Examples
    --------
    >>> smoothed(np.array([0.0, 3.0, 6.0]), 3).tolist()
    [1.5, 3.0, 4.5]
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    low = np.maximum(0, at - (width - 1) // 2)
    high = np.minimum(len(values), at + width // 2 + 1)
    return np.asarray((total[high] - total[low]) / (high - low))


# Saying why nothing can be told.


def _refusal(run: Run, logged: Sequence[Logged]) -> str | None:
    if not logged:
        reasons = [refusal(run, rows) for rows in ROWS]
        shown = reasons[1] if reasons[0] and "no rows" in reasons[0] and len(run.evals) else None
        return f"{shown or reasons[0]}; log rewards/chosen and rewards/rejected"
    if run.meaning is not None and run.meaning.base is Base.OTHER:
        why = run.meaning.why.rstrip(".") or "they are no multiple of a log-probability"
        return f"the logged rewards cannot be read as changes of log-probabilities: {why}"
    changes = logged[0].changes
    if changes.points < MIN_LOGGED:
        usable = f"{changes.points} usable point{'' if changes.points == 1 else 's'}"
        lost = len(changes.steps) - changes.points
        beside = f" beside {lost} without finite numbers" if lost else ""
        return (
            f"the log holds {usable} of the {ROWS[changes.rows]}{beside}, and {MIN_LOGGED} are "
            "needed; log more often or train longer"
        )
    return None


def _undecided(trends: PairTrends) -> str:
    sides = {"chosen": trends.chosen, "rejected": trends.rejected}
    lacking = {name: one for name, one in sides.items() if one.direction is Direction.INCONCLUSIVE}
    why = next((one.reason for one in lacking.values() if one.reason), "too much noise")
    return (
        f"the logged rewards do not show where {' and '.join(lacking)} went ({why}); more points, "
        "or a fixed probe set, would settle it"
    )


def _unknown(logged: Sequence[Logged], nothing: ShareEstimate, reason: str) -> RegimeVerdict:
    enough = bool(logged) and logged[0].changes.points >= MIN_LOGGED
    return RegimeVerdict(
        regime=Regime.UNKNOWN,
        sentence=f"cannot tell: {reason}",
        confidence="none",
        since_step=None,
        estimate=nothing,
        evidence=tuple(_evidence(logged[0], None, None)) if enough else (),
        caveats=tuple(_notes(logged[0])) if enough else (),
        reason=reason,
        basis=Basis.REWARDS if logged else Basis.NONE,
        directions=directions(logged[0].trends) if enough else Directions(),
        movement=movement(logged[0]) if enough else None,
        phases=named_phases(logged[0].trends) if enough else (),
        logged_phases=named_phases(logged[0].trends) if enough else (),
    )


# Putting the verdict into words.


def _sentence(one: Logged, label: str, since: int, share: Interval | None) -> str:
    changes, moved = one.changes, movement(one)
    unit = SHORT_UNITS.get(changes.unit, changes.unit)
    behind = f"S = {in_words(share)}" if share else f"margin {in_words(moved.margin, sign=True)}"
    base = "from the reference" if changes.from_reference else "from its own first record"
    return (
        f"{label.lower()} since step {since}: chosen {number(moved.chosen.value, sign=True)} and "
        f"rejected {number(moved.rejected.value, sign=True)} {unit} {base}, by the rewards of "
        f"{changes.points} logged {ROWS[changes.rows]} ({behind})"
    )


def _confidence(trends: PairTrends, found: Directions) -> str:
    """Return how firmly the directions stand, in words."""
    sides = {"chosen": trends.chosen, "rejected": trends.rejected}
    told = {name: one for name, one in sides.items() if one.direction is not Direction.INCONCLUSIVE}
    points = f"{trends.chosen.points} points, worth {trends.chosen.effective_points:.0f}"
    if len(told) < len(sides) or not told:
        return f"low: {points} independent ones, and not every direction can be told"
    least = min(one.probability for one in told.values())
    word = "high" if least >= SURE else "moderate" if least >= FAIRLY_SURE else "low"
    sure = "more than 99" if least > SURE else f"{100 * least:.0f}"
    return f"{word}: {points} independent ones, {sure} % sure of each side's direction"


def _evidence(
    one: Logged, share: Interval | None, corrected: Interval | None
) -> Iterator[Evidence]:
    changes, trends, moved = one.changes, one.trends, movement(one)
    unit, floor = changes.unit, changes.floor
    yield from _number("Δ chosen", moved.chosen, unit, floor)
    yield from _number("Δ rejected", moved.rejected, unit, floor)
    yield from _number("margin", moved.margin, unit, floor)
    yield from _number("chosen share S", share, "share of the margin", None)
    if changes.from_reference:
        yield from _number("chosen within the log", trends.chosen.change, unit, floor)
        yield from _number("rejected within the log", trends.rejected.change, unit, floor)
    yield from _number("Δ chosen, tide-corrected", corrected, unit, 0.0)
    yield Evidence("logged points", changes.points, "records", MIN_LOGGED)


def _number(
    quantity: str, interval: Interval | None, unit: str, threshold: float | None
) -> Iterator[Evidence]:
    if interval is not None and isfinite(interval.value):
        yield Evidence(quantity, interval.value, unit, threshold, interval.low, interval.high)


def _caveats(
    logged: Sequence[Logged], regime: Regime, phases: Sequence[NamedPhase]
) -> Iterator[str]:
    one = logged[0]
    yield from _levels(one)
    if phases and phases[-1].regime not in (regime, Regime.FLAT, Regime.UNKNOWN):
        yield f"in the last phase, from step {phases[-1].start} on, it is {phases[-1].label}"
    for other in logged[1:]:
        if other.changes.points >= MIN_LOGGED:
            theirs = _regime(directions(other.trends), movement(other), other.changes)
            if theirs not in (regime, Regime.UNKNOWN):
                yield f"on the {ROWS[other.changes.rows]} the regime is {theirs.label.lower()}"
    yield from one.trends.unstable
    yield from _notes(one)


def _levels(one: Logged) -> Iterator[str]:
    """Yield where a side stands against the reference when its change does not say the same."""
    changes, trends, moved = one.changes, one.trends, movement(one)
    if not changes.from_reference:
        return
    sides = (("chosen", moved.chosen, trends.chosen), ("rejected", moved.rejected, trends.rejected))
    unit = SHORT_UNITS.get(changes.unit, changes.unit)
    for side, stands, trend in sides:
        if not stands.excludes_zero or abs(stands.value) <= changes.floor:
            continue
        above = stands.value > 0
        where = f"{number(abs(stands.value))} {unit} {'above' if above else 'below'} the reference"
        if trend.direction is (Direction.DOWN if above else Direction.UP):
            yield f"{side} {'falls' if above else 'rises'} within the log and still ends {where}"
        elif trend.direction is Direction.FLAT:
            yield (
                f"{side} hardly moves within the log but stands {where}: it moved before the "
                "first record, or the run did not start at its reference"
            )


def _notes(one: Logged) -> Iterator[str]:
    yield (
        f"named from the logged {ROWS[one.changes.rows]}: without a probe set, no other pair "
        "or scale can be looked at"
        if one.changes.rows == "evals"
        else "named from training batches, which hold other pairs at each record; a fixed probe "
        "set would show the same pairs"
    )
    if one.changes.unit == REWARD_UNIT:
        yield f"{one.changes.notes[0]}; directions and S hold, sizes do not compare"
    else:
        yield from one.changes.notes
