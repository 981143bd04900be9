"""The regime that logged rewards show, where no probe set was scored.

Directions and phases are those of `trends`; the regime is that of the change over the whole log.
Rewards of a method with a reference are 0 where the policy is the reference, so their level at the
end is evidence beside the change within the log. Without a reference 0 means nothing, and a run is
held against its own first record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite, nan, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

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
from diagnostics.trends import Direction, PairTrends, Trend
from diagnostics.verdicts import Evidence

if TYPE_CHECKING:
    from diagnostics.run import Run

# Proposals of this project.
TAIL = 0.1  # the last part of the log whose mean is called the level at the end
SURE, FAIRLY_SURE = 0.99, 0.95  # the least probability of a direction for these words
SHORT_UNITS = {NATS_PER_TOKEN: "nats/token"}


def name_logged(
    run: Run, logged: Sequence[Logged], nothing: ShareEstimate, why_no_probe: str
) -> RegimeVerdict:
    """Return the regime of the logged rewards; `nothing` is the probe's empty estimate."""
    reason = _refusal(run, logged)
    if reason is not None:
        return _unknown(logged, nothing, reason if logged else f"{why_no_probe}, and {reason}")
    first = logged[0]
    trends = first.trends
    found = directions(trends)
    regime = regime_of(found)
    if regime is Regime.UNKNOWN:
        return _unknown(logged, nothing, _undecided(trends))
    movement = _movement(first)
    share = share_of(trends)
    phases = named_phases(trends)
    since = _since(phases, regime, first.changes)
    corrected = tide_corrected(trends.chosen.change, first.changes.drift)
    word, benign = severity(regime, movement, corrected)
    return RegimeVerdict(
        regime=regime,
        sentence=_sentence(first, regime, found, since, share, benign=benign),
        confidence=_confidence(trends, found),
        since_step=since,
        estimate=nothing,
        evidence=tuple(_evidence(first, share, corrected)),
        caveats=tuple(_caveats(logged, regime, phases)),
        severity=word,
        basis=Basis.REWARDS,
        directions=found,
        movement=movement,
        share=share,
        phases=phases,
        logged_phases=phases,
        benign=benign,
    )


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


def share_of(trends: PairTrends) -> Interval | None:
    """Return the chosen share S over the log with Fieller's interval; None unless margin grew.

    The joint covariance comes from the three intervals: with m = chosen - rejected,
    2 cov(chosen, m) = var(chosen) + var(m) - var(rejected). Where the logged margin is not the
    difference of the logged sides, the two sides count as independent.

    References
    ----------
    Fieller 1954, J. R. Stat. Soc. B 16.
    """
    chosen, rejected, margin = (
        one.change for one in (trends.chosen, trends.rejected, trends.margin)
    )
    if trends.margin.direction is not Direction.UP or not margin.low > 0:
        return None
    grown = chosen.value - rejected.value
    halves = [(one.high - one.low) / 2 for one in (chosen, rejected, margin)]
    var_c, var_r, var_m = (half * half for half in halves)
    if abs(grown - margin.value) > 0.1 * halves[2] + 1e-6 * abs(grown):
        var_m = var_c + var_r
    covariance = (var_c + var_m - var_r) / 2
    bound = sqrt(var_c * var_m)
    return fieller(
        chosen.value, grown, (var_c, var_m, min(bound, max(-bound, covariance))), quantile=1.0
    )


def level(changes: Changes, side: Floats, trend: Trend) -> Interval:
    """Return the mean of a side over the last `TAIL` of the log, with its interval.

    The points count as far as the whole log's do after its autocorrelation is discounted; a trend
    within the tail widens the interval.
    """
    values = side[np.isfinite(side) & np.isfinite(changes.chosen) & np.isfinite(changes.rejected)]
    tail = values[-max(3, round(TAIL * len(values))) :]
    if len(tail) < 3:
        return Interval(nan, nan, nan)
    worth = trend.effective_points / trend.points if trend.points else 1.0
    count = max(2.0, len(tail) * min(1.0, worth if isfinite(worth) else 1.0))
    half = float(stdtrit(count - 1, 0.975)) * float(tail.std(ddof=1)) / sqrt(count)
    middle = float(tail.mean())
    return Interval(middle, middle - half, middle + half)


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
        movement=_movement(logged[0]) if enough else None,
        phases=named_phases(logged[0].trends) if enough else (),
        logged_phases=named_phases(logged[0].trends) if enough else (),
    )


# Putting the verdict into words.


def _movement(one: Logged) -> Movement:
    trends = one.trends
    return Movement(
        trends.chosen.change, trends.rejected.change, trends.margin.change, one.changes.unit
    )


def _since(phases: Sequence[NamedPhase], regime: Regime, changes: Changes) -> int:
    """Return the first step of the last stretch of phases that do not speak against the regime."""
    since = None
    for phase in reversed(phases):
        if phase.regime is regime:
            since = phase.start
        elif phase.regime not in (Regime.FLAT, Regime.UNKNOWN):
            break
    if since is not None:
        return since
    finite = np.isfinite(changes.chosen) & np.isfinite(changes.rejected)
    return int(changes.steps[finite][0])


def _sentence(
    one: Logged,
    regime: Regime,
    found: Directions,
    since: int,
    share: Interval | None,
    *,
    benign: bool,
) -> str:
    changes, movement = one.changes, _movement(one)
    finite = np.isfinite(changes.chosen) & np.isfinite(changes.rejected)
    first, last = (int(changes.steps[finite][at]) for at in (0, -1))
    unit = SHORT_UNITS.get(changes.unit, changes.unit)
    label = label_of(regime, found, benign=benign).lower()
    behind = f"S = {in_words(share)}" if share else f"margin {in_words(movement.margin, sign=True)}"
    base = "" if changes.from_reference else ", against the first record"
    return (
        f"{label} since step {since}: chosen {number(movement.chosen.value, sign=True)} "
        f"and rejected {number(movement.rejected.value, sign=True)} {unit} over the logged "
        f"{ROWS[changes.rows]}, steps {first}…{last}{base} ({behind})"
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
    changes, trends = one.changes, one.trends
    unit, floor = changes.unit, changes.floor
    for quantity, trend in (("Δ chosen", trends.chosen), ("Δ rejected", trends.rejected)):
        yield from _number(quantity, trend.change, unit, floor)
    yield from _number("margin", trends.margin.change, unit, floor)
    yield from _number("chosen share S", share, "share of the margin", None)
    if changes.from_reference:
        ends = (
            ("chosen", changes.chosen, trends.chosen),
            ("rejected", changes.rejected, trends.rejected),
        )
        for side, values, trend in ends:
            yield from _number(
                f"{side} against reference", level(changes, values, trend), unit, 0.0
            )
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
            theirs = regime_of(directions(other.trends))
            if theirs not in (regime, Regime.UNKNOWN):
                yield f"on the {ROWS[other.changes.rows]} the regime is {theirs.label.lower()}"
    yield from one.trends.unstable
    yield from _notes(one)


def _levels(one: Logged) -> Iterator[str]:
    """Yield where a side stands against the reference when its change does not say the same."""
    changes, trends = one.changes, one.trends
    if not changes.from_reference:
        return
    sides = (
        ("chosen", changes.chosen, trends.chosen),
        ("rejected", changes.rejected, trends.rejected),
    )
    unit = SHORT_UNITS.get(changes.unit, changes.unit)
    for side, values, trend in sides:
        found = level(changes, values, trend)
        if not found.excludes_zero or abs(found.value) <= changes.floor:
            continue
        above = found.value > 0
        where = f"{number(found.value, sign=True)} {unit} {'above' if above else 'below'}"
        if trend.direction is (Direction.DOWN if above else Direction.UP):
            verb = "falls" if above else "rises"
            yield f"{side} {verb} within the log, and still ends {where} the reference"
        elif trend.direction is Direction.FLAT:
            yield (
                f"{side} hardly moves within the log but stands {where} the reference: it moved "
                "before the first record, or the run did not start at its reference"
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
