"""Reference mismatch: the run does not start at its reference.

What it is
----------
Before the first update the policy of a method with a reference is that reference, so every logged
reward is 0. A reward that is not 0 there means that the two differ from the start: every later
number then measures a distance to another model than the one that is trained.

Is it normal?
-------------
Never exactly at step 0, beyond rounding in half precision. A first record that averages several
steps is not at the start, and need not be 0. A run that was resumed, or that takes another model as
its reference on purpose, starts elsewhere by design.

How it is measured
------------------
On a record from before the first update (an evaluation at step 0, or a training record of step 1):
the mean reward of each side, turned into nats where the log says what the rewards are. Where no
such record exists, a first training record that lies much further from 0 than any later step of
the curve makes it suspected. Without logged rewards the first loss is held against the value at
which the method starts, and a difference makes it suspected.

Thresholds
----------
0.5 nats per completion, 0.02 nats per token for rewards on means, 0.05 reward units where the scale
is not known; 5 % of the start value for the loss. Suspected on a later record only in the first
twentieth of the run, beyond ten times the largest later change between records. Proposals of this
project.

When this is wrong
------------------
Half precision on long completions adds noise of a few tenths of a nat to a single batch. A steep
warm-up without a record of its start can look like a jump.

What to try
-----------
Load policy and reference from the same checkpoint and in the same precision; switch dropout off;
check that a new adapter starts at zero and that both models see the same template and truncation;
recompute cached reference log-probabilities after any change of the data.

References
----------
- arXiv 2305.18290, Eq. 7: the logistic loss is log 2 where policy and reference agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from diagnostics import synthetic_logs
from diagnostics.advice import advice
from diagnostics.intervals import number
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import cannot_tell, not_applicable, start_loss
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.schema import NATS, NATS_PER_TOKEN, REWARD_UNIT
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "reference_mismatch"
# Proposals of this project.
TOLERANCE = {NATS: 0.5, NATS_PER_TOKEN: 0.02, REWARD_UNIT: 0.05}
LOSS_TOLERANCE = 0.05  # share of the start value
EARLY = 0.05  # share of the run within which a first record may tell of a jump
JUMP = 10.0  # times the largest later change between records
SIDES = ("chosen", "rejected")
NO_START = (
    "no record is from before the first update; log the first step, or evaluate at step 0, and the "
    "rewards there must be 0"
)


@dataclass(frozen=True)
class _Start:
    """The reward of one side at the first usable record of its rows, in `unit`."""

    side: str
    rows: str
    step: int
    value: float
    unit: str
    exact: bool  # from before the first update
    later: float  # largest change between two later records, same unit

    @property
    def is_off(self) -> bool:
        return abs(self.value) > TOLERANCE[self.unit]

    @property
    def jumps(self) -> bool:
        return self.is_off and abs(self.value) > JUMP * self.later


def check(
    reading: Reading, *, early: float = EARLY, loss_tolerance: float = LOSS_TOLERANCE
) -> Verdict:
    """Say whether policy and reference differ before the first update."""
    meaning, method = reading.run.meaning, reading.method
    if (method is not None and not method.reference) or (
        method is None and meaning is not None and not meaning.base.has_reference
    ):
        return not_applicable(NAME, "the method has no reference")
    starts = list(_starts(reading))
    exact = [one for one in starts if one.exact]
    if exact:
        off = [one for one in exact if one.is_off]
        return _verdict(reading, off or exact, Status.PRESENT if off else Status.ABSENT)
    last = reading.run.last_step or 0
    jumped = [one for one in starts if one.jumps and one.step <= early * last]
    if jumped:
        return _verdict(reading, jumped, Status.SUSPECTED)
    near = [one for one in starts if not one.is_off]
    if starts and len(near) == len(starts):
        return _verdict(reading, near, Status.ABSENT)
    return _by_loss(reading, loss_tolerance)


def _starts(reading: Reading) -> Iterator[_Start]:
    """Yield the first reward of each side: the evaluation at step 0 before training records."""
    unit, factor = _unit(reading)
    for rows, first in (("evals", 0), ("train", 1)):
        found = []
        for side in SIDES:
            steps, values = reading.column(f"rewards/{side}", rows)
            if not steps.size or (rows == "evals" and steps[0] > first):
                continue
            later = float(np.abs(np.diff(values[:100])).max(initial=0.0)) / factor
            value = float(values[0]) / factor
            exact = int(steps[0]) <= first
            found.append(_Start(side, rows, int(steps[0]), value, unit, exact, later))
        if found:
            yield from found
            return


def _unit(reading: Reading) -> tuple[str, float]:
    """Return the unit to hold rewards against, and what to divide them by."""
    meaning = reading.run.meaning
    if meaning is None or not meaning.base.has_reference or not _is_positive(meaning.factor):
        return REWARD_UNIT, 1.0
    return (NATS_PER_TOKEN if meaning.base.per_token else NATS), float(meaning.factor or 1.0)


def _is_positive(value: float | None) -> bool:
    return value is not None and 0 < value < np.inf


def _verdict(reading: Reading, starts: list[_Start], status: Status) -> Verdict:
    first = starts[0]
    where = f"at the first {'evaluation' if first.rows == 'evals' else 'record'}, step {first.step}"
    sides = " and ".join(f"{one.side} {number(one.value, sign=True)}" for one in starts)
    alarm = status.is_alarm
    limit = number(TOLERANCE[first.unit])
    held = f"beyond ±{limit}: the policy did not start at its reference" if alarm else "as expected"
    return Verdict(
        pathology=NAME,
        status=status,
        sentence=f"{where}, the rewards stand at {sides} {first.unit} from the reference, {held}",
        since=first.step if alarm else None,
        evidence=tuple(
            Evidence(f"{one.side} at the start", one.value, one.unit, TOLERANCE[one.unit])
            for one in starts
        ),
        advice=advice(reading, NAME) if alarm else (),
        unseen=() if first.exact else (NO_START,),
    )


def _by_loss(reading: Reading, tolerance: float) -> Verdict:
    """Return what the first loss says where the rewards say nothing."""
    steps, losses = reading.column("loss")
    start = start_loss(reading)
    logged = reading.column("rewards/chosen")[0].size
    if logged or start is None or not steps.size or int(steps[0]) > 1:
        reason = "no record is from before the first update"
        return cannot_tell(NAME, reason, NO_START)
    value = float(losses[0])
    off = abs(value - start) > tolerance * start
    words = "away from" if off else "close to"
    return Verdict(
        pathology=NAME,
        status=Status.SUSPECTED if off else Status.ABSENT,
        sentence=f"the loss of step {int(steps[0])} is {number(value)} loss units, {words} "
        f"{number(start)}, where {reading.run.method} starts",
        since=int(steps[0]) if off else None,
        evidence=(Evidence("first loss", value, "loss units", start),),
        advice=advice(reading, NAME) if off else (),
        unseen=("no rewards are logged; those of both sides at the first step must be 0",),
    )


def example(seed: int) -> Run:
    """Return a log whose reference lies 12 nats per completion from the policy at the start."""
    return synthetic_logs.shifted(seed)


PATHOLOGY = Pathology(NAME, "Reference mismatch", __doc__, check, example)
