"""The path of a run through its probe evaluations, and the place where it has come so far.

A path keeps the influence of every prompt on every number, on one list of prompts for all runs,
so that differences between runs and places keep their covariance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from diagnostics.intervals import Floats, Ints, Mean, clustered_mean
from diagnostics.probegrid import ProbeGrid, finite_numbers, probe_grid
from diagnostics.run import Run

QUANTITIES = ("chosen", "rejected", "margin", "drift")


@dataclass(frozen=True)
class Place:
    """A run at a matched place; changes since its start [nats per token].

    `step` lies between evaluations where the place does. `drift` is None without reference
    samples.
    """

    step: float
    chosen: Mean
    rejected: Mean
    margin: Mean
    drift: Mean | None

    def get(self, quantity: str) -> Mean | None:
        """Return one of `QUANTITIES`."""
        return {
            "chosen": self.chosen,
            "rejected": self.rejected,
            "margin": self.margin,
            "drift": self.drift,
        }[quantity]


@dataclass(frozen=True)
class Track:
    """One run's path: influences of every evaluation on one list of clusters.

    `margins` and `drifts` (T,) are the path itself, NaN where unknown.
    """

    run: Run
    grid: ProbeGrid
    steps: Ints
    chosen: list[Mean]
    rejected: list[Mean]
    drift: list[Mean | None]

    def path(self, match: str) -> Floats:
        """Return "step", "margin" or "drift" at each evaluation (T,)."""
        if match == "step":
            return self.steps.astype(np.float64)
        return self.margins if match == "margin" else self.drifts

    @property
    def margins(self) -> Floats:
        """The margin at each evaluation (T,) [nats per token]."""
        pairs = zip(self.chosen, self.rejected, strict=True)
        return np.array([chosen.value - rejected.value for chosen, rejected in pairs])

    @property
    def drifts(self) -> Floats:
        """The drift at each evaluation (T,) [nats per token]."""
        return np.array([nan if one is None else one.value for one in self.drift])

    def between(self, before: int, weight: float) -> Place:
        """Return the place a part `weight` of the way from one evaluation to the next."""
        after = min(before + 1, len(self.steps) - 1)
        chosen = _mixed(self.chosen[before], self.chosen[after], weight)
        rejected = _mixed(self.rejected[before], self.rejected[after], weight)
        drifts = self.drift[before], self.drift[after]
        drift = None
        if drifts[0] is not None and drifts[1] is not None:
            drift = _mixed(drifts[0], drifts[1], weight)
        step = (1 - weight) * float(self.steps[before]) + weight * float(self.steps[after])
        return Place(step, chosen, rejected, chosen - rejected, drift)

    def at(self, match: str, value: float) -> Place | None:
        """Return the first place at which the path reaches a value; None where it does not."""
        known = self.path(match)
        reached = np.flatnonzero(known >= value - 1e-12)
        if not reached.size:
            return None
        after = int(reached[0])
        if after == 0:
            return self.between(0, 0.0)
        rise = float(known[after] - known[after - 1])
        weight = float(np.clip((value - known[after - 1]) / rise, 0, 1)) if rise > 0 else 1.0
        place = self.between(after - 1, weight)
        if match == "step" or not rise > 0:
            return place
        return self._corrected(place, match, after, rise)

    def _corrected(self, place: Place, match: str, after: int, rise: float) -> Place:
        """Return a place whose influences know that where it lies is an estimate.

        With x the matched quantity and y another, y at x = v has the influence
        IF(y) - (dy / dx) IF(x), and x itself none.
        """
        own = place.get(match)
        if own is None:
            return place
        one, other = self.between(after - 1, 0.0), self.between(after - 1, 1.0)

        def moved(quantity: str) -> Mean | None:
            here, a, b = place.get(quantity), one.get(quantity), other.get(quantity)
            if here is None or a is None or b is None:
                return None
            slope = (b.value - a.value) / rise
            clusters = min(here.clusters, own.clusters)
            return Mean(here.value, here.influence - slope * own.influence, clusters)

        chosen, rejected = moved("chosen"), moved("rejected")
        if chosen is None or rejected is None:
            return place
        return Place(place.step, chosen, rejected, chosen - rejected, moved("drift"))


def tracks_of(runs: Sequence[Run]) -> list[Track | None]:
    """Return the paths of the runs on one list of clusters; None without usable probe pairs."""
    codes: dict[object, int] = {}
    grids = [probe_grid(run) for run in runs]
    places = [None if grid is None else _clusters(grid, codes) for grid in grids]
    samples = [_samples(run, codes) for run in runs]
    return [
        None
        if grid is None or clusters is None
        else _track(run, grid, clusters, sample, len(codes))
        for run, grid, clusters, sample in zip(runs, grids, places, samples, strict=True)
    ]


_Samples = tuple[Ints, Floats, Floats, Ints]


def _clusters(grid: ProbeGrid, codes: dict[object, int]) -> Ints:
    frame = grid.frame.drop_duplicates("pair", keep="last").set_index("pair")
    prompts: Mapping[object, object] = frame.get("prompt", {})
    keys = [_key(prompts.get(pair), "pair", pair) for pair in grid.pairs]
    return np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)


def _key(prompt: object, kind: str, name: object) -> object:
    return prompt if isinstance(prompt, str) and prompt else (kind, name)


def _samples(run: Run, codes: dict[object, int]) -> _Samples | None:
    """Return steps (T), log-probabilities (T, P), lengths (P) and clusters (P) of the samples."""
    frame = run.samples
    if not {"step", "sample", "logps", "completion_tokens"} <= set(frame) or not len(frame):
        return None
    known = np.isfinite(finite_numbers(frame["step"])) & frame["sample"].notna().to_numpy()
    frame = frame[known].assign(step=frame["step"][known].astype(np.int64))
    frame = frame.drop_duplicates(["step", "sample"], keep="last")
    if not len(frame):
        return None
    steps, rows = np.unique(frame["step"], return_inverse=True)
    columns, names = pd.factorize(frame["sample"])
    logps = np.full((len(steps), len(names)), nan)
    logps[rows, columns] = finite_numbers(frame["logps"])
    tokens, last = np.full(len(names), nan), np.zeros(len(names), dtype=np.int64)
    tokens[columns] = finite_numbers(frame["completion_tokens"])
    last[columns] = np.arange(len(frame))
    prompts = frame["prompt"].to_numpy(object)[last] if "prompt" in frame else [None] * len(names)
    keys = [_key(prompt, "sample", name) for prompt, name in zip(prompts, names, strict=True)]
    numbers = np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)
    return steps.astype(np.int64), logps, tokens, numbers


def _track(run: Run, grid: ProbeGrid, clusters: Ints, samples: _Samples | None, n: int) -> Track:
    per_token = grid.deltas / grid.tokens
    usable = np.asarray(np.isfinite(per_token).all(axis=1, keepdims=True), dtype=np.bool_)
    per_token = np.where(usable, per_token, nan)
    whole = np.asarray(usable[:, 0].any(axis=1))
    chosen, rejected = (
        [clustered_mean(row, clusters, n) for row in per_token[whole, side]] for side in (0, 1)
    )
    steps = grid.steps[whole]
    drift = [_drift(samples, int(step), int(grid.steps[0]), n) for step in steps]
    return Track(run, grid, steps, chosen, rejected, drift)


def _drift(samples: _Samples | None, step: int, start: int, n: int) -> Mean | None:
    """Return the forward KL per token (arXiv 2404.12358, Eq. 16), as `share` estimates it."""
    if samples is None:
        return None
    steps, logps, tokens, clusters = samples
    if step not in steps or steps[0] != start:
        return None
    fallen = logps[0] - logps[int(np.searchsorted(steps, step))]
    fallen = np.where(tokens > 0, fallen, nan)
    if not np.isfinite(fallen).any():
        return None
    return clustered_mean(fallen, clusters, n, np.where(tokens > 0, tokens, 1.0))


def _mixed(one: Mean, other: Mean, weight: float) -> Mean:
    return Mean(
        (1 - weight) * one.value + weight * other.value,
        (1 - weight) * one.influence + weight * other.influence,
        min(one.clusters, other.clusters),
    )
