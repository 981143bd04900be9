"""The pathologies that probes show: known truth at their thresholds, and what stays unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics.examples import gaussian_tilt
from diagnostics.pathologies import (
    drift,
    frozen_weights,
    length_exploitation,
    near_duplicates,
    off_policy_rejected,
    ranking_mismatch,
    squeezing,
)
from diagnostics.pathologies.length_exploitation import length_ratio
from diagnostics.pathologies.near_duplicates import edit_distance
from diagnostics.probe_examples import (
    LEARNING,
    SQUEEZE,
    drifted,
    frozen,
    lengthened,
    near_duplicate,
    off_policy,
    probed,
    unranked,
)
from diagnostics.probegrid import probe_grid
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.synthetic_logs import logged_run
from diagnostics.verdicts import Status, Verdict
from tests.diagnostics.gradient_runs import base, entangled

Check = Callable[[Reading], Verdict]


def checked(check: Check, run: Run) -> Verdict:
    return check(Reading(run))


def small(regime: str = "ideal", method_name: str = "dpo") -> Run:
    return base(Regime(regime), method_name)


# Drift.


@pytest.mark.parametrize(
    ("by", "status"),
    [(0.02, Status.ABSENT), (0.2, Status.SUSPECTED), (0.6, Status.PRESENT)],
)
def test_drift_is_judged_by_both_lines(by: float, status: Status) -> None:
    verdict = checked(drift.check, drifted(0, by))  # beside the 0.05 of every example
    assert verdict.status is status
    assert verdict.evidence[0].value == pytest.approx(by + 0.05)


def test_drift_holds_since_the_evaluation_that_first_passed_the_line() -> None:
    # 0.85 nats/token over 200 steps: 0.5 is passed between steps 110 and 120.
    assert checked(drift.check, drifted(0, 0.8)).since == 120


def test_the_drift_of_a_gaussian_policy_is_its_kl_divergence() -> None:
    run = gaussian_tilt((3, 0), (1, 0.2), (0, 500, 1000), samples=4000)
    found = checked(drift.check, run).evidence[0]
    mean = probe_grid(run)
    assert mean is not None
    margin = float(mean.deltas[-1, 0, 0] - mean.deltas[-1, 1, 0])
    truth = margin**2 / (2 * 4.04)  # m^2 / (2 |D|^2), one token
    assert found.low is not None
    assert found.high is not None
    assert found.low < truth < found.high


def test_without_samples_only_a_fallen_chosen_side_hints_at_drift() -> None:
    fallen = checked(drift.check, logged_run(-0.9, -1.5, method_name="simpo"))
    assert fallen.status is Status.SUSPECTED
    assert "samples" in fallen.unseen[0]
    for mild in (logged_run(-0.2, -0.5, method_name="simpo"), logged_run(-0.9, -1.5)):
        # The second is in nats per completion, of which no length is logged.
        assert checked(drift.check, mild).status is Status.UNKNOWN
    no_samples = replace(small(), samples=small().samples.iloc[:0])
    assert checked(drift.check, no_samples).status is Status.UNKNOWN


# Frozen weights.


def test_one_changed_bit_is_a_weight_that_moves() -> None:
    run = frozen(0)
    probes = run.probes.copy()
    last = probes.index[probes["step"] == probes["step"].max()][0]
    probes.loc[last, "logps/chosen"] = np.nextafter(probes.loc[last, "logps/chosen"], 0.0)
    assert checked(frozen_weights.check, run).status is Status.PRESENT
    moved = checked(frozen_weights.check, replace(run, probes=probes))
    assert moved.status is Status.ABSENT


def test_weights_that_freeze_half_way_count_only_while_the_rate_is_considerable() -> None:
    run = small()
    probes = run.probes.copy()
    at_100 = probes[probes["step"] == 100].set_index(["split", "pair"])
    late = probes["step"] > 100
    keys = pd.MultiIndex.from_frame(probes.loc[late, ["split", "pair"]])
    for side in ("chosen", "rejected"):
        probes.loc[late, f"logps/{side}"] = at_100[f"logps/{side}"].reindex(keys).to_numpy()
    train = run.train.copy()
    train["learning_rate"] = 1e-6
    verdict = checked(frozen_weights.check, replace(run, probes=probes, train=train))
    assert (verdict.status, verdict.since) == (Status.PRESENT, 100)
    train.loc[101:, "learning_rate"] = 1e-9
    spent = checked(frozen_weights.check, replace(run, probes=probes, train=train))
    assert spent.status is Status.ABSENT
    assert "decayed" in spent.sentence


def test_one_unchanged_evaluation_is_a_suspicion_and_a_rate_of_0_is_said() -> None:
    run = frozen(0)
    first = run.probes[run.probes["step"] <= 10]
    assert checked(frozen_weights.check, replace(run, probes=first)).status is Status.SUSPECTED
    train = run.train.assign(learning_rate=0.0)
    verdict = checked(frozen_weights.check, replace(run, train=train))
    assert "the learning rate is 0 per step" in verdict.sentence


def test_rewards_that_are_exactly_0_are_a_suspicion_and_a_trend_is_movement() -> None:
    log = logged_run(0.3, -0.3)
    assert checked(frozen_weights.check, log).status is Status.ABSENT
    zero = log.train.copy()
    zero[[name for name in zero if name.startswith("rewards/")]] = 0.0
    verdict = checked(frozen_weights.check, replace(log, train=zero))
    assert verdict.status is Status.SUSPECTED
    assert "one model that moves" in verdict.unseen[0]


# Ranking.


def test_rewards_can_be_right_while_the_ranking_is_wrong() -> None:
    verdict = checked(ranking_mismatch.check, unranked(0))
    found = {one.quantity: one.value for one in verdict.evidence}
    assert verdict.status is Status.PRESENT
    assert found["reward accuracy"] == 1.0
    assert found["ranking accuracy per token"] == 0.0
    # Log-probs per token start 3.0 apart beyond the spread of the example, and gain 0.6.
    assert found["median missing margin"] == pytest.approx(2.4, abs=0.3)


def test_a_run_that_ranks_by_chance_at_low_reward_accuracy_has_no_mismatch() -> None:
    run = unranked(0)
    probes = run.probes.copy()
    swapped = probes["pair"] % 2 == 0
    columns = ["logps/chosen", "logps/rejected"]
    first = probes.groupby(["split", "pair"])[columns].transform("first")
    gain = probes[columns] - first
    probes.loc[swapped, columns] = (first - gain)[swapped]
    assert checked(ranking_mismatch.check, replace(run, probes=probes)).status is Status.ABSENT


# Length.


def test_the_length_of_a_tilted_policy_is_that_of_the_exponential_family() -> None:
    run = lengthened(0, per_token=0.03)
    ratio, step, reason = length_ratio(run)
    tokens = run.samples.drop_duplicates("sample")["completion_tokens"].to_numpy()
    weights = np.exp(0.03 * tokens)
    truth = (weights @ tokens) / weights.sum() / tokens.mean()
    assert (step, reason) == (200, "")
    assert ratio is not None
    assert ratio.value == pytest.approx(truth)


@pytest.mark.parametrize(
    ("per_token", "status"),
    [(-0.02, Status.ABSENT), (0.01, Status.ABSENT), (0.03, Status.PRESENT)],
)
def test_growth_is_judged_by_its_interval(per_token: float, status: Status) -> None:
    assert checked(length_exploitation.check, lengthened(0, per_token)).status is status


def test_growth_whose_interval_reaches_below_the_line_is_a_suspicion() -> None:
    verdict = checked(length_exploitation.check, lengthened(0, 0.022))
    low, value = verdict.evidence[0].low, verdict.evidence[0].value
    assert low is not None
    assert 1 < low < 1.2 < value or value < 1.2
    assert (verdict.status is Status.SUSPECTED) == (value > 1.2)


def test_samples_whose_changes_have_nothing_to_do_with_length_raise_no_alarm() -> None:
    draw, alarms = np.random.default_rng(0), 0
    run = lengthened(0, 0.0)
    last = run.samples["step"] == run.samples["step"].max()
    ends = run.samples[run.samples["step"].isin([0, 200])].copy()
    for _ in range(100):
        change = draw.normal(0, 0.6, int(last.sum()))
        ends.loc[last, "logps"] = ends.loc[ends["step"] == 0, "logps"].to_numpy() + change
        verdict = checked(length_exploitation.check, replace(run, samples=ends))
        alarms += verdict.status.is_alarm
    assert alarms <= 1


def test_a_policy_that_has_moved_far_is_read_at_the_last_evaluation_that_can_tell() -> None:
    run = lengthened(0, per_token=0.6)
    ratio, step, _ = length_ratio(run)
    assert ratio is not None
    assert 0 < step < 200


def test_samples_that_are_cut_cannot_show_growth() -> None:
    run = small()
    samples = run.samples.assign(completion_tokens=64.0)
    verdict = checked(length_exploitation.check, replace(run, samples=samples))
    assert verdict.status is Status.UNKNOWN
    assert "cut at 64 tokens" in verdict.sentence


# Squeezing.


def test_a_squeeze_needs_all_families_but_one_to_fall() -> None:
    rising = {**SQUEEZE, "initial_sample": (0.2, 0.2)}
    assert checked(squeezing.check, probed(0, Regime.BOTH_FALL, rising)).status is Status.PRESENT
    rising["other_chosen"] = (0.2, 0.2)
    assert checked(squeezing.check, probed(0, Regime.BOTH_FALL, rising)).status is Status.ABSENT


def test_certainty_that_goes_to_the_chosen_tokens_is_no_squeeze() -> None:
    learning = {**SQUEEZE, "chosen": (0.4, 0.25)}
    assert checked(squeezing.check, probed(0, Regime.IDEAL, learning)).status is Status.ABSENT
    assert checked(squeezing.check, probed(0, Regime.IDEAL, LEARNING)).status is Status.ABSENT


def test_both_sides_alone_make_a_suspicion_of_a_squeeze() -> None:
    run = probed(0, Regime.BOTH_FALL, SQUEEZE)
    draw = np.random.default_rng(0)
    probes = run.probes.copy()
    for side in ("chosen", "rejected"):
        probes[f"argmax_logps/{side}"] += draw.normal(0, 0.01, len(probes))
    verdict = checked(squeezing.check, replace(run, tables={}, probes=probes))
    assert verdict.status is Status.SUSPECTED
    assert "response families" in verdict.unseen[0]


# Off-policy pairs.


def test_margin_from_valleys_is_counted_and_without_tokens_only_suspected() -> None:
    run = off_policy(0)
    assert checked(off_policy_rejected.check, run).status is Status.PRESENT
    tables = {name: one for name, one in run.tables.items() if name != "tokens"}
    assert (
        checked(off_policy_rejected.check, replace(run, tables=tables)).status is Status.SUSPECTED
    )
    own = replace(probed(0), tables=tables)
    assert checked(off_policy_rejected.check, own).status is Status.ABSENT


def test_a_tenth_of_the_margin_from_valleys_is_absent() -> None:
    verdict = checked(off_policy_rejected.check, off_policy(0, valley=0.02))
    assert verdict.status is Status.ABSENT
    assert verdict.evidence[0].value < 0.5


# Near-duplicates.


def test_the_edit_distance_is_levenshteins() -> None:
    def slow(one: list[int], other: list[int]) -> int:
        if not one or not other:
            return len(one) + len(other)
        cost = slow(one[:-1], other[:-1]) + (one[-1] != other[-1])
        return min(cost, slow(one[:-1], other) + 1, slow(one, other[:-1]) + 1)

    draw = np.random.default_rng(0)
    for _ in range(40):
        one, other = (draw.integers(0, 3, draw.integers(0, 7)) for _ in range(2))
        assert edit_distance(one, other) == slow(one.tolist(), other.tolist())


@pytest.mark.parametrize(
    ("share", "status"), [(0.125, Status.ABSENT), (0.75, Status.PRESENT), (1.0, Status.PRESENT)]
)
def test_near_duplicates_are_judged_by_their_share(share: float, status: Status) -> None:
    assert checked(near_duplicates.check, near_duplicate(0, share)).status is status


def test_identical_pairs_are_seen_without_their_texts() -> None:
    run = small()
    probes = run.probes.copy()
    same = probes["pair"] < 3
    for name in ("logps", "completion_tokens"):
        probes.loc[same, f"{name}/rejected"] = probes.loc[same, f"{name}/chosen"]
    verdict = checked(near_duplicates.check, replace(run, probes=probes))
    assert verdict.status is Status.PRESENT
    assert "3 of 32 pairs are identical" in verdict.sentence
    assert checked(near_duplicates.check, run).status is Status.UNKNOWN
    assert checked(near_duplicates.check, frozen(0)).status is Status.UNKNOWN


def test_gradients_that_are_nearly_one_are_a_suspicion() -> None:
    assert checked(near_duplicates.check, entangled(cosine=0.95)).status is Status.SUSPECTED
    assert checked(near_duplicates.check, entangled(cosine=0.5)).status is Status.ABSENT
