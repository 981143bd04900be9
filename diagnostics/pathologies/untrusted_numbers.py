"""Untrusted numbers: the log contradicts itself, or shows less than it seems to.

What it is
----------
Some logged numbers are not what their name says: summed over micro-batches or ranks, taken from
one of them, or produced by another loss than the one that was asked for. What is read from them is
wrong by a factor, or noisier than the training was.

Is it normal?
-------------
It is common. Several versions of widely used trainers log the first rank or the last micro-batch
only, sum a value that should be averaged, or train the logistic loss where another was configured.
Partial numbers are noisy but not wrong; contradictions are wrong.

How it is measured
------------------
Contradictions: accuracies outside 0 to 1; a margin that is not chosen minus rejected; a mean loss
below what the mean margin allows, since -log sigma is convex; a first loss that is a multiple of
the method's start value, or the start value of another method, while the rewards are still 0.
Partial numbers: what the reader knows of the framework's averaging.

Thresholds
----------
A contradiction must hold in nine tenths of the records and exceed 5 % of the value, or rounding to
four digits; the first loss may miss a start value by 3 %. Partial numbers alone are suspected.
Proposals of this project.

When this is wrong
------------------
Margin and sides may average different micro-batches (KTO). A loss with a term that is not logged
starts above the method's value, and is left alone unless it is a whole multiple.

What to try
-----------
Update the trainer; log after every optimizer step with one micro-batch and compare; reduce over
ranks; check which loss the first value belongs to; compare the logged reward with beta times the
log-ratio of one batch, worked out by hand.

References
----------
- arXiv 2305.18290, Eq. 7, and arXiv 2310.12036, Eq. 17: where the losses start.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from diagnostics import synthetic_logs
from diagnostics.advice import advice
from diagnostics.intervals import Flags, Floats, number
from diagnostics.meaning import Scope
from diagnostics.methods import METHODS
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import cannot_tell, setting, start_loss
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.run import Run
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "untrusted_numbers"
# Proposals of this project.
MOSTLY = 0.9  # share of the records that contradict
SLACK = 0.05  # of the value
DIGITS = 2e-4  # rounding of logged numbers
START_SLACK = 0.03  # of a start value
STILL = 0.02  # largest reward of a record at the start [reward units]
MULTIPLES = range(2, 129)
PARTIAL = (Scope.WINDOW_RANK_0, Scope.LAST_BATCH, Scope.LAST_MICRO_BATCH)
LOSS = "loss units"
Sign = tuple[str, Evidence]


def check(reading: Reading, *, mostly: float = MOSTLY, slack: float = SLACK) -> Verdict:
    """Say whether the logged numbers contradict each other, or cover a part only."""
    signs = [
        *_accuracies(reading, mostly),
        *_margins(reading, mostly, slack),
        *_losses(reading, mostly, slack),
        *_first_loss(reading),
    ]
    if signs:
        return Verdict(
            pathology=NAME,
            status=Status.PRESENT,
            sentence="; ".join(words for words, _ in signs),
            evidence=tuple(one for _, one in signs),
            advice=advice(reading, NAME),
        )
    meaning = reading.run.meaning
    if meaning is not None and meaning.scope in PARTIAL:
        return Verdict(
            pathology=NAME,
            status=Status.SUSPECTED,
            sentence=f"the logged numbers average over {meaning.scope.value}: noisier than the "
            "training itself, though right on average",
            advice=advice(reading, NAME),
        )
    if len(reading.run.train) + len(reading.run.evals) == 0:
        return cannot_tell(NAME, "the log holds no records")
    unseen = (
        ("what a record averages over is not known for this framework",)
        if meaning is None or meaning.scope is Scope.UNKNOWN
        else ()
    )
    return Verdict(NAME, Status.ABSENT, "the logged numbers agree with each other", unseen=unseen)


def _columns(reading: Reading, *names: str) -> list[Floats] | None:
    """Return the columns where all of them are finite, for at least six records."""
    frame = reading.run.train
    if any(name not in frame for name in names):
        return None
    values = frame[list(names)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    # What is broken rather than wrong is another check's business.
    values = values[(np.abs(values) < 1e12).all(axis=1)]
    return list(values.T) if len(values) >= MIN_LOGGED else None


def _share(flags: Flags) -> Evidence:
    return Evidence("records that contradict", float(flags.mean()), "fraction of records", MOSTLY)


def _accuracies(reading: Reading, mostly: float) -> Iterator[Sign]:
    found = _columns(reading, "rewards/accuracies")
    if found is None:
        return
    top = float(found[0].max())
    if top > 1 + SLACK or float(found[0].min()) < -SLACK:
        worst = top if top > 1 else float(found[0].min())
        words = f"a reward accuracy of {number(worst)} fraction of pairs is none: it was summed"
        yield words, Evidence("reward accuracy", worst, "fraction of pairs", 1.0)


def _margins(reading: Reading, mostly: float, slack: float) -> Iterator[Sign]:
    if reading.method is not None and not reading.method.paired:
        return
    found = _columns(reading, "rewards/chosen", "rewards/rejected", "rewards/margins")
    if found is None:
        return
    chosen, rejected, margin = found
    scale = np.abs(chosen) + np.abs(rejected) + np.abs(margin)
    off = np.abs(margin - (chosen - rejected)) > slack * scale + 3 * DIGITS
    if off.mean() >= mostly:
        share = _share(off)
        yield f"in {_percent(off)} of the records the margin is not chosen - rejected", share


def _losses(reading: Reading, mostly: float, slack: float) -> Iterator[Sign]:
    """Yield a mean loss below -log sigma of the mean margin (Jensen's inequality)."""
    if reading.run.method not in ("dpo", "simpo") or setting(reading, "label_smoothing"):
        return
    found = _columns(reading, "loss", "rewards/margins")
    if found is None:
        return
    loss, margin = found
    least = np.logaddexp(0.0, setting(reading, "gamma") - margin)
    off = loss < (1 - 2 * slack) * least - 10 * DIGITS
    if off.mean() >= mostly:
        words = f"in {_percent(off)} of the records the loss is smaller than -log sigma of the "
        yield words + "mean margin, which no batch allows", _share(off)


def _percent(flags: Flags) -> str:
    return f"{100 * float(flags.mean()):.0f} %"


def _first_loss(reading: Reading) -> Iterator[Sign]:
    """Yield a first loss that belongs to another method, or to a sum of several batches."""
    method, start = reading.method, start_loss(reading)
    losses = reading.column("loss")[1]
    sides = [reading.column(f"rewards/{side}")[1] for side in ("chosen", "rejected")]
    if method is None or start is None or not losses.size or not all(s.size for s in sides):
        return
    loss = float(losses[0])
    if max(abs(float(side[0])) for side in sides) > STILL or _near(loss, start):
        return
    evidence = Evidence("first loss", loss, LOSS, start)
    begins = (
        f"the first loss is {number(loss)} {LOSS}, and {method.title} starts at {number(start)}"
    )
    times = next((k for k in MULTIPLES if _near(loss, k * start)), None)
    if times is not None and loss > 1.5 * start:
        yield f"{begins}: {times} times as much, so it is a sum", evidence
        return
    others = [
        other.title
        for other in METHODS.values()
        if other.paired and other is not method and _near(loss, other.start_loss())
    ]
    if others:
        yield f"{begins}; it is where {others[0]} starts, which may be what is trained", evidence


def _near(loss: float, start: float | None) -> bool:
    return start is not None and abs(loss - start) <= START_SLACK * start


def example(seed: int) -> Run:
    """Return a log whose loss is summed over eight micro-batches."""
    return synthetic_logs.summed(seed)


PATHOLOGY = Pathology(NAME, "Untrusted numbers", __doc__, check, example)
