"""Logged rewards as changes since the start of the run, in the best unit the log allows.

A run without a probe set has only the averages that its trainer logged. They become nats where
`Run.meaning` says what they are; otherwise they stay reward units, in which directions and the
share S can be read and sizes cannot be compared. Training rows average other pairs at each record,
evaluation rows the same held-out pairs: the two are never mixed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diagnostics.intervals import Floats, Interval, Ints
from diagnostics.levels import with_levels
from diagnostics.meaning import Base
from diagnostics.methods import METHODS
from diagnostics.schema import NATS, NATS_PER_TOKEN, REWARD_UNIT
from diagnostics.share import ABSURD_LOGP, tide
from diagnostics.trends import PairTrends, pair_trends

if TYPE_CHECKING:
    from diagnostics.meaning import Meaning
    from diagnostics.run import Run

# A smaller change is no direction, however significant. Proposals of this project: 0.01 nats per
# token is 1 % of perplexity; the other two are what that is at ten tokens and beta 0.1, a low bar,
# because neither length nor beta is known where they are used.
FLOORS = {NATS_PER_TOKEN: 0.01, NATS: 0.1, REWARD_UNIT: 0.01}
MIN_LOGGED = 6  # records; with fewer, no direction is read from a log
ROWS = {"train": "training batches", "evals": "evaluations"}
_SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class Changes:
    """Change of both sides and of the margin since the start of the run, by logged step.

    Arrays have shape (T,), NaN where a number is missing; `margin` is the logged margin, or the
    difference of the sides where none is logged. `unit` is one of the keys of `FLOORS`, `floor`
    is in it. `from_reference` says that 0 is the reference policy; otherwise 0 is the first
    record. `rows` is "train" or "evals". `refusal` says why sizes cannot be held against those of
    other runs, None where they can. `drift` (T,) is the forward KL of reference samples
    [nats per token] where the run has them and the changes are per token.
    """

    rows: str
    steps: Ints
    chosen: Floats
    rejected: Floats
    margin: Floats
    unit: str
    floor: float
    from_reference: bool
    notes: tuple[str, ...] = ()
    refusal: str | None = None
    drift: Floats | None = None

    @property
    def points(self) -> int:
        """The number of steps at which both sides are finite."""
        return int((np.isfinite(self.chosen) & np.isfinite(self.rejected)).sum())


@dataclass(frozen=True)
class Logged:
    """The changes of one kind of rows with the directions read off them."""

    changes: Changes
    trends: PairTrends


def logged(run: Run) -> tuple[Logged, ...]:
    """Return what the training and the evaluation rows say, the one to judge by first.

    That is the training rows, unless only the evaluation rows have enough points.
    """
    both = [one for one in (changes(run), changes(run, "evals")) if one is not None]
    both.sort(key=lambda one: one.points < MIN_LOGGED)
    return tuple(Logged(one, _trends(one)) for one in both)


def _trends(one: Changes) -> PairTrends:
    found = pair_trends(one.steps, one.chosen, one.rejected, one.margin, floor=one.floor)
    if one.rows != "train" or not one.from_reference:
        return found
    return with_levels(found, (one.chosen, one.rejected, one.margin), one.floor)


def changes(run: Run, rows: str = "train") -> Changes | None:
    """Return the change of both sides over the logged `rows`; None where `refusal` says why."""
    if refusal(run, rows) is not None:
        return None
    frame = run.train if rows == "train" else run.evals
    logps = source(run, rows) == "logps_per_token"
    found = _from_logps(frame, rows) if logps else _from_rewards(run, frame, rows)
    return replace(found, drift=_drift(run, found))


def source(run: Run, rows: str = "train") -> str:
    """Return which columns the changes are made of: "rewards" or "logps_per_token"."""
    frame = run.train if rows == "train" else run.evals
    return "logps_per_token" if _by_logps(run, frame) else "rewards"


def refusal(run: Run, rows: str = "train") -> str | None:
    """Return why the rows give no changes, with what would; None where they do."""
    frame = run.train if rows == "train" else run.evals
    what = ROWS[rows]
    if not len(frame):
        return f"the log has no rows of {what}"
    kinds = ("rewards", "logps_per_token")
    if any(_has_both(frame, kind) for kind in kinds):
        return None
    sides = [side for side in _SIDES if any(_has(frame, f"{kind}/{side}") for kind in kinds)]
    if len(sides) == len(_SIDES):
        return f"the {what} log the two sides as different quantities; log the rewards of both"
    if sides:
        missing = next(side for side in _SIDES if side not in sides)
        return f"the {what} log the {sides[0]} side only; rewards/{missing} is needed too"
    return f"the {what} log neither rewards nor log-probs per token of the two sides"


def _by_logps(run: Run, frame: pd.DataFrame) -> bool:
    """Whether logged log-probs per token serve better than the logged rewards.

    They do for a method without a reference whose beta is not known: its reward is a multiple of
    the same number. With a reference they do not: rewards subtract it pair by pair, and without
    that the luck of the batch is larger than the change.
    """
    if not _has_both(frame, "logps_per_token"):
        return False
    if not _has_both(frame, "rewards"):
        return True
    meaning = run.meaning
    if meaning is not None:
        return not meaning.base.has_reference and _factor(meaning) is None
    method = METHODS.get(run.method or "")
    return method is not None and not method.reference


def _has(frame: pd.DataFrame, column: str) -> bool:
    return column in frame and bool(np.isfinite(_values(frame, column)).any())


def _has_both(frame: pd.DataFrame, kind: str) -> bool:
    return all(_has(frame, f"{kind}/{side}") for side in _SIDES)


def _values(frame: pd.DataFrame, column: str) -> Floats:
    values = np.asarray(pd.to_numeric(frame[column], errors="coerce"), dtype=np.float64)
    return np.where(np.abs(values) < ABSURD_LOGP, values, np.nan)


def _factor(meaning: Meaning) -> float | None:
    """Return the factor where it can be divided by."""
    factor = meaning.factor
    return factor if factor is not None and isfinite(factor) and factor > 0 else None


def _from_logps(frame: pd.DataFrame, rows: str) -> Changes:
    chosen, rejected = _since_first(*(_values(frame, f"logps_per_token/{s}") for s in _SIDES))
    return Changes(
        rows=rows,
        steps=frame.index.to_numpy(np.int64),
        chosen=chosen,
        rejected=rejected,
        margin=chosen - rejected,
        unit=NATS_PER_TOKEN,
        floor=FLOORS[NATS_PER_TOKEN],
        from_reference=False,
        notes=("from the logged log-probs per token, against the first record",),
    )


def _from_rewards(run: Run, frame: pd.DataFrame, rows: str) -> Changes:
    meaning = run.meaning
    chosen, rejected = (_values(frame, f"rewards/{side}") for side in _SIDES)
    from_reference = meaning is not None and meaning.base.has_reference
    margin = chosen - rejected
    if "rewards/margins" in frame:
        logged_margin = _values(frame, "rewards/margins")
        margin = np.where(np.isfinite(logged_margin), logged_margin, margin)
    if not from_reference:
        margin = margin - _at_first(margin, chosen, rejected)
        chosen, rejected = _since_first(chosen, rejected)
    unit, divisors, notes = _scale(frame, meaning)
    chosen, rejected = chosen / divisors[0], rejected / divisors[1]
    # With one divisor the logged margin keeps its own averaging; with two it is the difference.
    margin = margin / divisors[0] if divisors[0] == divisors[1] else chosen - rejected
    return Changes(
        rows=rows,
        steps=frame.index.to_numpy(np.int64),
        chosen=chosen,
        rejected=rejected,
        margin=margin,
        unit=unit,
        floor=FLOORS[unit],
        from_reference=from_reference,
        notes=notes,
        refusal=None if unit == NATS_PER_TOKEN else notes[0],
    )


def _since_first(chosen: Floats, rejected: Floats) -> tuple[Floats, Floats]:
    """Return both sides less their value in the first record that has both."""
    return (
        chosen - _at_first(chosen, chosen, rejected),
        rejected - _at_first(rejected, chosen, rejected),
    )


def _at_first(values: Floats, chosen: Floats, rejected: Floats) -> float:
    both = np.isfinite(values) & np.isfinite(chosen) & np.isfinite(rejected)
    if not both.any():
        both = np.isfinite(values)
    return float(values[both][0]) if both.any() else 0.0


def _scale(
    frame: pd.DataFrame, meaning: Meaning | None
) -> tuple[str, tuple[float, float], tuple[str, ...]]:
    """Return the unit, what to divide each side by, and what a reader of the numbers must know."""
    factor = None if meaning is None or meaning.base is Base.OTHER else _factor(meaning)
    if meaning is None or factor is None:
        why = meaning.why if meaning is not None else ""
        note = why.rstrip(".") or "what the logged rewards are is not known"
        return REWARD_UNIT, (1.0, 1.0), (f"kept in reward units: {note}",)
    if meaning.base.per_token:
        return NATS_PER_TOKEN, (factor, factor), ()
    lengths = [_mean_length(frame, side) for side in _SIDES]
    if not all(length > 0 for length in lengths):
        return NATS, (factor, factor), ("lengths are not logged: nats per completion",)
    note = "nats per token as mean change over mean length, not pair by pair"
    return NATS_PER_TOKEN, (factor * lengths[0], factor * lengths[1]), (note,)


def _mean_length(frame: pd.DataFrame, side: str) -> float:
    column = f"completion_tokens/{side}"
    return float(np.nanmean(_values(frame, column))) if _has(frame, column) else 0.0


def _drift(run: Run, found: Changes) -> Floats | None:
    """Return the drift at the logged steps, between the evaluations by straight lines."""
    if found.unit != NATS_PER_TOKEN:
        return None
    known = [(step, one.value) for step, one in tide(run) if isfinite(one.value)]
    if len(known) < 2:
        return None
    at, values = (np.asarray(column, dtype=np.float64) for column in zip(*known, strict=True))
    return np.interp(found.steps, at, values, left=np.nan, right=np.nan)


def tide_corrected(side: Interval, found: Changes) -> Interval | None:
    """Return the change of a side plus the drift: what is left of it beyond the tide.

    None where the drift at the end is not known. The drift's own spread is small beside that of a
    side read off batches, and is left out.
    """
    if found.drift is None or not isfinite(side.value):
        return None
    known = found.drift[np.isfinite(found.drift)]
    if not known.size:
        return None
    more = float(known[-1]) - (0.0 if found.from_reference else float(known[0]))
    return Interval(side.value + more, side.low + more, side.high + more)
