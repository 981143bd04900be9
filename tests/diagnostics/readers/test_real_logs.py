"""Logs that other people published: read without hand-holding, as a careful look reads them.

The folder's `verdict.json` files say, for every series, how many points it has and what its first
and last 15 % are on average.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnostics.errors import MalformedLog
from diagnostics.meaning import Base, Scope
from diagnostics.readers import read, read_all
from diagnostics.reading import MIN_LOGGED, Reading
from diagnostics.run import Run
from diagnostics.trends import Direction


@dataclass(frozen=True)
class Log:
    """A published log: its file, its runs, and what its owner set."""

    name: str
    file: str
    method: str = "dpo"
    base: Base = Base.LOGRATIO_SUM
    beta: float | None = 0.1
    runs: int = 1


ORPO = {"method": "orpo", "base": Base.LOGPS_MEAN}
LOGS = [
    Log("log02-kennyegan-dpo", "dpo_train_53780235.out"),
    Log("log04-kennyegan-dpo-seed200", "dpo_seed200_55580247.out"),
    Log("log09-cnminiphi3-dpo-1row", "dpo.log", beta=None),
    Log("log12-kennyegan-mistral", "dpo_mistral_56515367.out", beta=0.05),
    Log("nb04-slmmcq-kto", "kto_training.ipynb", method="kto"),
    Log("nb06-smolcourse-orpo-diverge", "orpo_finetuning_example.ipynb", **ORPO),
    Log("nb07-smolcourse-orpo-mcdaqc", "orpo_finetuning_example.ipynb", **ORPO),
    Log("nb08-smolcourse-orpo-bothup", "orpo_finetuning_example.ipynb", **ORPO),
    Log("nb16-asap-dpo-text", "dpo_training.ipynb", beta=None),
    Log("nb19-cookbook-dpo-vlm", "fine_tuning_vlm_dpo_smolvlm_instruct.ipynb", runs=2),
    Log("nb20-philschmid-dpo", "dpo-align-llms-in-2024-with-trl.ipynb", beta=0.01),
    Log("nb24-c3ianwu-dpo-strings", "dpo.ipynb"),
    Log("nb27-smolcourse-orpo-tiny", "orpo_finetuning_example.ipynb", **ORPO),
    Log("nb28-user074-dpo-early", "DPO.ipynb"),
    Log("ts01-cleancode-dpo", "trainer_state.json", beta=0.05),
    Log("ts01-cleancode-dpo", "dpo.log", beta=0.05),
    Log("ts04-miniguanaco-dpo-nan", "trainer_state.json"),
]
each_log = pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.name}-{log.file[-6:]}")


def measured(folder: Path, file: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what was measured of a file, by part of it and series; the first entry counts."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in json.loads((folder / "verdict.json").read_text())["measured_first_last_15pct"]:
        if one["file"] == file:
            series = "eval" if one["series"].startswith("eval") else "train"
            found.setdefault((one["part"].partition(":")[0], series), one)
    return found


def rewards(run: Run, series: str) -> Any:
    frame = run.evals if series == "eval" else run.train
    return frame[["rewards/chosen", "rewards/rejected"]] if "rewards/chosen" in frame else None


@each_log
def test_a_published_log_has_the_points_that_a_careful_look_counts(
    log: Log, real_logs: Path
) -> None:
    folder = real_logs / log.name
    runs = read_all(folder / log.file)
    assert len(runs) == log.runs
    parts = {(run.source.part or "text").replace("cell ", "cell"): run for run in runs}
    expected = measured(folder, log.file)
    assert expected
    for (part, series), one in expected.items():
        found = rewards(parts.get(part) or runs[0], series)
        assert found is not None
        assert len(found) == one["points"]
        for side in ("chosen", "rejected"):
            values = found[f"rewards/{side}"].to_numpy()
            finite = values[np.isfinite(values)]
            ends = max(1, round(0.15 * len(finite)))
            means = [finite[:ends].mean(), finite[-ends:].mean()]
            assert means == pytest.approx(one[side], abs=1e-4)


@each_log
def test_the_meaning_of_a_published_log_is_what_its_owner_set(log: Log, real_logs: Path) -> None:
    for run in read_all(real_logs / log.name / log.file):
        assert run.method == log.method
        assert run.meaning is not None
        assert run.meaning.base is log.base
        assert run.meaning.factor == (None if log.beta is None else pytest.approx(log.beta))


@each_log
def test_no_direction_of_a_published_log_is_opposite_to_a_careful_look(
    log: Log, real_logs: Path
) -> None:
    expected = json.loads((real_logs / log.name / "verdict.json").read_text())["expected"]
    opposite = {"up": Direction.DOWN, "down": Direction.UP}
    for run in read_all(real_logs / log.name / log.file):
        trends, changes = Reading(run).trends, Reading(run).changes
        assert trends is not None
        assert changes is not None
        for side in ("chosen", "rejected", "margin"):
            found = getattr(trends, side).direction
            if changes.points < MIN_LOGGED:
                assert found is Direction.INCONCLUSIVE
            else:
                assert found is not opposite.get(expected[side])


# Fewer than six points, a zigzag, or a V: a careful look by eye goes further than the numbers do.
UNDECIDABLE = ("log09", "nb04", "nb06", "nb07", "nb08", "nb19", "nb20", "nb27", "ts04")
CLEAR = [log for log in LOGS if not log.name.startswith(UNDECIDABLE)]


@pytest.mark.parametrize("log", CLEAR, ids=lambda log: f"{log.name}-{log.file[-6:]}")
def test_clear_published_logs_get_the_directions_of_a_careful_look(
    log: Log, real_logs: Path
) -> None:
    expected = json.loads((real_logs / log.name / "verdict.json").read_text())["expected"]
    trends = Reading(read(real_logs / log.name / log.file)).trends
    assert trends is not None
    found = {side: getattr(trends, side).direction for side in ("chosen", "rejected", "margin")}
    assert found == expected


def test_an_accuracy_only_log_is_refused_with_the_file_to_give_instead(real_logs: Path) -> None:
    with pytest.raises(MalformedLog, match=r"never holds rewards.*trainer_state\.json"):
        read(real_logs / "jsonl01-360lf-accuracy-only" / "trainer_log.jsonl")


def test_the_console_and_the_state_of_one_run_agree(real_logs: Path) -> None:
    folder = real_logs / "ts01-cleancode-dpo"
    state, console = read(folder), read(folder / "dpo.log")
    assert list(console.train.index) == list(state.train.index)
    assert list(console.evals.index) == [50, 100, 150]
    for name in ("rewards/chosen", "rewards/rejected", "logps/chosen", "loss"):
        assert console.train[name].equals(state.train[name])
        assert console.evals[name].equals(state.evals[name].iloc[:3])
    assert (state.status, console.status) == ("completed", "completed")
    assert any("no steps" in caveat for caveat in console.caveats)
    assert not any("no steps" in caveat for caveat in state.caveats)


def test_an_output_folder_is_read_to_its_last_step_and_a_checkpoint_to_its_own(
    real_logs: Path,
) -> None:
    folder = real_logs / "ts01-cleancode-dpo"
    whole, part = read(folder), read(folder / "checkpoint-150")
    assert (whole.last_step, part.last_step) == (160, 150)
    assert part.train.equals(whole.train.iloc[:15])


def test_bare_nan_is_a_missing_number(real_logs: Path) -> None:
    run = read(real_logs / "ts04-miniguanaco-dpo-nan" / "trainer_state.json")
    assert int(run.train.isna().any(axis=1).sum()) == 3
    assert int(run.evals.isna().any(axis=1).sum()) == 1


def test_the_final_row_of_a_console_log_is_no_point(real_logs: Path) -> None:
    run = read(real_logs / "log02-kennyegan-dpo" / "dpo_train_53780235.out")
    assert list(run.train.index) == list(range(5, 70, 5))
    assert list(run.evals.index) == [23, 46, 69]
    assert "train_runtime" not in run.unrecognised
    assert run.source.version == "0.29 or later"
    assert run.meaning is not None
    assert run.meaning.scope is Scope.WINDOW


def test_a_second_start_in_a_notebook_is_another_run(real_logs: Path) -> None:
    runs = read_all(real_logs / LOGS[9].name / LOGS[9].file)
    assert [run.source.part for run in runs] == ["cell 21", "cell 22"]
    assert [len(run.evals) for run in runs] == [15, 3]
    assert runs[0].source.version == "0.12.2"


def test_a_log_in_examples_is_put_on_optimizer_steps(real_logs: Path) -> None:
    run = read(real_logs / "nb24-c3ianwu-dpo-strings" / "dpo.ipynb")
    assert list(run.train.index) == list(range(1, 880))
    assert list(run.evals.index) == [0, 625]
    assert any("32 of them are one optimizer step" in caveat for caveat in run.caveats)
