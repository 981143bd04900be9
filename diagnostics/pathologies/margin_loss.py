"""Margin loss: the chosen side gains less, or loses more, than the rejected side.

What it is
----------
The margin is smaller than at the start: the policy prefers the chosen completions less than the
model that training began with.

Is it normal?
-------------
Not over a whole run. For a while it happens with losses that weigh the sides unequally: an SFT
term, ORPO, KTO, SimPO and IPO at unequal lengths. IPO and label smoothing shrink a margin that
overshot their target, but not below its start.

How it is measured
------------------
On the scale of the loss: summed over completions for DPO and its kin, per token for IPO, SimPO and
ORPO. On the probe set the 95 % interval of the margin's change must lie below 0; without one the
logged margin must trend downwards. A margin that shrinks per token while the summed one grows is
no alarm for a loss on sums. On held-out pairs alone it is only suspected.

Thresholds
----------
The interval must exclude 0 after some change exceeded 0.01 nats per token; severity is mild below
0.05, moderate below 0.3, severe below 1, collapse above, in nats per token. Proposals of this
project.

When this is wrong
------------------
Averages of batches move with the pairs that are in them. A run that was resumed from a checkpoint
with another reference starts from another margin.

What to try
-----------
Check the labels; lower the SFT coefficient; lower the learning rate; compare the summed and the
per-token scale, and normalise by length where they disagree.

References
----------
- arXiv 2410.13828: when the margin is bound to grow to first order, and when it is not.
- arXiv 2310.12036: IPO's target margin.
"""

from __future__ import annotations

from dataclasses import replace

from diagnostics import examples
from diagnostics.intervals import Interval, number
from diagnostics.naming import Basis
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import (
    absent,
    cannot_tell,
    held_out,
    not_applicable,
    present,
    short,
    unnamed,
)
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.schema import NATS
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "margin_loss"


def check(reading: Reading) -> Verdict:
    """Say whether the margin fell below its start on the scale of the loss."""
    if reading.run.method == "sft":
        return not_applicable(NAME, "SFT has no margin to widen")
    found = reading.regime
    if found.regime is Regime.UNKNOWN:
        return unnamed(NAME, reading)
    if found.regime is Regime.MIXED and found.directions.margin is Direction.INCONCLUSIVE:
        return cannot_tell(NAME, f"the margin has no clear direction ({found.sentence})")
    if found.regime is not Regime.MARGIN_LOSS or found.movement is None:
        return absent(NAME, reading)
    status, scale = Status.PRESENT, (found.movement.margin, found.movement.unit)
    tail = ""
    if found.basis is Basis.PROBE and (
        reading.method is None or reading.method.logps_kind == "sum"
    ):
        scale = summed, _ = found.estimate.margin_sum, NATS
        changed = f"{number(summed.value, sign=True)} {short(NATS)}"
        if summed.low > 0:
            tail = f"; yet the summed margin, which the loss sees, changed by {changed}"
            return absent(NAME, reading, tail)
        tail = f"; the summed margin, which the loss sees, changed by {changed}"
        status = Status.PRESENT if summed.high < 0 else Status.SUSPECTED
    if held_out(reading):
        status = Status.SUSPECTED
    return _alarm(reading, status, *scale, tail)


def _alarm(reading: Reading, status: Status, margin: Interval, unit: str, tail: str) -> Verdict:
    shrank = Evidence("margin", margin.value, unit, 0.0, margin.low, margin.high)
    verdict = present(NAME, reading, status, tail)
    return replace(verdict, evidence=(shrank, *verdict.evidence))


def example(seed: int) -> Run:
    """Return a run whose chosen side falls by 0.20 nats per token more than the rejected side."""
    return examples.example(Regime.MARGIN_LOSS, seed)


PATHOLOGY = Pathology(NAME, "Margin lost", __doc__, check, example)
