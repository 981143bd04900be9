"""Synthetic logs without a probe set, as other frameworks write them, with known truth.

Every optimizer step draws a batch of pairs, so the log has what real ones have: other pairs at
each step, noise that both sides share and that grows as the policy moves, windows, a warm-up, and
no noise at all at the start of a method with a reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from diagnostics.intervals import Floats
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.methods import METHODS, ORPO_CEILING, Method
from diagnostics.run import Run, Source
from diagnostics.schema import METRICS

# Change since the start over a run: one final value reached in a straight line over the
# cumulative learning rate, or knots (share of it, value) [nats per token].
Path = float | Sequence[tuple[float, float]]

BASES = {
    "beta*delta": Base.LOGRATIO_SUM,
    "beta*logps_per_token": Base.LOGPS_MEAN,
    "beta*logps": Base.LOGPS_SUM,
}
WARMUP = 0.1  # share of the steps
START = 1.2  # how unlikely a completion is before training [nats per token]


@dataclass(frozen=True)
class _Batches:
    """What each step trained on: (S, B) per token, NaN on the side that KTO's example lacks."""

    logps_w: Floats
    logps_l: Floats
    delta_w: Floats
    delta_l: Floats
    tokens_w: Floats
    tokens_l: Floats


def logged_run(
    chosen: Path,
    rejected: Path,
    *,
    method_name: str = "dpo",
    seed: int = 0,
    steps: int = 400,
    every: int = 10,
    batch: int = 16,
    noise: float = 1.0,
    tokens: tuple[int, int] = (20, 120),
    evaluations: int = 0,
    scope: Scope = Scope.WINDOW,
    settings: dict[str, Any] | None = None,
) -> Run:
    """Return a completed run that logged averages over the batches of each window.

    Parameters
    ----------
    chosen, rejected
        The mean change of each side since the start [nats per token].
    method_name
        One whose loss `_losses` spells out, or one with DPO's.
    steps, every, batch
        Optimizer steps, steps to a record, and pairs (KTO: examples of each label) to a step.
    noise
        Spread of the pairs' changes; 1 gives a reward accuracy of about 0.9 at the end.
    tokens
        Lengths of completions, smallest and largest.
    evaluations
        How many times a fixed set of four batches is scored, the start included; 0 for never.
    scope
        What a record averages over; the last micro-batch is a quarter of the last batch.
    settings
        Hyper-parameters that differ from the method's defaults.
    """
    rng, facts = np.random.default_rng(seed), METHODS[method_name]
    batch = max(1, batch // 4) if scope is Scope.LAST_MICRO_BATCH else batch
    hyper = facts.hyper(settings)
    rate = _learning_rate(steps)
    progress = np.concatenate([[0.0], np.cumsum(rate)[:-1]]) / rate.sum()
    paths = np.stack([_along(chosen, progress), _along(rejected, progress)])
    drawn = _draw(paths, (steps, batch), noise, tokens, rng)
    train = _windows(_metrics(drawn, facts, hyper), every, scope)
    ends = train.index.to_numpy()
    norms = rng.lognormal(0.0, 0.15, size=len(ends))
    train = train.assign(grad_norm=norms, learning_rate=rate[ends - 1], epoch=ends / steps)
    at = np.linspace(0, steps, evaluations).round().astype(np.int64)
    passed = paths[:, np.minimum(at, steps - 1)]
    fixed = _draw(passed, (evaluations, 4 * batch), noise, tokens, rng, fixed=True)
    return Run(
        name=f"{method_name}-log-{seed}",
        method=facts.name,
        train=train[[column for column in METRICS if column in train]],
        evals=_metrics(fixed, facts, hyper).set_axis(pd.Index(at, name="step")),
        config={"method": facts.name, "max_steps": steps, "logging_steps": every, **hyper},
        source=Source(path="", reader="synthetic", framework="synthetic"),
        status="completed",
        meaning=Meaning(BASES[facts.reward_kind], float(hyper["beta"]), scope, "it is configured"),
    )


def _learning_rate(steps: int) -> Floats:
    """Return a linear warm-up followed by a linear decay (steps)."""
    at = (np.arange(steps) + 1) / steps
    return np.asarray(5e-6 * np.minimum(at / WARMUP, (1 - at) / (1 - WARMUP) + 1 / steps))


def _along(path: Path, progress: Floats) -> Floats:
    knots = [(0.0, 0.0), (1.0, path)] if isinstance(path, int | float) else path
    places, values = zip(*knots, strict=True)
    return np.asarray(np.interp(progress, places, values))


def _draw(
    paths: Floats,
    shape: tuple[int, int],
    noise: float,
    tokens: tuple[int, int],
    rng: np.random.Generator,
    *,
    fixed: bool = False,
) -> _Batches:
    """Return pairs whose mean change per token is `paths` (2, S); the same at each step if fixed.

    The spread grows with the square root of the movement: nothing differs before anything moved.
    """
    drawn = (1, shape[1]) if fixed else shape
    lengths = rng.integers(*tokens, size=(2, *drawn)).astype(np.float64)
    moved = np.abs(paths).max(axis=0)
    spread = 0.35 * noise * np.sqrt(moved * moved.max(initial=0.0))[:, None]
    shared, own = rng.normal(size=drawn), rng.normal(size=(2, *drawn))
    change = paths[:, :, None] + spread * (0.6 * shared + 0.8 * own)
    start = -START + 0.25 * (0.6 * rng.normal(size=drawn) + 0.8 * rng.normal(size=(2, *drawn)))
    lengths, start = (np.broadcast_to(one, change.shape) for one in (lengths, start))
    after = np.minimum(start + change, -1e-3)
    return _Batches(*after, *change, *lengths)


def _metrics(drawn: _Batches, facts: Method, hyper: dict[str, Any]) -> pd.DataFrame:
    """Return the metrics that the method logs, by step."""
    sums = {"chosen": drawn.delta_w * drawn.tokens_w, "rejected": drawn.delta_l * drawn.tokens_l}
    logps = {"chosen": drawn.logps_w, "rejected": drawn.logps_l}
    lengths = {"chosen": drawn.tokens_w, "rejected": drawn.tokens_l}
    columns: dict[str, Floats] = {}
    rewards = {}
    for side in ("chosen", "rejected"):
        summed = logps[side] * lengths[side]
        kinds = {"beta*delta": sums, "beta*logps_per_token": logps}
        base = kinds.get(facts.reward_kind, {side: summed})[side]
        rewards[side] = float(hyper["beta"]) * base
        columns[f"rewards/{side}"] = rewards[side]
        per_token = facts.logps_kind == "per_token"
        kind = "logps_per_token" if per_token else "logps"
        columns[f"{kind}/{side}"] = logps[side] if per_token else summed
    margins = rewards["chosen"] - rewards["rejected"]
    columns["rewards/margins"] = margins
    if facts.paired:
        columns["rewards/accuracies"] = (margins > 0).astype(np.float64)
    columns |= _losses(facts.name, margins, rewards, drawn, hyper)
    frame = pd.DataFrame({name: values.mean(axis=1) for name, values in columns.items()})
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="step")
    return frame


def _losses(
    name: str, margins: Floats, rewards: dict[str, Floats], drawn: _Batches, hyper: dict[str, Any]
) -> dict[str, Floats]:
    """Return the loss of each pair and the method's own terms, each (S, B)."""
    if name == "orpo":
        odds = [
            logp - np.log1p(-np.exp(np.minimum(logp, ORPO_CEILING)))
            for logp in (drawn.logps_w, drawn.logps_l)
        ]
        term = np.logaddexp(0.0, odds[1] - odds[0])
        return {
            "loss": -drawn.logps_w + hyper["beta"] * term,
            "sft_loss": -drawn.logps_w,
            "odds_loss": term,
            "log_odds_ratio": odds[0] - odds[1],
        }
    if name == "simpo":
        return {"loss": np.logaddexp(0.0, float(hyper["gamma"]) - margins)}
    if name == "kto":
        # A mismatched completion drifts with the mean of both sides.
        common = (rewards["chosen"] + rewards["rejected"]).mean(axis=1, keepdims=True) / 2
        point = np.maximum(0.0, common) * np.ones_like(margins)
        wanted = hyper["desirable_weight"] * expit(point - rewards["chosen"])
        unwanted = hyper["undesirable_weight"] * expit(rewards["rejected"] - point)
        return {"loss": (wanted + unwanted) / 2, "kl": point / hyper["beta"]}
    if name == "ipo":
        return {"loss": (drawn.delta_w - drawn.delta_l - 1 / (2 * hyper["beta"])) ** 2}
    return {"loss": np.logaddexp(0.0, -margins)}


def _windows(rows: pd.DataFrame, every: int, scope: Scope) -> pd.DataFrame:
    """Return the means over windows of `every` steps; a partial last window is dropped."""
    count = len(rows) // every
    ends = pd.Index(every * np.arange(1, count + 1), dtype=np.int64, name="step")
    if scope in (Scope.LAST_BATCH, Scope.LAST_MICRO_BATCH):
        return rows.loc[ends].copy()
    values = rows.to_numpy()[: count * every].reshape(count, every, -1).mean(axis=1)
    return pd.DataFrame(values, index=ends, columns=rows.columns)


# Logs with something wrong.


def _changed(run: Run, name: str, **columns: Floats) -> Run:
    return replace(run, name=name, train=run.train.assign(**columns))


def shifted(seed: int = 0, *, nats: float = -12.0) -> Run:
    """Return a log of each step whose policy starts `nats` per completion from its reference."""
    run = logged_run(0.2, -0.3, steps=200, every=1, seed=seed)
    shift = nats * (run.meaning.factor or 1.0 if run.meaning else 1.0)
    sides = {name: run.train[name] + shift for name in ("rewards/chosen", "rewards/rejected")}
    return _changed(run, f"shifted-{seed}", **sides)


def labelled(seed: int = 0, *, desirable: int, undesirable: int) -> Run:
    """Return a KTO log that says how many examples carry each label."""
    run = logged_run(0.2, -0.3, method_name="kto", seed=seed)
    counts = {"desirable": desirable, "undesirable": undesirable}
    return replace(run, name=f"labelled-{seed}", config={**run.config, **counts})


def separable(seed: int = 0) -> Run:
    """Return a log whose pairs differ in one thing that a few steps learn."""
    run = logged_run(0.3, -0.5, steps=1000, noise=0.05, seed=seed)
    return replace(run, name=f"separable-{seed}")


def saturated(seed: int = 0) -> Run:
    """Return a log whose pairs are ranked right, with a margin that no longer pulls, early on."""
    run = logged_run(0.9, -1.2, noise=0.4, seed=seed)
    return replace(run, name=f"saturated-{seed}")


def overfitted(seed: int = 0) -> Run:
    """Return a log whose evaluation loss turns in the middle, while the training loss falls."""
    run = logged_run(0.2, -0.3, evaluations=13, seed=seed)
    share = np.linspace(-1.0, 1.0, len(run.evals))
    turned = run.evals.assign(loss=0.5 + 0.19 * share**2)
    return replace(run, name=f"overfitted-{seed}", evals=turned)


def bursting(seed: int = 0) -> Run:
    """Return a log with bursts of the gradient norm, and a loss that spikes with them."""
    run = logged_run(0.2, -0.3, steps=1000, every=5, seed=seed)
    rng = np.random.default_rng(seed)
    at = rng.choice(np.arange(20, len(run.train) - 5), size=8, replace=False)
    norms, losses = (run.train[name].to_numpy().copy() for name in ("grad_norm", "loss"))
    norms[at] *= rng.uniform(10, 30, size=8)
    losses[at] += rng.uniform(2, 5, size=8)
    return _changed(run, f"bursting-{seed}", grad_norm=norms, loss=losses)


def summed(seed: int = 0, *, batches: int = 8) -> Run:
    """Return a log whose loss is the sum over the micro-batches of a step."""
    run = logged_run(0.2, -0.3, steps=200, every=5, seed=seed)
    return _changed(run, f"summed-{seed}", loss=run.train["loss"].to_numpy() * batches)
