"""The whole diagnosis: worst first, fast, strict JSON as documented, and never an exception."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from diagnostics import interchange
from diagnostics.diagnosis import Diagnosis, diagnose
from diagnostics.examples import example, nan_ridden
from diagnostics.pathologies import PATHOLOGIES
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.verdicts import Status, Verdict
from tests.diagnostics.logged_runs import NOT_KNOWN, logged_run, noisy
from tests.diagnostics.probe_runs import any_run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md").read_text(encoding="utf-8")


def without_probes(run: Run) -> Run:
    return replace(run, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0])


# What it holds.


def test_every_check_has_its_say_and_what_is_worst_stands_first() -> None:
    found = diagnose(example(Regime.BOTH_FALL))
    assert sorted(one.pathology for one in found.verdicts) == sorted(p.name for p in PATHOLOGIES)
    assert found.verdicts[0].pathology == "both_fall"
    order = ["present", "suspected", "unknown", "absent", "not applicable"]
    shown = [one.status.value for one in found.verdicts]
    assert shown == sorted(shown, key=order.index)


def test_among_the_present_the_severest_stands_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(name: str, status: Status, severity: str | None):
        return replace(
            PATHOLOGIES[0], name=name, check=lambda _: Verdict(name, status, "", severity=severity)
        )

    checks = (
        check("a", Status.ABSENT, None),
        check("b", Status.PRESENT, None),
        check("c", Status.PRESENT, "mild"),
        check("d", Status.SUSPECTED, "collapse"),
        check("e", Status.PRESENT, "collapse"),
    )
    monkeypatch.setattr("diagnostics.diagnosis.PATHOLOGIES", checks)
    found = diagnose(example(Regime.IDEAL))
    assert [one.pathology for one in found.verdicts] == ["e", "c", "b", "d", "a"]
    assert [one.pathology for one in found.present] == ["e", "c", "b"]


@pytest.mark.parametrize(
    ("run", "healthy"),
    [
        (example(Regime.IDEAL), True),
        (example(Regime.BOTH_FALL), False),
        (example(Regime.UNKNOWN), False),  # cannot tell is not healthy
        (logged_run(*noisy((0.5, -0.6))), True),
        (logged_run(*noisy((-0.4, -0.9))), False),
    ],
)
def test_healthy_takes_a_named_regime_and_no_alarm(run: Run, healthy: bool) -> None:
    assert diagnose(run).healthy is healthy


def test_runs_are_sorted_by_what_is_established_then_unknown_then_healthy() -> None:
    runs = {
        "fall": example("both_fall"),
        "ideal": example("ideal"),
        "none": example(Regime.UNKNOWN),
    }
    found = {name: diagnose(run) for name, run in runs.items()}
    assert found["none"].regime.regime is Regime.UNKNOWN
    assert sorted(found, key=lambda name: found[name].urgency) == ["fall", "none", "ideal"]


def test_a_caveat_is_said_once() -> None:
    run = example(Regime.BOTH_FALL)
    (tide,) = diagnose(run).regime.caveats
    again = f"{tide[0].upper()}{tide[1:]}."
    assert diagnose(replace(run, caveats=(again, "other"))).caveats == (tide, "other")


# How fast.


def test_a_usual_run_is_diagnosed_while_one_waits() -> None:
    run = example(Regime.BOTH_FALL)
    diagnose(run)
    times = []
    for _ in range(3):
        start = time.process_time()
        diagnose(run)
        times.append(time.process_time() - start)
    assert min(times) < 0.5


def test_a_million_steps_are_read_in_seconds() -> None:
    rng, count = np.random.default_rng(0), 1_000_000
    path = np.arange(count) / count
    frame = pd.DataFrame(
        {
            "loss": rng.normal(0.6, 0.1, count),
            "rewards/chosen": -0.5 * path + rng.normal(0, 0.1, count),
            "rewards/rejected": -path + rng.normal(0, 0.1, count),
            "rewards/accuracies": rng.random(count),
            "grad_norm": rng.lognormal(0, 0.1, count),
        },
        index=pd.Index(np.arange(1, count + 1), name="step"),
    )
    start = time.process_time()
    found = diagnose(replace(logged_run([0.0], [0.0]), train=frame))
    assert time.process_time() - start < 3
    assert found.regime.regime is Regime.BOTH_FALL


# As JSON.


def table(heading: str) -> list[str]:
    """Return the names of the fields that the page lists under a heading."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    firsts = re.findall(r"^\| ([^|]*`[^|]*) \|", part, re.MULTILINE)
    return [name for first in firsts for name in re.findall(r"`([^`]+)`", first)]


RECORDED = [
    *(example(regime) for regime in Regime),
    nan_ridden(),
    *(without_probes(example(regime)) for regime in Regime),
    without_probes(nan_ridden()),
    logged_run(*noisy((-0.4, -0.9)), meaning=NOT_KNOWN),
    logged_run([], []),
]


def strict(found: Diagnosis) -> dict:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(interchange.to_json(interchange.record(found)), parse_constant=refuse)


@pytest.fixture(scope="module", params=range(len(RECORDED)))
def record(request: pytest.FixtureRequest) -> dict:
    """Return what is said of each run, as a program reads it."""
    return strict(diagnose(RECORDED[request.param]))


def test_the_json_has_the_documented_fields_and_no_others(record: dict) -> None:
    assert list(record) == table("A run")
    for phase in (*record["phases"], *record["logged_phases"]):
        assert list(phase) == table("A phase")
    for one in (*record["evidence"], *(e for v in record["verdicts"] for e in v["evidence"])):
        assert list(one) == table("A piece of evidence")
    for verdict in record["verdicts"]:
        assert set(verdict) == set(table("A verdict"))
        for advice in verdict["advice"]:
            assert set(advice) == set(table("A piece of advice"))
    for cause in record["causes"]:
        assert set(cause) == set(table("A cause"))


def test_the_json_says_only_documented_words(record: dict) -> None:
    sides = {"up", "down", "flat", "inconclusive"}
    regimes = {regime.value for regime in Regime}
    assert list(record["directions"]) == ["chosen", "rejected", "margin"]
    assert set(record["directions"].values()) <= sides
    assert record["regime"] in regimes
    assert record["basis"] in {"probe", "rewards", "none"}
    assert {phase["regime"] for phase in record["phases"]} <= regimes | {"start"}
    assert {verdict["status"] for verdict in record["verdicts"]} <= set(Status)
    assert isinstance(record["n_points"], int)
    assert (record["reason"] is None) == (record["regime"] != "unknown")
    assert record["since"] == record["since_step"]


def test_a_number_that_json_cannot_hold_is_null() -> None:
    record = strict(diagnose(nan_ridden()))
    assert record["estimate"]["delta_chosen"] == {"value": None, "low": None, "high": None}
    assert record["movement"] is None


def test_the_points_are_those_that_the_regime_was_read_from() -> None:
    assert strict(diagnose(example(Regime.IDEAL)))["n_points"] == 21
    assert strict(diagnose(logged_run(*noisy((0.5, -0.6)))))["n_points"] == 60
    assert strict(diagnose(logged_run([], [])))["n_points"] == 0


# Whatever a run holds.


@settings(max_examples=25)
@given(any_run(stepped=True))
def test_no_run_breaks_the_diagnosis(run: Run) -> None:
    assert strict(diagnose(run))["sentence"]


@pytest.mark.parametrize("side", ["rewards/chosen", "rewards/rejected", "loss", "grad_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308, 0.0])
def test_a_column_of_nonsense_breaks_no_diagnosis(side: str, value: float) -> None:
    run = without_probes(example(Regime.IDEAL))
    found = diagnose(replace(run, train=run.train.assign(**{side: value})))
    assert strict(found)["sentence"]
