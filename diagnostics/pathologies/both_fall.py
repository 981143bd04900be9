"""Both fall: chosen completions become less likely too, and only the margin grows.

What it is
----------
The margin grew only because the rejected completions fell faster than the chosen ones: the chosen
share S is below 0. This is likelihood displacement. The probability goes to neither side but to
something else, which loss, margin and reward accuracy cannot show.

Is it normal?
-------------
Down to the tide it is. Samples of the initial policy lose on average what its forward KL to the
trained policy is, whatever the method; chosen completions that SFT has just trained on are such
text, and fall with it. A chosen side that falls more than those samples is not normal. APO-down
lowers both sides on purpose. The size of the fall does not tell where the probability went: runs
that lose 50 nats per completion have been harmless and harmful.

How it is measured
------------------
On the probe set: margin above 0, both changes below 0 with 95 % intervals. The drift of reference
samples is added to the chosen change; what is left decides. Without reference samples a fall is
called present only where it is so large that the drift itself would be an alarm, and suspected
otherwise. Without a probe set the logged rewards are read by the same rule; where lengths are not
logged, the fall is held against the log-probability that chosen completions had at the start.

Thresholds
----------
A change counts from 0.01 nats per token on. Without reference samples 0.3 nats per token, or 30 %
of the log-probability at the start, are an alarm on their own. Severity is that of the
tide-corrected change: mild below 0.05, moderate below 0.3, severe below 1, collapse above, in nats
per token. Proposals of this project.

When this is wrong
------------------
The tide is measured on samples of the initial policy: chosen completions of another style than
those fall more, or less, than it says. Logged rewards of a method without a reference fall when
later batches are harder.

What to try
-----------
Add an SFT term on the chosen side; lower the learning rate; use rejected completions of the policy
itself; drop pairs whose sides are near-duplicates; when rejected ones are longer, normalise by
length; read samples of the model before and after.

References
----------
- arXiv 2410.08847: likelihood displacement, its definition and where the mass goes.
- arXiv 2404.12358, section 5.4 and Eq. 16: why a fall is expected, and how large.
- arXiv 2410.13828: the gradients' part in it.
"""

from __future__ import annotations

from dataclasses import replace

from diagnostics import examples
from diagnostics.intervals import number
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import (
    absent,
    corrected,
    elsewhere,
    present,
    short,
    unnamed,
)
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.schema import NATS, NATS_PER_TOKEN
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "both_fall"
# Proposals of this project. Either the chosen side fell more than the tide, or the drift itself is
# this large.
LARGE = 0.3  # [nats per token]
LARGE_SHARE = 0.3  # of the log-probability at the start
START = 0.15  # share of the records whose mean is the log-probability at the start


def check(reading: Reading, *, large: float = LARGE, large_share: float = LARGE_SHARE) -> Verdict:
    """Say whether the chosen side fell together with the rejected one, and beyond the tide."""
    found = reading.regime
    if found.regime is Regime.UNKNOWN:
        return unnamed(NAME, reading)
    if found.regime is not Regime.BOTH_FALL:
        return elsewhere(NAME, reading, Direction.DOWN, Direction.DOWN)
    by_design = "; APO-down does this by design" if reading.run.method == "apo_down" else ""
    tide = corrected(found)
    if tide is not None:
        return _beyond(reading, tide, by_design)
    size = _size(reading)
    if size is None:
        return present(NAME, reading, Status.SUSPECTED, by_design, tide=True)
    limit = large if size.unit == NATS_PER_TOKEN else large_share
    status = Status.PRESENT if abs(size.value) >= limit else Status.SUSPECTED
    tail = ""
    if size.unit != NATS_PER_TOKEN:
        tail = f"; chosen lost {number(size.value)} {size.unit}"
    verdict = present(NAME, reading, status, tail + by_design, tide=True)
    return replace(verdict, evidence=(*verdict.evidence, *((size,) if tail else ())))


def _beyond(reading: Reading, tide: Evidence, by_design: str) -> Verdict:
    """Return the verdict where the tide is known."""
    words = f"{number(tide.value, sign=True)} {short(tide.unit)} against the tide"
    if reading.regime.benign:
        return absent(NAME, reading, f"; chosen fell no more than ordinary text ({words})")
    clear = tide.high is not None and tide.high < 0
    status = Status.PRESENT if clear else Status.SUSPECTED
    verdict = present(NAME, reading, status, f"; chosen {words}{by_design}", tide=True)
    return replace(verdict, evidence=(*verdict.evidence, tide))


def _size(reading: Reading) -> Evidence | None:
    """Return the fall on a scale that compares across runs; None where the log has none."""
    moved = reading.regime.movement
    if moved is None:
        return None
    if moved.unit == NATS_PER_TOKEN:
        return Evidence("Δ chosen", moved.chosen.value, NATS_PER_TOKEN)
    _, logps = reading.column("logps/chosen")
    if moved.unit != NATS or not logps.size:
        return None
    start = float(logps[: max(1, round(START * logps.size))].mean())
    if not start < 0:
        return None
    unit = "of its log-probability at the start"
    return Evidence("fall of chosen", moved.chosen.value / start, unit, LARGE_SHARE)


def example(seed: int) -> Run:
    """Return a run whose chosen side falls by 0.30 nats per token, 0.25 beyond the tide."""
    return examples.example(Regime.BOTH_FALL, seed)


PATHOLOGY = Pathology(NAME, "Both fall", __doc__, check, example)
