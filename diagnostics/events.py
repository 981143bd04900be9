"""Events: single records of a log at which something happened, each with its step.

A record is held against its neighbours: a gradient norm far above theirs is a burst, a loss far
above theirs a spike, a number that is none where the column usually has one is a gap. One event is
no alarm; the pathology `instability` says when there are too many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics.blocks import median_of_three
from diagnostics.intervals import Flags, Floats
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.schema import metric

# Proposals of this project.
BURST = 5.0  # times the median gradient norm of the neighbours
SPIKE = 8.0  # robust standard deviations of the loss from the median of its neighbours
SPIKE_RATIO = 1.5  # and times that median
WINDOW = 5  # records on each side of one, as `_medians_of_five` takes them
MIN_RECORDS = 20
USUAL = 0.5  # share of the records from which on a column without a number has a gap
NORMAL_MAD = 1.4826

WATCHED = ("loss", "grad_norm", "rewards/chosen", "rewards/rejected")
"""Columns whose missing numbers are events."""

NOT_FINITE, LOSS_SPIKE, GRADIENT_BURST = "not finite", "loss spike", "gradient burst"
KINDS = (LOSS_SPIKE, GRADIENT_BURST, NOT_FINITE)


@dataclass(frozen=True)
class Event:
    """What happened at a step; `text` says it with its numbers.

    `last` is the last step of a stretch of records that are all alike, None for a single one.
    """

    kind: str
    step: int
    text: str
    last: int | None = None


def events(reading: Reading) -> tuple[Event, ...]:
    """Return the events of the training rows, by step."""
    found = [
        *_high(reading, "loss", spikes, LOSS_SPIKE),
        *_high(reading, "grad_norm", bursts, GRADIENT_BURST),
        *_gaps(reading.run),
    ]
    return tuple(sorted(found, key=lambda one: (one.step, KINDS.index(one.kind))))


def usual(values: Floats) -> Floats:
    """Return the larger median of the records before and after each one (n,); inf at both ends.

    A curve that falls steeply is no spike: what comes before a record lies above it.
    """
    higher = np.full(values.shape, np.inf)
    if values.size > 2 * WINDOW:
        # That of the records from each one on, `WINDOW` of them.
        medians = _medians_of_five(values)
        higher[WINDOW:-WINDOW] = np.maximum(medians[: -WINDOW - 1], medians[WINDOW + 1 :])
    return np.where(np.isnan(higher), np.inf, higher)


def _medians_of_five(values: Floats) -> Floats:
    """Return the median of every five neighbours (n - 4,); NaN where one of them is.

    Of four numbers the middle two are among the larger of the small ones and the smaller of the
    large ones of two pairs; a rolling median by sorting takes ten times as long.
    """
    a, b, c, d, e = (values[at : len(values) - 4 + at] for at in range(5))
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return median_of_three(low, high, e)


def bursts(norms: Floats, burst: float = BURST) -> Flags:
    """Return which gradient norms (n,) lie far above those of their neighbours."""
    if norms.size < MIN_RECORDS:
        return np.zeros(norms.size, dtype=bool)
    around = usual(norms)
    return np.asarray((norms / burst > around) & (around > 0))


def spikes(losses: Floats, spike: float = SPIKE) -> Flags:
    """Return which losses (n,) lie far above those of their neighbours."""
    if losses.size < MIN_RECORDS:
        return np.zeros(losses.size, dtype=bool)
    around = usual(losses)
    scatter = NORMAL_MAD * float(np.median(np.abs(np.diff(losses)))) / np.sqrt(2)
    limit = np.maximum(around + spike * scatter, SPIKE_RATIO * np.abs(around))
    return np.asarray(np.isfinite(around) & (losses > limit))


def _high(reading: Reading, name: str, flags: Callable[[Floats], Flags], kind: str) -> list[Event]:
    steps, values = reading.column(name)
    hit = flags(values)
    around = usual(values) if hit.any() else values
    label, unit = metric(name).label.lower(), metric(name).unit
    return [
        Event(kind, int(steps[at]), f"{label} {values[at]:.3g} {unit}, usually {around[at]:.3g}")
        for at in np.flatnonzero(hit)
    ]


def _gaps(run: Run) -> list[Event]:
    """Return the stretches of records in which columns that usually hold a number hold none."""
    names = [name for name in WATCHED if name in run.train]
    if not names or not len(run.train):
        return []
    values = run.train[names].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    finite = np.isfinite(values)
    # What is logged now and then has gaps by design; an infinity is one wherever it stands.
    often = finite.mean(axis=0) > USUAL
    if run.method == "kto":
        # A batch without one of the labels has no reward of it.
        often &= [not name.startswith("rewards/") for name in names]
    lost = np.where(often, ~finite, np.isinf(values))
    edges = np.flatnonzero(np.diff(lost.any(axis=1), prepend=False, append=False))
    steps = run.train.index
    return [
        Event(
            NOT_FINITE,
            int(steps[begin]),
            _listed([names[at] for at in np.flatnonzero(lost[begin:end].any(axis=0))]),
            int(steps[end - 1]),
        )
        for begin, end in edges.reshape(-1, 2)
    ]


def _listed(names: Sequence[str]) -> str:
    return f"not finite: {', '.join(metric(name).label.lower() for name in names)}"
