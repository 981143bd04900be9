"""The pairs behind the curves: one row a pair, and what the pairs of a run say together.

Column heads carry their unit in brackets. Everything is measured between the first evaluation of
the fixed pairs and the one that is looked at; of the records of training steps, between the
reference and the last time that a pair was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from diagnostics.entanglement import partial_correlation
from diagnostics.intervals import Flags, Floats, Interval, Ints, clustered_mean
from diagnostics.probegrid import SIDES, finite_numbers, probe_grid
from diagnostics.run import Run
from diagnostics.schema import NATS, NATS_PER_TOKEN

TRAINING = "training"
"""The split that stands for the records of training steps, beside those of the probe set."""

PAIR = "Pair"
PROMPT = "Prompt hash"
SEEN = "Trained at step"
DELTA = {side: f"Δ {side} [{NATS_PER_TOKEN}]" for side in SIDES}
MARGIN = f"Δ margin [{NATS_PER_TOKEN}]"
MARGIN_SUM = f"Δ margin [{NATS}]"
GAP_START = f"Log-prob gap at the start [{NATS_PER_TOKEN}]"
GAP = f"Log-prob gap [{NATS_PER_TOKEN}]"
GAP_START_SUM = f"Log-prob gap at the start [{NATS}]"
GAP_SUM = f"Log-prob gap [{NATS}]"
FLIP = f"Distance to flip [{NATS}]"
SURPRISE = {side: f"Surprise z, {side} [standard deviations]" for side in SIDES}
SURPRISE_START = {side: f"Surprise z at the start, {side} [standard deviations]" for side in SIDES}
LENGTH = {side: f"Length, {side} [tokens]" for side in SIDES}
CHES = "CHES per token [squared activation]"
COSINE = "Gradient cosine [cosine]"

_TOKENS = tuple(f"completion_tokens/{side}" for side in SIDES)

# Quantiles of the length difference that one mean is taken over, and fewest pairs in each.
MOST_BINS = 8
LEAST_IN_BIN = 8


@dataclass(frozen=True)
class PairView:
    """The pairs of one split at one evaluation; `frame` has one row a pair, by its number.

    `split` is "train" or "held_out" of the probe set, or `TRAINING`. `steps` are the evaluations
    there are, `start` and `step` the two that are compared. `is_paired` is false where no row ever
    had both sides, as in unpaired data.
    """

    split: str
    steps: tuple[int, ...]
    start: int
    step: int
    frame: pd.DataFrame
    is_paired: bool

    @property
    def clusters(self) -> Ints:
        """The cluster of each row: its prompt where that is known, else itself."""
        names = self.frame[PROMPT] if PROMPT in self.frame else pd.Series("", self.frame.index)
        keys = names.where(names.astype(bool), "pair " + self.frame[PAIR].astype(str))
        return np.asarray(pd.factorize(keys)[0], dtype=np.int64)


def view(run: Run, split: str, step: int | None = None) -> PairView | None:
    """Return the probe pairs of a split at the last evaluation at or before `step`.

    Pairs that were scored only once, or on one side, are in it with NaN for what is not known.
    None where the run has no such rows.
    """
    rows = run.probes
    if not {"split", "step", "pair"} <= set(rows):
        return None
    rows = rows[rows["split"] == split]
    steps, numbers = (finite_numbers(rows[name]) for name in ("step", "pair"))
    rows = rows[np.isfinite(steps) & np.isfinite(numbers)]
    rows = rows.drop_duplicates(["step", "pair"], keep="last")
    if rows.empty:
        return None
    evaluations = tuple(int(one) for one in np.unique(rows["step"]))
    at = max((one for one in evaluations if step is None or one <= step), default=evaluations[0])
    pairs = np.unique(rows["pair"].astype(np.int64))
    first, now = (
        rows[rows["step"] == one].set_index("pair").reindex(pairs) for one in (evaluations[0], at)
    )
    rows = rows.sort_values("step", kind="stable")
    known = rows.assign(**{name: _column(rows, name) for name in _TOKENS})
    # The last length that was logged, whichever evaluation that was.
    lengths = known.groupby("pair").last().reindex(pairs)
    frame = _frame(pairs, lengths, first, now, "logps", "logps")
    for side in SIDES:
        frame[SURPRISE[side]] = _column(now, f"surprise_z/{side}")
        frame[SURPRISE_START[side]] = _column(first, f"surprise_z/{side}")
    if "prompt" in lengths:
        frame.insert(1, PROMPT, lengths["prompt"].fillna("").astype(str).to_numpy())
    frame = frame.join(_entanglement(run, split, at), on=PAIR)
    return PairView(split, evaluations, evaluations[0], at, _lean(frame), _is_paired(rows))


def training_view(records: pd.DataFrame, step: int | None = None) -> PairView | None:
    """Return every training pair when it was last trained on, at or before `step`.

    Changes are against the reference model, so a method without one has levels only.

    Parameters
    ----------
    records
        The table "train" of docs/run-log.md.
    """
    if records.empty:
        return None
    steps = tuple(int(one) for one in np.unique(records["step"]))
    at = max((one for one in steps if step is None or one <= step), default=steps[0])
    rows = records[records["step"] <= at].drop_duplicates("pair", keep="last")
    rows = rows.set_index("pair").sort_index()
    pairs = np.asarray(rows.index, dtype=np.int64)
    frame = _frame(pairs, rows, rows, rows, "ref_logps", "logps")
    frame.insert(1, SEEN, rows["step"].to_numpy(np.int64))
    return PairView(TRAINING, steps, 0, at, _lean(frame), _is_paired(records))


def _is_paired(rows: pd.DataFrame) -> bool:
    sides = [np.isfinite(_column(rows, name)) for name in _TOKENS]
    return bool((sides[0] & sides[1]).any())


def _frame(
    pairs: Ints,
    lengths: pd.DataFrame,
    first: pd.DataFrame,
    now: pd.DataFrame,
    before: str,
    after: str,
) -> pd.DataFrame:
    """Return the columns that every view has; the tables have one row a pair, in this order."""
    tokens = {side: _column(lengths, f"completion_tokens/{side}") for side in SIDES}
    tokens = {side: np.where(own > 0, own, nan) for side, own in tokens.items()}
    start = {side: _column(first, f"{before}/{side}") for side in SIDES}
    end = {side: _column(now, f"{after}/{side}") for side in SIDES}
    change = {side: end[side] - start[side] for side in SIDES}
    chosen, rejected = SIDES
    frame = pd.DataFrame({PAIR: pairs})
    for side in SIDES:
        frame[DELTA[side]] = change[side] / tokens[side]
    frame[MARGIN] = frame[DELTA[chosen]] - frame[DELTA[rejected]]
    frame[MARGIN_SUM] = change[chosen] - change[rejected]
    for per_token, summed, levels in ((GAP_START, GAP_START_SUM, start), (GAP, GAP_SUM, end)):
        frame[per_token] = levels[chosen] / tokens[chosen] - levels[rejected] / tokens[rejected]
        frame[summed] = levels[chosen] - levels[rejected]
    # max(0, c - m) of arXiv 2405.19534, Theorem 4.1, in summed log-probs as there.
    frame[FLIP] = np.maximum(0.0, -frame[GAP_SUM])
    for side in SIDES:
        frame[LENGTH[side]] = tokens[side]
    return frame


def _column(table: pd.DataFrame, name: str) -> Floats:
    return finite_numbers(table[name]) if name in table else np.full(len(table), nan)


def _entanglement(run: Run, split: str, step: int) -> pd.DataFrame:
    """Return CHES and cosine of the pairs whose gradients were compared last, by pair."""
    table = run.tables.get("entanglement")
    empty = pd.DataFrame(columns=[CHES, COSINE], dtype=np.float64)
    if table is None or not {"step", "split", "pair"} <= set(table):
        return empty
    rows = table[(table["split"] == split) & (table["step"] <= step)]
    rows = rows[rows["step"] == rows["step"].max()].drop_duplicates("pair", keep="last")
    if rows.empty:
        return empty
    columns = {CHES: _column(rows, "ches_per_token"), COSINE: _column(rows, "cosine")}
    return pd.DataFrame(columns, index=pd.Index(rows["pair"], dtype=np.int64))


def _lean(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame without the columns that no pair has a value for."""
    optional = [*SURPRISE.values(), *SURPRISE_START.values(), CHES, COSINE]
    gone = [name for name in optional if name in frame and frame[name].isna().all()]
    return frame.drop(columns=gone).reset_index(drop=True)


# Ranking


@dataclass(frozen=True)
class Contingency:
    """How many pairs the initial policy and the policy rank rightly; `left_out` lack a number.

    `counts` is a 2 by 2 array: rows are the start (right, wrong), columns now (right, wrong).
    """

    counts: Ints
    left_out: int

    @property
    def pairs(self) -> int:
        """How many pairs were counted."""
        return int(self.counts.sum())


RANKINGS = ("stayed right", "learned", "forgotten", "stayed wrong")
"""What became of a pair's ranking: right or wrong at the start, then now."""


def contingency(pairs: PairView, *, summed: bool = False) -> Contingency:
    """Return the counts of right and wrong rankings, at the start and now.

    A pair is ranked rightly where the chosen completion has the larger log-prob, per token or
    `summed`; equal ones are wrong, as in the ranking accuracy of arXiv 2405.19534.
    """
    names = (GAP_START_SUM, GAP_SUM) if summed else (GAP_START, GAP)
    before, after = (pairs.frame[name].to_numpy(np.float64) for name in names)
    known = np.isfinite(before) & np.isfinite(after)
    was, is_now = before[known] > 0, after[known] > 0
    counts = [[(was & is_now).sum(), (was & ~is_now).sum()]]
    counts.append([(~was & is_now).sum(), (~was & ~is_now).sum()])
    return Contingency(np.array(counts, dtype=np.int64), int((~known).sum()))


def ranking_history(run: Run, split: str, *, summed: bool = False) -> pd.DataFrame:
    """Return the fractions of pairs of each of `RANKINGS` at every evaluation, by step.

    Of the pairs with both sides at the first and the last evaluation; a pair that lacks a number
    at one in between is left out there.
    """
    grid = probe_grid(run, split)
    if grid is None:
        return pd.DataFrame(columns=list(RANKINGS), index=pd.Index([], name="step"))
    levels = grid.logps if summed else grid.logps / grid.tokens
    gaps = levels[:, 0] - levels[:, 1]
    known = np.isfinite(gaps)
    right, was = gaps > 0, gaps[0] > 0
    cases = (was & right, ~was & right, was & ~right, ~was & ~right)
    count = np.maximum(known.sum(axis=1), 1)
    columns = {
        name: (case & known).sum(axis=1) / count for name, case in zip(RANKINGS, cases, strict=True)
    }
    return pd.DataFrame(columns, index=pd.Index(grid.steps, name="step"))


# Length

LONGER = "Chosen longer by [tokens]"


@dataclass(frozen=True)
class LengthEffect:
    """How the margin goes with the length of the sides.

    `points` holds `LONGER` and `MARGIN` of every pair with both; `bins` the mean margin of pairs
    of similar `LONGER`, with its interval. `plain` is the rank correlation of the margin with
    ln(chosen length / rejected length), `partial` the same with the two lengths' sum held fixed:
    a margin per token that merely depends on how long texts are shows in the first only.
    """

    points: pd.DataFrame
    bins: pd.DataFrame
    plain: Interval | None
    partial: Interval | None


def length_effect(pairs: PairView) -> LengthEffect | None:
    """Return the length effect, None where no pair has a margin and both lengths."""
    frame = pairs.frame
    chosen, rejected = (frame[LENGTH[side]].to_numpy(np.float64) for side in SIDES)
    margin = frame[MARGIN].to_numpy(np.float64)
    known = np.isfinite(chosen) & np.isfinite(rejected) & np.isfinite(margin)
    if not known.any():
        return None
    chosen, rejected, margin = chosen[known], rejected[known], margin[known]
    points = pd.DataFrame(
        {PAIR: frame[PAIR].to_numpy()[known], LONGER: chosen - rejected, MARGIN: margin}
    )
    ratio, total = np.log(chosen / rejected).tolist(), (chosen + rejected).tolist()
    return LengthEffect(
        points=points,
        bins=_binned(points, pairs.clusters[known]),
        plain=partial_correlation(ratio, margin.tolist(), [0.0] * len(margin)),
        partial=partial_correlation(ratio, margin.tolist(), total),
    )


def _binned(points: pd.DataFrame, clusters: Ints) -> pd.DataFrame:
    """Return mean margin and its interval in quantiles of the length difference."""
    count = int(np.clip(len(points) // LEAST_IN_BIN, 1, MOST_BINS))
    longer = points[LONGER].to_numpy(np.float64)
    edges = np.unique(np.quantile(longer, np.linspace(0, 1, count + 1)))
    places = np.clip(np.searchsorted(edges, longer, side="right") - 1, 0, max(len(edges) - 2, 0))
    margin = points[MARGIN].to_numpy(np.float64)
    rows = []
    for place in np.unique(places):
        own = places == place
        mean = clustered_mean(margin[own], clusters[own], int(clusters.max()) + 1).interval
        rows.append((longer[own].mean(), mean.value, mean.low, mean.high, int(own.sum())))
    heads = [LONGER, MARGIN, f"{MARGIN} from", f"{MARGIN} to", "Pairs"]
    return pd.DataFrame(rows, columns=heads)


def ches_effect(pairs: PairView) -> Interval | None:
    """Return the rank correlation of CHES with the change of chosen, given ln(n_l / n_w).

    A score that loses its power given the lengths is a length detector.
    """
    frame = pairs.frame
    if CHES not in frame:
        return None
    chosen, rejected = (frame[LENGTH[side]].to_numpy(np.float64) for side in SIDES)
    ratio = np.log(rejected / chosen)
    return partial_correlation(frame[CHES].tolist(), frame[DELTA["chosen"]].tolist(), list(ratio))


# One pair


def path(run: Run, split: str, pair: int) -> pd.DataFrame:
    """Return Δ chosen, Δ rejected and their margin of one pair at every evaluation, by step."""
    rows = run.probes
    if not {"split", "step", "pair"} <= set(rows):
        rows = rows.iloc[:0].reindex(columns=["split", "step", "pair"])
    rows = rows[(rows["split"] == split) & (rows["pair"] == pair)]
    rows = rows.drop_duplicates("step", keep="last").sort_values("step")
    columns: dict[str, Floats] = {}
    for side in SIDES:
        tokens, logps = (_column(rows, f"{name}/{side}") for name in ("completion_tokens", "logps"))
        first = logps[:1] if len(logps) else np.full(1, nan)
        columns[DELTA[side]] = (logps - first) / np.where(tokens > 0, tokens, nan)
    columns[MARGIN] = columns[DELTA["chosen"]] - columns[DELTA["rejected"]]
    return pd.DataFrame(columns, index=pd.Index(rows["step"].astype(np.int64), name="step"))


def inside(frame: pd.DataFrame, x: str, y: str, outline: list[tuple[float, float]]) -> Flags:
    """Return which rows lie inside a polygon drawn on the axes `x` and `y` (rows).

    By the even-odd rule; a box is a polygon of four corners.

    Examples
    --------
    >>> points = pd.DataFrame({"a": [0.5, 2.0], "b": [0.5, 0.5]})
    >>> inside(points, "a", "b", [(0, 0), (1, 0), (1, 1), (0, 1)]).tolist()
    [True, False]
    """
    px, py = (frame[name].to_numpy(np.float64) for name in (x, y))
    within = np.zeros(len(frame), dtype=np.bool_)
    for (x0, y0), (x1, y1) in zip(outline, [*outline[1:], *outline[:1]], strict=True):
        if y0 == y1:
            continue
        crosses = (py < y0) != (py < y1)
        within ^= crosses & (px < x0 + (py - y0) * (x1 - x0) / (y1 - y0))
    return within
