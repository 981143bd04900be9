"""Chosen share S, tide and drift: the numbers that compare across methods.

Everything is a change of a fixed probe set's log-probabilities since the start of the run, so no
reward scale enters: with Delta = z - z at the start, S = Delta_w / (Delta_w - Delta_l) says which
part of the margin's growth the chosen side carried. S > 1: both sides rose; 0 < S < 1: chosen rose
and rejected fell; S < 0: both fell.

The primary scale is nats per token: each completion's change divided by its scored tokens, then
averaged over pairs. Summed nats per completion are reported beside it, because the two can differ
in sign when lengths differ.

Intervals are 95 %; pairs that share a prompt are one cluster, so a prompt that was sampled many
times does not count as many observations. Differences are taken pair by pair, and S carries the
joint covariance of its numerator and denominator.

References
----------
- arXiv 2404.12358, Eq. 16: the mean log-ratio of reference samples is minus the forward KL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from diagnostics.intervals import (
    UNDEFINED,
    Flags,
    Floats,
    Interval,
    Ints,
    Mean,
    clustered_fraction,
    clustered_mean,
    clustered_ratio,
)

if TYPE_CHECKING:
    from diagnostics.run import Run

__all__ = [
    "Interval",
    "ShareEstimate",
    "default_split",
    "estimate",
    "tide",
    "trajectory",
    "undefined",
]

SPLITS = ("train", "held_out")  # in order of preference
# A log-probability this large [nats] is a broken record, and its square would overflow.
ABSURD_LOGP = 1e12

_SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class ShareEstimate:
    """What one evaluation of the probe set says about the change since the start of the run.

    `delta_*` and `margin` are nats per token, their `*_sum` forms nats per completion. A share is
    None unless the margin has significantly grown. `drift` is the forward KL from the initial
    policy [nats per token], estimated on samples drawn from it; None without such samples.
    `tide_corrected_chosen` is `delta_chosen + drift`: negative where chosen completions fell more
    than ordinary text of the initial policy. Accuracies are fractions of pairs; None for unpaired
    data, and the reward accuracy also at the start, where nothing has changed yet.

    `n_pairs` counts the pairs used (for unpaired data the examples of the smaller side),
    `n_prompts` their clusters, `left_out` the pairs that have no finite value here.
    `completion_tokens` is the mean length over both sides. Without usable pairs every number is
    NaN.
    """

    step: int
    split: str
    n_pairs: int
    delta_chosen: Interval
    delta_rejected: Interval
    margin: Interval
    share: Interval | None
    delta_chosen_sum: Interval
    delta_rejected_sum: Interval
    margin_sum: Interval
    share_sum: Interval | None
    reward_accuracy: Interval | None
    ranking_accuracy: Interval | None
    ranking_accuracy_per_token: Interval | None
    drift: Interval | None
    tide_corrected_chosen: Interval | None
    start_step: int = 0
    paired: bool = True
    n_prompts: int = 0
    left_out: int = 0
    completion_tokens: float = nan


def estimate(run: Run, step: int | None = None, split: str | None = None) -> ShareEstimate:
    """Return the estimate of the last evaluation at or before `step` (default: the last one).

    `split` defaults to the train probe pairs, or the held-out ones where no train pair is usable.
    A run without such an evaluation gives an estimate with `n_pairs` 0 and NaN numbers.
    """
    split = default_split(run) if split is None else split
    if run.probes.empty:
        return undefined(0 if step is None else step, split)
    probe = _probe(run, split)
    last = len(probe.steps) - 1
    if step is not None:
        last = int(np.searchsorted(probe.steps, step, side="right")) - 1
    if last < 0:
        return undefined(0 if step is None else step, split)
    return _estimate(probe, last)


def trajectory(run: Run, split: str | None = None) -> list[ShareEstimate]:
    """Return one estimate for each evaluation of the probe set, the start included, by step."""
    if run.probes.empty:
        return []
    probe = _probe(run, default_split(run) if split is None else split)
    return [_estimate(probe, index) for index in range(len(probe.steps))]


def tide(run: Run) -> list[tuple[int, Interval]]:
    """Return the drift [nats per token] at each evaluation of the reference samples, by step.

    It needs no probe pair; a run without samples has none.
    """
    probe = _probe(run, default_split(run))
    steps = [int(step) for step in probe.samples.steps]
    found = [(step, _drift(probe, step, steps[0])) for step in steps]
    return [(step, drift.interval) for step, drift in found if drift is not None]


def default_split(run: Run) -> str:
    """Return the first of "train" and "held_out" that has a usable log-probability."""
    if "split" in run.probes and len(run.probes):
        for split in SPLITS:
            rows = run.probes[run.probes["split"] == split]
            if any(np.isfinite(_numbers(rows, f"logps/{side}")).any() for side in _SIDES):
                return split
    return SPLITS[0]


# The probe set as arrays: T evaluations, P items (pairs or samples); sides (chosen, rejected).


@dataclass(frozen=True)
class _Scores:
    """Log-probabilities of fixed completions over the evaluations of a run.

    `logps` (T, sides, P) summed nats, NaN where unusable; `tokens` (sides, P), NaN where not
    positive; `prompts` (P) indexes the clusters.
    """

    steps: Ints
    logps: Floats
    tokens: Floats
    prompts: Ints


@dataclass(frozen=True)
class _Probe:
    """The fixed pairs of one split beside the reference samples; both use the same clusters."""

    split: str
    pairs: _Scores
    samples: _Scores
    n_prompts: int
    paired: bool

    @property
    def steps(self) -> Ints:
        return self.pairs.steps

    def mean(self, values: Floats) -> Mean:
        return clustered_mean(values, self.pairs.prompts, self.n_prompts)


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    """Return a column as floats (rows), NaN for whatever is absent or not a usable number."""
    if column not in frame:
        return np.full(len(frame), nan)
    values = np.asarray(pd.to_numeric(frame[column], errors="coerce"), dtype=np.float64)
    return np.where(np.abs(values) < ABSURD_LOGP, values, nan)


def _clusters(frame: pd.DataFrame, item: str) -> list[Any]:
    """Return each row's cluster: its prompt, or the item itself where the prompt is not known."""
    items = frame[item].tolist() if item in frame else list(range(len(frame)))
    prompts = frame["prompt"].tolist() if "prompt" in frame else [""] * len(frame)
    return [
        prompt if isinstance(prompt, str) and prompt else (item, name)
        for prompt, name in zip(prompts, items, strict=True)
    ]


def _scores(
    frame: pd.DataFrame, item: str, suffixes: Iterable[str], codes: dict[Any, int]
) -> _Scores:
    """Return the scores of a long table; the last of repeated rows wins.

    `codes` numbers the clusters, and grows by those met here.
    """
    steps_of_rows = _numbers(frame, "step")
    frame = frame[np.isfinite(steps_of_rows)]
    steps_of_rows = steps_of_rows[np.isfinite(steps_of_rows)]
    steps, step_codes = np.unique(steps_of_rows.astype(np.int64), return_inverse=True)
    items = frame[item] if item in frame else pd.Series(np.arange(len(frame)))
    item_codes, names = pd.factorize(items, use_na_sentinel=False)
    sides = tuple(suffixes)
    logps = np.full((len(steps), len(sides), len(names)), nan)
    tokens = np.full((len(sides), len(names)), nan)
    for index, suffix in enumerate(sides):
        logps[step_codes, index, item_codes] = _numbers(frame, f"logps{suffix}")
        length = _numbers(frame, f"completion_tokens{suffix}")
        known = length > 0
        tokens[index, item_codes[known]] = length[known]
    newest = ~pd.Index(item_codes).duplicated(keep="last")
    prompts = np.zeros(len(names), dtype=np.int64)
    for code, cluster in zip(item_codes[newest], _clusters(frame[newest], item), strict=True):
        prompts[code] = codes.setdefault(cluster, len(codes))
    return _Scores(steps, logps, tokens, prompts)


def _probe(run: Run, split: str) -> _Probe:
    frame = run.probes
    frame = frame[frame["split"] == split] if "split" in frame else frame.iloc[:0]
    codes: dict[Any, int] = {}
    pairs = _scores(frame, "pair", [f"/{side}" for side in _SIDES], codes)
    samples = _scores(run.samples, "sample", [""], codes)
    ever = np.isfinite(pairs.logps).any(axis=0)
    # Unpaired data has one side in each row; a pair that lost a side to NaN stays a pair.
    paired = 2 * int(ever.all(axis=0).sum()) >= int(ever.any(axis=0).sum())
    return _Probe(split, pairs, samples, len(codes), paired)


def _estimate(probe: _Probe, index: int) -> ShareEstimate:
    pairs, step, start = probe.pairs, int(probe.steps[index]), int(probe.steps[0])
    deltas = pairs.logps[index] - pairs.logps[0]
    usable = np.isfinite(deltas) & np.isfinite(pairs.tokens)
    if probe.paired:
        usable &= usable.all(axis=0)
    if not usable.any(axis=1).all():
        return undefined(step, probe.split, start, deltas.shape[1])
    deltas = np.where(usable, deltas, nan)
    chosen, rejected = map(probe.mean, deltas / pairs.tokens)
    chosen_sum, rejected_sum = map(probe.mean, deltas)
    margin, margin_sum = chosen - rejected, chosen_sum - rejected_sum
    reward, ranking, ranking_per_token = _accuracies(probe, index, usable)
    drift = _drift(probe, step, start)
    return ShareEstimate(
        step=step,
        split=probe.split,
        n_pairs=int(usable.sum(axis=1).min()),
        delta_chosen=chosen.interval,
        delta_rejected=rejected.interval,
        margin=margin.interval,
        share=_share(chosen, margin),
        delta_chosen_sum=chosen_sum.interval,
        delta_rejected_sum=rejected_sum.interval,
        margin_sum=margin_sum.interval,
        share_sum=_share(chosen_sum, margin_sum),
        reward_accuracy=reward,
        ranking_accuracy=ranking,
        ranking_accuracy_per_token=ranking_per_token,
        drift=None if drift is None else drift.interval,
        tide_corrected_chosen=None if drift is None else (chosen + drift).interval,
        start_step=start,
        paired=probe.paired,
        n_prompts=min(chosen.clusters, rejected.clusters),
        left_out=deltas.shape[1] - int(usable.any(axis=0).sum()),
        completion_tokens=float(pairs.tokens[usable].mean()),
    )


def _share(chosen: Mean, margin: Mean) -> Interval | None:
    """Return S, or None unless the margin has significantly grown."""
    return clustered_ratio(chosen, margin) if margin.interval.low > 0 else None


def _accuracies(
    probe: _Probe, index: int, usable: Flags
) -> tuple[Interval | None, Interval | None, Interval | None]:
    """Return reward, ranking and per-token ranking accuracy of the usable pairs."""
    if not probe.paired:
        return None, None, None
    pairs, used = probe.pairs, usable.all(axis=0)
    logps = pairs.logps[index][:, used]
    changes, per_token = logps - pairs.logps[0][:, used], logps / pairs.tokens[:, used]
    reward, ranking, ranking_per_token = (
        clustered_fraction(sides[0] > sides[1], pairs.prompts[used], probe.n_prompts)
        for sides in (changes, logps, per_token)
    )
    return (reward if index else None), ranking, ranking_per_token


def _drift(probe: _Probe, step: int, start: int) -> Mean | None:
    """Return the forward KL per token: -sum(Delta) / sum(tokens) over the reference samples.

    The ratio of sums, because the mean of Delta / tokens is no KL and can be negative: short
    samples would count as much as long ones.
    """
    samples = probe.samples
    index = int(np.searchsorted(samples.steps, step))
    if index == len(samples.steps) or samples.steps[index] != step or samples.steps[0] != start:
        return None
    tokens = samples.tokens[0]
    fallen = np.where(np.isfinite(tokens), samples.logps[0, 0] - samples.logps[index, 0], nan)
    mean = clustered_mean(fallen, samples.prompts, probe.n_prompts, tokens)
    return mean if mean.clusters else None


def undefined(step: int, split: str, start: int = 0, left_out: int = 0) -> ShareEstimate:
    """Return the estimate of an evaluation without a usable pair: the one place NaN comes from."""
    return ShareEstimate(
        step=step,
        split=split,
        n_pairs=0,
        delta_chosen=UNDEFINED,
        delta_rejected=UNDEFINED,
        margin=UNDEFINED,
        share=None,
        delta_chosen_sum=UNDEFINED,
        delta_rejected_sum=UNDEFINED,
        margin_sum=UNDEFINED,
        share_sum=None,
        reward_accuracy=None,
        ranking_accuracy=None,
        ranking_accuracy_per_token=None,
        drift=None,
        tide_corrected_chosen=None,
        start_step=start,
        left_out=left_out,
    )
