"""The chosen share and its companions, by hand, by property and against a closed form."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from math import inf, isfinite, isnan, nan, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.examples import DRIFT, TRUTH, example, gaussian_tilt
from diagnostics.intervals import Interval
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.share import default_split, estimate, trajectory
from tests.diagnostics.probe_runs import STEPS, any_run, probe_run, run_of, spread, straight, table

T3 = 3.182446305  # Student's t, 3 degrees of freedom, two-sided 95 %

CHANGES = st.lists(
    st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=12, unique=True
)


def test_four_pairs_by_hand() -> None:
    run = probe_run([[1.0, 2.0, 3.0, 2.0], [-1.0, 0.0, -2.0, -1.0]])
    found = estimate(run)
    assert (found.step, found.split, found.n_pairs, found.n_prompts) == (40, "train", 4, 4)
    assert found.delta_chosen.value == pytest.approx(2.0)
    assert found.delta_chosen.low == pytest.approx(2 - T3 * sqrt((2 / 3) / 4))
    assert found.delta_rejected.value == pytest.approx(-1.0)
    # Pair by pair the margin is 2, 2, 5, 3: mean 3, variance 2.
    assert found.margin.value == pytest.approx(3.0)
    assert found.margin.high == pytest.approx(3 + T3 * sqrt(2 / 4))
    assert found.share is not None
    assert found.share.value == pytest.approx(2 / 3)


def test_the_interval_of_the_share_by_hand() -> None:
    # Variances over 4: chosen (2/3)/4, margin 2/4; covariance of chosen and margin (3/3)/4.
    found = estimate(probe_run([[1.0, 2.0, 3.0, 2.0], [-1.0, 0.0, -2.0, -1.0]]))
    a = 9 - T3**2 * 0.5
    b = -2 * (6 - T3**2 * 0.25)
    c = 4 - T3**2 / 6
    root = sqrt(b * b - 4 * a * c)
    assert found.share is not None
    assert found.share.low == pytest.approx((-b - root) / (2 * a))
    assert found.share.high == pytest.approx((-b + root) / (2 * a))


def test_each_completion_is_divided_by_its_own_length() -> None:
    tokens = np.array([[10.0, 20.0], [5.0, 40.0]])
    run = probe_run([[10.0, -10.0], [-5.0, -8.0]], tokens=tokens)
    found = estimate(run)
    assert found.delta_chosen.value == pytest.approx((1.0 - 0.5) / 2)
    assert found.delta_rejected.value == pytest.approx((-1.0 - 0.2) / 2)
    assert found.delta_chosen_sum.value == pytest.approx(0.0)
    assert found.delta_rejected_sum.value == pytest.approx(-6.5)
    assert found.completion_tokens == pytest.approx(75 / 4)


def test_per_token_and_summed_shares_can_tell_different_stories() -> None:
    tokens = np.array([[100.0, 4.0] * 8, [20.0, 20.0] * 8])
    changes = np.array([[20.0, -2.0] * 8, [-8.0, -16.0] * 8]) + spread(0, 0.01, 16)
    found = estimate(probe_run(changes, tokens=tokens))
    assert found.share is not None
    assert found.share_sum is not None
    assert found.share.value < 0 < found.share_sum.value


def test_pairs_of_one_prompt_are_one_observation() -> None:
    changes = np.array([[1.0, 2.0, 3.0, 2.0], [-1.0, 0.0, -2.0, -1.0]])
    once = estimate(probe_run(changes))
    prompts = [f"prompt {pair % 4}" for pair in range(24)]
    often = estimate(probe_run(np.tile(changes, 6), prompts=prompts))
    assert (often.n_pairs, often.n_prompts) == (24, 4)
    assert astuple(often.margin) == pytest.approx(astuple(once.margin))
    assert often.share is not None
    assert once.share is not None
    assert astuple(often.share) == pytest.approx(astuple(once.share))


@pytest.mark.parametrize("prompt", ["", None, nan])
def test_pairs_without_a_known_prompt_stand_for_themselves(prompt: object) -> None:
    found = estimate(probe_run(np.ones((2, 6)), prompts=[prompt] * 6))
    assert found.n_prompts == 6


def test_a_shrinking_or_noisy_margin_has_no_share() -> None:
    assert estimate(probe_run([[-1.0, -1.1, -0.9], [1.0, 1.1, 0.9]])).share is None
    assert estimate(probe_run([[1.0, -1.0, 0.2], [-1.0, 1.0, 0.1]])).share is None


def test_accuracies_by_hand() -> None:
    logps = np.array(
        [
            [[-10.0, -10.0, -10.0, -30.0], [-20.0, -20.0, -5.0, -20.0]],
            [[-9.0, -11.0, -10.0, -24.0], [-21.0, -11.5, -5.0, -21.0]],
        ]
    )
    tokens = np.array([[1.0, 1.0, 4.0, 4.0], [4.0, 1.0, 1.0, 1.0]])
    found = estimate(run_of(table(logps, steps=(0, 5), tokens=tokens)))
    assert found.reward_accuracy is not None
    assert found.ranking_accuracy is not None
    assert found.ranking_accuracy_per_token is not None
    # Changes +1/-1, -1/+8.5, 0/0 (a tie counts as wrong), +6/-1.
    assert found.reward_accuracy.value == 0.5
    # -9 > -21, -11 > -11.5, -10 < -5, -24 < -21.
    assert found.ranking_accuracy.value == 0.5
    # -9 < -5.25, -11 > -11.5, -2.5 > -5, -6 > -21.
    assert found.ranking_accuracy_per_token.value == 0.75


def test_at_the_start_nothing_has_changed_and_no_reward_can_be_right() -> None:
    found = estimate(probe_run(np.ones((2, 9))), step=0)
    assert found.delta_chosen == Interval(0.0, 0.0, 0.0)
    assert found.reward_accuracy is None
    assert found.ranking_accuracy is not None


def test_unpaired_sides_have_independent_variances() -> None:
    changes = np.full((2, 20), nan)
    changes[0, :8] = spread(1.0, 0.5, 8)
    changes[1, 8:] = spread(-1.0, 2.0, 12)
    found = estimate(probe_run(changes))
    assert not found.paired
    assert (found.n_pairs, found.left_out) == (8, 0)
    assert found.margin.value == pytest.approx(2.0)
    half = 2.364624 * sqrt(0.25 / 8 + 4 / 12)  # t for 8 - 1, the smaller side
    assert found.margin.high == pytest.approx(2 + half)
    assert found.reward_accuracy is None
    assert found.ranking_accuracy is None


@pytest.mark.parametrize(("complete", "paired"), [(3, False), (10, True)])
def test_data_is_paired_where_most_rows_ever_had_both_sides(complete: int, paired: bool) -> None:
    changes = np.ones((2, 20))
    changes[0, complete:] = nan
    found = estimate(probe_run(changes))
    assert found.paired is paired
    assert found.left_out == (10 if paired else 0)


def test_a_pair_that_lost_a_side_is_left_out_whole() -> None:
    logps = straight(np.array([[1.0, 2.0, 3.0, 90.0], [-1.0, 0.0, -2.0, -1.0]]))
    logps[-1, 1, 3] = nan
    found = estimate(run_of(table(logps)))
    assert (found.n_pairs, found.left_out, found.paired) == (3, 1, True)
    assert found.delta_chosen.value == pytest.approx(2.0)


@pytest.mark.parametrize("broken", [nan, inf, -inf, 1e13])
def test_a_broken_log_probability_never_enters_a_mean(broken: float) -> None:
    logps = straight(np.array([[1.0, 2.0, 3.0, 2.0], [-1.0, 0.0, -2.0, -1.0]]))
    logps[0, 0, 0] = broken
    found = estimate(run_of(table(logps)))
    assert found.n_pairs == 3
    assert found.delta_chosen.value == pytest.approx(7 / 3)


@pytest.mark.parametrize("length", [0.0, -3.0, nan, inf])
def test_a_completion_without_a_length_is_left_out(length: float) -> None:
    tokens = np.ones((2, 4))
    tokens[1, 2] = length
    assert estimate(probe_run(np.ones((2, 4)), tokens=tokens)).n_pairs == 3


def test_only_nan_gives_an_estimate_of_nothing() -> None:
    logps = straight(np.ones((2, 9)))
    logps[-1] = nan
    found = estimate(run_of(table(logps)))
    assert (found.step, found.n_pairs, found.left_out) == (40, 0, 9)
    assert isnan(found.delta_chosen.value)
    assert found.share is None
    assert estimate(run_of(table(logps)), step=30).n_pairs == 9


def test_a_run_without_a_probe_set_gives_an_estimate_of_nothing() -> None:
    empty = Run(name="run", method=None, source=probe_run(np.ones((2, 1))).source)
    assert estimate(empty).n_pairs == 0
    assert trajectory(empty) == []


def test_an_estimate_is_read_at_the_last_evaluation_up_to_the_step() -> None:
    run = probe_run(np.ones((2, 4)))
    assert [estimate(run, step).step for step in (0, 9, 10, 25, 99)] == [0, 0, 10, 20, 40]
    assert estimate(run, -1).n_pairs == 0


def test_a_trajectory_holds_every_evaluation_in_order() -> None:
    run = probe_run([[1.0, 1.0], [0.0, 0.0]])
    assert tuple(one.step for one in trajectory(run)) == STEPS
    assert [one.delta_chosen.value for one in trajectory(run)] == pytest.approx(
        [0.0, 0.25, 0.5, 0.75, 1.0]
    )
    assert trajectory(run)[-1] == estimate(run)


def test_the_order_of_rows_means_nothing_and_the_last_of_repeated_rows_counts() -> None:
    run = example(Regime.IDEAL)
    shuffled = run.probes.sample(frac=1.0, random_state=1)
    assert estimate(replace(run, probes=shuffled)) == estimate(run)
    wrong = run.probes.assign(**{"logps/chosen": 0.0})
    twice = pd.concat([wrong, run.probes], ignore_index=True)
    assert estimate(replace(run, probes=twice)) == estimate(run)


def test_the_train_pairs_come_first_and_the_held_out_ones_stand_in() -> None:
    run = example(Regime.IDEAL)
    assert default_split(run) == "train"
    blind = run.probes.copy()
    blind.loc[blind["split"] == "train", ["logps/chosen", "logps/rejected"]] = nan
    assert default_split(replace(run, probes=blind)) == "held_out"
    assert estimate(replace(run, probes=blind)).split == "held_out"
    assert estimate(run, split="held_out").split == "held_out"


def test_changes_count_from_the_first_evaluation() -> None:
    run = run_of(table(straight(np.ones((2, 4))), steps=(20, 30, 40, 50, 60)))
    assert estimate(run).start_step == 20
    assert estimate(run, 20).delta_chosen.value == 0


# Drift.


def samples(fallen: list[float], tokens: list[float], steps: tuple[int, int] = (0, 40)) -> object:
    """Return a sample table whose log-probabilities fall by `fallen`."""
    count = len(fallen)
    return pd.DataFrame(
        {
            "step": np.repeat(steps, count),
            "sample": list(range(count)) * 2,
            "prompt": [f"sampled {index}" for index in range(count)] * 2,
            "logps": [-30.0] * count + [-30.0 - one for one in fallen],
            "completion_tokens": tokens * 2,
        }
    )


def test_drift_is_nats_fallen_over_tokens() -> None:
    run = probe_run([[-1.0, -1.2, -0.8], [-3.0, -3.1, -2.9]])
    found = estimate(replace(run, samples=samples([1.0, 5.0], [10.0, 20.0])))
    assert found.drift is not None
    assert found.drift.value == pytest.approx(6 / 30)
    assert found.tide_corrected_chosen is not None
    assert found.tide_corrected_chosen.value == pytest.approx(-1 + 6 / 30)


def test_a_short_sample_that_rose_does_not_turn_drift_negative() -> None:
    # The mean of the changes per token would be (+1 - 0.1) / 2 > 0: no divergence at all.
    run = probe_run(np.ones((2, 3)))
    found = estimate(replace(run, samples=samples([-1.0, 4.0], [1.0, 40.0])))
    assert found.drift is not None
    assert found.drift.value == pytest.approx(3 / 41)


@pytest.mark.parametrize("steps", [(0, 35), (10, 40)])
def test_samples_of_another_step_or_start_give_no_drift(steps: tuple[int, int]) -> None:
    run = probe_run(np.ones((2, 3)))
    found = estimate(replace(run, samples=samples([1.0], [10.0], steps)))
    assert found.drift is None
    assert found.tide_corrected_chosen is None


def test_the_tide_corrected_interval_knows_that_samples_share_the_prompts() -> None:
    run = probe_run([[-1.0, -3.0, -5.0, -7.0], [-9.0] * 4])
    table = samples([1.0, 3.0, 5.0, 7.0], [1.0] * 4)
    apart = estimate(replace(run, samples=table))
    table["prompt"] = [f"prompt {index}" for index in range(4)] * 2
    shared = estimate(replace(run, samples=table))
    assert shared.tide_corrected_chosen == Interval(0.0, 0.0, 0.0)
    assert apart.tide_corrected_chosen is not None
    assert apart.tide_corrected_chosen.high > 3


def test_on_samples_of_the_initial_policy_drift_is_the_forward_divergence() -> None:
    run = gaussian_tilt((1.0, 0.0), (-1.0, 0.2), (0, 100), samples=40_000)
    found = estimate(run)
    margin = found.margin.value
    assert found.drift is not None
    divergence = margin**2 / (2 * 4.04)
    assert found.drift.low <= divergence <= found.drift.high
    assert found.drift.high - found.drift.low < 0.1 * divergence


def test_for_sides_around_the_initial_mean_the_common_mode_is_minus_the_divergence() -> None:
    found = estimate(gaussian_tilt((1.0, 0.0), (-1.0, 0.0), (0, 200), jitter=1.0, pairs=40_000))
    common = (found.delta_chosen.value + found.delta_rejected.value) / 2
    assert common == pytest.approx(-(found.margin.value**2) / (2 * 4), abs=0.01)


# Properties.


@given(CHANGES, st.sampled_from([0.01, 0.1, 2.0, 10.0]))
def test_the_share_does_not_change_with_the_scale(
    changes: list[tuple[float, float]], scale: float
) -> None:
    sides = np.array(changes).T
    before, after = (
        estimate(run_of(table(straight(factor * sides, start=0.0)))).share
        for factor in (1.0, scale)
    )
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert astuple(after) == pytest.approx(astuple(before), rel=1e-6, abs=1e-9)


@given(CHANGES)
def test_swapping_the_sides_negates_the_margin(changes: list[tuple[float, float]]) -> None:
    sides = np.array(changes).T
    one, other = estimate(probe_run(sides)), estimate(probe_run(sides[::-1]))
    assert one.delta_chosen == other.delta_rejected
    assert astuple(other.margin) == pytest.approx(
        (-one.margin.value, -one.margin.high, -one.margin.low), abs=1e-9
    )
    assert one.share is None or other.share is None


@given(CHANGES)
def test_the_share_is_reported_exactly_when_the_margin_has_grown(
    changes: list[tuple[float, float]],
) -> None:
    found = estimate(probe_run(np.array(changes).T))
    assert (found.share is not None) == (found.margin.low > 0)
    if found.share is not None:
        # The same decision twice: the place of S, and the sign of each side.
        assert (found.share.low > 0) == (found.delta_chosen.low > 0)
        assert (found.share.low > 1) == (found.delta_rejected.low > 0)


@given(any_run())
def test_nothing_raises_on_any_run_and_every_interval_is_in_order(run: Run) -> None:
    for split in (None, "train", "held_out", "other"):
        estimate(run, split=split)
        for found in trajectory(run, split):
            for name in (one.name for one in fields(found)):
                value = getattr(found, name)
                if isinstance(value, Interval) and isfinite(value.value):
                    slack = 1e-6 * abs(value.value)
                    assert value.low - slack <= value.value <= value.high + slack


@pytest.mark.parametrize("regime", [one for one in Regime if one is not Regime.UNKNOWN])
@pytest.mark.parametrize("seed", range(3))
def test_examples_are_estimated_at_their_truth(regime: Regime, seed: int) -> None:
    found = estimate(example(regime, seed))
    assert found.delta_chosen.value == pytest.approx(TRUTH[regime][0])
    assert found.delta_rejected.value == pytest.approx(TRUTH[regime][1])
    assert found.drift is not None
    assert found.drift.value == pytest.approx(DRIFT)
