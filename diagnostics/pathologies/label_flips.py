"""Label flips: some pairs move against their labels, as far as the others move with them.

What it is
----------
While the margin of most pairs grows, that of a distinct group falls, steadily and about as far: the
policy has learned a preference from the majority, and by it these labels are the wrong way round.
Columns swapped in part of the data, annotators who disagree and judges that err all look like this.

Is it normal?
-------------
Human preference data carries a tenth to a third of labels that most readers would turn round, so a
few such pairs are ordinary. A group of pairs about another question than the rest (refusals among
helpful answers) can move against the majority without being mislabelled.

How it is measured
------------------
On the probe pairs: a pair moves against its label when its per-token margin ends below 0 and was
below 0 at most evaluations. Their number is compared with that after the increments between
evaluations were dealt out anew among the pairs, each evaluation for itself, which leaves chance and
the common trend and destroys persistence: the share of deals with as many gives p. They count only
where their median is at least half as large as that of the others; they are a distinct group where
the gap between both groups is wide for their spreads (Ashman's D, raised because the groups are
parted at 0).

Thresholds
----------
p at most 0.01 by construction of the test; at least 3 pairs, below 0 at 80 % of the evaluations,
at least half as far. Present at a D of 4.5 with lengths ruled out at p 0.01, suspected at 3.5 or
where lengths may be why. Proposals of this project; a single group, parted at 0, reaches 4.5 in at
most 0.4 % of simulations, unless it has a long tail below.

When this is wrong
------------------
Trained on often enough, flipped pairs are learned by heart and move with their wrong labels: look
at held-out pairs then. Where margins follow lengths, pairs with the longer side rejected stand
out; that is tested, and makes the verdict a suspicion.

What to try
-----------
Read the pairs named; turn round or drop those that are wrong; else a loss that expects flips
(conservative or robust DPO, IPO).

References
----------
- arXiv 2403.00409: robust DPO, and what flips do to DPO.
- Ashman, Bird and Zepf, Astron. J. 108 (1994): D, the separation of two groups.
"""

from __future__ import annotations

from diagnostics import probe_examples
from diagnostics.advice import advice
from diagnostics.flips import Flips, find, too_little
from diagnostics.intervals import number, wilson
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import NO_PROBE
from diagnostics.probegrid import ProbeGrid
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "label_flips"
# Proposals of this project.
ALPHA = 0.01
MIN_FLIPS = 3
LEAST_SIZE = 0.5  # median of the pairs against, in medians of the others
# Ashman's D. One group parted at 0 (normal, Laplace or Student's t with 3 degrees of freedom; 40 to
# 200 pairs) reaches 4.5 in at most 0.4 % of simulations, and 3.5 in at most 6 %.
APART = 4.5
PERHAPS_APART = 3.5


def check(
    reading: Reading,
    *,
    alpha: float = ALPHA,
    min_flips: int = MIN_FLIPS,
    least_size: float = LEAST_SIZE,
    apart: float = APART,
) -> Verdict:
    """Say whether a group of pairs moves against its labels beyond what chance deals out."""
    if reading.method is not None and not reading.method.paired:
        return Verdict(
            NAME, Status.NOT_APPLICABLE, f"{reading.method.title} trains on single completions: "
            "their labels cannot be told from the drift of all text",
        )  # fmt: skip
    grid = reading.grid
    reason = too_little(grid)
    if grid is None or reason:
        return Verdict(NAME, Status.UNKNOWN, f"cannot tell: {reason}", unseen=(NO_PROBE,))
    flips = find(grid)
    status = judged(flips, alpha=alpha, min_flips=min_flips, least_size=least_size, apart=apart)
    real = status.is_alarm
    return Verdict(
        pathology=NAME,
        status=status,
        sentence=_sentence(grid, flips, real=real, alpha=alpha),
        evidence=_evidence(grid, flips, alpha, apart),
        advice=advice(reading, NAME) if status.is_alarm else (),
        unseen=("the texts: whether a label is wrong takes reading the pair",) if real else (),
    )


def judged(
    flips: Flips,
    *,
    alpha: float = ALPHA,
    min_flips: int = MIN_FLIPS,
    least_size: float = LEAST_SIZE,
    apart: float = APART,
) -> Status:
    """Return whether the pairs that move against their labels are a group of their own."""
    real = flips.p <= alpha and flips.count >= min_flips
    real &= -flips.median_against >= least_size * flips.median_with
    real &= flips.apart >= min(apart, PERHAPS_APART)
    if not real:
        return Status.ABSENT
    sure = flips.apart >= apart and flips.p_length > alpha
    return Status.PRESENT if sure else Status.SUSPECTED


def _sentence(grid: ProbeGrid, flips: Flips, *, real: bool, alpha: float) -> str:
    of_pairs = f"{flips.count} of {len(grid.pairs)} {grid.split.replace('_', '-')} probe pairs"
    of_pairs += f" ({100 * flips.count / len(grid.pairs):.0f} %)"
    sizes = (
        f"by {number(flips.median_against, sign=True)} nats/token in the median, the others by "
        f"{number(flips.median_with, sign=True)} (p = {flips.p:.3f}, D = {number(flips.apart)})"
    )
    if not flips.count:
        return f"0 of {len(grid.pairs)} probe pairs move against their labels"
    if not real:
        return f"no group moves against its labels: {of_pairs} do, {sizes}"
    named = ", ".join(str(pair) for pair in grid.pairs[flips.against][:8])
    more = ", …" if flips.count > 8 else ""
    length = (
        f"; their lengths differ from the others' (p = {flips.p_length:.3f}), which may be why"
        if flips.p_length <= alpha
        else ""
    )
    return f"{of_pairs} move against their labels, {sizes}: pairs {named}{more}{length}"


def _evidence(grid: ProbeGrid, flips: Flips, alpha: float, apart: float) -> tuple[Evidence, ...]:
    share = wilson(flips.count / len(grid.pairs), len(grid.pairs))
    return (
        Evidence("pairs against their labels", share.value, "fraction of pairs", None, share.low,
                 share.high),
        Evidence("p of as many by chance", flips.p, "p", alpha),
        Evidence("median margin of these pairs", flips.median_against, NATS_PER_TOKEN),
        Evidence("median margin of the others", flips.median_with, NATS_PER_TOKEN),
        Evidence("Ashman's D of the two groups", flips.apart, "D", apart),
    )  # fmt: skip


def example(seed: int) -> Run:
    """Return a run with every fifth label flipped."""
    return probe_examples.flipped(seed)


PATHOLOGY = Pathology(NAME, "Label flips", __doc__, check, example)
