"""Likelihood displacement told apart from the tide, and from a fall that cannot be judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.examples import example
from diagnostics.pathologies.both_fall import check
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run, empty_pairs
from diagnostics.synthetic_logs import logged_run
from diagnostics.verdicts import Status


def with_drift(drift: float, seed: int = 0) -> Run:
    """Return a run whose chosen side falls by 0.30 while samples fall by `drift` per token."""
    run = example(Regime.BOTH_FALL, seed)
    samples = run.samples
    last = samples["step"].max()
    start = np.tile(samples.loc[samples["step"] == 0, "logps"], samples["step"].nunique())
    fallen = start - drift * samples["completion_tokens"] * samples["step"] / last
    return replace(run, samples=samples.assign(logps=fallen))


@pytest.mark.parametrize("seed", range(3))
def test_a_fall_beyond_the_tide_is_displacement(seed: int) -> None:
    verdict = check(Reading(with_drift(0.05, seed)))
    assert verdict.status is Status.PRESENT
    assert "chosen -0.25 nats/token against the tide" in verdict.sentence
    assert verdict.severity == "moderate"
    assert verdict.since == 10


@pytest.mark.parametrize("drift", [0.30, 0.5])
def test_a_fall_within_the_tide_is_no_alarm_and_says_so(drift: float) -> None:
    verdict = check(Reading(with_drift(drift)))
    assert verdict.status is Status.ABSENT
    assert "chosen fell no more than ordinary text" in verdict.sentence
    assert verdict.advice == ()


def test_the_severity_is_that_of_what_is_left_beyond_the_tide() -> None:
    assert check(Reading(with_drift(0.2))).severity == "moderate"
    assert check(Reading(with_drift(0.0))).severity == "severe"


def test_a_fall_that_may_be_the_tide_is_only_suspected() -> None:
    # 0.04 beyond the tide, with an interval that reaches from 0.08 to past 0.
    verdict = check(Reading(with_drift(0.26)))
    assert verdict.status is Status.SUSPECTED
    assert verdict.severity is None


def test_without_samples_a_large_fall_is_present_and_a_small_one_only_suspected() -> None:
    run = replace(example(Regime.BOTH_FALL), samples=empty_pairs("samples"))
    verdict = check(Reading(run), large=0.25)
    assert verdict.status is Status.PRESENT
    assert any("samples of the initial policy" in one for one in verdict.unseen)
    assert check(Reading(run), large=0.35).status is Status.SUSPECTED


@pytest.mark.parametrize("method", ["orpo", "simpo"])
def test_a_log_per_token_is_held_against_a_large_fall(method: str) -> None:
    assert check(Reading(logged_run(-0.5, -0.9, method_name=method))).status is Status.PRESENT
    small = check(Reading(logged_run(-0.15, -0.5, method_name=method)))
    assert small.status is Status.SUSPECTED
    assert small.severity == "moderate"


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_log_without_lengths_is_held_against_the_log_probability_at_the_start(
    method: str,
) -> None:
    verdict = check(Reading(logged_run(-0.6, -1.0, method_name=method)))
    assert verdict.status is Status.PRESENT
    assert "of its log-probability at the start" in verdict.sentence
    assert verdict.severity is None
    assert check(Reading(logged_run(-0.1, -0.5, method_name=method))).status is Status.SUSPECTED


def test_a_log_without_log_probabilities_can_only_be_suspected() -> None:
    run = logged_run(-0.6, -1.0)
    bare = replace(run, train=run.train.drop(columns=["logps/chosen", "logps/rejected"]))
    assert check(Reading(bare)).status is Status.SUSPECTED


def test_a_side_that_has_only_come_down_part_of_its_rise_is_not_below_the_reference() -> None:
    run = logged_run(-0.3, -0.6)
    raised = run.train.assign(**{"rewards/chosen": run.train["rewards/chosen"] + 5.0})
    verdict = check(Reading(replace(run, train=raised)))
    assert verdict.status is Status.ABSENT


def test_falling_by_design_is_said() -> None:
    assert "by design" in check(Reading(logged_run(-0.6, -1.0, method_name="apo_down"))).sentence
    assert "by design" not in check(Reading(logged_run(-0.6, -1.0))).sentence
