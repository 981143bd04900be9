"""The synthetic runs themselves: deterministic, consistent, and what they claim to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diagnostics.examples import BETA, UNKNOWN_EVALUATIONS, example, gaussian_tilt, nan_ridden
from diagnostics.examples import tilt_margin as margin_at
from diagnostics.methods import METHODS
from diagnostics.readers import read
from diagnostics.readers.native import write
from diagnostics.regimes import Regime
from diagnostics.runlog import PAIR_TABLES
from diagnostics.schema import METRICS


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    assert example(Regime.IDEAL, 3) == example(Regime.IDEAL, 3)
    assert example(Regime.IDEAL, 3) != example(Regime.IDEAL, 4)
    assert nan_ridden(2) == nan_ridden(2)


def test_every_metric_is_one_of_the_schema() -> None:
    run = example(Regime.IDEAL)
    assert set(run.train) | set(run.evals) <= set(METRICS)
    assert list(run.probes) == list(PAIR_TABLES["probe"].names)
    assert list(run.samples) == list(PAIR_TABLES["samples"].names)


def test_every_step_has_a_row_and_every_evaluation_its_pairs() -> None:
    run = example(Regime.IDEAL, pairs=10, evaluations=4, every=5)
    assert run.train.index.tolist() == list(range(1, 21))
    assert run.evals.index.tolist() == [0, 5, 10, 15, 20]
    assert len(run.probes) == 5 * 2 * 10
    assert run.probes.groupby(["step", "split"])["prompt"].nunique().eq(5).all()


def test_an_unknown_run_was_scored_too_seldom() -> None:
    assert example(Regime.UNKNOWN).probes["step"].nunique() == 1 + UNKNOWN_EVALUATIONS


def test_dpo_starts_at_log_2_without_reward() -> None:
    start = example(Regime.IDEAL).evals.loc[0]
    assert start["loss"] == pytest.approx(np.log(2))
    assert start["rewards/chosen"] == 0


@pytest.mark.parametrize("name", METHODS)
def test_rewards_are_what_the_method_says(name: str) -> None:
    evals = example(Regime.IDEAL, method_name=name).evals
    last = evals.iloc[-1]
    expected = {
        "beta*delta": last["logps/chosen"] - evals.iloc[0]["logps/chosen"],
        "beta*logps_per_token": last["logps_per_token/chosen"],
        "beta*logps": last["logps/chosen"],
    }[METHODS[name].reward_kind]
    assert last["rewards/chosen"] == pytest.approx(BETA * expected)
    assert ("ref_logps/chosen" in evals) == METHODS[name].reference


def test_a_nan_ridden_run_has_numbers_and_holes_in_every_table() -> None:
    run = nan_ridden()
    for frame in (run.train["loss"], run.evals["loss"], run.probes["logps/chosen"]):
        assert np.isfinite(frame).any()
        assert frame.isna().any()
        assert np.isfinite(frame).mean() < 2 / 3
    assert np.isinf(run.probes["logps/chosen"]).any()


def test_an_example_survives_the_log(tmp_path: Path) -> None:
    run = example(Regime.BOTH_RISE, pairs=8, evaluations=4)
    write(run, tmp_path / "run")
    again = read(tmp_path / "run")
    assert again.train.equals(run.train)
    before, after = (
        one.probes.set_index(["step", "split", "pair"])["logps/chosen"].sort_index()
        for one in (run, again)
    )
    assert after.index.equals(before.index)
    assert after.to_numpy() == pytest.approx(before.to_numpy(), rel=1e-6)


@pytest.mark.parametrize("time", [0, 1, 100, 1000, 1e5])
def test_the_margin_of_a_tilt_solves_its_equation(time: float) -> None:
    margin = margin_at(time, 4.04)
    passed = 0.05 * 0.1 * 4.04 * time
    assert margin + np.expm1(0.1 * margin) / 0.1 == pytest.approx(passed, abs=1e-9)


def test_the_closed_form_of_a_tilt_is_gradient_descent_in_small_steps() -> None:
    # d mu = rate beta sigma(-beta m) D, with m = mu.D, from mu = 0.
    chosen, rejected = np.array([3.0, 0.0]), np.array([1.0, 0.2])
    direction, mean = chosen - rejected, np.zeros(2)
    for _ in range(20_000):
        mean += 0.05 * 0.1 / (1 + np.exp(0.1 * mean @ direction)) * direction / 100
    run = gaussian_tilt(chosen, rejected, (0, 200))
    start, end = run.probes["logps/chosen"].iloc[[0, -1]]
    assert end - start == pytest.approx(mean @ chosen - mean @ mean / 2, abs=1e-3)
