"""Reversed: the chosen side falls and the rejected side rises.

What it is
----------
The chosen completions became less likely and the rejected ones more likely: the run learns the
opposite of its labels.

Is it normal?
-------------
Never on pairs that are trained on. No positive weighting of the two sides does this to first
order, whatever the method: look for a mistake before the method. On held-out pairs it is negative
transfer, which happens with small or contradictory data.

How it is measured
------------------
On the probe set: the chosen change below 0 and the rejected change above 0 with 95 % intervals.
Without one: the logged chosen reward trends downwards and the rejected one upwards. On held-out
pairs alone it is only suspected.

Thresholds
----------
A change of a side counts from 0.01 nats per token on; severity, by the chosen side, is mild below
0.05, moderate below 0.3, severe below 1, collapse above, in nats per token. Proposals of this
project.

When this is wrong
------------------
Pairs that contradict each other can push single pairs the wrong way. A reader that took the two
columns for each other shows a healthy run as this.

What to try
-----------
In this order: chosen and rejected columns swapped; labels noisy (accuracy below one half at a tiny
learning rate); mask, template or truncation that makes both sides equal; a reference that is
another checkpoint; a learning rate that is too large.

References
----------
- arXiv 2410.13828: the first-order conditions; by the Cauchy-Schwarz inequality they exclude it.
"""

from __future__ import annotations

from diagnostics import examples
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import (
    elsewhere,
    held_out,
    not_applicable,
    present,
    unnamed,
)
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.trends import Direction
from diagnostics.verdicts import Status, Verdict

NAME = "reversed"


def check(reading: Reading) -> Verdict:
    """Say whether chosen fell while rejected rose."""
    if reading.run.method == "sft":
        return not_applicable(NAME, "SFT has no preference to reverse")
    regime = reading.regime.regime
    if regime is Regime.UNKNOWN:
        return unnamed(NAME, reading)
    if regime is not Regime.REVERSED:
        return elsewhere(NAME, reading, Direction.DOWN, Direction.UP)
    if held_out(reading):
        tail = "; on held-out pairs this is negative transfer, and trained pairs would settle it"
        return present(NAME, reading, Status.SUSPECTED, tail)
    return present(NAME, reading, Status.PRESENT)


def example(seed: int) -> Run:
    """Return a run whose two sides go 0.20 nats per token the wrong way."""
    return examples.example(Regime.REVERSED, seed)


PATHOLOGY = Pathology(NAME, "Reversed", __doc__, check, example)
