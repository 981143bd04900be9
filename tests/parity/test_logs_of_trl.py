"""One training of TRL, read from four of its logs: the numbers and what they mean are the same."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trl_logs import EVAL_STEPS, LOGGING_STEPS, STEPS

from diagnostics.meaning import Base
from diagnostics.readers import find_runs, read
from diagnostics.run import Run

pytestmark = [pytest.mark.parity, pytest.mark.slow]
HERE = Path(__file__).parent
# Case: the method, and what its rewards are.
CASES = {
    "dpo-sigmoid": ("dpo", Base.LOGRATIO_SUM, 0.1),
    "kto": ("kto", Base.LOGRATIO_SUM, 0.1),
    "orpo": ("orpo", Base.LOGPS_MEAN, 0.25),
    "cpo-simpo-alpha-1": ("simpo", Base.LOGPS_MEAN, 2.0),
}
WAYS = ("state", "events", "wandb", "console")
# The console shows four significant digits.
TOLERANCE = {"state": 1e-12, "events": 1e-4, "wandb": 1e-4, "console": 6e-4}


@pytest.fixture(scope="module")
def outputs(
    setting: Path, tmp_path_factory: pytest.TempPathFactory, need: Callable[[object, str], None]
) -> Path:
    """The output folders of the cases, trained once."""
    for library in ("trl", "tensorboard", "wandb"):
        need(importlib.util.find_spec(library), f"{library} is not installed")
    folder = tmp_path_factory.mktemp("outputs")
    done = subprocess.run(
        [sys.executable, str(HERE / "trl_logs.py"), str(setting), str(folder), *CASES],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def place(output: Path, way: str) -> Path:
    if way == "state":
        return output
    if way == "console":
        return output / "console.log"
    [folder] = output.glob("runs/*" if way == "events" else "wandb/offline-run-*")
    return folder


def difference(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Return the largest relative difference of the columns that are not clock times."""
    clocks = {"time", "runtime", "samples_per_second", "steps_per_second"}
    columns = [name for name in one if name not in clocks]
    assert set(columns) <= set(other.columns)
    mine, theirs = one[columns].to_numpy(float), other[columns].to_numpy(float)
    assert (np.isnan(mine) == np.isnan(theirs)).all()
    return float(np.nanmax(np.abs(mine - theirs) / np.maximum(np.abs(mine), 1e-9)))


@pytest.fixture(scope="module")
def logged(outputs: Path) -> dict[tuple[str, str], Run]:
    """The run of each case and way."""
    return {(case, way): read(place(outputs / case, way)) for case in CASES for way in WAYS}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_each_log_of_a_training_gives_the_same_numbers(
    case: str, way: str, logged: dict[tuple[str, str], Run]
) -> None:
    run, state = logged[case, way], logged[case, "state"]
    assert list(run.train.index) == list(range(LOGGING_STEPS, STEPS, LOGGING_STEPS))
    assert list(run.evals.index) == [*range(EVAL_STEPS, STEPS, EVAL_STEPS), STEPS]
    for mine, theirs in ((state.train, run.train), (state.evals, run.evals)):
        assert len(mine.columns) > 10
        assert difference(mine, theirs) < TOLERANCE[way]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_each_log_of_a_training_says_what_its_rewards_are(
    case: str, way: str, logged: dict[tuple[str, str], Run]
) -> None:
    run = logged[case, way]
    method, base, beta = CASES[case]
    assert (run.method, run.status) == (method, "completed")
    assert run.meaning is not None
    assert (run.meaning.base, run.meaning.factor) == (base, beta)


@pytest.mark.parametrize("case", CASES)
def test_an_output_folder_is_one_run_whatever_the_trackers_left_in_it(
    case: str, outputs: Path
) -> None:
    assert find_runs(outputs / case) == [outputs / case]
