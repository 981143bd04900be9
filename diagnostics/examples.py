"""Synthetic runs with known truth; tests, the demo and the docs use the same ones.

`example` draws probe pairs whose average change is exactly what `TRUTH` says. `gaussian_tilt` is a
model in which DPO has a closed form: every number of its probe set is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import wrightomega

from diagnostics.intervals import Floats, Ints
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.methods import ORPO_CEILING, Method, method
from diagnostics.regimes import Regime
from diagnostics.run import Run, Source
from diagnostics.runlog import PAIR_TABLES
from diagnostics.schema import METRICS

# Change over the whole run, chosen and rejected [nats per token].
TRUTH: dict[Regime, tuple[float, float]] = {
    Regime.IDEAL: (0.25, -0.35),
    Regime.BOTH_RISE: (0.45, 0.15),
    Regime.BOTH_FALL: (-0.30, -0.80),
    Regime.REVERSED: (-0.20, 0.20),
    Regime.MARGIN_LOSS: (-0.30, -0.10),
    Regime.MIXED: (0.0, -0.40),
    Regime.FLAT: (0.0, 0.0),
    Regime.UNKNOWN: (0.25, -0.35),  # scored too few times to tell
}
UNKNOWN_EVALUATIONS = 2
BETA = 0.1
PEAK, AFTER_PEAK = 0.25, 0.05  # of the chosen side of a run that turns [nats per token]
DRIFT = 0.05  # forward KL of an `example` at its end [nats per token]


def example(
    regime: Regime | str,
    seed: int = 0,
    *,
    pairs: int = 64,
    evaluations: int = 20,
    every: int = 10,
    method_name: str = "dpo",
    name: str | None = None,
) -> Run:
    """Return a completed run whose regime is known.

    Parameters
    ----------
    regime
        One of `TRUTH`; an unknown one has too few evaluations.
    seed
        The same seed gives the same run.
    pairs
        In each split of the probe set, two to a prompt.
    evaluations
        After the start.
    every
        Optimizer steps between evaluations.
    method_name
        Decides what the rewards of `train` and `evals` are.
    name
        Of the run; the default tells regime and seed.
    """
    regime = Regime(regime)
    if regime is Regime.UNKNOWN:
        evaluations = UNKNOWN_EVALUATIONS
    steps = every * np.arange(evaluations + 1, dtype=np.int64)
    course = _progress(steps)[:, None] * np.array(TRUTH[regime])
    return _drawn_run(
        name or f"{regime.value}-{seed}", course, seed, pairs, steps, method(method_name)
    )


def turning(
    seed: int = 0, *, pairs: int = 64, evaluations: int = 20, method_name: str = "dpo"
) -> Run:
    """Return a run whose chosen side peaks at `PEAK` and ends at `AFTER_PEAK`."""
    steps = 10 * np.arange(evaluations + 1, dtype=np.int64)
    chosen = np.interp(steps / steps[-1], (0.0, 0.4, 1.0), (0.0, PEAK, AFTER_PEAK))
    course = np.stack([chosen, -0.8 * _progress(steps)], axis=1)
    return _drawn_run(f"turning-{seed}", course, seed, pairs, steps, method(method_name))


def _progress(steps: Ints) -> Floats:
    """Return a course that is fast at first, slower later, and 1 at the end (T)."""
    return np.asarray(-np.expm1(-3 * steps / steps[-1]) / -expm1(-3))


def _drawn_run(name: str, course: Floats, seed: int, pairs: int, steps: Ints, facts: Method) -> Run:
    """Return a run whose probe pairs change on average exactly by `course` (T, sides)."""
    rng = np.random.default_rng(seed)
    splits = {
        split: _drawn_pairs(split, course, pairs, steps, rng) for split in ("train", "held_out")
    }
    base = {
        "beta*delta": Base.LOGRATIO_SUM,
        "beta*logps_per_token": Base.LOGPS_MEAN,
        "beta*logps": Base.LOGPS_SUM,
    }[facts.reward_kind]
    return Run(
        name=name,
        method=facts.name,
        train=_train_rows(splits["train"], facts, rng),
        evals=_rows(splits["held_out"], facts),
        probes=pd.concat(splits.values(), ignore_index=True),
        samples=_drawn_samples(pairs, steps, _progress(steps), rng),
        config={"method": facts.name, "beta": BETA, "seed": seed, "max_steps": int(steps[-1])},
        header={"name": name, "method": facts.name, "beta": BETA},
        source=Source(path="", reader="native", framework="synthetic"),
        status="completed",
        meaning=Meaning(base, BETA, Scope.WINDOW, "beta is configured"),
    )


def nan_ridden(seed: int = 0) -> Run:
    """Return an ideal run a third of whose numbers are NaN or infinite, all of the last steps'."""
    run = example(Regime.IDEAL, seed, name=f"nan-ridden-{seed}")
    rng = np.random.default_rng(seed)

    def ridden(frame: pd.DataFrame, steps: Any) -> pd.DataFrame:
        broken = frame.copy()
        for column in broken.select_dtypes("float64"):
            lost = rng.random(len(broken)) < 1 / 3
            broken.loc[lost, column] = rng.choice([np.nan, np.inf, -np.inf], int(lost.sum()))
            broken.loc[np.asarray(steps) > 150, column] = np.nan
        return broken

    return Run(
        name=run.name,
        method=run.method,
        train=ridden(run.train, run.train.index),
        evals=ridden(run.evals, run.evals.index),
        probes=ridden(run.probes, run.probes["step"]),
        samples=ridden(run.samples, run.samples["step"]),
        config=run.config,
        header=run.header,
        source=run.source,
        status="failed",
    )


def gaussian_tilt(
    chosen: Sequence[float],
    rejected: Sequence[float],
    times: Sequence[int],
    *,
    rate: float = 0.05,
    beta: float = BETA,
    pairs: int = 16,
    jitter: float = 0.0,
    samples: int = 0,
    seed: int = 0,
) -> Run:
    """Return DPO's path for a Gaussian policy N(mu, I) started at N(0, I), in closed form.

    A completion is a point y, so Delta_y = mu.y - |mu|^2 / 2, one token each. DPO on a pair
    (a, b) moves mu along D = a - b only: mu = m D / |D|^2, with m the margin of that pair and

        m + (e^(beta m) - 1) / beta = rate beta |D|^2 t.                                       (1)

    Parameters
    ----------
    chosen, rejected
        The trained pair (d). Each probe pair is the same with normal noise of size `jitter`.
    times
        Evaluation steps; the first is 0.
    rate, beta
        Learning rate and beta of (1).
    pairs, samples
        How many probe pairs, and how many reference samples drawn from N(0, I).
    jitter, seed
        Size [same unit as the points] and seed of the probe pairs' noise.
    """
    rng = np.random.default_rng(seed)
    sides = np.array([chosen, rejected], dtype=np.float64)
    direction = sides[0] - sides[1]
    square = float(direction @ direction)
    margins = [tilt_margin(time, square, rate=rate, beta=beta) for time in times]
    means = np.outer(margins, direction) / square
    points = sides[:, None] + jitter * rng.normal(size=(2, pairs, len(direction)))
    drawn = rng.normal(size=(samples, len(direction)))
    half_square = (means**2).sum(axis=1) / 2

    def logps(where: Floats) -> Floats:
        start = -0.5 * (where**2).sum(axis=-1) - len(direction) / 2 * np.log(2 * np.pi)
        return np.asarray(start + np.moveaxis(where @ means.T, -1, 0) - _column(half_square, where))

    steps = np.asarray(times, dtype=np.int64)
    ones = np.ones((2, pairs))
    return Run(
        name="gaussian-tilt",
        method="dpo",
        probes=_probe_table("train", steps, logps(points), ones, np.arange(pairs)),
        samples=_sample_table(steps, logps(drawn), np.ones(samples), np.arange(samples)),
        config={"beta": beta, "learning_rate": rate},
        source=Source(path="", reader="native", framework="synthetic"),
        status="completed",
    )


def tilt_margin(time: float, square: float, *, rate: float = 0.05, beta: float = BETA) -> float:
    """Return the margin m(t) of `gaussian_tilt`, equation (1), for |D|^2 = `square` [nats].

    With w = exp(beta m) the equation is w + log w = c, which the Wright omega function solves.
    """
    c = 1 + rate * beta**2 * square * time
    return float(c - wrightomega(c)) / beta


def _column(values: Floats, points: Floats) -> Floats:
    """Return `values` (T) shaped to subtract from an array (T, points without coordinates)."""
    return values.reshape(-1, *[1] * (points.ndim - 1))


def _drawn_pairs(
    split: str,
    course: Floats,
    pairs: int,
    steps: Ints,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return probe pairs whose mean change per token is exactly `course` (T, sides)."""
    tokens = rng.integers(8, 80, size=(2, pairs)).astype(np.float64)
    start = -tokens * rng.uniform(0.8, 2.2, size=(2, pairs))
    prompts = np.arange(pairs) // 2
    size, progress = 0.01 + 0.15 * float(np.abs(course).max()), _progress(steps)
    by_prompt = rng.normal(size=(1, prompts[-1] + 1))[:, prompts]
    spread = size * (0.5 * by_prompt + rng.normal(size=(2, pairs)))
    spread -= spread.mean(axis=1, keepdims=True)
    # The pairs spread like a random walk: early on they agree less than at the end.
    logps = start + (course[:, :, None] + np.sqrt(progress)[:, None, None] * spread) * tokens
    table = _probe_table(split, steps, logps, tokens, prompts)
    for side in ("chosen", "rejected"):
        table[f"entropy/{side}"] = 1.5 - 0.3 * np.repeat(progress, pairs)
        table[f"top1_rate/{side}"] = 0.6 + 0.1 * np.repeat(progress, pairs)
    return table


def _drawn_samples(
    pairs: int, steps: Ints, progress: Floats, rng: np.random.Generator
) -> pd.DataFrame:
    """Return two samples to a prompt whose drift ends exactly at `DRIFT`."""
    tokens = rng.integers(8, 80, size=pairs).astype(np.float64)
    fallen = tokens * DRIFT * rng.uniform(0.5, 1.5, size=pairs)
    fallen *= DRIFT * tokens.sum() / fallen.sum()
    logps = -1.2 * tokens - progress[:, None] * fallen
    return _sample_table(steps, logps, tokens, np.arange(pairs) // 2)


def _probe_table(
    split: str, steps: Ints, logps: Floats, tokens: Floats, prompts: Ints
) -> pd.DataFrame:
    """Return the long probe table of `logps` (T, sides, P) and `tokens` (sides, P)."""
    times, pairs = logps.shape[0], logps.shape[2]
    prompt_names = [f"{split}-prompt-{prompt}" for prompt in prompts]
    return pd.DataFrame(
        {
            "step": np.repeat(steps, pairs),
            "split": split,
            "pair": np.tile(np.arange(pairs), times),
            "prompt": prompt_names * times,
            "logps/chosen": logps[:, 0].ravel(),
            "logps/rejected": logps[:, 1].ravel(),
            "completion_tokens/chosen": np.tile(tokens[0], times),
            "completion_tokens/rejected": np.tile(tokens[1], times),
        }
    ).reindex(columns=PAIR_TABLES["probe"].names)


def _sample_table(steps: Ints, logps: Floats, tokens: Floats, prompts: Ints) -> pd.DataFrame:
    """Return the long sample table of `logps` (T, P) and `tokens` (P)."""
    times, samples = logps.shape
    return pd.DataFrame(
        {
            "step": np.repeat(steps, samples),
            "sample": np.tile(np.arange(samples), times),
            "prompt": [f"train-prompt-{prompt}" for prompt in prompts] * times,
            "logps": logps.ravel(),
            "completion_tokens": np.tile(tokens, times),
        }
    ).reindex(columns=PAIR_TABLES["samples"].names)


def _rows(pairs: pd.DataFrame, facts: Method) -> pd.DataFrame:
    """Return the metrics of the pairs at each evaluation, indexed by step."""
    values = pairs.set_index("step")
    start = values.loc[0]
    count = len(values) // max(1, len(start))
    columns: dict[str, Any] = {}
    for side in ("chosen", "rejected"):
        logps, tokens = values[f"logps/{side}"], values[f"completion_tokens/{side}"]
        reference = np.tile(start[f"logps/{side}"].to_numpy(), count)
        columns[f"logps/{side}"] = logps
        columns[f"logps_per_token/{side}"] = logps / tokens
        columns[f"completion_tokens/{side}"] = tokens
        if facts.reference:
            columns[f"ref_logps/{side}"] = reference
        rewards = {
            "beta*delta": logps - reference,
            "beta*logps_per_token": logps / tokens,
            "beta*logps": logps,
        }
        columns[f"rewards/{side}"] = BETA * rewards[facts.reward_kind]
    margins = columns["rewards/chosen"] - columns["rewards/rejected"]
    columns["rewards/margins"] = margins
    columns["rewards/accuracies"] = (margins > 0).astype(np.float64)
    columns["loss"] = _loss(facts, columns)
    in_order = [name for name in METRICS if name in columns]
    return pd.DataFrame(columns, index=values.index).groupby(level=0).mean()[in_order]


def _loss(facts: Method, columns: dict[str, Any]) -> Any:
    """Return the loss of each pair at `BETA`; the logistic one for methods not spelt out here."""
    chosen, rejected = columns["rewards/chosen"], columns["rewards/rejected"]
    if facts.name == "ipo":
        tokens = [columns[f"completion_tokens/{side}"] for side in ("chosen", "rejected")]
        change = (chosen / tokens[0] - rejected / tokens[1]) / BETA
        return (change - 1 / (2 * BETA)) ** 2
    if facts.name == "kto":
        return (1 / (1 + np.exp(chosen)) + 1 / (1 + np.exp(-rejected))) / 2
    if facts.name == "simpo":
        return np.logaddexp(0.0, facts.hyper()["gamma"] - (chosen - rejected))
    if facts.name == "orpo":
        logps = [columns[f"logps_per_token/{side}"] for side in ("chosen", "rejected")]
        odds = [one - np.log1p(-np.exp(np.minimum(one, ORPO_CEILING))) for one in logps]
        return BETA * np.logaddexp(0.0, odds[1] - odds[0]) - logps[0]
    return np.logaddexp(0.0, rejected - chosen)


def _train_rows(pairs: pd.DataFrame, facts: Method, rng: np.random.Generator) -> pd.DataFrame:
    """Return one noisy row for every optimizer step, between the evaluations' exact ones."""
    exact = _rows(pairs, facts)
    steps = pd.RangeIndex(1, int(exact.index[-1]) + 1, name="step")
    rows = pd.DataFrame(index=steps.astype(np.int64))
    for column in exact:
        values = np.interp(steps, exact.index, exact[column])
        # A batch of 16 averages other pairs at each step.
        spread = 0.02 + 0.05 * np.abs(values)
        rows[column] = values + spread * rng.normal(size=len(steps)) / 4
    rows["rewards/margins"] = rows["rewards/chosen"] - rows["rewards/rejected"]
    rows["rewards/accuracies"] = np.round(16 * rows["rewards/accuracies"].clip(0, 1)) / 16
    rows["grad_norm"] = rng.lognormal(0.0, 0.1, size=len(steps))
    rows["learning_rate"] = 5e-6 * (1 - (steps.to_numpy() - 1) / len(steps))
    rows["epoch"] = 16 * steps.to_numpy() / 1000
    rows["tokens"] = 16.0 * 120 * steps.to_numpy()
    return rows[[name for name in METRICS if name in rows]]
