"""What a log alone can show: mismatch, contradictions, saturation, cues, bursts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics import synthetic_logs as logs
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.pathologies import (
    instability,
    reference_mismatch,
    saturation,
    surface_cue,
    untrusted_numbers,
)
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.synthetic_logs import logged_run
from diagnostics.verdicts import Status, Verdict


def changed(run: Run, **columns: object) -> Reading:
    return Reading(replace(run, train=run.train.assign(**columns)))


# Reference mismatch.


@pytest.mark.parametrize(
    ("nats", "status"), [(-12.0, "present"), (0.6, "present"), (0.3, "absent"), (0.0, "absent")]
)
def test_a_start_away_from_the_reference_is_seen_at_the_first_step(
    nats: float, status: str
) -> None:
    verdict = reference_mismatch.check(Reading(logs.shifted(nats=nats)))
    assert verdict.status == status
    assert verdict.since == (1 if status == "present" else None)


def test_the_limit_is_in_nats_whatever_beta_is() -> None:
    run = logs.shifted(nats=1.0)
    tiny = Meaning(Base.LOGRATIO_SUM, 0.001, Scope.WINDOW)
    scaled = {name: run.train[name] / 100 for name in ("rewards/chosen", "rewards/rejected")}
    rescaled = replace(run, meaning=tiny, train=run.train.assign(**scaled))
    assert reference_mismatch.check(Reading(rescaled)).status is Status.PRESENT


def test_an_evaluation_at_step_0_is_asked_before_the_training_records() -> None:
    run = logged_run(0.2, -0.3, evaluations=5)
    assert reference_mismatch.check(Reading(run)).status is Status.ABSENT
    off = run.evals.assign(**{"rewards/chosen": run.evals["rewards/chosen"] + 1.0})
    verdict = reference_mismatch.check(Reading(replace(run, evals=off)))
    assert verdict.status is Status.PRESENT
    assert verdict.since == 0
    assert "chosen +10.00 nats per completion" in verdict.sentence
    assert "rejected" not in verdict.sentence.split("stand at")[1].split("from")[0]


def test_a_first_record_that_averages_a_window_can_only_be_suspected() -> None:
    run = logged_run(0.2, -0.3, steps=1000, every=10)
    assert not reference_mismatch.check(Reading(run)).status.is_alarm
    away = {name: run.train[name] - 8.0 for name in ("rewards/chosen", "rewards/rejected")}
    verdict = reference_mismatch.check(changed(run, **away))
    assert verdict.status is Status.SUSPECTED
    assert verdict.unseen


def test_a_first_record_late_in_the_run_tells_nothing() -> None:
    run = logged_run(0.4, -0.8, steps=100, every=10)
    away = {name: run.train[name] - 8.0 for name in ("rewards/chosen", "rewards/rejected")}
    assert reference_mismatch.check(changed(run, **away)).status is Status.UNKNOWN


@pytest.mark.parametrize(("loss", "status"), [(0.69, "absent"), (0.9, "suspected")])
def test_a_log_of_losses_alone_is_held_against_the_start_value(loss: float, status: str) -> None:
    run = logged_run(0.1, -0.1, steps=20, every=1)
    only = run.train[["loss"]].copy()
    only.iloc[0] = loss
    assert reference_mismatch.check(Reading(replace(run, train=only))).status == status


# Untrusted numbers.


def trusted(run: Run | Reading) -> Verdict:
    return untrusted_numbers.check(run if isinstance(run, Reading) else Reading(run))


@pytest.mark.parametrize("batches", [2, 8, 16])
def test_a_loss_summed_over_micro_batches_is_a_multiple_of_its_start(batches: int) -> None:
    verdict = trusted(logs.summed(batches=batches))
    assert verdict.status is Status.PRESENT
    assert f"{batches} times as much, so it is a sum" in verdict.sentence


def test_another_loss_than_the_one_configured_is_seen_at_its_start() -> None:
    run = replace(logged_run(0.2, -0.3, steps=200, every=2), method="hinge")
    verdict = trusted(run)
    assert verdict.status is Status.PRESENT
    assert "it is where DPO starts" in verdict.sentence


def test_an_accuracy_above_one_was_summed() -> None:
    run = logged_run(0.2, -0.3)
    verdict = trusted(changed(run, **{"rewards/accuracies": run.train["rewards/accuracies"] * 4}))
    assert verdict.status is Status.PRESENT
    assert "was summed" in verdict.sentence


@pytest.mark.parametrize(("factor", "status"), [(2.0, "present"), (1.0001, "absent")])
def test_a_margin_that_is_not_the_difference_of_the_sides_is_seen(
    factor: float, status: str
) -> None:
    run = logged_run(0.2, -0.3)
    doubled = changed(run, **{"rewards/margins": run.train["rewards/margins"] * factor})
    assert trusted(doubled).status == status


def test_kto_may_average_other_micro_batches_in_its_margin() -> None:
    run = logged_run(0.2, -0.3, method_name="kto")
    doubled = changed(run, **{"rewards/margins": run.train["rewards/margins"] * 2})
    assert trusted(doubled).status is Status.ABSENT


def test_a_loss_below_what_the_margin_allows_is_seen() -> None:
    run = logged_run(0.2, -0.3)
    half = changed(run, loss=0.5 * np.logaddexp(0.0, -run.train["rewards/margins"]))
    assert trusted(half).status is Status.PRESENT


def test_rounding_to_four_digits_contradicts_nothing() -> None:
    run = logged_run(0.02, -0.02, every=1)
    assert trusted(replace(run, train=run.train.round(4))).status is Status.ABSENT


@pytest.mark.parametrize("scope", untrusted_numbers.PARTIAL)
def test_partial_numbers_are_suspected_and_named(scope: Scope) -> None:
    verdict = trusted(logged_run(0.2, -0.3, scope=scope))
    assert verdict.status is Status.SUSPECTED
    assert scope.value in verdict.sentence


def test_an_sft_term_may_raise_the_first_loss() -> None:
    run = logged_run(0.2, -0.3, steps=200, every=2, settings={"sft_weight": 1.0})
    assert trusted(changed(run, loss=run.train["loss"] + 0.693)).status is Status.ABSENT


# Saturation.


def test_half_of_the_records_must_be_saturated() -> None:
    reading = Reading(logs.saturated())
    verdict = saturation.check(reading)
    share = verdict.evidence[0].value
    assert 0.5 < share < 1
    assert saturation.check(reading, lasting=share + 0.01).status is Status.ABSENT


def test_a_few_records_of_one_pair_are_saturated_by_chance() -> None:
    run = logs.saturated()
    few = replace(run, train=run.train.iloc[-10:])
    assert saturation.check(Reading(few)).status is Status.UNKNOWN


def test_the_logged_share_of_saturated_pairs_serves_where_the_loss_bounds_nothing() -> None:
    run = logs.saturated()
    ipo = replace(run, method="ipo")
    assert saturation.check(Reading(ipo)).status is Status.UNKNOWN
    assert saturation.check(changed(ipo, saturated=0.95)).status is Status.PRESENT
    assert saturation.check(changed(ipo, saturated=0.5)).status is Status.ABSENT


def test_a_loss_with_another_term_bounds_nothing() -> None:
    run = logs.saturated()
    mixed = replace(run, config={**run.config, "sft_weight": 0.1})
    assert saturation.check(Reading(mixed)).status is Status.UNKNOWN


@pytest.mark.parametrize("seed", range(3))
def test_an_evaluation_loss_that_turns_while_the_training_loss_falls_is_over_fit(
    seed: int,
) -> None:
    verdict = saturation.check(Reading(logs.overfitted(seed)))
    assert verdict.status is Status.PRESENT
    assert verdict.since == 200
    assert "evaluation loss has risen by +0.19" in verdict.sentence


def test_an_evaluation_loss_that_turns_with_the_training_loss_is_no_over_fit() -> None:
    run = logs.overfitted()
    both = changed(run, loss=np.linspace(0.5, 0.9, len(run.train)))
    assert not saturation.check(both).status.is_alarm


# Surface cue.


@pytest.mark.parametrize(("accuracy", "status"), [(1.0, "present"), (0.97, "absent")])
def test_only_an_accuracy_of_almost_one_is_a_cue(accuracy: float, status: str) -> None:
    run = logged_run(0.2, -0.3, steps=2000, every=10)
    values = np.full(len(run.train), accuracy)
    values[0] = 0.6
    assert surface_cue.check(changed(run, **{"rewards/accuracies": values})).status == status


def test_an_accuracy_of_one_late_in_the_run_is_no_cue() -> None:
    run = logged_run(0.2, -0.3, steps=2000, every=10)
    values = np.where(run.train.index > 200, 1.0, 0.7)
    assert surface_cue.check(changed(run, **{"rewards/accuracies": values})).status == "absent"


def test_few_records_of_a_single_micro_batch_are_one_by_chance() -> None:
    run = logs.separable()
    few = replace(run, train=run.train.iloc[:60])
    assert surface_cue.check(Reading(few)).status is Status.PRESENT
    partial = Meaning(Base.LOGRATIO_SUM, 0.1, Scope.LAST_MICRO_BATCH)
    assert surface_cue.check(Reading(replace(few, meaning=partial))).status is Status.UNKNOWN


# Instability.


@pytest.mark.parametrize("column", ["grad_norm", "loss"])
def test_bursts_and_spikes_are_each_enough(column: str) -> None:
    run = logs.bursting()
    calm = logged_run(0.2, -0.3, steps=1000, every=5).train
    one = changed(run, **{name: calm[name] for name in ("grad_norm", "loss") if name != column})
    verdict = instability.check(one)
    assert verdict.status is Status.PRESENT
    assert len(verdict.evidence) == 1
    assert verdict.evidence[0].value == 8


def test_a_single_burst_is_absorbed() -> None:
    run = logged_run(0.2, -0.3, steps=1000, every=5)
    norms = run.train["grad_norm"].to_numpy().copy()
    norms[100] *= 50
    assert instability.check(changed(run, grad_norm=norms)).status is Status.ABSENT


def test_a_loss_that_falls_steeply_at_the_start_does_not_spike() -> None:
    run = logged_run(0.2, -0.3, steps=1000, every=5)
    falling = 0.05 + 3 * np.exp(-np.arange(len(run.train)) / 4)
    assert instability.check(changed(run, loss=falling)).status is Status.ABSENT


@pytest.mark.parametrize(
    ("lost", "unstable"),
    [((5, 50, 90, 120), False), ((5, 50, 90, 120, 150), True), ((197, 198, 199), True)],
)
def test_numbers_that_are_lost_in_over_2_percent_or_at_the_end_are_unstable(
    lost: tuple[int, ...], unstable: bool
) -> None:
    run = logged_run(0.2, -0.3, steps=1000, every=5)
    losses = run.train["loss"].to_numpy().copy()
    losses[list(lost)] = np.nan
    verdict = instability.check(changed(run, loss=losses))
    assert (verdict.status is Status.PRESENT) is unstable
    words = f"{len(lost)} of 200 records hold a number that is not finite"
    assert (words in verdict.sentence) is unstable


def test_a_column_that_is_logged_rarely_has_gaps_by_design() -> None:
    run = logged_run(0.2, -0.3, steps=1000, every=5)
    norms = run.train["grad_norm"].where(run.train.index % 20 == 0)
    assert instability.check(changed(run, grad_norm=norms)).status is Status.ABSENT


def test_a_chosen_side_that_reverses_again_and_again_is_unstable() -> None:
    path = tuple((k / 6, 0.6 * (k % 2)) for k in range(7))
    verdict = instability.check(Reading(logged_run(path, -0.4, steps=1200, every=4, noise=0.3)))
    assert verdict.status.is_alarm, verdict.sentence
