"""KTO imbalance: one label outweighs the other.

What it is
----------
KTO weighs desirable examples with lambda_D and undesirable ones with lambda_U. With n_D and n_U
examples the two sides pull with lambda_D n_D to lambda_U n_U; where that ratio is far from 1, the
larger side decides what is learned.

Is it normal?
-------------
Data with ten times as many labels of one kind is normal, and so is a ratio a little above 1. What
is not is leaving the weights at 1 for such data.

How it is measured
------------------
lambda_D n_D / (lambda_U n_U), from the counts of the data set where the run or its configuration
holds them, or from the counts that the log holds for each record.

Thresholds
----------
Between 1 and 3/2, as arXiv 2402.01306 (version 5, Eq. 9) recommends; TRL warns outside 1 to 4/3. A
twentieth to either side is tolerated, so that counts that differ by chance are no alarm (proposal
of this project).

When this is wrong
------------------
A sampler that balances the labels makes the counts of the data set irrelevant. Where losing one
kind of error costs more than the other, an unequal ratio is a choice.

What to try
-----------
Set the weight of the rarer label so that the ratio falls between 1 and 3/2, and keep the other
at 1.

References
----------
- arXiv 2402.01306, Eq. 9: the range of the weights.
"""

from __future__ import annotations

from diagnostics import synthetic_logs
from diagnostics.advice import advice
from diagnostics.intervals import number
from diagnostics.ktoremedies import label_counts
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import cannot_tell, not_applicable, setting
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "kto_imbalance"
LOW, HIGH = 1.0, 1.5  # arXiv 2402.01306 v5, Eq. 9
TOLERANCE = 1.05  # proposal of this project
UNIT = "times as hard as undesirable ones"


def check(reading: Reading, *, low: float = LOW, high: float = HIGH) -> Verdict:
    """Say whether the weighted ratio of the two labels is outside its range."""
    if reading.method is not None and reading.method.name != "kto":
        return not_applicable(NAME, "only KTO weighs two labels")
    counts = label_counts(reading)
    weights = [setting(reading, f"{side}_weight") for side in ("desirable", "undesirable")]
    if counts is None or not min(weights) > 0:
        reason = "how many examples carry each label is not in the log"
        return cannot_tell(NAME, reason, "log the number of desirable and undesirable examples")
    ratio = weights[0] * counts[0] / (weights[1] * counts[1])
    outside = not low / TOLERANCE <= ratio <= high * TOLERANCE
    sentence = (
        f"{counts[0]:,.0f} desirable examples of weight {weights[0]:g} pull {number(ratio)} {UNIT} "
        f"({counts[1]:,.0f} of weight {weights[1]:g}); {low:g} to {high:g} is balanced"
    )
    evidence = (Evidence("pull of desirable examples", ratio, UNIT, high if ratio > high else low),)
    if not outside:
        return Verdict(NAME, Status.ABSENT, sentence, evidence=evidence)
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=sentence,
        evidence=evidence,
        advice=advice(reading, NAME),
    )


def example(seed: int) -> Run:
    """Return a KTO log on ten undesirable examples to each desirable one."""
    return synthetic_logs.labelled(seed, desirable=500, undesirable=5000)


PATHOLOGY = Pathology(NAME, "KTO imbalance", __doc__, check, example)
