"""Surface cue: the pairs can be told apart almost at once.

What it is
----------
The reward accuracy reaches 1 within a few steps and stays there: every pair is told apart by
something that a few updates suffice to learn, such as language, length, a template or a refusal
phrase. What is learned after that is mostly the same cue, pushed further.

Is it normal?
-------------
On synthetic or deliberately easy data it is. On human or model preferences it is not: their
accuracy climbs over a good part of the first epoch and stays below 1.

How it is measured
------------------
The first training record from which on the accuracy averages at least 0.99, over the next five
records and to the end of the log alike. It is held against the length of the run and of an epoch's
first steps.

Thresholds
----------
An accuracy of 0.99 from a record on that begins within the first 2 % of the run and within the
first 50 steps, of at least 20 records, or 100 where a record may be a single micro-batch. Proposals
of this project.

When this is wrong
------------------
Batches of one or two pairs log 1 by chance, though not for five records in a row. For methods
without a reference the accuracy is that of ranking by likelihood, which can be high before
training.

What to try
-----------
Read twenty pairs side by side and look for what separates them; train a classifier on length or on
the first tokens alone; drop the pairs it gets right, or rewrite the rejected side in the same
language and format.

References
----------
- arXiv 2406.02900, section 3.2: implicit accuracy does not predict the win rate.
"""

from __future__ import annotations

import numpy as np

from diagnostics import synthetic_logs
from diagnostics.advice import advice
from diagnostics.intervals import number
from diagnostics.meaning import Scope
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import cannot_tell, not_applicable
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "surface_cue"
# Proposals of this project.
ACCURACY = 0.99
WINDOW = 5  # records
EARLY_SHARE = 0.02  # of the run
MIN_RECORDS = 20
MIN_PARTIAL = 100  # where a record may be one micro-batch, which is 1 by chance
EARLY_STEPS = 50
UNIT = "fraction of pairs"


def check(
    reading: Reading,
    *,
    accuracy: float = ACCURACY,
    early_share: float = EARLY_SHARE,
    early_steps: int = EARLY_STEPS,
) -> Verdict:
    """Say whether the accuracy was 1 almost from the start."""
    method = reading.method
    if method is not None and (not method.paired or method.name == "sft"):
        return not_applicable(NAME, f"{method.title} compares no pairs")
    steps, values = reading.column("rewards/accuracies")
    meaning = reading.run.meaning
    needed = MIN_RECORDS if meaning and meaning.scope is Scope.WINDOW else MIN_PARTIAL
    if len(steps) < needed:
        reason = f"the reward accuracy is logged {len(steps)} times, and {needed} are needed"
        return cannot_tell(NAME, reason)
    to_end = np.cumsum(values[::-1])[::-1] / np.arange(len(values), 0, -1)
    # Means over the next records, fewer at the end; without a loop, for logs of a million.
    total, at = np.concatenate([[0.0], np.cumsum(values)]), np.arange(len(values))
    beyond = np.minimum(at + WINDOW, len(values))
    ahead = (total[beyond] - total[at]) / (beyond - at)
    reached = np.flatnonzero((to_end >= accuracy) & (ahead >= accuracy))
    # A record covers the steps since the one before it.
    begins = np.concatenate([[0], steps[:-1]])
    limit = min(early_share * float(steps[-1]), early_steps)
    if not reached.size or begins[reached[0]] > limit or len(steps) - reached[0] < WINDOW:
        last = float(values[-WINDOW:].mean())
        sentence = (
            f"the reward accuracy did not reach {accuracy:g} in the first {limit:.0f} steps and "
            f"ends at {number(last)} {UNIT}"
        )
        return Verdict(NAME, Status.ABSENT, sentence)
    since = int(begins[reached[0]]) + 1
    mean = float(values[reached[0] :].mean())
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=f"the reward accuracy averages {mean:.3f} {UNIT} from step {since} on, of a run "
        f"of {int(steps[-1])} steps",
        since=since,
        evidence=(Evidence("reward accuracy", mean, UNIT, accuracy),),
        advice=advice(reading, NAME),
        unseen=("which tokens carry the margin; score the probe set token by token",),
    )


def example(seed: int) -> Run:
    """Return a log whose pairs all move the same way from the first steps on."""
    return synthetic_logs.separable(seed)


PATHOLOGY = Pathology(NAME, "Surface cue", __doc__, check, example)
