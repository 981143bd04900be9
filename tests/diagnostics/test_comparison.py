"""Runs side by side, and what keeps them from being comparable."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.comparison import compare, told_apart
from diagnostics.examples import example, nan_ridden
from diagnostics.phases import name_regime
from diagnostics.regimes import Regime
from diagnostics.run import Run
from tests.diagnostics.logged_runs import NOT_KNOWN
from tests.diagnostics.probe_runs import any_run


def test_rows_come_in_the_given_order_with_the_numbers_of_the_verdict() -> None:
    runs = [example(Regime.BOTH_FALL), example(Regime.IDEAL, method_name="simpo")]
    rows = compare(runs)
    assert [(row.name, row.method, row.regime) for row in rows] == [
        ("both_fall-0", "dpo", Regime.BOTH_FALL),
        ("ideal-0", "simpo", Regime.IDEAL),
    ]
    estimate = name_regime(runs[0]).estimate
    assert rows[0].step == 200
    assert rows[0].share == estimate.share
    assert rows[0].delta_chosen == estimate.delta_chosen
    assert rows[0].delta_rejected == estimate.delta_rejected
    assert rows[0].reward_accuracy == estimate.reward_accuracy
    assert rows[0].ranking_accuracy == estimate.ranking_accuracy
    assert rows[0].drift == estimate.drift


def test_runs_on_the_same_pairs_from_the_same_policy_need_no_caveat() -> None:
    rows = compare([example(regime) for regime in Regime])
    assert [row.caveats for row in rows] == [()] * len(rows)


def test_a_run_without_a_probe_set_and_without_rewards_has_no_numbers() -> None:
    run = example(Regime.IDEAL)
    bare = replace(
        run, probes=run.probes.iloc[:0], train=run.train[["loss"]], evals=run.evals.iloc[:0]
    )
    (row,) = compare([bare])
    assert row.regime is Regime.UNKNOWN
    numbers = (row.share, row.delta_chosen, row.delta_rejected, row.reward_accuracy)
    assert (*numbers, row.ranking_accuracy, row.drift, row.step) == (None,) * 7


def test_a_log_stands_beside_a_probe_set_where_its_unit_allows() -> None:
    run = example(Regime.BOTH_FALL)
    log = replace(run, probes=run.probes.iloc[:0])
    unknown_beta = replace(log, meaning=NOT_KNOWN)
    _, known, raw = compare([run, log, unknown_beta])
    assert known.regime is raw.regime is Regime.BOTH_FALL
    assert known.delta_chosen is not None
    assert known.delta_chosen.value == pytest.approx(-0.30, abs=0.03)
    assert known.caveats == (
        "read off its logged rewards, which average other pairs at each record",
    )
    assert (raw.delta_chosen, raw.delta_rejected) == (None, None)
    assert raw.share is not None
    assert raw.share.value == pytest.approx(known.share.value, abs=0.05)
    assert raw.caveats[0].endswith("they are in reward units, and sizes do not compare")


def test_the_measure_is_the_first_run_that_has_a_probe_set() -> None:
    run = example(Regime.IDEAL)
    blind = replace(run, probes=run.probes.iloc[:0], train=run.train[["loss"]], name="blind")
    rows = compare([replace(blind, evals=run.evals.iloc[:0]), run])
    assert [row.caveats for row in rows] == [(), ()]


def test_other_pairs_are_noted() -> None:
    first, second = example(Regime.IDEAL), example(Regime.IDEAL, pairs=32, name="few")
    assert compare([first, second])[1].caveats == ("scored on other probe pairs than ideal-0",)
    renamed = replace(first, probes=first.probes.assign(prompt="other " + first.probes["prompt"]))
    assert compare([first, renamed])[1].caveats == ("scored on other probe pairs than ideal-0",)


def test_other_lengths_are_noted() -> None:
    first = example(Regime.IDEAL)
    longer = first.probes.assign(
        **{"completion_tokens/chosen": first.probes["completion_tokens/chosen"] + 1}
    )
    (note,) = compare([first, replace(first, probes=longer)])[1].caveats
    assert note == ("the probe pairs of ideal-0 have other lengths: another tokenizer or template")


@pytest.mark.parametrize(("shift", "noted"), [(0.0001, False), (0.05, True)])
def test_another_initial_policy_is_noted_and_rounding_is_not(shift: float, noted: bool) -> None:
    first = example(Regime.IDEAL)
    probes = first.probes.copy()
    for side in ("chosen", "rejected"):
        probes[f"logps/{side}"] += shift * probes[f"completion_tokens/{side}"]
    caveats = compare([first, replace(first, probes=probes)])[1].caveats
    assert caveats == (("started at another policy than ideal-0",) if noted else ())


def test_another_split_is_noted() -> None:
    first = example(Regime.IDEAL)
    held_out = replace(first, probes=first.probes[first.probes["split"] == "held_out"])
    notes = compare([first, held_out])[1].caveats
    assert "read off held_out pairs, and ideal-0 off train pairs" in notes


@pytest.mark.parametrize("broken", [nan, inf])
def test_numbers_that_are_lost_are_not_taken_for_a_difference(broken: float) -> None:
    first = example(Regime.IDEAL)
    probes = first.probes.copy()
    probes.loc[probes["pair"] == 3, ["logps/chosen", "completion_tokens/rejected"]] = broken
    assert compare([first, replace(first, probes=probes)])[1].caveats == ()
    assert compare([first, nan_ridden()])[1].caveats == ()


def test_nothing_to_compare_gives_no_rows() -> None:
    assert compare([]) == []


@settings(max_examples=40)
@given(st.lists(any_run(), max_size=3))
def test_comparing_never_raises(runs: list[Run]) -> None:
    assert len(compare(runs)) == len(runs)


def test_runs_of_one_name_are_told_apart_by_where_they_lie() -> None:
    ideal = example(Regime.IDEAL)

    def at(path: str, name: str = "dpo") -> Run:
        return replace(ideal, name=name, source=replace(ideal.source, path=path))

    runs = [at("/a/one/dpo"), at("/a/two/dpo"), at("/a/kto", "kto")]
    assert [run.name for run in told_apart(runs)] == ["dpo (one/dpo)", "dpo (two/dpo)", "kto"]
    same = told_apart([at("/a/log"), at("/a/log"), at("/b/log")])
    assert len({run.name for run in same}) == 3
    assert [run.name for run in told_apart([at(""), at("")])] == ["dpo", "dpo #2"]
