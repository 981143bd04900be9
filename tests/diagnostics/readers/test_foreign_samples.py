"""The samples of trackers and frameworks come back as the rows that were written."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diagnostics.errors import MalformedLog, ReadError
from diagnostics.meaning import Base, Scope
from diagnostics.readers import Hints, read, read_all
from diagnostics.readers.importing import folder_name, import_runs
from diagnostics.run import Run

DATA = Path(__file__).resolve().parents[2] / "data"
_SPEC = importlib.util.spec_from_file_location("record_foreign", DATA / "record_foreign.py")
assert _SPEC is not None
assert _SPEC.loader is not None
record_foreign = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(record_foreign)

SIDES = ("rewards/chosen", "rewards/rejected")
# Sample: the steps with training rows, those with eval rows, how exact the numbers are, beta.
SAMPLES = {
    "tensorboard/resumed": (30, 3, 1e-6, 0.1),
    "tensorboard/new_style": (30, 0, 1e-6, None),
    "wandb/offline-run": (30, 3, 1e-12, 0.1),
    "mlflow/run": (30, 3, 1e-12, 0.1),
    "swanlab/run": (30, 3, 1e-12, 0.1),
    "swift/logging.jsonl": (30, 3, 1e-6, None),
    "llamafactory/trainer_log.jsonl": (30, 0, 1e-12, None),
    "torchtune/log_1700000000.jsonl": (30, 0, 1e-12, None),
    "torchtune/log_1700000001.txt": (30, 0, 1e-12, None),
    "scalar-csv/charts": (30, 0, 1e-12, None),
    "wandb-export/charts": (30, 0, 1e-12, None),
    "table/rows.csv": (30, 0, 1e-12, None),
    "table/rows.json": (30, 0, 1e-12, None),
    "table/rows.jsonl": (30, 0, 1e-12, None),
    "table/rows.parquet": (30, 0, 1e-12, None),
    "table/series.json": (30, 0, 1e-12, None),
}


def truth(kind: str) -> pd.DataFrame:
    rows = {step: row for step, found, row in record_foreign.rows() if found == kind}
    return pd.DataFrame.from_dict(rows, orient="index")


def worst(frame: pd.DataFrame, kind: str) -> float:
    """Return the largest relative error of the columns that were written."""
    columns = [name for name in truth(kind) if name in frame]
    assert set(SIDES) <= {*columns}
    wanted = truth(kind).loc[frame.index, columns].to_numpy()
    return float(np.max(np.abs(frame[columns].to_numpy() - wanted) / np.abs(wanted)))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_holds_the_rows_that_were_written(name: str) -> None:
    run = read(DATA / name)
    trained, evaluated, exact, beta = SAMPLES[name]
    assert list(run.train.index) == list(range(1, trained + 1))
    assert list(run.evals.index) == [10, 20, 30][:evaluated]
    assert worst(run.train, "train") < exact
    if evaluated:
        assert worst(run.evals, "eval") < exact
    if beta is not None:
        assert run.meaning is not None
        assert (run.meaning.base, run.meaning.factor) == (Base.LOGRATIO_SUM, beta)


def test_a_resumed_event_folder_drops_the_abandoned_steps_and_says_so() -> None:
    [caveat] = [text for text in read(DATA / "tensorboard" / "resumed").caveats if "event" in text]
    # Steps 21 to 24 of nine columns.
    assert "from step 21" in caveat
    assert "36 points" in caveat


def test_a_project_of_trackio_holds_its_runs_by_name() -> None:
    runs = read_all(DATA / "trackio" / "samples.db")
    assert [run.source.part for run in runs] == ["dpo", "dpo-again"]
    assert [len(run.train) for run in runs] == [30, 10]
    assert [run.config["beta"] for run in runs] == [0.1, 0.1]
    assert worst(runs[0].train, "train") < 1e-12
    with pytest.raises(ReadError, match="holds 2 runs"):
        read(DATA / "trackio" / "samples.db")


def test_what_torchtune_logs_is_one_batch_or_a_window_and_not_known_which() -> None:
    run = read(DATA / "torchtune" / "log_1700000000.jsonl")
    assert run.source.framework == "torchtune"
    assert "logps/chosen" in run.train
    assert run.meaning is not None
    assert run.meaning.scope is not Scope.WINDOW


def test_a_progress_log_of_llamafactory_is_refused_or_read_from_the_state_beside_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "trainer_log.jsonl"
    rows = [{"current_steps": s, "total_steps": 3, "loss": 0.6, "accuracy": 0.5} for s in (1, 2, 3)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(MalformedLog, match=r"never holds rewards.*trainer_state\.json"):
        read(log)
    history = [
        {"step": step, "epoch": step / 3, "loss": 0.6, **dict.fromkeys(SIDES, 0.1 * step)}
        for step in (1, 2, 3)
    ]
    state = {"log_history": history, "global_step": 3, "max_steps": 3}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    assert list(read(log).train["rewards/chosen"]) == pytest.approx([0.1, 0.2, 0.3])


def test_a_megatron_log_of_swift_counts_iterations(tmp_path: Path) -> None:
    log = tmp_path / "logging.jsonl"
    rows = [
        {"loss": 0.7, **dict.fromkeys(SIDES, -0.1 * step), "iteration": f"{step}/30"}
        for step in (5, 10)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = {"rlhf_type": "dpo", "loss_type": "hinge", "beta": 0.1}
    (tmp_path / "args.json").write_text(json.dumps(args))
    run = read(log)
    assert list(run.train.index) == [5, 10]
    assert run.source.framework == "ms-swift"
    # Megatron trains the sigmoid loss whatever loss type is set.
    assert run.method == "dpo"


def test_another_version_of_swanlabs_file_is_refused(tmp_path: Path) -> None:
    file = shutil.copytree(DATA / "swanlab" / "run", tmp_path / "run") / "run.swanlab"
    [sample] = (tmp_path / "run").glob("*.swanlab")
    data = bytearray(sample.read_bytes())
    sample.unlink()
    data[6] = 9
    file.write_bytes(data)
    with pytest.raises(MalformedLog, match="version 9"):
        read(file)


# -- Kept as run folders ---------------------------------------------------------------------------


def facts(run: Run) -> tuple[object, ...]:
    source = run.source.framework, run.source.version
    return run.name, run.method, run.meaning, run.caveats, run.unrecognised, run.status, *source


@pytest.mark.parametrize("name", [*SAMPLES, "trackio/samples.db"])
def test_an_imported_log_reads_back_as_the_same_run(name: str, tmp_path: Path) -> None:
    runs = read_all(DATA / name)
    places = import_runs(runs, tmp_path)
    assert len({*places}) == len(runs)
    for run, place in zip(runs, places, strict=True):
        again = read(place)
        assert again.source.reader == "native"
        assert facts(again) == facts(run)
        assert again.train.equals(run.train)
        assert again.evals.equals(run.evals)
        assert dict(again.config) == dict(run.config)


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    run = read(DATA / "wandb" / "offline-run")
    names = [place.name for place in import_runs([run, run, run], tmp_path)]
    assert names == ["dpo", "dpo-2", "dpo-3"]


def test_a_name_that_no_file_system_takes_is_made_plain() -> None:
    from dataclasses import replace

    run = read(DATA / "wandb" / "offline-run")
    assert folder_name(replace(run, name="../../etc/x y:z")) == "etc-x-y-z"
    assert folder_name(replace(run, name="///")) == "run"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReadError, match="cannot be written"):
        import_runs([read(DATA / "wandb" / "offline-run")], tmp_path / "file")


@pytest.mark.parametrize(
    ("sample", "settings", "before"),
    [("swanlab/run", "files/config.yaml", "odd:\n"), ("mlflow/run", "meta.yaml", "")],
)
def test_settings_of_nothing_but_spaces_take_no_time(
    sample: str, settings: str, before: str, tmp_path: Path
) -> None:
    run = shutil.copytree(DATA / sample, tmp_path / "run")
    whole = read(run)
    lines = [*["   a  "] * 60, " " * 30_000 + "x", "name: " + " " * 5_000 + "'x", ""]
    spaces = before + "\n".join(lines)
    (run / settings).write_text(spaces + (run / settings).read_text())
    began = time.process_time()
    assert read(run).config == whole.config
    assert time.process_time() - began < 1


@pytest.mark.parametrize("sample", ["scalar-csv/charts", "wandb-export/charts"])
def test_charts_that_nobody_saved_do_not_make_a_method(sample: str, tmp_path: Path) -> None:
    # KTO is the trainer without accuracies, but not whoever saved only some charts.
    assert read(DATA / sample).method is None
    assert read(DATA / sample, Hints(method="kto")).method == "kto"
    path = tmp_path / "rows.csv"
    path.write_text("step,chosen_reward,rejected_reward\n1,0.1,-0.1\n2,0.2,-0.2\n")
    assert read(path).method is None
