"""Both rise: rejected completions become more likely together with the chosen ones.

What it is
----------
The margin grew, and the rejected completions became more likely too: the chosen share S is above 1.
Text that people rejected is now more probable, although loss, margin and accuracy look fine.

Is it normal?
-------------
Early on it is, when both sides share something that the model has not learned yet (format, style,
language, an answer template), mostly at small margins; such runs often turn ideal later. An SFT
term and ORPO at its default weight lift the rejected side by design, because the pull on the
chosen side outweighs the other one. On held-out pairs that the policy itself wrote it is not
normal: drift lowers their average, so pairs, reference and masking need a look.

How it is measured
------------------
On the probe set: margin and both changes above 0 with 95 % intervals, so that S exceeds 1. Without
one: chosen, rejected and margin of the logged rewards all trend upwards, and both levels end
above the start. Severity is the rise of the rejected side.

Thresholds
----------
A change of a side counts from 0.01 nats per token on; severity is mild below 0.05, moderate below
0.3, severe below 1, collapse above, in nats per token. Proposals of this project.

When this is wrong
------------------
Rewards of batches average other pairs at each step; without a reference (SimPO, ORPO) batches that
become easier look like a rise of both sides. Where the policy's length or template changed between
two starts of a run, the log mixes them.

What to try
-----------
Lower the SFT coefficient, or weigh the rejected side more (ORPO's lambda, KTO's undesirable
weight); run SFT on the shared format first; sample the model to see whether text like the rejected
one appears.

References
----------
- arXiv 2410.13828: gradient entanglement, the conditions under which rejected rises.
- arXiv 2403.07691, appendix E.1: ORPO's weight and the rejected side.
- arXiv 2404.12358, Eq. 16: why samples of the policy itself cannot rise on average.
"""

from __future__ import annotations

from diagnostics import examples
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import (
    elsewhere,
    present,
    setting,
    unnamed,
)
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.trends import Direction
from diagnostics.verdicts import Status, Verdict

NAME = "both_rise"


def check(reading: Reading) -> Verdict:
    """Say whether the rejected side rose together with the chosen one."""
    regime = reading.regime.regime
    if regime is Regime.UNKNOWN:
        return unnamed(NAME, reading)
    if regime is not Regime.BOTH_RISE:
        return elsewhere(NAME, reading, Direction.UP, Direction.UP)
    return present(NAME, reading, Status.PRESENT, _expected(reading))


def _expected(reading: Reading) -> str:
    """Return what in the settings lifts both sides by design, or nothing."""
    if reading.run.method == "sft":
        return "; SFT on chosen does this by design"
    if reading.run.method == "orpo":
        return f"; ORPO with lambda {setting(reading, 'beta'):g} does this by design"
    weight = setting(reading, "sft_weight")
    if weight > 0:
        return f"; an SFT term of weight {weight:g} does this by design"
    return ""


def example(seed: int) -> Run:
    """Return a run whose rejected side rises by 0.15 nats per token."""
    return examples.example(Regime.BOTH_RISE, seed)


PATHOLOGY = Pathology(NAME, "Both rise", __doc__, check, example)
