"""Frozen weights: the optimizer runs, and the model does not change.

What it is
----------
Learning rate and gradients are above 0, yet the same completions keep exactly the same
log-probabilities: no update reaches the weights that are scored. Mostly the weights are held in
bf16, whose steps are 0.2 to 0.4 % of a weight: an update of the size of the learning rate rounds
away (a weight of 0.02 needs about 4e-5). Else the trained adapter is not the one that is scored,
all layers are frozen, or the learning rate is 0.

Is it normal?
-------------
Never over a whole run. At its end, when the learning rate has decayed to nothing, changes too
small for the log's 32 bits are.

How it is measured
------------------
On the probe set: log-probs of all pairs, bit by bit the same from one evaluation to the next over
the whole run, or over a part of it in which the learning rate was still considerable. Without
one: rewards of both sides exactly 0 in every record; any trend of theirs says that weights move.

Thresholds
----------
At least 2 evaluations after the start; a learning rate counts from a tenth of its peak on.
Proposals of this project. That bits are equal needs no threshold.

When this is wrong
------------------
Rewards that are exactly 0 also come from a reference that is the very model being trained: then
both move together, and only log-probs would show it. Weights may move in a part of the model
while the rest is frozen; that is not seen here.

What to try
-----------
Hold the weights in fp32 and compute in bf16 (mixed precision), or train an adapter in fp32; check
that the learning rate is above 0 and that parameters require gradients.

References
----------
- The bf16 format: 8 bits of mantissa, one of them implied.
- TRL issue 1311: rewards stuck at zero.
"""

from __future__ import annotations

import numpy as np

from diagnostics import probe_examples
from diagnostics.advice import advice
from diagnostics.pathologies.contract import Pathology
from diagnostics.pathologies.movement import NO_PROBE
from diagnostics.probegrid import ProbeGrid
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.run import Run
from diagnostics.trends import Direction
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "frozen_weights"
MIN_EVALUATIONS = 2  # after the start; proposal of this project
CONSIDERABLE = 0.1  # of the peak learning rate; proposal of this project


def check(
    reading: Reading, *, min_evaluations: int = MIN_EVALUATIONS, considerable: float = CONSIDERABLE
) -> Verdict:
    """Say whether the scored weights stood still although they were trained."""
    grid = reading.grid
    if grid is None or len(grid.steps) < 2:
        return _from_log(reading)
    since = _still_since(grid)
    unchanged = int((grid.steps > since).sum())
    if unchanged == 0:
        moved = float(np.abs(grid.deltas[-1]).max())
        return Verdict(
            NAME,
            Status.ABSENT,
            f"the weights move: a probe log-prob changed by up to {moved:.3g} nats/completion",
            evidence=(
                Evidence("largest change of a probe log-prob", moved, "nats per completion"),
            ),
        )
    rate, peak = _learning_rate(reading, since)
    spent = rate is not None and peak is not None and rate < considerable * peak
    if since > grid.steps[0] and spent:
        return Verdict(
            NAME,
            Status.ABSENT,
            f"nothing changes after step {since}, when the learning rate had decayed to {rate:.2g}",
        )
    enough = unchanged >= min_evaluations
    return Verdict(
        pathology=NAME,
        status=Status.PRESENT if enough else Status.SUSPECTED,
        sentence=f"{2 * len(grid.pairs)} probe log-probs are exactly the same at {unchanged} "
        f"evaluations after step {since}, up to step {grid.steps[-1]}"
        + _although(reading, since, rate),
        since=since,
        evidence=_evidence(reading, since, unchanged, rate, min_evaluations),
        advice=advice(reading, NAME),
    )


def _still_since(grid: ProbeGrid) -> int:
    """Return the evaluation from which on every log-prob stays exactly as it is."""
    logps = grid.logps
    same = [bool(np.array_equal(one, logps[-1], equal_nan=True)) for one in logps]
    first = len(same) - 1
    while first > 0 and same[first - 1]:
        first -= 1
    return int(grid.steps[first])


def _learning_rate(reading: Reading, since: int) -> tuple[float | None, float | None]:
    """Return the mean learning rate after `since` and its peak, None where it is not logged."""
    steps, rates = reading.column("learning_rate")
    after = rates[steps > since]
    return (float(after.mean()), float(rates.max())) if after.size else (None, None)


def _mean_norm(reading: Reading, since: int) -> float | None:
    steps, norms = reading.column("grad_norm")
    after = norms[steps > since]
    return float(after.mean()) if after.size else None


def _although(reading: Reading, since: int, rate: float | None) -> str:
    norm = _mean_norm(reading, since)
    if rate == 0:
        return "; the learning rate is 0 per step"
    if norm == 0:
        return "; the gradient is 0 in L2 norm"
    if rate is None or norm is None:
        return ""
    numbers = f"{rate:.2g} per step and the gradient {norm:.2g} in L2 norm"
    return f", although the learning rate is {numbers}"


def _evidence(
    reading: Reading, since: int, unchanged: int, rate: float | None, min_evaluations: int
) -> tuple[Evidence, ...]:
    norm = _mean_norm(reading, since)
    numbers = (
        ("evaluations without any change", float(unchanged), "evaluations", min_evaluations),
        ("mean learning rate", rate, "per step", 0.0),
        ("mean gradient norm", norm, "L2 norm", 0.0),
    )
    return tuple(
        Evidence(quantity, value, unit, float(threshold))
        for quantity, value, unit, threshold in numbers
        if value is not None
    )


def _from_log(reading: Reading) -> Verdict:
    sides = [reading.column(f"rewards/{side}")[1] for side in ("chosen", "rejected")]
    records = min(side.size for side in sides)
    if records < MIN_LOGGED:
        return Verdict(
            NAME,
            Status.UNKNOWN,
            f"cannot tell: {records} records of both rewards, and {MIN_LOGGED} are needed without "
            "a probe set",
            unseen=(NO_PROBE,),
        )
    largest = max(float(np.abs(side).max()) for side in sides)
    if largest > 0:
        return _not_zero(reading, largest)
    return Verdict(
        pathology=NAME,
        status=Status.SUSPECTED,
        sentence=f"the rewards of both sides are exactly 0 in all {records} records",
        evidence=(Evidence("largest reward", 0.0, "reward units", 0.0),),
        advice=advice(reading, NAME),
        unseen=(
            "whether policy and reference are one model that moves, or neither moves: only "
            "log-probs of fixed pairs show it",
        ),
    )


def _not_zero(reading: Reading, largest: float) -> Verdict:
    """Return the verdict on rewards that are not 0: only a trend shows that something moves."""
    trends = reading.trends
    moves = [] if trends is None else [trends.chosen, trends.rejected, trends.margin]
    evidence = (Evidence("largest reward", largest, "reward units"),)
    if any(one.direction in (Direction.UP, Direction.DOWN) for one in moves):
        sentence = f"the weights move: the rewards have a trend, and reach {largest:.3g}"
        return Verdict(NAME, Status.ABSENT, f"{sentence} reward units", evidence=evidence)
    return Verdict(
        NAME,
        Status.UNKNOWN,
        f"cannot tell: the rewards reach {largest:.3g} reward units without a trend, as they do "
        "where batches differ and nothing moves",
        evidence=evidence,
        unseen=(NO_PROBE,),
    )


def example(seed: int) -> Run:
    """Return a run whose weights never change."""
    return probe_examples.frozen(seed)


PATHOLOGY = Pathology(NAME, "Frozen weights", __doc__, check, example)
