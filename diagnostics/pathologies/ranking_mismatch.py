"""Ranking mismatch: rewards order the pairs rightly, the likelihoods themselves do not.

What it is
----------
The reward of most pairs favours the chosen completion, yet the policy still finds the rejected one
more likely: reward accuracy counts changes from the reference, ranking accuracy counts levels. A
model is asked to write, not to change, so a high reward accuracy alone says little about what it
prefers to write.

Is it normal?
-------------
Very common: published models order about half of their training pairs rightly per token. To flip a
pair the margin must exceed what the reference preferred the rejected side by, and training mostly
stops before. Summed log-probs order by length to a large part, which is why the per-token order
is the one read here. Far from the reference, more flips go with fewer wins.

How it is measured
------------------
On the probe pairs: the share whose change per token favours chosen (RA), minus the share whose
log-prob per token does (R), with a 95 % interval clustered by prompt; and for the pairs still
ordered wrongly the median of what is missing.

Thresholds
----------
Present where RA - R exceeds 0.2 with its whole interval and RA exceeds 0.7; at least 16 pairs.
Proposals of this project.

When this is wrong
------------------
For methods without a reference (SimPO, ORPO, CPO) the logged accuracy is a ranking accuracy
already; the probe's is a change in every method. Pairs whose rejected side is fluent and
chosen side is not will never flip, and need not.

What to try
-----------
Nothing, where win rate near the reference is the goal. Else a larger margin on the pairs that are
near to flipping, or a loss on the log-probs themselves (SimPO).

References
----------
- arXiv 2405.19534, Theorem 4.1 and table 1: when a pair is ranked rightly, and how seldom.
- arXiv 2405.14734, figure 4b: about half of the training pairs after DPO.
"""

from __future__ import annotations

import numpy as np

from diagnostics import probe_examples
from diagnostics.advice import advice
from diagnostics.intervals import Interval, clustered_mean, number
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import NO_PROBE
from diagnostics.probegrid import ProbeGrid
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "ranking_mismatch"
# Proposals of this project [fractions of pairs].
GAP = 0.2
LEAST_ACCURACY = 0.7
MIN_PAIRS = 16


def check(reading: Reading, *, gap: float = GAP, least_accuracy: float = LEAST_ACCURACY) -> Verdict:
    """Say whether reward accuracy exceeds ranking accuracy by more than `gap`."""
    if reading.method is not None and not reading.method.paired:
        return Verdict(
            NAME, Status.NOT_APPLICABLE, f"{reading.method.title} trains on single completions: "
            "there are no pairs to rank",
        )  # fmt: skip
    grid = reading.grid
    if grid is None or len(grid.steps) < 2 or len(grid.pairs) < MIN_PAIRS:
        have = 0 if grid is None else len(grid.pairs)
        reason = f"{have} pairs were scored at the start and again, and {MIN_PAIRS} are needed"
        return Verdict(NAME, Status.UNKNOWN, f"cannot tell: {reason}", unseen=(NO_PROBE,))
    reward, ranking, difference = _accuracies(grid)
    above = difference.low > gap and reward > least_accuracy
    status = Status.PRESENT if above else Status.ABSENT
    missing = _missing(grid)
    return Verdict(
        pathology=NAME,
        status=status,
        sentence=f"the change since the start favours chosen in {100 * reward:.1f} % of "
        f"{len(grid.pairs)} probe pairs, the log-prob per token itself in {100 * ranking:.1f} %, "
        f"which is {100 * difference.value:.1f} % of the pairs less"
        + (f"; the others lack {number(missing)} nats/token (median)" if missing else ""),
        evidence=(
            Evidence("reward accuracy", reward, "fraction of pairs", least_accuracy),
            Evidence("ranking accuracy per token", ranking, "fraction of pairs"),
            Evidence(
                "reward minus ranking accuracy",
                difference.value,
                "fraction of pairs",
                gap,
                difference.low,
                difference.high,
            ),
            Evidence("median missing margin", missing, NATS_PER_TOKEN),
        ),
        advice=advice(reading, NAME) if status.is_alarm else (),
    )


def _accuracies(grid: ProbeGrid) -> tuple[float, float, Interval]:
    """Return reward accuracy, per-token ranking accuracy and their difference at the end."""
    per_token = grid.logps[-1] / grid.tokens
    right = (per_token[0] >= per_token[1]).astype(np.float64)
    rewarded = (grid.margins[-1] > 0).astype(np.float64)
    clusters = int(grid.prompts.max()) + 1
    gap = clustered_mean(rewarded - right, grid.prompts, clusters)
    return float(rewarded.mean()), float(right.mean()), gap.interval


def _missing(grid: ProbeGrid) -> float:
    """Return the median margin that the pairs ordered wrongly lack [nats per token], or 0."""
    per_token = grid.logps[-1] / grid.tokens
    lacking = per_token[1] - per_token[0]
    return float(np.median(lacking[lacking > 0])) if (lacking > 0).any() else 0.0


def example(seed: int) -> Run:
    """Return a run whose rewards are right and whose ranking stays wrong."""
    return probe_examples.unranked(seed)


PATHOLOGY = Pathology(NAME, "Ranking mismatch", __doc__, check, example)
