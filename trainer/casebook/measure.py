"""What a finished run measured: one number a name, and the path over its evaluations.

Changes are those of the run's fixed training pairs since its start, in nats per token as
everywhere; what only programs that never trained can judge, the regime, is left to the
diagnostics.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnostics.runlog import PAIR_TABLES, read_log, read_pairs
from trainer import language
from trainer.casebook.contract import Numbers

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

NORMAL = 1.96  # two-sided 95 %
# Columns of the path, in order; the second half of each couple is the half-width of its interval.
PATH = ("step", "chosen", "± chosen", "rejected", "± rejected", "margin", "± margin", "drift")
DIGITS = 3
SIDES = ("chosen", "rejected")
MIN_RANKED = 24  # pairs below which a rank correlation says nothing


def numbers(folder: Path) -> tuple[dict[str, float | None], list[list[float | None]]]:
    """Return what a run folder says: numbers by name, and the rows of its path."""
    pairs = _columns(folder, "probe")
    pairs = {name: column[pairs["split"] == "train"] for name, column in pairs.items()}
    steps = np.unique(pairs["step"])
    scores = [_at(pairs, step) for step in steps]
    samples = _columns(folder, "samples")
    drifts = [_drift(samples, step, steps[0]) for step in steps]
    path = [
        _rounded([float(step), *_change(score, scores[0]), drift])
        for step, score, drift in zip(steps, scores, drifts, strict=True)
    ]
    found: dict[str, float | None] = {}
    _ends(found, path)
    _accuracies(found, scores)
    _logged(found, folder)
    _probed(found, scores[0], scores[-1])
    _families(found, folder)
    _scores(found, folder, scores[0], scores[-1])
    return rounded(found), path


def rounded(numbers: Numbers) -> dict[str, float | None]:
    """Return the numbers to three significant digits, None where one is not finite."""
    return {name: _round(value) for name, value in numbers.items()}


def written(texts: list[str]) -> dict[str, float | None]:
    """Return the true reward and the length [words] of completions, averaged over them."""
    return {
        "true_reward": _round(float(np.mean([language.true_reward(text) for text in texts]))),
        "words": _round(float(np.mean([len(text.split()) for text in texts]))),
    }


def gains(after: Numbers, before: Numbers) -> dict[str, float | None]:
    """Return how far what the policy writes has changed, also a nat of margin."""
    found = {f"start/{name}": value for name, value in before.items()}
    for name, value in before.items():
        now = after[name]
        found[f"gain/{name}"] = None if now is None or value is None else _round(now - value)
    found["gain_per_margin"] = _round(_over(found["gain/true_reward"], after["margin"]))
    return found


def spearman(one: Floats, other: Floats) -> float:
    """Return the rank correlation of two columns; NaN where one is constant.

    Examples
    --------
    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 8.0, 27.0]))
    1.0
    """
    return _correlation(_ranks(one), _ranks(other))


def _columns(folder: Path, table: str) -> Columns:
    found = read_pairs(folder, table)
    return {name: np.asarray(found[name].to_pylist()) for name in found.column_names}


def _at(columns: Columns, step: int) -> Columns:
    return {name: column[columns["step"] == step] for name, column in columns.items()}


def _change(score: Columns, start: Columns) -> list[float]:
    """Return mean and half-width of the change of chosen, rejected and margin [nats/token]."""
    chosen, rejected = (
        (score[f"logps/{side}"] - start[f"logps/{side}"]) / score[f"completion_tokens/{side}"]
        for side in SIDES
    )
    # The sides of unpaired data are other examples each: their spreads add up.
    paired = np.isfinite(chosen - rejected).any()
    both = (chosen, rejected, chosen - rejected) if paired else (chosen, rejected)
    parts = [_mean(column) for column in both]
    if not paired:
        (one, spread), (other, wide) = parts
        parts.append((one - other, math.hypot(spread, wide)))
    return [value for part in parts for value in part]


def _mean(column: Floats) -> tuple[float, float]:
    usable = column[np.isfinite(column)]
    if len(usable) < 2:
        return math.nan, math.nan
    return float(usable.mean()), NORMAL * float(usable.std(ddof=1)) / math.sqrt(len(usable))


def _drift(samples: Columns, step: int, start: int) -> float:
    """Return the forward KL from the initial policy [nats per token]."""
    if not len(samples["step"]):
        return math.nan
    now, before = _at(samples, step), _at(samples, start)
    if len(now["logps"]) != len(before["logps"]):
        return math.nan
    return float((before["logps"] - now["logps"]).sum() / now["completion_tokens"].sum())


def _ends(found: dict[str, float | None], path: list[list[float | None]]) -> None:
    """Add the last and the first change, and how far chosen came back from its peak."""
    table = np.array([[math.nan if v is None else v for v in row] for row in path])
    column = dict(zip(PATH, table.T, strict=True))
    for name in ("chosen", "rejected", "margin", "drift"):
        found[name] = float(column[name][-1])
        found[f"early/{name}"] = float(column[name][1]) if len(table) > 1 else None
        found[f"size/{name}"] = abs(float(column[name][-1]))
    for name in SIDES:
        found[f"early/± {name}"] = float(column[f"± {name}"][1]) if len(table) > 1 else None
    found["share"] = _over(found["chosen"], found["margin"])
    found["early/share"] = _over(found["early/chosen"], found["early/margin"])
    found["above_tide"] = found["chosen"] + found["drift"]  # type: ignore[operator]
    found["peak/chosen"] = float(np.nanmax(column["chosen"]))
    found["from_peak/chosen"] = found["chosen"] - found["peak/chosen"]  # type: ignore[operator]
    found["margin_per_drift"] = _over(found["margin"], found["drift"])


def _accuracies(found: dict[str, float | None], scores: list[Columns]) -> None:
    last, start = scores[-1], scores[0]
    now, before, tokens = (
        [one[f"{name}/{side}"] for side in SIDES]
        for one, name in ((last, "logps"), (start, "logps"), (last, "completion_tokens"))
    )
    if not np.isfinite(now[0] - now[1]).any():
        return
    found["reward_accuracy"] = float(np.mean(now[0] - before[0] > now[1] - before[1]))
    found["ranking_accuracy"] = float(np.mean(now[0] > now[1]))
    found["ranking_accuracy_per_token"] = float(np.mean(now[0] / tokens[0] > now[1] / tokens[1]))
    found["distance_to_flip"] = float(np.mean(np.maximum(0.0, before[1] - before[0])))
    for side in SIDES:
        for name in ("entropy", "top1_rate"):
            change = last[f"{name}/{side}"] - start[f"{name}/{side}"]
            found[f"{name}/{side}"] = float(np.mean(change))


def _logged(found: dict[str, float | None], folder: Path) -> None:
    """Add what the log says: the largest gradient, and what was measured before training."""
    log = read_log(folder)
    norms = [row["grad_norm"] for row in log.train if row.get("grad_norm") is not None]
    if norms:
        found["grad_norm/max"] = float(np.nanmax(norms))
        found["grad_norm/first"] = float(norms[0])
    for row in log.evals[:1]:
        for name, value in row.items():
            if name.startswith(("entanglement/", "curvature", "first_order/", "virtual_step/")):
                found[f"start/{name}"] = float(value)
    share, q = (found.get(f"start/entanglement/{name}") for name in ("cosine", "q"))
    q_star = found.get("start/entanglement/q_star")
    if share is not None and q is not None and q_star is not None:
        # arXiv 2410.13828: chosen rises where q > rho q*, rejected where rho q > q*.
        found["start/sign/chosen"] = float(np.sign(q - share * q_star))
        found["start/sign/rejected"] = float(np.sign(share * q - q_star))


def _probed(found: dict[str, float | None], first: Columns, last: Columns) -> None:
    """Add how on-policy each side was at the start, and how far the likeliest tokens moved."""
    for side in SIDES:
        found[f"tokens/{side}"] = float(np.nanmean(first[f"completion_tokens/{side}"]))
        for name in ("surprise", "surprise_z", "valley"):
            column = first.get(f"{name}/{side}")
            if column is not None:
                found[f"start/{name}/{side}"] = float(np.nanmean(column))
        name = f"argmax_logps/{side}"
        if name in first:
            found[name] = float(np.nanmean(last[name] - first[name]))


def _families(found: dict[str, float | None], folder: Path) -> None:
    """Add how far each family of other texts has moved [nats per token]."""
    if "families" not in PAIR_TABLES:
        return
    rows = _columns(folder, "families")
    if not len(rows["step"]):
        return
    first, last = _at(rows, rows["step"].min()), _at(rows, rows["step"].max())
    change = (last["logps"] - first["logps"]) / last["completion_tokens"]
    for family in np.unique(last["family"]):
        found[f"family/{family}"] = float(np.nanmean(change[last["family"] == family]))


def _scores(found: dict[str, float | None], folder: Path, first: Columns, last: Columns) -> None:
    """Add the weight of the loss, and how each score orders the pairs by their displacement.

    A rank correlation above 0 says that pairs with a higher score lose more chosen
    log-probability a token. `head_exact` is minus the first-order rate of chosen in the output
    matrix alone, of which CHES is the approximation with all coefficients 1.
    """
    if "entanglement" not in PAIR_TABLES:
        return
    rows = _columns(folder, "entanglement")
    if not len(rows["step"]):
        return
    start = _at(rows, rows["step"].min())
    found["start/weight/rejected"] = float(np.nanmean(start["weight/rejected"]))
    if len(start["pair"]) < MIN_RANKED:
        return
    where = {pair: row for row, pair in enumerate(first["pair"])}
    index = np.array([where[pair] for pair in start["pair"]])
    tokens = first["completion_tokens/chosen"]
    fallen = ((first["logps/chosen"] - last["logps/chosen"]) / tokens)[index]
    chosen, rejected = start["head_norm/chosen"], start["head_norm/rejected"]
    scores = {
        "ches": start["ches"],
        "ches_per_token": start["ches_per_token"],
        "head_exact": start["head_cosine"] * chosen * rejected - chosen**2,
        "exact": start["cosine"] * start["norm/chosen"] * start["norm/rejected"]
        - start["norm/chosen"] ** 2,
        "length_ratio": start["completion_tokens/rejected"] / start["completion_tokens/chosen"],
    }
    for name, score in scores.items():
        found[f"rank/{name}"] = spearman(score, fallen)


def _over(numerator: float | None, denominator: float | None) -> float | None:
    if numerator is None or denominator is None or not abs(denominator) > 1e-6:
        return None
    return numerator / denominator


def _ranks(column: Floats) -> Floats:
    """Return ranks from 0; equal values share their mean rank."""
    order = np.argsort(column, kind="stable")
    ranks = np.empty(len(column))
    ranks[order] = np.arange(len(column))
    for value in np.unique(column):
        same = column == value
        ranks[same] = ranks[same].mean()
    return ranks


def _correlation(one: Floats, other: Floats) -> float:
    if len(one) < 3 or one.std() == 0 or other.std() == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def _rounded(values: list[float]) -> list[float | None]:
    return [_round(value) for value in values]


def _round(value: float | None) -> float | None:
    """Return a number to three significant digits, None where there is none."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")
