"""KL stuck at zero: KTO's reference point no longer moves.

What it is
----------
KTO compares every reward with a reference point: the mean log-ratio of mismatched pairs, clamped
at 0. Once the policy has lowered mismatched text too, that mean is negative, the clamp holds the
point at 0, and every desirable example with a negative reward counts as a loss.

Is it normal?
-------------
At the start the point is 0 because policy and reference agree. A point that stays at 0 while the
chosen reward is above 0 is harmless. At 0 with a falling chosen reward it is not: the paper gives
falling rewards of both labels as the sign of a learning rate that is too large.

How it is measured
------------------
Over the second half of the records that hold it: the share in which the logged KL is 0, together
with the mean chosen reward over the same stretch.

Thresholds
----------
0 in at least nine tenths of the records, and a chosen reward below 0 by more than 0.01 reward
units. Proposals of this project.

When this is wrong
------------------
A micro-batch of one has no mismatched pair, and its point is always 0. A trainer that logs the sum
over ranks still logs 0 as 0; one that logs the value before the clamp shows negative numbers, which
count as 0 here.

What to try
-----------
Lower the learning rate first; raise the weight of desirable examples; use at least two examples to
a micro-batch; check that the two labels are balanced.

References
----------
- arXiv 2402.01306, Eq. 7 and section 4.2: the reference point, and rewards that both fall.
"""

from __future__ import annotations

import numpy as np

from diagnostics import synthetic_logs
from diagnostics.advice import advice
from diagnostics.intervals import number
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import cannot_tell, not_applicable
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.run import Run
from diagnostics.schema import REWARD_UNIT
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "kl_stuck"
# Proposals of this project.
STUCK = 0.9  # share of the records in which the point is 0
FALLEN = 0.01  # how far below 0 the chosen reward lies [reward units]


def check(reading: Reading, *, stuck: float = STUCK, fallen: float = FALLEN) -> Verdict:
    """Say whether KTO's reference point is stuck at 0 while the chosen reward is negative."""
    if reading.method is not None and reading.method.name != "kto":
        return not_applicable(NAME, "only KTO has this reference point")
    rows = next((r for r in ("train", "evals") if reading.column("kl", r)[0].size), "train")
    steps, point = reading.column("kl", rows)
    if len(steps) < MIN_LOGGED:
        reason = f"kl is logged {len(steps)} times, and {MIN_LOGGED} records are needed"
        return cannot_tell(NAME, reason)
    half = steps >= steps[len(steps) // 2]
    share = float((point[half] <= 0).mean())
    at, rewards = reading.column("rewards/chosen", rows)
    rewards = rewards[at >= steps[half][0]]
    if not rewards.size:
        return cannot_tell(NAME, "the chosen reward is not logged beside kl")
    chosen = float(rewards.mean())
    since = int(steps[half][0])
    sentence = (
        f"from step {since} on KTO's reference point is 0 in {number(100 * share)} % of the "
        f"records, and the chosen reward averages {number(chosen, sign=True)} {REWARD_UNIT}"
    )
    evidence = (
        Evidence("records with the point at 0", share, "fraction of records", stuck),
        Evidence("chosen reward", chosen, REWARD_UNIT, -fallen),
    )
    if share < stuck or chosen >= -fallen:
        return Verdict(NAME, Status.ABSENT, sentence, evidence=evidence)
    moving = np.flatnonzero(point > 0)
    first = int(steps[min(len(steps) - 1, moving[-1] + 1)]) if moving.size else int(steps[0])
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=sentence,
        since=min(first, since),
        evidence=evidence,
        advice=advice(reading, NAME),
    )


def example(seed: int) -> Run:
    """Return a KTO log whose two rewards fall, the desirable ones' too."""
    return synthetic_logs.logged_run(-0.2, -0.6, method_name="kto", seed=seed)


PATHOLOGY = Pathology(NAME, "KL stuck at zero", __doc__, check, example)
