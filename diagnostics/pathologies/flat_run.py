"""Flat run: neither side moves, or nothing in the log moves at all.

What it is
----------
Neither side of the pairs nor their margin changed by an amount that matters: the run spends compute
without learning the preference. The extreme form is a dead run, whose logged rewards are exactly 0
from the first record to the last.

Is it normal?
-------------
During warm-up nothing has moved yet. A very small learning rate on purpose, as in a dry run, looks
the same. Over a whole run it is not normal.

How it is measured
------------------
Dead: every logged reward of both sides is exactly 0, or every learning rate is, over at least six
records. Flat: on the probe set the 95 % intervals exclude a change that matters; without one the
logged rewards of both sides and the margin are shown to move less than the effect floor. While the
learning rate is still warming up the answer is open.

Thresholds
----------
A change that matters is 0.05 nats per token on the probe set, and 0.01 nats per token (0.01 reward
units where the scale is not known) in a log. Warming up: the last learning rate is the largest and
the first is below half of it. Proposals of this project.

When this is wrong
------------------
A log that rounds small rewards to 0 looks dead. Weights that move without touching these pairs,
because the probe set is about something else, look flat.

What to try
-----------
Raise the learning rate; check that the logistic losses start at log 2 (anything else is a
reference mismatch); check that the adapter is trained and not the reference; check that truncation
keeps the tokens in which the sides differ; look for near-identical pairs and a saturated margin.

References
----------
- arXiv 2305.18290: the start value of DPO's loss.
"""

from __future__ import annotations

from diagnostics import examples
from diagnostics.advice import advice
from diagnostics.intervals import number
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import (
    absent,
    cannot_tell,
    changes_of,
    unnamed,
    unseen,
)
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.schema import REWARD_UNIT
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "flat_run"
# Proposals of this project.
WARMING_UP = 0.5  # the first learning rate is below this share of the last, which is the largest


def check(
    reading: Reading, *, min_records: int = MIN_LOGGED, warming_up: float = WARMING_UP
) -> Verdict:
    """Say whether nothing moved, and whether the run is dead."""
    dead = _dead(reading, min_records)
    if dead is not None:
        return dead
    found = reading.regime
    if found.regime is Regime.UNKNOWN:
        return unnamed(NAME, reading)
    if found.regime is not Regime.FLAT:
        return absent(NAME, reading)
    if _is_warming_up(reading, warming_up):
        return cannot_tell(NAME, "nothing has moved, and the learning rate is still warming up")
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=found.sentence,
        evidence=changes_of(found, threshold=None),
        advice=advice(reading, NAME),
        unseen=unseen(found),
    )


def _dead(reading: Reading, min_records: int) -> Verdict | None:
    """Return the alarm on a log in which nothing happens, or None."""
    method = reading.method
    reference = method is None or method.reference
    sides = [reading.column(f"rewards/{side}") for side in ("chosen", "rejected")]
    still = all(len(values) >= min_records and not values.any() for _, values in sides)
    if reference and still:
        count = len(sides[0][1])
        return _alarm(
            reading,
            f"dead: all {count} logged rewards of both sides are exactly 0 {REWARD_UNIT}",
            Evidence("largest logged reward", 0.0, REWARD_UNIT, 0.0),
        )
    _, rates = reading.column("learning_rate")
    if len(rates) >= min_records and not rates.any():
        return _alarm(
            reading,
            f"dead: all {len(rates)} logged learning rates are 0 per step",
            Evidence("largest learning rate", 0.0, "per step", 0.0),
        )
    return None


def _alarm(reading: Reading, sentence: str, evidence: Evidence) -> Verdict:
    _, losses = reading.column("loss")
    if losses.size:
        start, end = number(float(losses[0])), number(float(losses[-1]))
        sentence += f", and the loss goes from {start} to {end}"
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=sentence,
        evidence=(evidence,),
        advice=advice(reading, NAME),
    )


def _is_warming_up(reading: Reading, share: float) -> bool:
    _, rates = reading.column("learning_rate")
    return rates.size > 1 and rates[-1] == rates.max() > 0 and rates[0] < share * rates[-1]


def example(seed: int) -> Run:
    """Return a run in which neither side moves."""
    return examples.example(Regime.FLAT, seed)


PATHOLOGY = Pathology(NAME, "Flat run", __doc__, check, example)
