"""The fixed pairs as arrays: evaluations by sides by pairs, NaN for whatever is missing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from diagnostics.intervals import Floats, Ints
from diagnostics.run import Run
from diagnostics.share import ABSURD_LOGP, default_split

SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class ProbeGrid:
    """The probe pairs of one split over the evaluations of a run.

    `steps` (T) ascend, `pairs` (P) are their numbers in the table, `prompts` (P) index their
    clusters; `logps` (T, 2, P) are summed [nats per completion], `tokens` (2, P) lengths. Only
    pairs whose both sides are finite at the first and the last evaluation are in it.
    """

    split: str
    steps: Ints
    pairs: Ints
    prompts: Ints
    logps: Floats
    tokens: Floats
    frame: pd.DataFrame

    @cached_property
    def deltas(self) -> Floats:
        """Change since the first evaluation (T, 2, P) [nats per completion]."""
        return self.logps - self.logps[:1]

    @cached_property
    def margins(self) -> Floats:
        """Per-token change of chosen minus that of rejected (T, P) [nats per token]."""
        per_token = self.deltas / self.tokens
        return np.asarray(per_token[:, 0] - per_token[:, 1])

    def column(self, name: str) -> Floats:
        """Return another quantity of the table, of both sides (T, 2, P); NaN if not logged."""
        return _grid(self.frame, self.steps, self.pairs, name)


def probe_grid(run: Run, split: str | None = None) -> ProbeGrid | None:
    """Return the pairs of a split (default: the one that the regime is named on).

    None where no pair has both sides at the first and the last evaluation, as in unpaired data.
    """
    frame = run.probes
    if frame.empty or not {"split", "step", "pair"} <= set(frame):
        return None
    split = default_split(run) if split is None else split
    frame = frame[(frame["split"] == split) & _whole(frame, "step") & _whole(frame, "pair")]
    frame = frame.drop_duplicates(["step", "pair"], keep="last")
    steps = np.unique(frame["step"].astype(np.int64))
    pairs = np.unique(frame["pair"].astype(np.int64))
    if not steps.size:
        return None
    logps = _grid(frame, steps, pairs, "logps")
    tokens = _grid(frame, steps, pairs, "completion_tokens")
    lengths = np.where(tokens > 0, tokens, np.nan)[-1]
    usable = np.isfinite(logps[[0, -1]]).all(axis=(0, 1)) & np.isfinite(lengths).all(axis=0)
    if not usable.any():
        return None
    pairs = pairs[usable]
    return ProbeGrid(
        split=split,
        steps=steps,
        pairs=pairs,
        prompts=_clusters(frame, pairs),
        logps=logps[:, :, usable],
        tokens=lengths[:, usable],
        frame=frame[frame["pair"].isin(pairs)],
    )


def finite_numbers(values: pd.Series) -> Floats:
    """Return a column as floats, NaN for whatever is no usable number."""
    floats = np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
    return np.where(np.abs(floats) < ABSURD_LOGP, floats, np.nan)


def first_values(table: pd.DataFrame, column: str) -> Floats:
    """Return the finite values of a column at the first step of a pair table; none if absent."""
    if not {"step", column} <= set(table):
        return np.empty(0)
    steps = finite_numbers(table["step"])
    values = finite_numbers(table[column])[steps == np.nanmin(steps, initial=np.inf)]
    return np.asarray(values[np.isfinite(values)])


def _whole(frame: pd.DataFrame, column: str) -> pd.Series:
    return pd.Series(np.isfinite(finite_numbers(frame[column])), index=frame.index)


def _grid(frame: pd.DataFrame, steps: Ints, pairs: Ints, name: str) -> Floats:
    """Return `name/chosen` and `name/rejected` as (steps, 2, pairs)."""
    grid = np.full((len(steps), len(SIDES), len(pairs)), np.nan)
    known = frame["pair"].isin(pairs)
    rows = np.searchsorted(steps, frame["step"][known].astype(np.int64))
    columns = np.searchsorted(pairs, frame["pair"][known].astype(np.int64))
    for side, label in enumerate(SIDES):
        if f"{name}/{label}" in frame:
            grid[rows, side, columns] = finite_numbers(frame[f"{name}/{label}"][known])
    return grid


def _clusters(frame: pd.DataFrame, pairs: Ints) -> Ints:
    """Return a number for each pair's prompt; a pair without one is its own cluster."""
    if "prompt" not in frame:
        return np.arange(len(pairs), dtype=np.int64)
    prompts = frame.drop_duplicates("pair", keep="last").set_index("pair")["prompt"]
    names = [prompts.get(pair) for pair in pairs]
    keys = [
        name if isinstance(name, str) and name else pair
        for name, pair in zip(names, pairs, strict=True)
    ]
    codes: dict[object, int] = {}
    return np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)
