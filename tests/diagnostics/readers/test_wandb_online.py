"""Runs on a W&B server, through a client that answers as W&B's public API does."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from diagnostics.errors import ReadError, UnknownFormat
from diagnostics.readers import wandb_online
from diagnostics.readers.wandb_online import read
from tests.diagnostics.readers.wandb_client import FakeApi, FakeRun


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEESAW_CACHE", str(tmp_path))
    return tmp_path


def test_a_run_on_the_server_is_read_by_optimizer_step() -> None:
    [run] = read("wandb:me/project/abc", client=FakeApi([FakeRun()]))
    assert (run.name, run.method, run.config["beta"]) == ("dpo", "dpo", 0.2)
    assert run.status == "completed"
    assert list(run.train.index) == list(range(1, 21))
    assert list(run.evals.index) == [5, 10, 15, 20]
    assert run.train.loc[20, "rewards/rejected"] == pytest.approx(-0.6)
    assert run.evals.loc[10, "rewards/chosen"] == pytest.approx(-0.2)
    assert run.source.path == "wandb:me/project/abc"
    assert run.meaning is not None
    assert run.meaning.factor == 0.2


def test_only_the_keys_of_the_preference_log_are_asked_for() -> None:
    run = FakeRun()
    read("wandb:me/project/abc", client=FakeApi([run]))
    asked = {name for keys in run.asked for name in keys}
    assert not {"gradients/layer0", "my/own/measure"} & asked
    assert {"train/rewards/chosen", "eval/rewards/chosen", "train/global_step"} <= asked


def test_a_run_is_asked_for_again_only_when_it_has_gone_on(cache: Path) -> None:
    run = FakeRun()
    first = read("wandb:me/project/abc", client=FakeApi([run]))
    questions = len(run.asked)
    assert questions
    assert read("wandb:me/project/abc", client=FakeApi([run])) == first
    assert len(run.asked) == questions
    run.rows.append({**run.rows[-2], "train/global_step": 21, "_step": len(run.rows)})
    [longer] = read("wandb:me/project/abc", client=FakeApi([run]))
    assert len(run.asked) > questions
    assert longer.last_step == 21
    # A damaged file is asked for again.
    for file in (cache / "wandb").iterdir():
        file.write_bytes(b"{")
    assert read("wandb:me/project/abc", client=FakeApi([run]))[0].last_step == 21


def test_a_project_and_a_sweep_hold_several_runs() -> None:
    api = FakeApi([FakeRun(), FakeRun(id="def", name="other")])
    said: list[str] = []
    runs = read("wandb:me/project", client=api, say=said.append)
    assert [(run.name, run.source.part) for run in runs] == [("dpo", "abc"), ("other", "def")]
    assert said == ["wandb:me/project: run 1 of 2", "wandb:me/project: run 2 of 2"]
    assert len(read("wandb:me/project/sweeps/s1", client=api)) == 1


@pytest.mark.parametrize("address", ["wandb:", "wandb:me", "wandb:a/b/c/d", "wandb:a//b"])
def test_what_is_no_address_is_refused_in_one_sentence(address: str) -> None:
    with pytest.raises(UnknownFormat, match=r"expected wandb:entity/project/run.*; copy"):
        read(address, client=FakeApi([]))


def test_whatever_the_client_raises_is_one_sentence() -> None:
    with pytest.raises(ReadError, match=r"Could not find run.*; check the address"):
        read("wandb:me/project/none", client=FakeApi([FakeRun()]))
    with pytest.raises(ReadError, match="holds no runs"):
        read("wandb:me/project", client=FakeApi([]))


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(wandb_online, "_runs", lambda *_: pytest.fail("asked without a key"))
    with pytest.raises(ReadError, match="WANDB_API_KEY"):
        read("wandb:me/project/abc")


@pytest.mark.parametrize(
    ("state", "status"),
    [("running", "running"), ("crashed", "failed"), ("killed", "stopped"), ("odd", "running")],
)
def test_how_a_run_ended_is_what_the_server_says(state: str, status: str) -> None:
    [run] = read("wandb:me/project/abc", client=FakeApi([FakeRun(state=state)]))
    assert run.status == status


def test_of_a_large_project_the_newest_runs_are_read_the_oldest_of_them_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wandb_online, "MOST_RUNS", 2)
    api = FakeApi([FakeRun(id=name) for name in ("first", "second", "third")])
    runs = read("wandb:me/project", client=api)
    assert [run.source.part for run in runs] == ["second", "third"]


def test_a_server_does_not_ask_its_terminal_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    wandb = SimpleNamespace(login=lambda prompt: prompt, Api=lambda timeout: FakeApi([FakeRun()]))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    # Who reads in a terminal is asked, and answers.
    assert read("wandb:me/project/abc")
    with ThreadPoolExecutor(1) as server:
        reading = server.submit(read, "wandb:me/project/abc")
        with pytest.raises(ReadError, match=r"no key was found.*WANDB_API_KEY"):
            reading.result()
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
        assert server.submit(read, "wandb:me/project/abc").result()
