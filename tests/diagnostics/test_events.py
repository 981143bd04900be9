"""Records at which something happened: found, told with numbers, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics import synthetic_logs as logs
from diagnostics.events import GRADIENT_BURST, LOSS_SPIKE, NOT_FINITE, events
from diagnostics.examples import TRUTH, example
from diagnostics.reading import Reading
from diagnostics.run import Run


def run_with(method: str = "dpo", **columns: np.ndarray) -> Run:
    length = len(next(iter(columns.values())))
    index = pd.Index(np.arange(10, 10 * length + 1, 10), name="step")
    named = {name.replace("__", "/"): values for name, values in columns.items()}
    return replace(example("ideal"), method=method, train=pd.DataFrame(named, index=index))


def calm(points: int = 60, level: float = 1.0) -> np.ndarray:
    return level + 0.01 * np.random.default_rng(0).normal(size=points)


def test_a_spike_is_told_with_its_step_its_value_and_what_is_usual() -> None:
    loss = calm()
    loss[30] = 7.5
    [found] = events(Reading(run_with(loss=loss)))
    assert (found.kind, found.step, found.last) == (LOSS_SPIKE, 310, None)
    assert "7.5 loss units" in found.text
    assert "usually 1" in found.text


def test_a_burst_of_the_gradient_is_its_own_kind() -> None:
    norm = calm()
    norm[20] = 6.0
    [found] = events(Reading(run_with(grad_norm=norm)))
    assert (found.kind, found.step) == (GRADIENT_BURST, 210)
    norm[20] = 4.0  # below five times its neighbours
    assert events(Reading(run_with(grad_norm=norm))) == ()


def test_neighbouring_records_without_a_number_are_one_stretch() -> None:
    loss, norm = calm(), calm()
    loss[[10, 11, 40]] = np.nan
    norm[12] = np.inf
    first, second = events(Reading(run_with(loss=loss, grad_norm=norm)))
    assert (first.kind, first.step, first.last) == (NOT_FINITE, 110, 130)
    assert "loss" in first.text
    assert "gradient norm" in first.text
    assert (second.step, second.last) == (410, 410)


def test_a_column_that_is_logged_now_and_then_has_no_gaps_but_its_infinities_count() -> None:
    rare = np.full(60, np.nan)
    rare[::10] = 1.0
    assert events(Reading(run_with(loss=rare))) == ()
    rare[20] = np.inf
    [found] = events(Reading(run_with(loss=rare)))
    assert found.step == 210


def test_a_kto_batch_without_one_of_the_labels_is_no_event() -> None:
    reward = calm()
    reward[5] = np.nan
    assert events(Reading(run_with("kto", rewards__chosen=reward))) == ()
    assert len(events(Reading(run_with("dpo", rewards__chosen=reward)))) == 1


@pytest.mark.parametrize("regime", list(TRUTH))
def test_a_calm_run_has_no_events(regime: str) -> None:
    assert events(Reading(example(regime))) == ()


def test_a_bursting_log_shows_each_of_its_bursts() -> None:
    found = events(Reading(logs.bursting()))
    assert {one.kind for one in found} == {LOSS_SPIKE, GRADIENT_BURST}
    assert [one.step for one in found] == sorted(one.step for one in found)


def test_a_log_without_rows_or_columns_has_no_events() -> None:
    run = example("ideal")
    assert events(Reading(replace(run, train=run.train.iloc[:0]))) == ()
    assert events(Reading(replace(run, train=run.train[[]]))) == ()
