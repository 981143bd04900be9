"""KTO's two alarms: unequal labels, and a reference point that no longer moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.pathologies import kl_stuck, kto_imbalance
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.synthetic_logs import labelled, logged_run
from diagnostics.verdicts import Status


@pytest.mark.parametrize(
    ("counts", "weights", "ratio", "status"),
    [
        ((500, 5000), (1.0, 1.0), 0.1, "present"),
        ((5000, 500), (1.0, 1.0), 10.0, "present"),
        ((500, 5000), (13.33, 1.0), 1.333, "absent"),
        ((1000, 1000), (1.0, 1.0), 1.0, "absent"),
        ((1000, 1000), (1.5, 1.0), 1.5, "absent"),
        ((990, 1010), (1.0, 1.0), 0.98, "absent"),  # by chance
        ((1000, 1000), (2.0, 1.0), 2.0, "present"),
    ],
)
def test_the_weighted_ratio_of_the_labels_decides(
    counts: tuple[int, int], weights: tuple[float, float], ratio: float, status: str
) -> None:
    run = labelled(desirable=counts[0], undesirable=counts[1])
    chosen = {"desirable_weight": weights[0], "undesirable_weight": weights[1]}
    verdict = kto_imbalance.check(Reading(replace(run, config={**run.config, **chosen})))
    assert verdict.status == status
    assert verdict.evidence[0].value == pytest.approx(ratio, rel=0.01)


def test_counts_may_stand_in_the_header_or_in_the_records() -> None:
    run = logged_run(0.2, -0.3, method_name="kto")
    assert kto_imbalance.check(Reading(run)).status is Status.UNKNOWN
    header = replace(run, header={"data": {"desirable": 10, "undesirable": 100}})
    assert kto_imbalance.check(Reading(header)).status is Status.PRESENT
    counted = run.train.assign(**{"count/chosen": 1.0, "count/rejected": 10.0})
    assert kto_imbalance.check(Reading(replace(run, train=counted))).status is Status.PRESENT


@pytest.mark.parametrize("count", [0, -5, None, "many", float("nan"), True])
def test_counts_that_are_no_numbers_tell_nothing(count: object) -> None:
    run = logged_run(0.2, -0.3, method_name="kto")
    odd = replace(run, config={**run.config, "desirable": count, "undesirable": 100})
    assert kto_imbalance.check(Reading(odd)).status is Status.UNKNOWN


def point(kl: float | np.ndarray, reward: float) -> Run:
    run = logged_run(0.2, -0.3, method_name="kto")
    train = run.train.assign(**{"kl": kl, "rewards/chosen": reward})
    return replace(run, train=train)


@pytest.mark.parametrize(
    ("kl", "reward", "status"),
    [
        (0.0, -0.5, "present"),
        (0.0, 0.5, "absent"),  # harmless
        (0.0, -0.005, "absent"),
        (0.3, -0.5, "absent"),
    ],
)
def test_the_point_must_be_zero_and_the_chosen_reward_below_it(
    kl: float, reward: float, status: str
) -> None:
    assert kl_stuck.check(Reading(point(kl, reward))).status == status


def test_it_is_stuck_from_the_last_record_on_in_which_it_moved() -> None:
    kl = np.where(np.arange(40) < 12, 0.5, 0.0)
    assert kl_stuck.check(Reading(point(kl, -0.5))).since == 130


def test_a_point_that_moves_now_and_then_is_not_stuck() -> None:
    kl = np.where(np.arange(40) % 5 == 0, 0.5, 0.0)
    assert kl_stuck.check(Reading(point(kl, -0.5))).status is Status.ABSENT
    assert kl_stuck.check(Reading(point(kl, -0.5)), stuck=0.75).status is Status.PRESENT


def test_evaluations_serve_where_training_records_hold_no_kl() -> None:
    run = point(0.0, -0.5)
    moved = replace(run, evals=run.train, train=run.train.iloc[:0])
    assert kl_stuck.check(Reading(moved)).status is Status.PRESENT
