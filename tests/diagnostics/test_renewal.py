"""A growing run is diagnosed anew when that can say something new, and seldom otherwise."""

from __future__ import annotations

from dataclasses import replace

from diagnostics.examples import example
from diagnostics.renewal import GROWTH, PAUSE, is_due
from diagnostics.run import Run

NEVER = 1e9


def grown(run: Run, rows: int) -> Run:
    return replace(run, train=run.train.iloc[:rows])


def test_more_rows_ask_for_a_diagnosis_only_when_they_are_many_and_time_has_passed() -> None:
    run = replace(example("ideal", evaluations=8, every=50), status="running")
    before = grown(run, 200)
    few, many = grown(run, 200 + int(200 * GROWTH)), grown(run, 201 + int(200 * GROWTH))
    assert not is_due(before, few, NEVER)
    assert is_due(before, many, PAUSE)
    assert not is_due(before, many, PAUSE - 0.1)
    assert not is_due(before, before, NEVER)


def test_an_evaluation_asks_at_once() -> None:
    run = example("ideal")
    last = run.probes["step"].max()
    assert is_due(replace(run, probes=run.probes[run.probes["step"] < last]), run, 0)
    assert is_due(replace(run, evals=run.evals.iloc[:-1]), run, 0)
    assert is_due(run, replace(run, tables={**run.tables, "entanglement": run.probes}), 0)


def test_the_end_of_a_run_asks_at_once() -> None:
    run = replace(example("ideal"), status="running")
    assert is_due(run, replace(run, status="completed"), 0)


def test_another_run_in_the_same_place_asks_at_once() -> None:
    run = example("ideal")
    assert is_due(run, replace(run, header={**run.header, "beta": 0.3}), 0)
    assert is_due(run, grown(run, len(run.train) - 1), 0)


def test_a_whole_training_is_diagnosed_a_bounded_number_of_times() -> None:
    run = replace(example("ideal", evaluations=40, every=50), status="running")
    diagnosed, made = grown(run, 1), 0
    for rows in range(2, len(run.train) + 1):
        now = grown(run, rows)
        if is_due(diagnosed, now, NEVER):
            diagnosed, made = now, made + 1
    assert made < 150
    assert len(diagnosed.train) > (1 - GROWTH) * len(run.train)
