"""The page that trains: off unless enabled, local only, one training at a time, stoppable."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from diagnostics.methods import METHODS
from diagnostics.readers.native import write
from pages.components import jobs
from pages.components.jobs import TrainingRefused
from pages.components.text import literal
from tests.diagnostics.gradient_runs import entangled

Page = Callable[..., AppTest]
PATIENCE = 180  # [seconds]


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Path]:
    """A server that may train into an empty folder; what was started is ended."""
    monkeypatch.setenv(jobs.VARIABLE, "1")
    monkeypatch.setattr(jobs, "_free_memory", lambda: 64.0)
    jobs._store.clear()
    yield folder
    for job in jobs.jobs():
        job.process.kill()
        job.process.wait()
    jobs._store.clear()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Say {n}.", "chosen": "yes " * n, "rejected": "no"} for n in range(1, 17)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def text(app: AppTest) -> str:
    return "\n".join(str(one.value) for one in [*app.info, *app.caption, *app.code, *app.error])


def waited(job: jobs.Job) -> str:
    job.process.wait(PATIENCE)
    return job.status


# -- Whether it may --------------------------------------------------------------------------------


def test_training_is_off_until_it_is_switched_on(page: Page, folder: Path) -> None:
    app = page("train")
    assert not app.exception
    assert "SEESAW_TRAIN=1" in text(app)
    assert "python -m trainer" in text(app)
    assert not app.button
    with pytest.raises(TrainingRefused, match="switched off"):
        jobs.start({"method": "dpo"}, "a")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.2", None])
def test_a_server_that_others_can_reach_starts_nothing(
    address: str | None, enabled: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = st.get_option
    monkeypatch.setattr(
        st, "get_option", lambda name: address if name == "server.address" else real(name)
    )
    with pytest.raises(TrainingRefused, match="could start programs"):
        jobs.start({"method": "dpo"}, "a")


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "-x", ".hidden", "a b", "x" * 65])
def test_a_name_that_is_no_plain_file_name_is_refused(name: str, enabled: Path) -> None:
    with pytest.raises(TrainingRefused, match="cannot be a folder's"):
        jobs.folder_of(name)


def test_a_taken_name_is_refused(enabled: Path) -> None:
    (enabled / "a").mkdir()
    with pytest.raises(TrainingRefused, match="exists already"):
        jobs.start({"method": "dpo"}, "a")


def test_a_full_disk_and_a_full_memory_are_refused(
    enabled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_free_memory", lambda: 0.2)
    with pytest.raises(TrainingRefused, match=r"0\.2 GiB of memory"):
        jobs.start({"method": "dpo"}, "a")
    full = shutil.disk_usage(enabled)._replace(free=2**29)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    with pytest.raises(TrainingRefused, match=r"0\.5 GiB free"):
        jobs.start({"method": "dpo"}, "a")


# -- The form --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dpo", "kto", "orpo", "simpo", "discopop"])
def test_the_form_asks_for_what_the_method_knows(method: str, enabled: Path, page: Page) -> None:
    app = page("train", method=method)
    assert not app.exception
    asked = {one.key for one in app.text_input}
    own = {one.name.replace("gamma", "simpo_gamma") for one in METHODS[method].hyperparameters}
    assert own <= asked
    assert f"--method={method}" in text(app)
    for one in METHODS[method].hyperparameters:
        assert literal(one.usual) in text(app)


def test_what_is_filled_in_stands_in_the_command_as_one_word_each(
    enabled: Path, page: Page
) -> None:
    app = page("train", method="simpo", model="m", data="--resume", name="s-1")
    app.text_input(key="simpo_gamma").input(" 1.5 ").run()
    [command] = [one.value for one in app.code]
    assert command == (
        "python -m trainer --method=simpo --model=m --data=--resume --simpo_gamma=1.5 "
        f"--output_dir {enabled.resolve() / 's-1'}"
    )


def test_the_command_the_page_builds_is_one_that_the_trainer_takes(enabled: Path) -> None:
    from trainer.cli import parse

    for method in METHODS.values():
        settings = {"method": method.name, "model": "m", "data": "d", "learning_rate": "1e-5"}
        for one in method.hyperparameters:
            settings[one.name.replace("gamma", "simpo_gamma")] = str(one.default)
        config = parse(list(jobs.arguments(settings, enabled / "x")[2:]))
        assert (config.method, config.learning_rate) == (method.name, 1e-5)


def test_the_form_puts_the_command_together_where_nothing_can_be_started(
    folder: Path, page: Page
) -> None:
    app = page("train", method="kto", model="m", data="d", name="k", learning_rate="1e-6")
    assert not app.exception
    assert not app.button
    [command] = [one.value for one in app.code]
    assert command.startswith("python -m trainer --method=kto --model=m --data=d --learning_rate")


@pytest.mark.parametrize("value", ["abc", "1,5", "nan", "inf"])
def test_a_setting_that_is_no_number_is_refused_beside_its_field(
    value: str, enabled: Path, page: Page
) -> None:
    app = page("train", model="m", data="d", name="a", learning_rate=value)
    assert not app.exception
    assert f"Learning rate is '{value}' and should be a number" in text(app).replace("\\", "")
    [start] = [one for one in app.button if one.label == "Start training"]
    assert start.disabled
    assert not page("train", model="m", data="d", name="a").button[-1].disabled


def test_a_training_may_begin_with_the_settings_of_another_run(enabled: Path, page: Page) -> None:
    from trainer.cli import parse

    write(entangled(), enabled / "first")
    file = enabled / "first" / "config.json"
    settings = {"method": "dpo", "model": "m", "data": "d", "name": "first", "max_length": 77}
    file.write_text(json.dumps(settings | {"output_dir": str(enabled / "first")}))
    app = page("train", like="runs/first", name="second", sft_weight="4")
    assert not app.exception
    [command] = [one.value for one in app.code]
    assert command.startswith(f"python -m trainer {file} --sft_weight=4 --name second")
    config = parse(command.split()[3:])
    assert (config.method, config.model, config.max_length) == ("dpo", "m", 77)
    assert (config.name, config.sft_weight) == ("second", 4.0)
    assert config.output_dir == str(enabled.resolve() / "second")
    assert "chosen rises and rejected falls from 3 to 7.5" in text(app).replace("\\", "")


def test_another_method_begins_with_the_settings_that_are_not_of_the_loss(
    enabled: Path, page: Page
) -> None:
    from trainer.cli import parse

    write(entangled(), enabled / "first")
    file = enabled / "first" / "config.json"
    file.write_text(json.dumps({"method": "dpo", "model": "m", "data": "d", "seed": 3}))
    app = page("train", like="runs/first", method="ipo", name="second")
    assert not app.exception
    [command] = [one.value for one in app.code]
    config = parse(command.split()[3:])
    assert (config.method, config.seed, config.name) == ("ipo", 3, "second")
    assert "chosen rises and rejected falls" not in text(app)


def test_the_advice_of_a_run_is_one_link_away_from_a_training_with_it(
    enabled: Path, page: Page
) -> None:
    write(entangled(), enabled / "first")
    bare = page("run", run="runs/first")
    assert not bare.exception
    assert not [one for one in bare.markdown if str(one.value).startswith("Train ")]
    (enabled / "first" / "config.json").write_text("{}")
    shown = page("run", run="runs/first")
    assert "Train with the advice" in [one.value for one in shown.markdown]


def test_the_settings_of_a_foreign_or_unknown_run_are_not_offered(
    enabled: Path, page: Page
) -> None:
    write(entangled(), enabled / "bare")
    app = page("train", like="runs/bare", name="second")
    assert not app.exception
    assert app.selectbox(key="like").value is None


# -- Training --------------------------------------------------------------------------------------


def test_a_training_runs_to_its_end_and_shows_its_run(
    enabled: Path, pairs: Path, page: Page
) -> None:
    settings = {"method": "dpo", "model": "tiny-qwen3", "data": str(pairs), "max_steps": "2"}
    job = jobs.start(settings | {"tiny_warmup_steps": "2", "probe_pairs": "2"}, "first")
    with pytest.raises(TrainingRefused, match="first is still training"):
        jobs.start(settings, "second")
    assert waited(job) == "completed", job.last_words
    app = page("train")
    assert not app.exception
    said = [*(one.proto.text for one in app.get("progress")), *(one.value for one in app.markdown)]
    shown = "\n".join(said)
    assert "step 2 of 2" in shown
    assert "completed" in shown
    assert not [one for one in app.button if one.label == "Stop"]


def test_a_training_is_stopped_by_its_button(enabled: Path, pairs: Path, page: Page) -> None:
    settings = {"method": "dpo", "model": "tiny-qwen3", "data": str(pairs)}
    job = jobs.start(settings | {"tiny_warmup_steps": "100000"}, "long")
    end = time.time() + PATIENCE
    while "warm-up" not in job.last_words and time.time() < end and job.status == "running":
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.process.wait(0.2)  # back at once when it ends by itself
    app = page("train")
    [button] = [one for one in app.button if one.label == "Stop"]
    button.click().run()
    assert waited(job) == "stopped"
    assert "stopped" in job.last_words


def test_a_training_that_cannot_start_shows_what_it_said(
    enabled: Path, tmp_path: Path, page: Page
) -> None:
    settings = {"method": "dpo", "model": "tiny-qwen3", "data": str(tmp_path / "none.jsonl")}
    assert waited(jobs.start(settings, "broken")) == "failed"
    app = page("train")
    assert not app.exception
    assert "none.jsonl" in text(app)
