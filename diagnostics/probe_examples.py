"""Synthetic runs with what only probes can show: one for each such pathology, and healthy ones.

Each starts from a run of `diagnostics.examples` and changes what its pathology is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from diagnostics.examples import example
from diagnostics.intervals import Floats, Ints
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.runlog import PAIR_TABLES

SIDES = ("chosen", "rejected")
SCORED = 16  # pairs in the tables of tokens, families and gradients
VOCABULARY = 500
# Change over the whole run of each family, and of the likeliest token along it [nats per token].
LEARNING = {
    "chosen": (0.25, 0.2),
    "rejected": (-0.35, 0.0),
    "initial_sample": (-0.02, 0.0),
    "other_chosen": (0.1, 0.1),
    "shuffled_chosen": (0.02, 0.0),
    "random_tokens": (-0.05, 0.0),
}
SQUEEZE = {
    "chosen": (-0.3, 0.25),
    "rejected": (-0.8, 0.3),
    "initial_sample": (-0.1, 0.2),
    "other_chosen": (-0.2, 0.2),
    "shuffled_chosen": (-0.4, 0.2),
    "random_tokens": (-0.5, 0.2),
}


def drifted(seed: int = 0, by: float = 0.8) -> Run:
    """Return a run whose reference samples fall by `by` nats per token over the run."""
    run = example(Regime.BOTH_FALL, seed, name=f"drifted-{seed}")
    samples = run.samples.copy()
    progress = samples["step"] / samples["step"].max()
    samples["logps"] -= by * progress * samples["completion_tokens"]
    return replace(run, samples=samples)


def unranked(seed: int = 0, by: float = 3.0) -> Run:
    """Return an ideal run whose rejected completions start likelier by `by` nats per token."""
    run = example(Regime.IDEAL, seed, name=f"unranked-{seed}")
    probes = run.probes.copy()
    probes["logps/chosen"] -= by * probes["completion_tokens/chosen"]
    return replace(run, probes=probes)


def frozen(seed: int = 0) -> Run:
    """Return a run whose log-probs never change, at a learning rate and gradients above 0."""
    run = example(Regime.FLAT, seed, name=f"frozen-{seed}")
    probes, samples = _kept(run.probes, "pair"), _kept(run.samples, "sample")
    train = run.train.copy()
    for column in ("rewards/chosen", "rewards/rejected", "rewards/margins"):
        train[column] = 0.0
    return replace(run, probes=probes, samples=samples, train=train)


def _kept(frame: pd.DataFrame, item: str) -> pd.DataFrame:
    """Return the table with every evaluation's log-probs as they were at the first one."""
    keys = [item, "split"] if "split" in frame else [item]
    frame = frame.copy()
    for column in (name for name in frame if str(name).startswith("logps")):
        frame[column] = frame.groupby(keys)[column].transform("first")
    return frame


def flipped(seed: int = 0, share: float = 0.2) -> Run:
    """Return an ideal run in which `share` of the pairs move as if their sides were swapped."""
    run = example(Regime.IDEAL, seed, name=f"flipped-{seed}")
    rng = np.random.default_rng(seed)
    probes = run.probes.copy()
    keys = ["split", "pair"]
    names = probes[keys].drop_duplicates()
    wrong = names.sample(frac=share, random_state=rng).assign(wrong=True)
    swapped = probes[keys].merge(wrong, how="left", on=keys)["wrong"].notna().to_numpy()
    first = {side: probes.groupby(keys)[f"logps/{side}"].transform("first") for side in SIDES}
    per_token = {
        side: (probes[f"logps/{side}"] - first[side]) / probes[f"completion_tokens/{side}"]
        for side in SIDES
    }
    for side, other in (SIDES, SIDES[::-1]):
        moved = first[side] + per_token[other] * probes[f"completion_tokens/{side}"]
        probes.loc[swapped, f"logps/{side}"] = moved[swapped]
    return replace(run, probes=probes)


def lengthened(seed: int = 0, per_token: float = 0.03) -> Run:
    """Return a run whose policy comes to write longer text.

    A reference sample gains `per_token` nats with each of its tokens, less a constant that keeps
    the probabilities summed to 1: the policy's mean length is that of the exponential tilt.
    """
    run = example(Regime.IDEAL, seed, pairs=256, name=f"lengthened-{seed}")
    samples = run.samples.copy()
    start = samples.groupby("sample")["logps"].transform("first")
    progress = samples["step"] / samples["step"].max()
    gain = per_token * progress * samples["completion_tokens"]
    total = np.exp(gain).groupby(samples["step"]).transform("mean")
    samples["logps"] = start + gain - np.log(total)
    return replace(run, samples=samples)


def probed(
    seed: int = 0,
    regime: Regime = Regime.IDEAL,
    families: Mapping[str, tuple[float, float]] | None = None,
) -> Run:
    """Return a run of `examples.example` with every probe; without `families` a healthy one."""
    run = example(regime, seed, name=f"probed-{seed}")
    rng = np.random.default_rng(seed)
    changes = LEARNING if families is None else families
    probes = run.probes.copy()
    progress = probes["step"] / probes["step"].max()
    for side in SIDES:
        probes[f"surprise/{side}"] = rng.normal(0.05, 0.1, len(probes))
        probes[f"surprise_z/{side}"] = rng.normal(0.3, 1.0, len(probes))
        probes[f"valley/{side}"] = rng.uniform(0.0, 0.02, len(probes))
        probes[f"argmax_logps/{side}"] = -0.8 + progress * changes[side][1]
    steps = np.unique(run.probes["step"].to_numpy(np.int64))[[0, 10, 20]]
    ids = [
        [rng.integers(0, VOCABULARY, rng.integers(10, 40)) for _ in SIDES] for _ in range(SCORED)
    ]
    tables = {
        "families": _families(steps, changes, rng),
        "tokens": _tokens(steps, ids, np.zeros(0), rng),
    }
    return replace(run, probes=probes, tables=tables)


def squeezed(seed: int = 0) -> Run:
    """Return a run in which every family falls and the likeliest token gains."""
    run = probed(seed, Regime.BOTH_FALL, SQUEEZE)
    return replace(run, name=f"squeezed-{seed}")


def off_policy(seed: int = 0, valley: float = 0.3) -> Run:
    """Return a run whose rejected sides have `valley` of their tokens far below the likeliest."""
    run = probed(seed)
    rng = np.random.default_rng(seed)
    probes = run.probes.copy()
    probes["surprise/rejected"] += 1.5
    probes["surprise_z/rejected"] += 8.0
    probes["valley/rejected"] += valley
    first = run.tables["tokens"]
    first = first[first["step"] == first["step"].min()]
    ids = [
        [own.loc[own["side"] == side, "token"].to_numpy(np.int64) for side in SIDES]
        for _, own in first.groupby("pair")
    ]
    steps = np.unique(run.tables["tokens"]["step"].to_numpy(np.int64))
    tables = {**run.tables, "tokens": _tokens(steps, ids, np.array([valley]), rng)}
    return replace(run, name=f"off-policy-{seed}", probes=probes, tables=tables)


def near_duplicate(seed: int = 0, share: float = 0.75) -> Run:
    """Return a run on pairs of which `share` differ in one token of twenty or more."""
    run = probed(seed)
    rng = np.random.default_rng(seed)
    ids = []
    for pair in range(SCORED):
        chosen = rng.integers(0, VOCABULARY, rng.integers(20, 40))
        rejected = rng.integers(0, VOCABULARY, rng.integers(20, 40))
        if pair < round(share * SCORED):
            rejected = chosen.copy()
            rejected[rng.integers(0, len(chosen))] += VOCABULARY
        ids.append([chosen, rejected])
    steps = np.unique(run.tables["tokens"]["step"].to_numpy(np.int64))
    tables = {**run.tables, "tokens": _tokens(steps, ids, np.zeros(0), rng)}
    return replace(run, name=f"near-duplicate-{seed}", tables=tables)


def _families(
    steps: Ints, changes: Mapping[str, tuple[float, float]], rng: np.random.Generator
) -> pd.DataFrame:
    """Return the table of response families: their mean change ends at `changes`, noisily."""
    rows = []
    for family, (delta, gain) in changes.items():
        tokens = rng.integers(10, 40, SCORED).astype(np.float64)
        own = delta + 0.2 * abs(delta) * rng.normal(size=SCORED)
        for step in steps:
            progress = step / steps[-1]
            rows.append(
                pd.DataFrame(
                    {
                        "step": step,
                        "pair": np.arange(SCORED),
                        "family": family,
                        "prompt": [f"train-prompt-{pair}" for pair in range(SCORED)],
                        "logps": tokens * (-1.5 + progress * own),
                        "completion_tokens": tokens,
                        "argmax_logps": -0.8 + progress * gain,
                        "entropy": 1.5 - progress * gain,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True).reindex(columns=PAIR_TABLES["families"].names)


def _tokens(
    steps: Ints, ids: Sequence[Sequence[Ints]], valley: Floats, rng: np.random.Generator
) -> pd.DataFrame:
    """Return the table of single tokens; `valley` is empty or holds a share of rejected tokens.

    Chosen tokens gain 0.25 and rejected ones lose 0.35 nats over the run; those in a valley lose
    4 nats.
    """
    rows = []
    for pair, sides in enumerate(ids):
        for side, own in zip(SIDES, sides, strict=True):
            low = rng.random(len(own)) < (valley if valley.size and side == "rejected" else 0.0)
            start = np.where(low, -9.0, -rng.uniform(0.2, 3.0, len(own)))
            end = np.where(low, -4.0, 0.25 if side == "chosen" else -0.35)
            for step in steps:
                rows.append(
                    pd.DataFrame(
                        {
                            "step": step,
                            "pair": pair,
                            "position": np.arange(len(own)),
                            "token": own,
                            "split": "train",
                            "side": side,
                            "group": "unique",
                            "logps": np.minimum(start + end * step / steps[-1], 0.0),
                            "argmax_logps": -0.2,
                        }
                    )
                )
    return pd.concat(rows, ignore_index=True).reindex(columns=PAIR_TABLES["tokens"].names)
