"""Frames that are ready to be shown."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics import tables
from diagnostics.examples import example
from diagnostics.phases import name_regime
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.share import estimate, trajectory
from tests.diagnostics.probe_runs import any_run


def test_the_overview_has_a_row_a_run() -> None:
    frame = tables.overview([example(Regime.BOTH_FALL), example(Regime.UNKNOWN)])
    assert tuple(frame.columns) == tables.OVERVIEW
    assert frame["Run"].tolist() == ["both_fall-0", "unknown-0"]
    assert frame["Regime"].tolist() == ["Both fall", "Cannot tell"]
    assert frame["Method"].tolist() == ["DPO", "DPO"]
    assert frame["Steps"].tolist() == [200, 20]
    assert frame[tables.DELTA_CHOSEN].tolist() == pytest.approx([-0.30, 0.25])
    assert frame[tables.DELTA_REJECTED].tolist() == pytest.approx([-0.80, -0.35])
    assert frame[tables.SHARE][0] == pytest.approx(-0.6)
    assert frame[tables.DRIFT].tolist() == pytest.approx([0.05, 0.05])


def test_heads_carry_their_units() -> None:
    assert tables.DELTA_CHOSEN == "Δ chosen [nats per token]"
    assert tables.REWARD_ACCURACY == "Reward accuracy [fraction of pairs]"
    assert tables.SHARE == "S [share of the margin]"


def test_sparks_are_short_and_keep_the_newest_value() -> None:
    run = example(Regime.IDEAL, evaluations=100)
    (spark,) = tables.overview([run])["Chosen"]
    assert 20 <= len(spark) <= tables.SPARK_POINTS
    assert spark[-1] == estimate(run).delta_chosen.value


def test_the_last_update_is_the_newest_records_time_where_there_is_one() -> None:
    run = example(Regime.IDEAL)
    stamped = replace(run, train=run.train.assign(time=1_700_000_000.0 + run.train.index))
    first, second = tables.overview([stamped, run])["Updated"]
    assert first == pd.Timestamp("2023-11-14 22:16:40", tz="UTC")
    assert pd.isna(second)


def test_no_runs_give_an_empty_overview_with_its_heads() -> None:
    frame = tables.overview([])
    assert len(frame) == 0
    assert tuple(frame.columns) == tables.OVERVIEW


def test_the_evidence_of_a_verdict_as_a_table() -> None:
    frame = tables.evidence(name_regime(example(Regime.BOTH_FALL))).set_index("Quantity")
    assert frame.loc["margin", "Value"] == pytest.approx(0.5)
    assert frame.loc["margin", "Unit"] == "nats per token"
    assert frame.loc["Δ chosen", "Threshold"] == 0.01
    assert frame.loc["Δ chosen", "95 % from"] < -0.3 < frame.loc["Δ chosen", "95 % to"]


def test_trajectories_hold_values_and_intervals_by_step() -> None:
    run = example(Regime.IDEAL)
    frame = tables.trajectories(run)
    path = trajectory(run)
    assert frame.index.tolist() == [one.step for one in path]
    assert frame[tables.MARGIN].iloc[-1] == path[-1].margin.value
    assert frame[f"{tables.MARGIN} from"].iloc[-1] == path[-1].margin.low
    assert frame[f"{tables.MARGIN} to"].iloc[-1] == path[-1].margin.high
    assert pd.isna(frame[tables.SHARE].iloc[0])


def test_a_method_nobody_knows_keeps_its_name() -> None:
    assert tables.method_title("house_blend") == "house_blend"


@settings(max_examples=40)
@given(st.lists(any_run(stepped=True), max_size=2))
def test_tables_never_raise(runs: list[Run]) -> None:
    assert len(tables.overview(runs)) == len(runs)
    for run in runs:
        tables.trajectories(run)
        tables.evidence(name_regime(run))


@pytest.mark.parametrize("time", [float("nan"), float("inf"), 1e300, -1e300])
def test_an_absurd_time_is_no_time(time: float) -> None:
    run = example(Regime.UNKNOWN)
    broken = replace(run, train=run.train.assign(time=time))
    assert tables.overview([broken])["Updated"].isna().all()
