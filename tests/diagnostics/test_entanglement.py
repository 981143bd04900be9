"""Reading the gradient tables: batch and pairs, intervals, window, length control, flips."""

from __future__ import annotations

from dataclasses import replace
from math import isclose, isnan, log

import numpy as np
import pandas as pd
import pytest

from diagnostics.band import Band, sft_pull, sft_window
from diagnostics.entanglement import (
    batch_of,
    distance_to_flip,
    estimate,
    pair_bands,
    partial_correlation,
    safe_window,
)
from diagnostics.examples import example
from diagnostics.run import Run

BASE = example("ideal", pairs=2, evaluations=3)


def run_of(table: pd.DataFrame, evals: dict[str, dict[int, float]], **given: object) -> Run:
    frame = pd.DataFrame({f"entanglement/{name}": pd.Series(v) for name, v in evals.items()})
    return replace(BASE, evals=frame, tables={"entanglement": table}, **given)


def drawn(count: int = 40, *, seed: int = 0, per_prompt: int = 1, step: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "step": step,
            "pair": np.arange(count),
            "split": "train",
            "prompt": [f"p{i // per_prompt}" for i in range(count)],
            "completion_tokens/chosen": rng.integers(20, 60, count).astype(float),
            "completion_tokens/rejected": rng.integers(20, 60, count).astype(float),
            "weight/chosen": 0.05,
            "weight/rejected": 0.05,
            "norm/chosen": np.exp(rng.normal(0, 0.1, count)),
            "norm/rejected": 2 * np.exp(rng.normal(0, 0.1, count)),
            "cosine": rng.uniform(0.7, 0.9, count),
        }
    )


def test_the_pairs_give_geometric_means_with_intervals_and_the_summed_share():
    table = drawn()
    found = estimate(run_of(table, {}))
    bands = pair_bands(table)
    assert found.n_pairs == 40
    assert found.batch is None
    assert isclose(found.q.value, 1.0)
    assert log(found.q_star.value) == pytest.approx(np.mean([log(b.q_star) for b in bands]))
    assert found.q_star.low < 2 < found.q_star.high
    chosen, rejected = (sum(getattr(b, f"{s}_rate") for b in bands) for s in ("chosen", "rejected"))
    assert found.share.value == pytest.approx(chosen / (chosen - rejected))
    assert found.share.high < 0  # both fall
    assert found.regime == "both_fall"
    assert found.chosen_rises.value < 0.2
    assert found.rejected_falls.value == 1.0
    assert found.slack.high < 0


def test_pairs_of_one_prompt_count_as_one():
    single, grouped = (estimate(run_of(drawn(per_prompt=n), {})) for n in (1, 8))
    assert grouped.n_prompts == 5
    assert grouped.q_star.value == pytest.approx(single.q_star.value)
    assert grouped.chosen_rises.high > single.chosen_rises.high


def test_the_intervals_cover_the_truth_as_often_as_they_say():
    hits = [
        (found := estimate(run_of(drawn(12, seed=seed), {})).q_star).low < 2 < found.high
        for seed in range(100)
    ]
    assert 0.88 <= np.mean(hits) <= 0.99


def test_the_batch_decides_the_regime_where_it_was_logged():
    evals = {"q_star": {0: 0.5}, "cosine": {0: 0.9}}
    found = estimate(run_of(drawn(), evals))
    assert found.batch == Band(pytest.approx(0.05), pytest.approx(0.05), 1.0, 0.5, 0.9)
    assert found.regime == "both_rise"


def test_the_last_measurement_before_a_step_is_read():
    table = pd.concat([drawn(step=0), drawn(step=10, seed=1)])
    run = run_of(table, {"q_star": {0: 2.0, 10: 3.0}, "cosine": {0: 0.8, 10: 0.8}})
    assert [estimate(run, step).step for step in (0, 9, 10, 99, None)] == [0, 0, 10, 10, 10]
    assert batch_of(run, 10).q_star == 3.0
    assert batch_of(run, 5) is None


def test_runs_without_gradients_and_single_sides_say_nothing():
    assert estimate(BASE) is None
    assert safe_window(BASE) is None
    table = drawn()
    table.loc[:, ["norm/rejected", "weight/rejected", "cosine"]] = np.nan
    assert estimate(run_of(table, {})) is None


@pytest.mark.parametrize("own", ["token", "sequence"])
@pytest.mark.parametrize("wanted", [None, "token", "sequence"])
def test_the_window_is_in_the_reduction_asked_for_and_undoes_the_present_term(own, wanted):
    table = drawn()
    lengths = table["completion_tokens/chosen"].tolist()
    present = 0.7
    # The preference pulls 0.05 on both sides; the weights hold the SFT term as it is.
    table["weight/chosen"] = 0.05 + present * sft_pull(lengths, own)
    run = run_of(
        table,
        {"q_star": {0: 2.0}, "cosine": {0: 0.8}},
        config={"sft_weight": present, "sft_reduction": own},
    )
    found = safe_window(run, reduction=wanted)
    pull = sft_pull(lengths, wanted or own)
    expected = sft_window(Band(0.05, 0.05, 1.0, 2.0, 0.8), pull)
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)
    assert found.low == pytest.approx(0.05 * (0.8 * 2 - 1) / pull)


def test_ktos_term_counts_twice_beside_a_mean_over_completions():
    metrics = {"q_star": {0: 2.0}, "cosine": {0: 0.8}}
    paired = safe_window(run_of(drawn(), metrics))
    kto = safe_window(run_of(drawn(), metrics, method="kto"))
    assert kto.low == pytest.approx(paired.low / 2)
    assert kto.high == pytest.approx(paired.high / 2)


def test_a_length_detector_loses_its_correlation_given_length():
    rng = np.random.default_rng(0)
    length = rng.normal(size=200)
    detector, outcome = length + rng.normal(size=200), length + rng.normal(size=200)
    plain = partial_correlation(detector, outcome, np.zeros(200))
    controlled = partial_correlation(detector, outcome, length)
    assert plain.low > 0.3
    assert controlled.low < 0 < controlled.high
    real = partial_correlation(outcome + rng.normal(size=200), outcome, length)
    assert real.low > 0.3


def test_a_partial_correlation_needs_pairs_and_spread():
    assert partial_correlation([1, 2, 3], [1, 2, 3], [1, 3, 2]) is None
    assert partial_correlation([1] * 9, range(9), [0] * 9) is None
    exact = partial_correlation(range(9), range(9), [0] * 9)
    assert (exact.value, exact.low) == (1.0, 1.0)
    with_gap = partial_correlation([*range(9), np.nan], range(10), [0] * 10)
    assert with_gap.value == 1.0


def test_a_pair_flips_once_its_margin_has_grown_by_what_the_reference_lacked():
    probes = pd.DataFrame(
        {
            "step": [0, 0, 0, 5, 5, 5],
            "pair": [0, 1, 2] * 2,
            "split": "train",
            "prompt": "a",
            "logps/chosen": [-10.0, -5.0, np.nan, -9.0, -5.0, -1.0],
            "logps/rejected": [-7.0, -8.0, -1.0, -9.5, -8.0, np.nan],
        }
    )
    run = replace(BASE, probes=probes)
    assert distance_to_flip(run, 0).tolist() == [3.0, 0.0]
    # Margin 1 + 2.5 exceeds the 3 nats that were missing.
    assert distance_to_flip(run).tolist() == [0.0, 0.0]
    assert not len(distance_to_flip(run, split="held_out"))
    assert not isnan(distance_to_flip(run, 0).sum())
