"""Instability: the numbers jump, burst, swing or stop being numbers.

What it is
----------
The log does not behave like a noisy curve: gradients burst, the loss spikes, values become NaN or
infinite, or the sides change direction again and again. What the run learned in between is hard to
say, and single checkpoints differ widely.

Is it normal?
-------------
A single burst is: one odd batch, absorbed by gradient clipping. Noise that grows as the policy
moves is normal for every method with a reference. NaN is never normal in a loss; in KTO's rewards a
batch without one of the labels has none.

How it is measured
------------------
Records with a gradient norm far above those of their neighbours; records with a loss far above
those, in units of the usual scatter; records in which some usual number is not finite; reversals
of the chosen side that are each beyond noise; and the signs that the trends of both sides show.

Thresholds
----------
A burst is a gradient norm above 5 times, a spike a loss above 1.5 times and 8 robust standard
deviations beyond the median of the five records on either side. Three of either and 1 % of at least
20 records are an alarm; so are more than three reversals, 2 % of the records not finite, or the
last three. A swing or a jump of the noise alone is suspected, from 100 records on. Proposals of
this project.

When this is wrong
------------------
A data set whose batches differ in kind (languages, lengths) swings with its order. A log that
averages long windows hides bursts.

What to try
-----------
Lower the learning rate or lengthen the warm-up; clip gradients at 1; use a larger batch; check the
batches at the bursts for empty or very long completions; train in bf16 rather than fp16.

References
----------
- arXiv 2407.10490: a recorded run at a high learning rate whose chosen side swings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from diagnostics import synthetic_logs
from diagnostics.advice import advice
from diagnostics.events import BURST, SPIKE, WATCHED, bursts, spikes
from diagnostics.intervals import Floats
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import cannot_tell
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.run import Run
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "instability"
# Proposals of this project.
MIN_COUNT = 3
RATE = 0.01  # of the records
GAPS = 0.02  # of the records
# Below it, autocorrelated but stable logs are flagged in 4 to 8 of 100 cases.
MIN_FLAGGED = 100
REVERSALS = 3
RECORDS = "records"


def check(
    reading: Reading, *, burst: float = BURST, spike: float = SPIKE, reversals: int = REVERSALS
) -> Verdict:
    """Say whether the log bursts, spikes, swings or stops being finite."""
    usable = {name: reading.column(name)[1] for name in WATCHED}
    signs = [
        *_bursts(usable["grad_norm"], burst),
        *_spikes(usable["loss"], spike),
        *_gaps(reading, WATCHED),
        *_reversals(reading, reversals),
    ]
    if signs:
        return _alarm(reading, Status.PRESENT, signs)
    trends = reading.trends
    if trends is not None and trends.unstable and trends.chosen.points >= MIN_FLAGGED:
        told = [(sentence, None) for sentence in trends.unstable]
        return _alarm(reading, Status.SUSPECTED, told)
    longest = max(values.size for values in usable.values())
    if longest < MIN_LOGGED:
        reason = f"the log holds {longest} usable records, and {MIN_LOGGED} are needed"
        return cannot_tell(NAME, reason)
    unseen = () if usable["grad_norm"].size else ("the gradient norm is not logged",)
    sentence = f"no bursts, spikes, gaps or reversals in {longest} records"
    return Verdict(NAME, Status.ABSENT, sentence, unseen=unseen)


Sign = tuple[str, Evidence | None]


def _alarm(reading: Reading, status: Status, signs: Sequence[Sign]) -> Verdict:
    return Verdict(
        pathology=NAME,
        status=status,
        sentence="; ".join(words for words, _ in signs),
        evidence=tuple(one for _, one in signs if one is not None),
        advice=advice(reading, NAME),
    )


def _is_many(count: int, records: int) -> bool:
    return count >= MIN_COUNT and count >= RATE * records


def _bursts(norms: Floats, burst: float) -> Iterator[Sign]:
    count = int(bursts(norms, burst).sum())
    if _is_many(count, norms.size):
        words = f"{count} of {norms.size} {RECORDS} have a gradient norm above {burst:g} times "
        yield words + "that of their neighbours", Evidence("bursts", count, RECORDS, MIN_COUNT)


def _spikes(losses: Floats, spike: float) -> Iterator[Sign]:
    count = int(spikes(losses, spike).sum())
    if _is_many(count, losses.size):
        words = f"{count} of {losses.size} {RECORDS} have a loss more than {spike:g} standard "
        evidence = Evidence("spikes", count, RECORDS, MIN_COUNT)
        yield words + "deviations above their neighbours", evidence


def _gaps(reading: Reading, names: tuple[str, ...]) -> Iterator[Sign]:
    """Yield a column that is not finite where a neighbour of its own record is."""
    frame = reading.run.train
    logged = [name for name in names if name in frame]
    if not logged:
        return
    values = frame[logged].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    finite = np.isfinite(values)
    if "rewards/chosen" in logged and reading.run.method == "kto":
        # A batch without one of the labels has no reward of it.
        finite = finite[:, [name not in ("rewards/chosen", "rewards/rejected") for name in logged]]
    if not finite.size:
        return
    rows = finite.any(axis=1)
    often = finite.mean(axis=0) > 0.5  # what is logged more rarely has gaps by design
    lost = rows & ~finite[:, often].all(axis=1) if often.any() else np.zeros(len(rows), dtype=bool)
    count, records = int(lost.sum()), len(rows)
    if (
        records >= MIN_LOGGED
        and count >= MIN_COUNT
        and (count > GAPS * records or lost[-MIN_COUNT:].all())
    ):
        words = f"{count} of {records} {RECORDS} hold a number that is not finite"
        yield words, Evidence("records that are not finite", count, RECORDS, MIN_COUNT)


def _reversals(reading: Reading, limit: int) -> Iterator[Sign]:
    if reading.trends is None:
        return
    told = (Direction.UP, Direction.DOWN)
    moves = [one.chosen.direction for one in reading.trends.phases]
    moves = [one for one in moves if one in told]
    count = sum(one is not other for one, other in pairwise(moves))
    if count > limit:
        words = f"the chosen side reverses its direction {count} times over the run"
        yield words, Evidence("reversals of the chosen side", count, "times", limit)


def example(seed: int) -> Run:
    """Return a log whose gradients burst and whose loss spikes."""
    return synthetic_logs.bursting(seed)


PATHOLOGY = Pathology(NAME, "Instability", __doc__, check, example)
