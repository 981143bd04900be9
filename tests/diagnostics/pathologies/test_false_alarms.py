"""Healthy runs give no alarm, however short, noisy or odd; and neither do real healthy logs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diagnostics.errors import ReadError
from diagnostics.meaning import Scope
from diagnostics.pathologies import PATHOLOGIES
from diagnostics.readers import read_all
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.synthetic_logs import logged_run
from diagnostics.verdicts import Status

RUNS = 60
METHODS = ("dpo", "ipo", "kto", "orpo", "simpo")


def drawn(seed: int) -> Run:
    """Return a healthy log of any method, length, interval, batch, noise and scope."""
    rng = np.random.default_rng(seed)
    steps = int(np.exp(rng.uniform(np.log(60), np.log(2000))))
    size = float(np.exp(rng.uniform(np.log(0.05), np.log(0.35))))
    scopes = (Scope.WINDOW, Scope.WINDOW, Scope.LAST_BATCH, Scope.LAST_MICRO_BATCH)
    return logged_run(
        size * rng.uniform(0.3, 1.0),
        -size * rng.uniform(0.5, 1.5),
        method_name=METHODS[seed % len(METHODS)],
        seed=seed,
        steps=steps,
        every=max(1, min(int(rng.choice([1, 5, 10, 20])), steps // 10)),
        batch=int(rng.choice([4, 8, 16])),
        noise=float(rng.uniform(0.7, 2.5)),
        evaluations=int(rng.choice([0, 6, 12])),
        scope=scopes[int(rng.integers(len(scopes)))],
    )


def present(run: Run) -> list[str]:
    reading = Reading(run)
    found = [pathology.check(reading) for pathology in PATHOLOGIES]
    return [f"{one.pathology}: {one.sentence}" for one in found if one.status is Status.PRESENT]


def test_at_most_one_healthy_log_in_a_hundred_is_called_sick() -> None:
    alarms = [f"{run.name}: {sick}" for run in map(drawn, range(RUNS)) if (sick := present(run))]
    assert len(alarms) <= RUNS / 100, alarms


# Healthy, but odd.


def flat_at_first(method: str) -> Run:
    path = ((0.0, 0.0), (0.3, 0.0), (1.0, 0.2))
    return logged_run(path, ((0.0, 0.0), (0.3, 0.0), (1.0, -0.3)), method_name=method)


def resumed() -> Run:
    run = logged_run(0.2, -0.3, every=2)
    return replace(run, train=pd.concat([run.train.iloc[:100], run.train.iloc[100::5]]))


ODD = {
    "negative rewards of ORPO": partial(logged_run, 0.1, -0.2, method_name="orpo"),
    "large negative rewards of SimPO": partial(
        logged_run, 0.1, -0.2, method_name="simpo", settings={"beta": 10.0, "gamma": 5.0}
    ),
    "a tiny beta": partial(logged_run, 0.2, -0.3, settings={"beta": 0.01}),
    "KTO, whose chosen side hardly moves": partial(logged_run, 0.02, -0.3, method_name="kto"),
    "a flat start": partial(flat_at_first, "dpo"),
    "a flat start without a reference": partial(flat_at_first, "simpo"),
    "eight records": partial(logged_run, 0.2, -0.3, steps=80, every=10),
    "three records": partial(logged_run, 0.2, -0.3, steps=30, every=10),
    "batches of one pair": partial(logged_run, 0.2, -0.3, batch=1, every=1),
    "another interval from the middle on": resumed,
    "a chosen side that stays where it is": partial(logged_run, 0.0, -0.4),
    "completions of very unequal length": partial(logged_run, 0.02, -0.03, tokens=(4, 900)),
    "an SFT term": partial(logged_run, 0.2, -0.2, settings={"sft_weight": 0.2}),
    "label smoothing": partial(logged_run, 0.2, -0.2, settings={"label_smoothing": 0.1}),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_healthy_but_odd_run_is_not_called_sick(kind: str) -> None:
    assert present(ODD[kind]()) == []


@pytest.mark.parametrize("kind", ODD)
def test_its_numbers_without_their_meaning_are_not_called_sick(kind: str) -> None:
    assert present(replace(ODD[kind](), meaning=None, config={})) == []


# Real logs.


def test_healthy_real_logs_are_not_called_sick(real_logs: Path) -> None:
    facts = 0
    for folder in sorted(one for one in real_logs.iterdir() if one.is_dir()):
        expected = json.loads((folder / "verdict.json").read_text())
        if "diverge" not in expected["pattern"]:
            continue
        for file in sorted(one for one in folder.iterdir() if one.name != "verdict.json"):
            for run in _runs(file):
                sick = present(run)
                # The one fact that is really there: rows of NaN.
                nan = [s for s in sick if s.startswith("instability: 3 of 100 records hold")]
                facts += len(nan)
                assert [s for s in sick if s not in nan] == [], folder.name
    assert facts == 1


def _runs(file: Path) -> list[Run]:
    try:
        return list(read_all(file))
    except ReadError:
        return []


@pytest.mark.parametrize(
    ("folder", "status"),
    [("nb28-user074-dpo-early", "present"), ("nb24-c3ianwu-dpo-strings", "suspected")],
)
def test_a_real_fall_of_both_sides_is_named_by_its_size(
    real_logs: Path, folder: str, status: str
) -> None:
    (run,) = [
        run
        for file in (real_logs / folder).iterdir()
        if file.name != "verdict.json"
        for run in _runs(file)
    ]
    by_name = {one.name: one for one in PATHOLOGIES}
    assert by_name["both_fall"].check(Reading(run)).status == status
