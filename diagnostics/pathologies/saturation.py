"""Saturation: the training pairs no longer pull, or only the training pairs still improve.

What it is
----------
Nearly every training pair is ranked right, and its gradient has shrunk to a fraction of what it
was: further steps hardly change what the loss asks for. Over-fit is the form that costs something:
the loss of held-out pairs rises while that of the training pairs falls.

Is it normal?
-------------
The last part of a run usually saturates. Spending half of a run there is a waste, and with several
epochs over the same pairs it is where over-optimisation begins: win rates have peaked near a
quarter of the first epoch.

How it is measured
------------------
Saturated records: the reward accuracy is near 1 and the gradient weight of the pairs is small,
relative to a margin of 0. The weight is taken from the logged share of saturated pairs, or bounded
from above by the loss L of the logistic methods without other terms, 2 (1 - exp(-L)). Over-fit: the
loss of the evaluations ends above its minimum, for at least three evaluations, while the training
loss has fallen since.

Thresholds
----------
Accuracy above 0.98; a weight below 0.1, or 0.9 of the pairs below a tenth; half of at least 20
records. A rise of the evaluation loss by 0.02 loss units and by three times its noise. Proposals
of this project.

When this is wrong
------------------
Accuracy at a batch of two pairs reaches 1 by chance. An evaluation loss also rises because the
right pairs become more confidently right and the few wrong ones more confidently wrong, while
accuracy and samples still improve.

What to try
-----------
Stop earlier, or keep the checkpoint at the minimum of the evaluation loss; train for one epoch; use
a loss with a bounded target (IPO, label smoothing); add harder pairs.

References
----------
- arXiv 2406.02900, section 3: over-optimisation within the first epoch.
- arXiv 2410.11677: win rates that turn while margins still grow.
- arXiv 2310.12036: a bounded target margin.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from diagnostics import synthetic_logs
from diagnostics.advice import advice
from diagnostics.intervals import Flags, Floats, Ints, number
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import cannot_tell, not_applicable, setting
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.run import Run
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "saturation"
# Proposals of this project.
ACCURACY = 0.98
WEIGHT = 0.1  # of its size at a margin of 0
SATURATED = 0.9  # share of pairs whose own weight is below that
LASTING = 0.5  # share of the records
MOSTLY = 0.8  # share of the records from the step on that is given
RISE = 0.02  # of the evaluation loss [loss units]
NOISES = 3.0
MIN_RECORDS = 20  # a share of fewer says little
AFTER = 3  # evaluations after the minimum
LOGISTIC = ("dpo", "simpo")  # L = -log sigma(u), so that the weight sigma(-u) is 1 - exp(-L)


def check(
    reading: Reading,
    *,
    accuracy: float = ACCURACY,
    weight: float = WEIGHT,
    lasting: float = LASTING,
) -> Verdict:
    """Say whether the pairs have stopped pulling, or only the training pairs still improve."""
    if reading.run.method == "sft":
        return not_applicable(NAME, "SFT compares no pairs")
    overfit = _overfit(reading)
    if overfit is not None:
        return overfit
    found = _saturated(reading, accuracy, weight)
    if found is None:
        reason = (
            f"the gradient weight can be read from fewer than {MIN_RECORDS} records, and the "
            f"evaluation loss from fewer than {MIN_LOGGED} or without a turn"
        )
        return cannot_tell(NAME, reason, "log the share of saturated pairs, and evaluate")
    steps, flags = found
    share = float(flags.mean())
    unseen = (
        ()
        if len(reading.column("loss", "evals")[0]) >= MIN_LOGGED
        else (
            "fewer than six evaluation losses: whether held-out pairs still improve is not known",
        )
    )
    sentence = (
        f"{100 * share:.0f} % of {len(flags)} records are saturated (accuracy above "
        f"{accuracy:g} and a gradient weight below {weight:g})"
    )
    evidence = (Evidence("saturated records", share, "fraction of records", lasting),)
    if share < lasting:
        return Verdict(NAME, Status.ABSENT, sentence, evidence=evidence, unseen=unseen)
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=sentence,
        since=_since(steps, flags),
        evidence=evidence,
        advice=advice(reading, NAME),
        unseen=unseen,
    )


def _saturated(reading: Reading, accuracy: float, weight: float) -> tuple[Ints, Flags] | None:
    """Return the steps and which of their records are saturated; None where it cannot be read."""
    frame = pd.DataFrame(index=reading.run.train.index)
    steps, shares = reading.column("saturated")
    if steps.size:
        frame["small"] = pd.Series(shares >= SATURATED, index=steps)
    elif reading.run.method in LOGISTIC and not _has_other_terms(reading):
        steps, losses = reading.column("loss")
        frame["small"] = pd.Series(_bound(losses) < weight, index=steps)
    if "small" not in frame:
        return None
    if reading.method is None or reading.method.paired:
        steps, rates = reading.column("rewards/accuracies")
        frame["right"] = pd.Series(rates > accuracy, index=steps)
    kept = frame.dropna()
    if len(kept) < MIN_RECORDS:
        return None
    return kept.index.to_numpy(np.int64), kept.astype(bool).all(axis=1).to_numpy()


def _since(steps: Ints, flags: Flags) -> int:
    """Return the first saturated step from which on most records are."""
    to_end = np.cumsum(flags[::-1])[::-1] / np.arange(len(flags), 0, -1)
    lasting = np.flatnonzero(flags & (to_end >= MOSTLY))
    return int(steps[lasting[0] if lasting.size else np.argmax(flags)])


def _bound(losses: Floats) -> Floats:
    """Return the largest gradient weight that the mean loss allows, relative to a margin of 0.

    1 - exp(-L) is concave in L, so its mean over pairs is at most its value at the mean loss.
    """
    return np.asarray(2 * -np.expm1(-np.clip(losses, 0.0, 700.0)))


def _has_other_terms(reading: Reading) -> bool:
    """Whether the loss holds more than -log sigma of the margin."""
    terms = any(setting(reading, name) for name in ("sft_weight", "label_smoothing"))
    return terms or bool(reading.column("sft_loss")[0].size)


def _overfit(reading: Reading) -> Verdict | None:
    """Return the alarm where the evaluation loss has turned and the training loss has not."""
    steps, losses = reading.column("loss", "evals")
    if len(steps) < MIN_LOGGED:
        return None
    least = int(np.argmin(losses))
    after = losses[least + 1 :]
    noise = 1.4826 * float(np.median(np.abs(np.diff(losses, 2)))) / np.sqrt(6)
    rise = float(losses[-1] - losses[least])
    limit = max(RISE, NOISES * noise)
    if len(after) < AFTER or rise <= limit or (after[-AFTER:] - losses[least] <= limit / 2).any():
        return None
    at, trained = reading.column("loss")
    near, end = trained[np.abs(at - steps[least]) <= (steps[1] - steps[0])], trained[-5:]
    if not near.size or not end.size or end.mean() >= near.mean():
        return None
    since = int(steps[least])
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT,
        sentence=f"over-fit: since step {since} the evaluation loss has risen by "
        f"{number(rise, sign=True)} loss units, while the training loss changed by "
        f"{number(float(end.mean() - near.mean()), sign=True)} loss units",
        since=since,
        evidence=(
            Evidence("rise of the evaluation loss", rise, "loss units", limit),
            Evidence(
                "change of the training loss", float(end.mean() - near.mean()), "loss units", 0.0
            ),
        ),
        advice=advice(reading, NAME),
    )


def example(seed: int) -> Run:
    """Return a log that spends most of its steps on pairs it already ranks right."""
    return synthetic_logs.saturated(seed)


PATHOLOGY = Pathology(NAME, "Saturation", __doc__, check, example)
