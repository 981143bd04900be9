"""Figures of pairs: every outlier drawn, every axis with its unit, no text read as markup."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diagnostics import probe_examples
from diagnostics.examples import example, nan_ridden
from diagnostics.figures.contingency import contingency as contingency_map
from diagnostics.figures.contingency import history
from diagnostics.figures.distributions import SHARE, distributions
from diagnostics.figures.lengths import MOST_POINTS as MOST_LENGTHS
from diagnostics.figures.lengths import margin_by_length
from diagnostics.figures.pairs import MOST_POINTS, X, Y, path, placed, scatter, thinned
from diagnostics.pairmarks import REASONS, marked, marks
from diagnostics.pairs import (
    LENGTH,
    MARGIN,
    PAIR,
    PairView,
    contingency,
    length_effect,
    ranking_history,
    view,
)
from diagnostics.pairs import path as path_of
from diagnostics.run import Run


def rows_of(run: Run) -> pd.DataFrame:
    pairs = view(run, "train")
    assert pairs is not None
    return marked(pairs, marks(run, pairs))


def crowd(count: int) -> pd.DataFrame:
    """A crowd of pairs with one far out and one marked in its middle."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            PAIR: np.arange(count),
            X: draw.normal(size=count),
            Y: draw.normal(size=count),
            REASONS: "",
            **{LENGTH[side]: 5.0 for side in ("chosen", "rejected")},
        }
    )
    frame[MARGIN] = frame[Y] - frame[X]
    frame.loc[7, [X, Y]] = [40.0, -40.0]
    frame.loc[8, [X, Y]] = [0.0, 0.0]
    frame.loc[8, REASONS] = "copy of 1"
    return frame


def test_every_pair_with_both_changes_is_one_point_that_tells_its_number() -> None:
    rows = rows_of(probe_examples.flipped())
    drawing = scatter(rows)
    numbers = [int(one[0]) for trace in drawing.data for one in trace.customdata]
    assert sorted(numbers) == sorted(rows[PAIR])
    named = {trace.name: len(trace.x) for trace in drawing.data}
    assert named["against its label"] == int(rows[REASONS].astype(bool).sum())
    assert drawing.layout.xaxis.title.text == "Δ rejected [nats per token]"
    assert drawing.layout.yaxis.title.text == "Δ chosen [nats per token]"


def test_the_picked_pair_stands_in_a_ring_and_one_that_is_not_there_does_not() -> None:
    rows = rows_of(example("ideal"))
    (ring,) = [one for one in scatter(rows, 5).data if one.name == "picked pair"]
    own = rows[rows[PAIR] == 5].iloc[0]
    assert (ring.x[0], ring.y[0]) == (own[X], own[Y])
    assert [one.name for one in scatter(rows, 999).data] == ["pair"]


def test_thinning_keeps_the_far_and_the_marked_and_says_no_more_than_its_limit() -> None:
    rows = crowd(20_000)
    kept = thinned(rows)
    assert len(kept) == MOST_POINTS
    assert {7, 8} <= set(kept[PAIR])
    assert kept[PAIR].is_monotonic_increasing
    # The crowd is thinned evenly: its middle stays where it was.
    rest = kept[~kept[PAIR].isin([7, 8])]
    assert (rest[X].abs() < 0.5).any()
    drawn = sum(len(one.x) for one in scatter(rows).data)
    assert drawn == MOST_POINTS
    assert thinned(crowd(100)).equals(crowd(100))


def test_what_is_not_finite_is_not_drawn() -> None:
    rows = rows_of(nan_ridden())
    assert len(placed(rows)) == 0
    assert len(scatter(rows).data) == 0
    rows = crowd(10)
    rows.loc[3, X] = np.inf
    assert len(placed(rows)) == 9


def test_a_mark_is_shown_as_text() -> None:
    rows = crowd(10)
    rows.loc[8, REASONS] = "copy <b>of</b> 1"
    (trace,) = [one for one in scatter(rows).data if one.name == "copy"]
    assert trace.text[0] == "copy &lt;b&gt;of&lt;/b&gt; 1"


def test_the_map_shows_the_counts_where_their_words_are() -> None:
    pairs = view(probe_examples.unranked(by=0.3), "train")
    assert isinstance(pairs, PairView)
    found = contingency(pairs)
    drawing = contingency_map(found)
    words = {(one.x, one.y): one.text for one in drawing.layout.annotations}
    (was_right, forgotten), (learned, wrong) = found.counts
    for place, count, name in (
        ((0, 1), was_right, "stayed right"),
        ((1, 1), forgotten, "forgotten"),
        ((0, 0), learned, "learned"),
        ((1, 0), wrong, "stayed wrong"),
    ):
        assert words[place].startswith(f"<b>{count}</b>")
        assert words[place].endswith(name)
    assert drawing.layout.xaxis.ticktext == ("ranked right", "ranked wrong")
    assert drawing.layout.yaxis.ticktext == ("ranked wrong", "ranked right")


def test_the_stack_sums_to_100_percent_and_an_empty_one_is_empty() -> None:
    shares = ranking_history(example("ideal"), "train")
    drawing = history(shares)
    total = np.sum([one.y for one in drawing.data], axis=0)
    assert total == pytest.approx(100.0)
    assert drawing.layout.yaxis.title.text == "Pairs [%]"
    assert all(len(one.x) == 0 for one in history(shares.iloc[:0]).data)


def test_margins_by_length_are_thinned_with_the_extremes_kept() -> None:
    pairs = view(example("ideal", pairs=1200, evaluations=1), "train")
    assert pairs is not None
    effect = length_effect(pairs)
    assert effect is not None
    drawing = margin_by_length(effect)
    assert len(drawing.data[0].x) == MOST_LENGTHS
    margins = effect.points[MARGIN]
    assert (min(drawing.data[0].y), max(drawing.data[0].y)) == (margins.min(), margins.max())
    assert drawing.layout.xaxis.title.text.endswith("[tokens]")


def test_distributions_share_their_bins_and_sum_to_100_percent() -> None:
    drawing = distributions({"chosen": [0.0, 1.0, 2.0, 9.0], "rejected": [np.nan, 3.0]}, "z [sd]")
    chosen, rejected = drawing.data
    assert list(chosen.x) == list(rejected.x)
    assert sum(chosen.y[::2]) == pytest.approx(100.0)
    assert sum(rejected.y[::2]) == pytest.approx(100.0)
    assert drawing.layout.yaxis.title.text == SHARE
    assert len(distributions({"chosen": [np.nan]}, "z [sd]").data) == 0
    assert len(distributions({"chosen": [1.0]}, "z [sd]", normal=True).data) == 2


def test_the_path_of_a_pair_leaves_out_a_side_it_does_not_have() -> None:
    steps = path_of(example("ideal"), "train", 3)
    assert [one.name for one in path(steps, 200).data] == ["chosen", "rejected", "margin"]
    one_side = steps.assign(**{str(X): np.nan, MARGIN: np.nan})
    assert [one.name for one in path(one_side, 200).data] == ["chosen"]
    assert len(path(steps.iloc[:0], 0).data) == 0
