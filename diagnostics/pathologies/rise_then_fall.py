"""Rise then fall: the chosen side gained, peaked, and is losing again.

What it is
----------
The chosen completions became more likely at first, reached a peak inside the run, and have lost
part of it since. The margin keeps growing all the while, so that the loss does not show the turn.

Is it normal?
-------------
Often. What the chosen side gains grows with the margin m, and what drift costs it grows with m
squared: nearly every long run turns. It is a hint to stop earlier rather than an error, and says
nothing about the quality of the text at the peak.

How it is measured
------------------
On the probe set: the evaluation with the largest chosen change is taken as the peak, and the same
pairs are compared between it and the last evaluation. The rise to the peak and the fall since must
both exclude 0 with 95 % intervals. Without a probe set: the phases of the logged chosen reward
rise and then fall, with the fall since the peak beyond the floor.

Thresholds
----------
The rise counts from 0.01, the fall from 0.02 nats per token on (without known units twice the
effect floor of the log). Proposals of this project.

When this is wrong
------------------
A learning rate that is raised again, or a second epoch on the same pairs, can make a turn that
another epoch undoes. The peak is picked as the largest of many evaluations, so a fall that only
just excludes 0 may be chance.

What to try
-----------
Stop near the peak, or keep the checkpoint closest to it; a larger beta or a lower learning rate
slows the drift that causes the turn; an SFT term on the chosen side moves the peak outwards.

References
----------
- arXiv 2406.02900: win rates that peak and fall while the KL grows.
- arXiv 2407.10490: a recorded DPO run whose chosen side turns.
- arXiv 2404.12358, Eq. 16: the drift that every completion carries.
"""

from __future__ import annotations

from dataclasses import replace
from math import hypot

import numpy as np

from diagnostics import examples
from diagnostics.advice import advice
from diagnostics.intervals import Interval, number
from diagnostics.naming import Basis, severity_of
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import NO_PROBE, cannot_tell, short, unnamed
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.share import estimate
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "rise_then_fall"
# Proposals of this project [nats per token].
RISE = 0.01
FALL = 0.02


def check(reading: Reading, *, rise: float = RISE, fall: float = FALL) -> Verdict:
    """Say whether the chosen side has turned inside the run."""
    if reading.regime.basis is Basis.PROBE:
        if reading.regime.regime is Regime.UNKNOWN:
            return unnamed(NAME, reading)
        return _from_probe(reading, rise, fall)
    return _from_log(reading, fall / RISE)


def _from_probe(reading: Reading, rise: float, fall: float) -> Verdict:
    values = [one.delta_chosen.value for one in reading.estimates]
    peak = reading.estimates[int(np.nanargmax(values))]
    probes, split = reading.run.probes, peak.split
    since = replace(reading.run, probes=probes[probes["step"] >= peak.step])
    lost = estimate(since, split=split).delta_chosen
    up = peak.delta_chosen
    turned = up.low > 0 and up.value > rise and lost.high < 0 and lost.value < -fall
    pairs = f"{peak.n_pairs} {split.replace('_', '-')} probe pairs"
    return _verdict(reading, peak.step, up, lost, NATS_PER_TOKEN, pairs, turned=turned)


def _from_log(reading: Reading, floors: float) -> Verdict:
    logged, trends = reading.changes, reading.trends
    if logged is None or trends is None or logged.points < MIN_LOGGED or not trends.phases:
        reason = f"the log holds fewer than {MIN_LOGGED} usable records of both sides"
        return cannot_tell(NAME, reason, NO_PROBE)
    phases = [phase.chosen for phase in trends.phases]
    levels = np.concatenate([[0.0], np.cumsum([one.change.value for one in phases])])
    top = int(np.argmax(levels))
    before, after = phases[:top], phases[top:]
    up, lost = (_total([one.change for one in part]) for part in (before, after))
    turned = (
        any(one.direction is Direction.UP for one in before)
        and any(one.direction is Direction.DOWN for one in after)
        and lost.value < -floors * logged.floor
    )
    decided = all(one.direction is not Direction.INCONCLUSIVE for one in phases)
    if not turned and not decided:
        why = next((one.reason for one in phases if one.reason), "too much noise")
        return cannot_tell(NAME, f"where the logged chosen reward went is open ({why})", NO_PROBE)
    step = trends.phases[min(top, len(phases) - 1)].start
    where = f"{logged.points} logged records"
    return _verdict(reading, step, up, lost, logged.unit, where, turned=turned)


def _total(changes: list[Interval]) -> Interval:
    """Return the sum of changes, with independent errors."""
    value = sum(one.value for one in changes)
    half = hypot(*((one.high - one.low) / 2 for one in changes))
    return Interval(value, value - half, value + half)


def _verdict(
    reading: Reading,
    peak: int,
    up: Interval,
    lost: Interval,
    unit: str,
    where: str,
    *,
    turned: bool,
) -> Verdict:
    unseen = () if reading.regime.basis is Basis.PROBE else (NO_PROBE,)
    if not turned:
        sentence = f"chosen has no peak inside the run that it fell back from, on {where}"
        return Verdict(NAME, Status.ABSENT, sentence, unseen=unseen)
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=f"chosen rose by {number(up.value, sign=True)} {short(unit)} up to step {peak} "
        f"and has changed by {number(lost.value, sign=True)} {short(unit)} since, on {where}",
        since=peak,
        evidence=(
            Evidence("rise of chosen to its peak", up.value, unit, 0.0, up.low, up.high),
            Evidence("change of chosen since its peak", lost.value, unit, 0.0, lost.low, lost.high),
        ),
        advice=advice(reading, NAME),
        unseen=unseen,
        severity=severity_of(lost.value) if unit == NATS_PER_TOKEN else None,
    )


def example(seed: int) -> Run:
    """Return a run whose chosen side gains 0.25 nats per token and then loses 0.20."""
    return examples.turning(seed)


PATHOLOGY = Pathology(NAME, "Rise then fall", __doc__, check, example)
