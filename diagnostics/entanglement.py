"""What the gradients of the probe pairs say: the band, the first-order share, the SFT window.

The table "entanglement" holds lengths and cosines of single pairs, the metrics `entanglement/…` of
an evaluation the same of their weighted sum. Single pairs have a spread, and hence intervals; the
sum has the cross-terms between pairs, and hence the regime. Both are first order and in the plain
geometry of the weights: they foretell the first steps, not the end of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atanh, inf, isfinite, nan, sqrt, tanh

import numpy as np
import pandas as pd
from scipy.special import ndtri

from diagnostics.band import (
    Band,
    SftWindow,
    batch_band,
    predicted_regime,
    sft_pull,
    sft_window,
)
from diagnostics.intervals import (
    CONFIDENCE,
    Floats,
    Interval,
    Ints,
    clustered_fraction,
    clustered_mean,
    clustered_ratio,
)
from diagnostics.methods import METHODS
from diagnostics.run import Run
from diagnostics.share import ABSURD_LOGP

_SIDES = ("chosen", "rejected")
# Below this many pairs a partial correlation has no interval (n - 4 under the root).
MIN_CORRELATED = 6


@dataclass(frozen=True)
class EntanglementEstimate:
    """The band of the probe pairs at one evaluation.

    `q`, `q_star`, `low` and `high` are geometric means over pairs, `cosine` and `slack` [natural
    log of a ratio] means; `high` and `slack` leave out the pairs with rho <= 0, for which they are
    infinite. `chosen_rises` and `rejected_falls` are fractions of pairs, `share` is the chosen
    share of the summed first-order margin of the pairs taken one by one, None where that margin is
    not significant. `batch` is the band of all pairs together, None where it was not logged;
    `regime` is what it predicts, or the pairs' summed rates without it. Intervals are clustered by
    prompt.
    """

    step: int
    n_pairs: int
    n_prompts: int
    q: Interval
    q_star: Interval
    cosine: Interval
    low: Interval
    high: Interval
    slack: Interval
    share: Interval | None
    chosen_rises: Interval
    rejected_falls: Interval
    batch: Band | None
    regime: str


@dataclass(frozen=True)
class Measured:
    """The band of the probe batch at one evaluation.

    `pull` is what an SFT coefficient of 1 adds to the mean d_w in the run's own reduction
    [loss units per nat], NaN where it is not known.
    """

    step: int
    band: Band
    pull: float


def estimate(run: Run, step: int | None = None) -> EntanglementEstimate | None:
    """Return the estimate of the last measurement at or before `step` (default: the last one).

    None where the run holds none with both sides of a pair.
    """
    rows = _rows(run, step)
    bands = pair_bands(rows)
    paired = np.array([isfinite(band.chosen_rate + band.rejected_rate) for band in bands], bool)
    if not paired.any():
        return None
    rows, bands = rows[paired], [b for b, kept in zip(bands, paired, strict=True) if kept]
    clusters = _clusters(rows)
    count = int(clusters.max()) + 1

    def mean(values: Sequence[float], *, logs: bool = False) -> Interval:
        numbers = np.array(values, dtype=np.float64)
        numbers = np.where(np.isfinite(numbers) & ((numbers > 0) | (not logs)), numbers, nan)
        if not logs:
            return clustered_mean(numbers, clusters, count).interval
        found = clustered_mean(np.log(numbers), clusters, count).interval
        return Interval(*(_exp(value) for value in (found.value, found.low, found.high)))

    chosen = clustered_mean(np.array([b.chosen_rate for b in bands]), clusters, count)
    rejected = clustered_mean(np.array([b.rejected_rate for b in bands]), clusters, count)
    growth = chosen - rejected
    at = int(rows["step"].iloc[0])
    batch = batch_of(run, at)
    together = Band(1.0, 1.0, nan, nan, nan) if batch is None else batch
    regime = together.regime
    if regime == "unknown":
        regime = _regime_of_rates(chosen.value, rejected.value)
    return EntanglementEstimate(
        step=at,
        n_pairs=len(bands),
        n_prompts=count,
        q=mean([b.q for b in bands], logs=True),
        q_star=mean([b.q_star for b in bands], logs=True),
        cosine=mean([b.cosine for b in bands]),
        low=mean([b.low for b in bands], logs=True),
        high=mean([b.high for b in bands], logs=True),
        slack=mean([b.slack for b in bands]),
        share=clustered_ratio(chosen, growth) if growth.interval.low > 0 else None,
        chosen_rises=clustered_fraction(
            np.array([b.chosen_rate > 0 for b in bands]), clusters, count
        ),
        rejected_falls=clustered_fraction(
            np.array([b.rejected_rate < 0 for b in bands]), clusters, count
        ),
        batch=batch,
        regime=regime,
    )


def measurements(run: Run, reduction: str = "token") -> list[Measured]:
    """Return the band at every evaluation whose gradients are in the log, by step.

    `reduction` is that of the SFT term, as in `safe_window`.
    """
    table = run.tables.get("entanglement", pd.DataFrame())
    logged = _numbers(run.evals, "entanglement/q_star")
    if not {"step", "weight/chosen", "weight/rejected"} <= set(table):
        return []
    found = []
    for step in map(int, run.evals.index[np.isfinite(logged)]):
        band = batch_of(run, step)
        if band is not None and isfinite(band.weight_chosen) and isfinite(band.weight_rejected):
            rows = table[_numbers(table, "step") == step]
            found.append(Measured(step, band, _pull(rows, reduction)))
    return found


def _pull(rows: pd.DataFrame, reduction: str) -> float:
    if "completion_tokens/chosen" not in rows:
        return nan
    lengths = _numbers(rows, "completion_tokens/chosen")
    return sft_pull(np.where(np.abs(lengths) < ABSURD_LOGP, lengths, nan).tolist(), reduction)


def pair_bands(rows: pd.DataFrame) -> list[Band]:
    """Return the band of every row of the table "entanglement"."""
    columns = ("weight/chosen", "weight/rejected", "norm/chosen", "norm/rejected", "cosine")
    return [Band(*values) for values in zip(*(_numbers(rows, c) for c in columns), strict=True)]


def batch_of(run: Run, step: int) -> Band | None:
    """Return the band of the probe batch at an evaluation, None where it was not logged."""
    rows = _rows(run, step)
    names = ("entanglement/q_star", "entanglement/cosine")
    if not len(rows) or int(rows["step"].iloc[0]) != step or step not in run.evals.index:
        return None
    values = [float(run.evals[name].get(step, nan)) if name in run.evals else nan for name in names]
    if not all(map(isfinite, values)):
        return None
    weights = [_numbers(rows, f"weight/{side}").tolist() for side in _SIDES]
    return batch_band(*weights, *values)


def safe_window(
    run: Run, step: int | None = None, reduction: str | None = None
) -> SftWindow | None:
    """Return the SFT coefficients that let chosen rise and rejected fall, to first order.

    Parameters
    ----------
    run
        With the entanglement probe.
    step
        The last measurement at or before this step is used; default: the last one. The window
        moves with the weights: it narrows as the loss saturates.
    reduction
        "token" (mean over the batch's chosen tokens; TRL) or "sequence" (mean per completion,
        then over completions; LLaMA-Factory). Default: as the run was configured.

    Returns
    -------
    SftWindow | None
        None where it was not measured, or where no coefficient keeps rejected from rising.
    """
    rows = _rows(run, step)
    band = batch_of(run, int(rows["step"].iloc[0])) if len(rows) else None
    method = METHODS.get(run.method or "")
    if band is None or method is None:
        return None
    given = {k: run.config.get(k) for k in ("sft_weight", "sft_reduction")}
    hyper = method.hyper(given)
    own = str(hyper.get("sft_reduction", "token"))
    lengths = _numbers(rows, "completion_tokens/chosen").tolist()
    completions = 1.0
    if not method.paired:
        # An unpaired loss is a mean over completions, its SFT term over the desirable ones.
        known = sum(np.isfinite(_numbers(rows, f"weight/{side}")).sum() for side in _SIDES)
        completions = float(known) / len(rows)
    pull = sft_pull(lengths, reduction or own) * completions
    # The present weights hold the present term in the run's own reduction.
    present = float(hyper.get("sft_weight", 0.0)) * sft_pull(lengths, own) * completions
    return sft_window(band, pull, present / pull) if pull > 0 else None


def partial_correlation(
    predictor: Sequence[float], outcome: Sequence[float], control: Sequence[float]
) -> Interval | None:
    """Return the rank correlation of two quantities given a third, with Fisher's interval.

    A score that loses its power given log(n_l / n_w) is a length detector. Pairs with a value that
    is not finite are left out; None for too few pairs, or where nothing varies.

    Examples
    --------
    >>> length = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    >>> noise = [0.1, -0.2, 0.2, -0.1, 0.1, -0.2, 0.2, -0.1]
    >>> score = [a + b for a, b in zip(length, noise)]
    >>> partial_correlation(score, length, length) is None  # length tells all there is
    True
    """
    table = np.array([predictor, outcome, control], dtype=np.float64)
    table = table[:, np.isfinite(table).all(axis=0)]
    count = table.shape[1]
    if count < MIN_CORRELATED:
        return None
    ranks = pd.DataFrame(table).rank(axis=1).to_numpy()
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    x, y, z = ranks
    if not z.any():
        first, second = x, y
    else:
        first, second = (v - z * (v @ z) / (z @ z) for v in (x, y))
    spread = sqrt(float(first @ first) * float(second @ second))
    if spread <= 1e-9 * float(count) ** 3:
        return None
    value = float(np.clip(first @ second / spread, -1.0, 1.0))
    if abs(value) >= 1:
        return Interval(value, value, value)
    half = float(ndtri(0.5 + CONFIDENCE / 2)) / sqrt(count - 4)
    return Interval(value, tanh(atanh(value) - half), tanh(atanh(value) + half))


def distance_to_flip(run: Run, step: int | None = None, split: str = "train") -> Floats:
    """Return per pair how far its rejected log-prob lies above the chosen one [nats], or 0.

    This is max(0, c - m) of arXiv 2405.19534, Theorem 4.1: the pair is ranked rightly once the
    margin m has grown by c, the reference's log-ratio of rejected to chosen. Pairs without both
    log-probs are left out.
    """
    rows = run.probes
    rows = rows[rows["split"] == split]
    rows = _at(rows, step)
    gaps = _numbers(rows, "logps/rejected") - _numbers(rows, "logps/chosen")
    return np.maximum(0.0, gaps[np.isfinite(gaps)])


def _rows(run: Run, step: int | None) -> pd.DataFrame:
    """Return the rows of the last measurement at or before a step."""
    table = run.tables.get("entanglement")
    if table is None or "step" not in table:
        return pd.DataFrame({"step": []})
    return _at(table, step)


def _at(rows: pd.DataFrame, step: int | None) -> pd.DataFrame:
    if step is not None:
        rows = rows[rows["step"] <= step]
    return rows[rows["step"] == rows["step"].max()] if len(rows) else rows


def _numbers(rows: pd.DataFrame, column: str) -> Floats:
    if column not in rows:
        return np.full(len(rows), nan)
    return np.asarray(pd.to_numeric(rows[column], errors="coerce"), dtype=np.float64)


def _clusters(rows: pd.DataFrame) -> Ints:
    prompts = rows["prompt"] if "prompt" in rows else pd.Series([""] * len(rows))
    pairs = rows["pair"] if "pair" in rows else pd.Series(range(len(rows)))
    names = [
        prompt if isinstance(prompt, str) and prompt else ("pair", pair)
        for prompt, pair in zip(prompts, pairs, strict=True)
    ]
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], dtype=np.int64)


def _regime_of_rates(chosen: float, rejected: float) -> str:
    return predicted_regime(chosen, rejected)


def _exp(value: float) -> float:
    return inf if value > 700 else float(np.exp(value))
