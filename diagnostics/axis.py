"""What curves are drawn against: optimizer steps, or another measure of how far training has come.

Epochs, tokens and times are what the log's rows say, drift is what the reference samples of the
probe set measured. Between two steps at which the quantity is known it is a straight line; beyond
the first and the last of them it is not known, and what lies there is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, nan

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from diagnostics.intervals import Floats
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN, metric
from diagnostics.share import ShareEstimate

NAMES = ("step", "epoch", "tokens", "time", "drift")

# Seconds of the longest log whose times are told in a unit, and that unit's seconds.
_CLOCKS = (
    (3 * 60, 1, "s"),
    (3 * 3600, 60, "min"),
    (4 * 86400, 3600, "h"),
    (inf, 86400, "days"),
)


@dataclass(frozen=True)
class Axis:
    """One choice of the x-axis.

    `steps` (n,) are those at which the quantity is known, ascending, and `values` (n,) what it is
    there; both are empty for the steps themselves. `note` says in one sentence how the numbers
    between came about, "" where there is nothing to say.
    """

    name: str
    title: str
    steps: Floats = field(default_factory=lambda: np.empty(0))
    values: Floats = field(default_factory=lambda: np.empty(0))
    note: str = ""

    @property
    def counts_steps(self) -> bool:
        """Whether the axis is that of the steps themselves."""
        return not len(self.steps)

    @property
    def turns_back(self) -> bool:
        """Whether the quantity shrinks somewhere, so that one place belongs to several steps."""
        return bool((np.diff(self.values) < 0).any())

    def at(self, steps: ArrayLike) -> Floats:
        """Return the places of steps (n,), NaN where the quantity is not known.

        Examples
        --------
        >>> Axis("epoch", "Epoch", np.array([0.0, 10.0]), np.array([0.0, 1.0])).at([5, 12])
        array([0.5, nan])
        """
        asked = np.asarray(steps, dtype=np.float64)
        if self.counts_steps:
            return asked
        return np.interp(asked, self.steps, self.values, left=nan, right=nan)

    def span(self, first: float, last: float) -> tuple[float, float]:
        """Return the smallest and the largest place between two steps."""
        if self.counts_steps:
            return first, last
        ends = np.interp([first, last], self.steps, self.values)
        inside = self.values[(self.steps >= first) & (self.steps <= last)]
        seen = np.concatenate([ends, inside])
        return float(seen.min()), float(seen.max())

    def steps_of(self, low: float, high: float) -> tuple[float, float] | None:
        """Return the first and the last step between two places.

        None where the quantity turns back, or where no step lies between.
        """
        if self.counts_steps:
            return low, high
        if self.turns_back:
            return None
        grid, places = self.steps, self.values
        first = float(np.interp(low, places, grid))
        last = float(np.interp(high, places, grid))
        # Where the quantity stands still, `interp` names any of its steps; all belong inside.
        inside = grid[(places >= low) & (places <= high)]
        if len(inside):
            first, last = min(first, float(inside[0])), max(last, float(inside[-1]))
        return (first, last) if last > first else None

    def left_out(self, steps: ArrayLike) -> int:
        """Return how many of the steps have no place."""
        return int(np.isnan(self.at(steps)).sum())


STEP = Axis("step", "Optimizer step")


@dataclass(frozen=True)
class View:
    """What part of a run is shown, against what: `steps` is the first and the last, or all."""

    axis: Axis = STEP
    steps: tuple[float, float] | None = None


WHOLE = View()


@dataclass(frozen=True)
class Choice:
    """The axes that a run supports by name, in the order of `NAMES`, and why others are missing.

    `refused` holds one clause for each quantity that is in the log and cannot be used.
    """

    axes: dict[str, Axis]
    refused: tuple[str, ...] = ()


def axes(run: Run, estimates: Sequence[ShareEstimate] = ()) -> Choice:
    """Return what the curves of a run can be drawn against; steps always can be.

    `estimates` are those of the probe set, in order of step, where there is one.
    """
    found, refused = {"step": STEP}, []
    for axis in _candidates(run, estimates):
        if not len(axis.values) or np.ptp(axis.values) == 0:
            continue
        if axis.name != "drift" and axis.turns_back:
            at = int(axis.steps[1:][np.diff(axis.values) < 0][0])
            refused.append(f"{axis.name} runs backwards at step {at:,}")
        else:
            found[axis.name] = axis
    return Choice(found, tuple(refused))


def _candidates(run: Run, estimates: Sequence[ShareEstimate]) -> Iterator[Axis]:
    for name in ("epoch", "tokens"):
        steps, values = _column(run.train, name)
        rows = len(run.train)
        note = (
            f"{metric(name).label} is logged at {len(steps):,} of {rows:,} records, and a straight "
            "line between them."
            if len(steps) < rows
            else ""
        )
        entry = metric(name)
        own = entry.label.lower() == entry.unit
        title = entry.label if own else f"{entry.label} [{entry.unit}]"
        yield Axis(name, title, *_from_zero(steps, values), note)
    yield _time(run)
    known = [
        (float(one.step), one.drift.value)
        for one in estimates
        if one.drift is not None and isfinite(one.drift.value)
    ]
    steps, values = np.array(known, dtype=np.float64).reshape(-1, 2).T
    yield Axis(
        "drift",
        f"Drift [{NATS_PER_TOKEN}]",
        steps,
        values,
        f"Drift is measured at {len(steps):,} evaluations, and a straight line between them.",
    )


def _column(frame: pd.DataFrame, name: str) -> tuple[Floats, Floats]:
    """Return steps and values of the finite numbers of a column; both empty without one."""
    if name not in frame:
        return np.empty(0), np.empty(0)
    values = np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)
    known = np.isfinite(values)
    return frame.index.to_numpy(np.float64)[known], values[known]


def _from_zero(steps: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the series with its start: before the first step nothing has been computed yet."""
    if len(steps) and steps[0] > 0 and values[0] >= 0:
        return np.concatenate([[0.0], steps]), np.concatenate([[0.0], values])
    return steps, values


def _time(run: Run) -> Axis:
    """Return the axis of the times at which rows were written, since the first of them."""
    steps, seconds = _column(run.train, "time")
    others, theirs = _column(run.evals, "time")
    place = np.searchsorted(steps, others)
    # A row of the same step is written after the training's.
    new = place == np.searchsorted(steps, others, side="right")
    steps = np.insert(steps, place[new], others[new])
    seconds = np.insert(seconds, place[new], theirs[new])
    if not len(steps):
        return Axis("time", "Time")
    seconds = seconds - seconds[0]
    length = float(seconds.max())
    scale, unit = next((scale, unit) for most, scale, unit in _CLOCKS if length <= most)
    return Axis("time", f"Time since the first record [{unit}]", steps, seconds / scale)
