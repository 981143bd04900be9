"""The casebook's page says what its records say."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from pathlib import Path

import pytest

from benchmarks import forecast as forecasts
from diagnostics import forecast
from diagnostics.readers import find_runs
from trainer.casebook import EXPERIMENTS
from trainer.casebook.contract import ACROSS, Expectation, holds

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "examples" / "casebook"
FILES = sorted(RECORDS.glob("*.json"))
PAGE = ROOT / "docs" / "casebook.md"
LIMIT = 300_000  # bytes of all records together
SEEDS = {"0", "1", "2"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("casebook_page", ROOT / "docs" / "casebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def claimed(text: str, what: str) -> tuple[int, int, int]:
    """Return hits, total and per cent of one line of the page's summary."""
    found = re.search(rf"\| {re.escape(what)} \| (\d+) of (\d+) \((\d+) %", text)
    return tuple(map(int, found.groups()))


def test_the_page_is_what_the_script_writes(script):
    assert PAGE.read_text(encoding="utf-8") == script.page(script.records())


def test_every_record_is_of_the_experiment_that_is_written_down():
    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    for file in FILES:
        record, experiment = json.loads(file.read_text()), known[file.stem]
        assert record["claim"] == experiment.claim
        assert [arm["name"] for arm in record["arms"]] == [arm.name for arm in experiment.arms]
        assert [one["claim"] for one in record["expectations"]] == [
            one.claim for one in experiment.expectations
        ]
        for arm in experiment.arms:
            seeds = {str(run["seed"]) for run in record["runs"] if run["arm"] == arm.name}
            assert seeds == SEEDS, f"{experiment.name} {arm.name}"


def test_experiments_without_a_record_are_listed():
    missing = [one for one in EXPERIMENTS if one.name not in {file.stem for file in FILES}]
    text = PAGE.read_text()
    assert ("Not recorded yet" in text) is bool(missing)
    assert all(f"- {one.name}. {one.title}" in text for one in missing)


def test_the_dashboard_takes_no_record_for_a_run():
    assert FILES
    assert find_runs(RECORDS) == []


def test_the_records_stay_small():
    assert sum(file.stat().st_size for file in FILES) < LIMIT


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_expectation_was_held_against_the_recorded_numbers(file):
    record = json.loads(file.read_text())
    for one in record["expectations"]:
        places = (tuple(p) if isinstance(p, list) else p for p in (one["left"], one["right"]))
        left, right = places
        expectation = Expectation(one["claim"], left, one["relation"], right)
        for seed, held in one["seeds"].items():
            arms = {
                run["arm"]: {"regime": run["regime"], **run["numbers"]}
                for run in record["runs"]
                if str(run["seed"]) == seed
            }
            arms[ACROSS] = record["across"].get(seed, {})
            assert holds(expectation, arms) is held, one["claim"]


def test_the_share_of_rightly_named_runs_is_counted_from_the_records():
    hits = total = 0
    for file in FILES:
        record = json.loads(file.read_text())
        regimes = {arm["name"]: arm["regime"] for arm in record["arms"] if arm["regime"]}
        for run in record["runs"]:
            if run["arm"] in regimes:
                total += 1
                expected = regimes[run["arm"]]
                hits += expected == run["regime"] or expected in run["alarms"]
    text = PAGE.read_text()
    assert claimed(text, "all regimes together") == (hits, total, round(100 * hits / total))


def test_the_early_signs_are_counted_from_the_runs():
    record = json.loads((RECORDS / "E1.json").read_text())
    right = total = 0
    for run in record["runs"]:
        numbers = run["numbers"]
        for side in ("chosen", "rejected"):
            change, half = numbers[f"early/{side}"], numbers[f"early/± {side}"]
            if abs(change) >= half:
                total += 1
                right += (change > 0) == (numbers[f"start/sign/{side}"] > 0)
    expected = (right, total, round(100 * right / total))
    assert claimed(PAGE.read_text(), "early signs that the band law gets right") == expected


def test_the_remedies_are_counted_from_the_runs():
    cured = total = 0
    for file in FILES:
        record = json.loads(file.read_text())
        seen = {
            (run["arm"], run["seed"]): {run["regime"], *run["alarms"]} for run in record["runs"]
        }
        for arm in record["arms"]:
            remedy = arm["remedy"]
            for seed in range(3) if remedy else ():
                if remedy["symptom"] in seen[remedy["of"], seed]:
                    total += 1
                    cured += remedy["symptom"] not in seen[arm["name"], seed]
    what = "remedies of A or B evidence, taken from papers, that cured"
    assert claimed(PAGE.read_text(), what) == (cured, total, round(100 * cured / total))


def test_the_forecast_states_the_skill_that_the_records_give():
    measured = vars(forecasts.skill(forecasts.cases(RECORDS)))
    for name, stated in vars(forecast.SKILL).items():
        parts = [(stated, measured[name])]
        if not isinstance(stated, int | float):
            parts = [
                (vars(stated)[end], vars(measured[name])[end]) for end in ("value", "low", "high")
            ]
        for one, other in parts:
            assert math.isclose(one, other, abs_tol=5e-4, rel_tol=5e-3), name
