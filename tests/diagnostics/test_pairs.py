"""One row a pair, rankings, lengths: against runs whose numbers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics import pairs, probe_examples
from diagnostics.entanglement import distance_to_flip
from diagnostics.examples import TRUTH, example, nan_ridden
from diagnostics.pairs import (
    CHES,
    DELTA,
    FLIP,
    GAP,
    LENGTH,
    LONGER,
    MARGIN,
    MARGIN_SUM,
    PAIR,
    SEEN,
    SURPRISE,
    contingency,
    inside,
    length_effect,
    path,
    ranking_history,
    training_view,
    view,
)
from diagnostics.probegrid import probe_grid
from diagnostics.regimes import Regime
from diagnostics.run import Run, Source, empty_pairs
from diagnostics.share import estimate


def small(logps: list[list[list[float]]], tokens: list[list[float]], **more: object) -> Run:
    """A run whose probe pairs have these log-probs (T, sides, P) and lengths (sides, P)."""
    rows = [
        {
            "step": 10 * at,
            "pair": 3 + number,
            "split": "train",
            "prompt": "p",
            "logps/chosen": sides[0][number],
            "logps/rejected": sides[1][number],
            "completion_tokens/chosen": tokens[0][number],
            "completion_tokens/rejected": tokens[1][number],
        }
        for at, sides in enumerate(logps)
        for number in range(len(tokens[0]))
    ]
    probes = pd.DataFrame(rows).reindex(columns=empty_pairs("probe").columns)
    return Run(
        name="small", method="dpo", probes=probes, source=Source("", "native", "seesaw"), **more
    )


HAND = small(
    # Two pairs: the first is learned, the second forgotten.
    [[[-10.0, -4.0], [-6.0, -8.0]], [[-5.0, -9.0], [-9.0, -8.5]]],
    [[5.0, 4.0], [2.0, 8.0]],
)


def test_the_numbers_of_a_pair_are_those_worked_out_by_hand() -> None:
    found = view(HAND, "train")
    assert found is not None
    assert (found.start, found.step, found.steps) == (0, 10, (0, 10))
    first, second = (found.frame.iloc[at] for at in (0, 1))
    assert first[PAIR] == 3
    assert first[DELTA["chosen"]] == pytest.approx(5 / 5)
    assert first[DELTA["rejected"]] == pytest.approx(-3 / 2)
    assert first[MARGIN] == pytest.approx(2.5)
    assert first[MARGIN_SUM] == pytest.approx(8.0)
    assert first[GAP] == pytest.approx(-5 / 5 + 9 / 2)
    assert (first[FLIP], second[FLIP]) == pytest.approx((0.0, 0.5))
    assert second[GAP] == pytest.approx(-9 / 4 + 8.5 / 8)
    assert SURPRISE["chosen"] not in found.frame
    assert CHES not in found.frame


def test_an_earlier_step_can_be_looked_at_and_no_step_lies_before_the_first() -> None:
    for step, at in ((0, 0), (9, 0), (10, 10), (99, 10), (-5, 0)):
        found = view(HAND, "train", step)
        assert found is not None
        assert found.step == at
    start = view(HAND, "train", 0)
    assert start is not None
    assert start.frame[MARGIN].tolist() == [0.0, 0.0]
    assert view(HAND, "held_out") is None
    assert view(Run(name="empty", method=None, source=Source("", "", "")), "train") is None


@pytest.mark.parametrize("regime", ["ideal", "both_rise", "both_fall", "reversed"])
def test_the_mean_over_pairs_is_the_truth_of_the_run(regime: str) -> None:
    run = example(regime)
    for split in ("train", "held_out"):
        found = view(run, split)
        assert found is not None
        means = [found.frame[DELTA[side]].mean() for side in ("chosen", "rejected")]
        assert means == pytest.approx(TRUTH[Regime(regime)])
        assert len(np.unique(found.clusters)) == len(found.frame) / 2


def test_the_distance_to_flip_is_that_of_the_gradients_module() -> None:
    run = probe_examples.unranked()
    for step in (0, 100, None):
        found = view(run, "train", step)
        assert found is not None
        assert np.sort(found.frame[FLIP]) == pytest.approx(np.sort(distance_to_flip(run, step)))


def test_a_run_full_of_nan_keeps_every_pair_and_invents_no_number() -> None:
    run = nan_ridden()
    found = view(run, "train", 100)
    assert found is not None
    frame = found.frame
    assert len(frame) == 64
    for side in ("chosen", "rejected"):
        lost = frame[LENGTH[side]].isna()
        assert frame.loc[lost, DELTA[side]].isna().all()
    assert not np.isinf(frame.select_dtypes("number")).to_numpy().any()
    last = view(run, "train")
    assert last is not None
    assert last.frame[MARGIN].isna().all()
    assert contingency(last).pairs == 0
    assert contingency(last).left_out == 64


def test_rankings_are_counted_in_the_cells_they_belong_to() -> None:
    found = view(HAND, "train")
    assert found is not None
    # Per token the first is right at the start too (-10/5 against -6/2), the second equal (-4/4
    # against -8/8).
    assert contingency(found).counts.tolist() == [[1, 0], [0, 1]]
    assert contingency(found, summed=True).counts.tolist() == [[0, 1], [1, 0]]
    start = view(HAND, "train", 0)
    assert start is not None
    assert contingency(start, summed=True).counts.tolist() == [[1, 0], [0, 1]]


def test_equal_log_probs_are_ranked_wrong() -> None:
    found = view(small([[[-4.0], [-4.0]]], [[2.0], [2.0]]), "train")
    assert found is not None
    assert contingency(found).counts.tolist() == [[0, 0], [0, 1]]


def test_the_history_ends_in_the_table_and_sums_to_all_pairs() -> None:
    run = probe_examples.unranked(by=0.3)
    found = view(run, "train")
    assert found is not None
    for summed in (False, True):
        history = ranking_history(run, "train", summed=summed)
        assert history.index.tolist() == list(found.steps)
        assert history.sum(axis=1).to_numpy() == pytest.approx(1.0)
        counts = contingency(found, summed=summed).counts
        kept, learned, forgotten, wrong = 64 * history.iloc[-1]
        assert counts.ravel().tolist() == pytest.approx([kept, forgotten, learned, wrong])
        assert learned > 0
        ranking = estimate(run)
        known = ranking.ranking_accuracy if summed else ranking.ranking_accuracy_per_token
        assert known is not None
        assert (kept + learned) / 64 == pytest.approx(known.value)


def test_unpaired_completions_have_a_change_and_no_margin() -> None:
    nan = float("nan")
    run = small([[[-8.0, nan], [nan, -6.0]], [[-4.0, nan], [nan, -9.0]]], [[4.0, nan], [nan, 3.0]])
    found = view(run, "train")
    assert found is not None
    assert not found.is_paired
    assert found.frame[DELTA["chosen"]].tolist()[0] == 1.0
    assert found.frame[DELTA["rejected"]].tolist()[1] == -1.0
    assert found.frame[MARGIN].isna().all()
    assert length_effect(found) is None
    assert ranking_history(run, "train").empty


def biased(per_token: float, seed: int = 0, *, only_total: bool = False) -> Run:
    """An ideal run whose margin grows with how much longer chosen is, or with both lengths."""
    run = example("ideal", seed, pairs=128)
    probes = run.probes.copy()
    chosen, rejected = (probes[f"completion_tokens/{side}"] for side in ("chosen", "rejected"))
    by = (chosen + rejected) / 50 if only_total else np.log(chosen / rejected)
    progress = probes["step"] / probes["step"].max()
    probes["logps/chosen"] += per_token * by * progress * chosen
    return replace(run, probes=probes)


def test_a_margin_that_follows_length_shows_and_one_that_does_not_does_not() -> None:
    found = view(biased(0.3), "train")
    assert found is not None
    effect = length_effect(found)
    assert effect is not None
    assert effect.partial is not None
    assert effect.partial.low > 0.5
    assert effect.bins[MARGIN].iloc[-1] > effect.bins[MARGIN].iloc[0] + 0.3
    assert effect.bins["Pairs"].sum() == len(effect.points) == 128
    assert (effect.bins[f"{MARGIN} from"] <= effect.bins[MARGIN]).all()
    unbiased = [length_effect(view(biased(0.0, seed), "train")) for seed in range(8)]  # type: ignore[arg-type]
    crossed = sum(one.partial.low > 0 or one.partial.high < 0 for one in unbiased)  # type: ignore[union-attr]
    assert crossed <= 2


def test_a_margin_that_follows_both_lengths_alike_is_no_length_effect() -> None:
    found = view(biased(0.5, only_total=True), "train")
    assert found is not None
    effect = length_effect(found)
    assert effect is not None
    assert effect.partial is not None
    assert effect.partial.low < 0.3


def test_bins_of_equal_lengths_are_one_bin() -> None:
    run = small([[[-4.0] * 9, [-4.0] * 9], [[-3.0] * 9, [-5.0] * 9]], [[2.0] * 9, [2.0] * 9])
    effect = length_effect(view(run, "train"))  # type: ignore[arg-type]
    assert effect is not None
    assert effect.bins[LONGER].tolist() == [0.0]
    assert effect.partial is None


def test_ches_is_taken_from_the_last_measurement_before_the_step() -> None:
    rows = {"step": [0, 0, 10, 10], "pair": [3, 4, 3, 4], "split": ["train"] * 4}
    table = pd.DataFrame({**rows, "ches_per_token": [1.0, 2.0, 5.0, 6.0], "cosine": 0.5})
    run = replace(HAND, tables={"entanglement": table})
    for step, known in ((0, [1.0, 2.0]), (9, [1.0, 2.0]), (10, [5.0, 6.0])):
        found = view(run, "train", step)
        assert found is not None
        assert found.frame[CHES].tolist() == known
    assert pairs.ches_effect(view(run, "train")) is None  # type: ignore[arg-type]


def test_the_path_of_a_pair_starts_at_0_and_ends_in_its_row() -> None:
    run = example("both_fall")
    found = view(run, "train")
    assert found is not None
    row = found.frame[found.frame[PAIR] == 5].iloc[0]
    way = path(run, "train", 5)
    assert way.iloc[0].tolist() == [0.0, 0.0, 0.0]
    assert way.iloc[-1].tolist() == pytest.approx(
        [row[DELTA["chosen"]], row[DELTA["rejected"]], row[MARGIN]]
    )
    grid = probe_grid(run, "train")
    assert grid is not None
    assert way[MARGIN].to_numpy() == pytest.approx(grid.margins[:, 5])
    assert path(run, "train", 999).empty
    assert path(Run(name="", method=None, source=Source("", "", "")), "train", 1).empty


def records() -> pd.DataFrame:
    """Pair 2 twice, pair 7 once; lengths 4 and 2."""
    return pd.DataFrame(
        {
            "step": [1, 2, 3],
            "pair": [2, 7, 2],
            "logps/chosen": [-8.0, -6.0, -4.0],
            "logps/rejected": [-6.0, -6.0, -9.0],
            "ref_logps/chosen": -8.0,
            "ref_logps/rejected": -6.0,
            "completion_tokens/chosen": 4.0,
            "completion_tokens/rejected": 2.0,
        }
    )


def test_a_training_pair_is_shown_as_it_was_last_trained_on() -> None:
    found = training_view(records())
    assert found is not None
    assert found.frame[PAIR].tolist() == [2, 7]
    assert found.frame[SEEN].tolist() == [3, 2]
    assert found.frame[DELTA["chosen"]].tolist() == [1.0, 0.5]
    assert found.frame[DELTA["rejected"]].tolist() == [-1.5, 0.0]
    early = training_view(records(), 2)
    assert early is not None
    assert early.frame[DELTA["chosen"]].tolist() == [0.0, 0.5]
    assert training_view(empty_pairs("train")) is None


def test_records_without_a_reference_have_levels_and_no_change() -> None:
    without = records().assign(**{"ref_logps/chosen": np.nan, "ref_logps/rejected": np.nan})
    found = training_view(without)
    assert found is not None
    assert found.is_paired
    assert found.frame[MARGIN].isna().all()
    assert found.frame[GAP].notna().all()


def test_a_region_is_even_odd_and_needs_no_convexity() -> None:
    frame = pd.DataFrame(
        {"x": [0.5, 1.5, 0.5, 3.0, np.nan, -1.0], "y": [0.5, 0.5, 1.5, 0.5, 0.5, 0.5]}
    )
    corner = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
    assert inside(frame, "x", "y", corner).tolist() == [True, True, True, False, False, False]
    assert inside(frame, "x", "y", corner[::-1]).tolist() == [True, True, True, False, False, False]
    assert not inside(frame, "x", "y", []).any()
