"""The tables behind the figures of a comparison: whole, and with a unit at every number."""

from __future__ import annotations

from dataclasses import replace

from diagnostics import comparisontables as tables
from diagnostics.courses import course
from diagnostics.examples import example
from diagnostics.reading import Reading
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.summary import summarise

RUNS = [replace(example(regime), name=regime) for regime in ("ideal", "both_fall")]


def test_differences_carry_interval_unit_place_and_verdict() -> None:
    whole = summarise(RUNS, "margin")
    table = tables.differences(whole.contrasts, "chosen")
    (row,) = table.to_dict("records")
    assert (row["First"], row["Second"], row["Unit"]) == ("ideal", "both_fall", NATS_PER_TOKEN)
    assert row["Second minus first, 95 % from"] < row["Second minus first"] < -0.3
    assert 0 < row["Step of the first"] < row["Step of the second"] <= 200
    assert len(tables.differences(whole.contrasts)) == 3


def test_a_refusal_is_a_row_with_its_reason() -> None:
    other = replace(RUNS[1], probes=RUNS[1].probes.assign(prompt="else"))
    (row,) = tables.differences(summarise([RUNS[0], other]).contrasts).to_dict("records")
    assert row["Not compared because"] == "they were scored on other probe pairs"


def test_courses_hold_every_evaluation_with_its_matched_quantities() -> None:
    found = tables.courses([course(run.name, Reading(run)) for run in RUNS], "chosen")
    assert len(found) == 2 * 21
    assert set(found["Quantity"]) == {"chosen"}
    assert f"Drift [{NATS_PER_TOKEN}]" in found
    assert (found["Unit"] == NATS_PER_TOKEN).all()
    assert tables.courses([]).empty


def test_the_price_says_of_whom_it_is_not_known() -> None:
    blind = replace(RUNS[1], samples=RUNS[1].samples.iloc[:0])
    whole = summarise([RUNS[0], blind])
    table = tables.efficiency(whole.efficiency, whole.unknown)
    assert table[tables.RATIO].notna().tolist() == [True, False]
    assert table["Not known because"].tolist()[1].startswith("no reference samples")


def test_settings_run_down_where_they_are_more_than_the_runs() -> None:
    few = tables.settings(["a", "b"], {"beta": (0.1, None)})
    assert few.to_dict("records") == [{"Run": "a", "beta": "0.1"}, {"Run": "b", "beta": "–"}]
    many = tables.settings(["a", "b"], {"beta": (0.1, 0.2), "seed": (1, 2)})
    assert list(many.columns) == ["Setting", "a", "b"]
    assert many["Setting"].tolist() == ["beta", "seed"]


def test_a_run_or_a_setting_may_be_called_like_the_first_column() -> None:
    few = tables.settings(["a", "b"], {"Run": (1, 2)})
    assert few.to_dict("records") == [{"Run": "a", "Run ": "1"}, {"Run": "b", "Run ": "2"}]
    many = tables.settings(["Setting", "b"], {"beta": (0.1, 0.2), "seed": (1, 2)})
    assert list(many.columns) == ["Setting", "Setting ", "b"]
