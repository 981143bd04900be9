"""Where the margin came from: the change of a completion is the sum over its tokens.

The table "tokens" holds single tokens of a few pairs. With delta_t the change of a token's
log-prob since the start of the run, the margin of a pair is the sum of delta_t over chosen minus
that over rejected, and its common mode half of their sum; groups of tokens share out both exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, nan

import numpy as np
import pandas as pd

from diagnostics.intervals import Floats, Interval, Ints, clustered_mean, clustered_ratio
from diagnostics.run import Run

GROUPS = ("template", "shared_prefix", "first_difference", "shared_after", "unique", "eos")
# A token less likely than this that is not the argmax lies in a valley; proposal of this project.
VALLEY = 1e-3
# The largest-moving tokens whose part of the movement is reported; proposal of this project.
TOP_TOKENS = 0.05

_KEYS = ["pair", "side", "position"]


@dataclass(frozen=True)
class GroupShare:
    """What one group of tokens contributed.

    `margin` and `common` are nats per pair; `of_margin` is the group's share of the whole margin,
    None where that is not significant. `tokens` is the group's fraction of all tokens.
    """

    group: str
    tokens: float
    margin: Interval
    common: Interval
    of_margin: Interval | None


@dataclass(frozen=True)
class Attribution:
    """Where the margin of the recorded pairs came from, between the start and `step`.

    `margin` and `common` are nats per pair. `top_share` is the part of all token movement (the
    summed sizes of their changes) that the 5 % largest-moving tokens make up. `wasted` is the
    fall of rejected tokens that lay in a valley at the start, divided by the margin: margin that
    was bought by pushing down what the policy would not have written. Both are fractions, None
    where nothing moved or the margin has not grown significantly.
    """

    step: int
    start: int
    n_pairs: int
    margin: Interval
    common: Interval
    groups: tuple[GroupShare, ...]
    top_share: float | None
    wasted: Interval | None
    valley_tokens: float


def attribute(run: Run, step: int | None = None, split: str = "train") -> Attribution | None:
    """Return the attribution at the last record at or before `step` (default: the last one).

    Pairs with one side only are left out. None without a pair that was recorded at the start and
    at a later step.
    """
    table = run.tables.get("tokens")
    if table is None or not {"step", "group", "logps", "argmax_logps", *_KEYS} <= set(table):
        return None
    rows = table[table["split"] == split] if "split" in table else table
    steps = np.unique(rows["step"]) if len(rows) else np.empty(0)
    until = steps if step is None else steps[steps <= step]
    if len(until) < 2:
        return None
    moved = _moved(rows, int(steps[0]), int(until[-1]))
    both = moved.groupby("pair")["side"].transform("nunique") == 2
    moved = moved[both]
    return _attribution(run, moved, int(steps[0]), int(until[-1])) if len(moved) else None


def _moved(rows: pd.DataFrame, start: int, step: int) -> pd.DataFrame:
    """Return one row per token with its change and its contribution to margin and common mode."""
    first, last = (
        rows[rows["step"] == at].drop_duplicates(_KEYS, keep="last") for at in (start, step)
    )
    joined = first.merge(last[[*_KEYS, "logps"]], on=_KEYS, suffixes=("", "_now"))
    joined["change"] = joined["logps_now"] - joined["logps"]
    joined = joined[np.isfinite(joined["change"])]
    sign = np.where(joined["side"] == "chosen", 1.0, -1.0)
    joined["margin"], joined["common"] = sign * joined["change"], joined["change"] / 2
    below = (joined["logps"] < log(VALLEY)) & (joined["logps"] < joined["argmax_logps"])
    joined["valley"] = below & (joined["side"] == "rejected")
    return joined


def _attribution(run: Run, moved: pd.DataFrame, start: int, step: int) -> Attribution:
    pairs = np.unique(moved["pair"])
    clusters = _clusters(run, pairs)
    count = int(clusters.max()) + 1

    def per_pair(rows: pd.DataFrame, column: str) -> Floats:
        sums = rows.groupby("pair")[column].sum().reindex(pairs, fill_value=0.0)
        return np.asarray(sums, dtype=np.float64)

    margin = clustered_mean(per_pair(moved, "margin"), clusters, count)
    common = clustered_mean(per_pair(moved, "common"), clusters, count)
    grown = margin.interval.low > 0
    groups = []
    for group in (*GROUPS, *sorted(set(moved["group"]) - set(GROUPS))):
        own = moved[moved["group"] == group]
        if not len(own):
            continue
        part = clustered_mean(per_pair(own, "margin"), clusters, count)
        groups.append(
            GroupShare(
                group=str(group),
                tokens=len(own) / len(moved),
                margin=part.interval,
                common=clustered_mean(per_pair(own, "common"), clusters, count).interval,
                of_margin=clustered_ratio(part, margin) if grown else None,
            )
        )
    wasted = clustered_mean(per_pair(moved[moved["valley"]], "margin"), clusters, count)
    rejected = moved["side"] == "rejected"
    return Attribution(
        step=step,
        start=start,
        n_pairs=len(pairs),
        margin=margin.interval,
        common=common.interval,
        groups=tuple(groups),
        top_share=top_share(moved["change"].to_numpy(np.float64)),
        wasted=clustered_ratio(wasted, margin) if grown else None,
        valley_tokens=float(moved.loc[rejected, "valley"].mean()) if rejected.any() else nan,
    )


def top_share(changes: Floats, fraction: float = TOP_TOKENS) -> float | None:
    """Return the part of the summed |change| that the largest-moving tokens make up.

    Examples
    --------
    >>> top_share(np.array([19.0] + [1.0] * 19))  # one token of twenty
    0.5
    """
    sizes = np.sort(np.abs(changes))[::-1]
    total = float(sizes.sum())
    if not total > 0:
        return None
    return float(sizes[: max(1, round(fraction * len(sizes)))].sum()) / total


def _clusters(run: Run, pairs: Ints) -> Ints:
    """Return the cluster of each pair: its prompt where the probe table tells, else itself."""
    known = run.probes.drop_duplicates("pair", keep="last").set_index("pair")["prompt"]
    names = [known.get(pair) or ("pair", pair) for pair in pairs]
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], dtype=np.int64)
