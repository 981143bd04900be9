"""Logged rewards as changes since the start of the run, in the best unit the log allows.

A run without a probe set has only the averages that its trainer logged. They become nats where
`Run.meaning` says what they are; otherwise they stay reward units, in which directions and the
share S can be read and sizes cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diagnostics.intervals import Floats, Ints
from diagnostics.schema import NATS, NATS_PER_TOKEN, REWARD_UNIT

if TYPE_CHECKING:
    from diagnostics.meaning import Meaning
    from diagnostics.run import Run

# A smaller change is no direction, however significant. Proposals of this project: 0.01 nats per
# token is 1 % of perplexity; the other two are what that is at ten tokens and beta 0.1, a low bar,
# because neither length nor beta is known where they are used.
FLOORS = {NATS_PER_TOKEN: 0.01, NATS: 0.1, REWARD_UNIT: 0.01}


@dataclass(frozen=True)
class Changes:
    """Change of both sides and of the margin since the start of the run, by logged step.

    Arrays have shape (T,), NaN where a number is missing; `margin` is the logged margin, or the
    difference of the sides where none is logged. `unit` is one of the keys of `FLOORS`, `floor`
    is in it. `from_reference` says that 0 is the reference policy; otherwise 0 is the first
    record. `rows` is "train" or "evals".
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

    @property
    def points(self) -> int:
        """The number of steps at which both sides are finite."""
        return int((np.isfinite(self.chosen) & np.isfinite(self.rejected)).sum())


def changes(run: Run, rows: str = "train") -> Changes | None:
    """Return the change of both sides over the logged `rows`; None where they log neither side."""
    frame = run.train if rows == "train" else run.evals
    if not any(_has_both(frame, kind) for kind in ("rewards", "logps_per_token")):
        return None
    meaning = run.meaning
    known = meaning is not None and meaning.factor
    per_token = _has_both(frame, "logps_per_token")
    if per_token and not known and (meaning is None or not meaning.base.has_reference):
        return _from_logps(frame, rows)
    return _from_rewards(frame, rows, meaning) if _has_both(frame, "rewards") else None


def _has_both(frame: pd.DataFrame, kind: str) -> bool:
    return all(
        f"{kind}/{side}" in frame and np.isfinite(frame[f"{kind}/{side}"].to_numpy(float)).any()
        for side in ("chosen", "rejected")
    )


def _values(frame: pd.DataFrame, column: str) -> Floats:
    values = np.asarray(pd.to_numeric(frame[column], errors="coerce"), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _from_logps(frame: pd.DataFrame, rows: str) -> Changes:
    chosen, rejected = (_values(frame, f"logps_per_token/{s}") for s in ("chosen", "rejected"))
    chosen, rejected = _since_first(chosen), _since_first(rejected)
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


def _from_rewards(frame: pd.DataFrame, rows: str, meaning: Meaning | None) -> Changes:
    sides = {side: _values(frame, f"rewards/{side}") for side in ("chosen", "rejected")}
    from_reference = meaning is not None and meaning.base.has_reference
    margin = sides["chosen"] - sides["rejected"]
    if "rewards/margins" in frame:
        logged = _values(frame, "rewards/margins")
        margin = np.where(np.isfinite(logged), logged, margin)
    if not from_reference:
        sides = {side: _since_first(values) for side, values in sides.items()}
        margin = _since_first(margin)
    unit, divisors, notes = _scale(frame, meaning)
    chosen, rejected = sides["chosen"] / divisors[0], sides["rejected"] / divisors[1]
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
    )


def _since_first(values: Floats) -> Floats:
    finite = values[np.isfinite(values)]
    return values - finite[0] if finite.size else values


def _scale(
    frame: pd.DataFrame, meaning: Meaning | None
) -> tuple[str, tuple[float, float], tuple[str, ...]]:
    """Return the unit, what to divide each side by, and what a reader of the numbers must know."""
    if meaning is None or not meaning.factor or meaning.base.value == "another quantity":
        why = meaning.why if meaning is not None else ""
        note = why or "what the logged rewards are is not known"
        return REWARD_UNIT, (1.0, 1.0), (f"kept in reward units: {note}",)
    factor = meaning.factor
    if meaning.base.per_token:
        return NATS_PER_TOKEN, (factor, factor), ()
    lengths = [_mean_length(frame, side) for side in ("chosen", "rejected")]
    if not all(length > 0 for length in lengths):
        return NATS, (factor, factor), ("lengths are not logged: nats per completion",)
    note = "nats per token as mean change over mean length, not pair by pair"
    return NATS_PER_TOKEN, (factor * lengths[0], factor * lengths[1]), (note,)


def _mean_length(frame: pd.DataFrame, side: str) -> float:
    column = f"completion_tokens/{side}"
    if column not in frame:
        return 0.0
    values = _values(frame, column)
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
