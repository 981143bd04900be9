"""Runs on a W&B server, through a client that answers as W&B's public API does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from diagnostics.errors import ReadError, UnknownFormat
from diagnostics.readers import wandb_online
from diagnostics.readers.wandb_online import read


def history() -> list[dict[str, Any]]:
    """Rows as transformers logs them: train and eval apart, a table and system rows between."""
    rows: list[dict[str, Any]] = []
    for step in range(1, 21):
        rows.append(
            {
                "train/loss": 0.69 - step / 100,
                "train/rewards/chosen": -0.01 * step,
                "train/rewards/rejected": -0.03 * step,
                "train/global_step": step,
                "gradients/layer0": [1, 2, 3],
                "my/own/measure": 1.0,
            }
        )
        if step % 5 == 0:
            rows.append(
                {
                    "eval/loss": 0.6,
                    "eval/rewards/chosen": -0.02 * step,
                    "eval/rewards/rejected": -0.02 * step,
                    "train/global_step": step,
                    "train/epoch": step / 20,
                }
            )
    rows[3]["train/kl"] = math.nan
    return [{**row, "_step": count, "_timestamp": 1e9 + count} for count, row in enumerate(rows)]


@dataclass
class FakeRun:
    """A run as the public API gives it."""

    id: str = "abc"
    name: str = "dpo"
    state: str = "finished"
    rows: list[dict[str, Any]] = field(default_factory=history)
    config: dict[str, Any] = field(default_factory=lambda: {"beta": 0.2, "loss_type": ["sigmoid"]})
    asked: list[list[str]] = field(default_factory=list)

    @property
    def path(self) -> list[str]:
        return ["me", "project", self.id]

    @property
    def lastHistoryStep(self) -> int:
        return len(self.rows) - 1

    @property
    def summary(self) -> dict[str, Any]:
        return {name: value for row in self.rows for name, value in row.items()}

    @property
    def history_keys(self) -> dict[str, Any]:
        return {"keys": {name: {} for name in self.summary}}

    def scan_history(self, keys: list[str], page_size: int) -> Iterator[dict[str, Any]]:
        assert page_size <= 1000
        self.asked.append(keys)
        for row in self.rows:
            # W&B gives the rows that hold all of the keys.
            if all(key in row for key in keys):
                yield {key: row[key] for key in keys}


@dataclass
class FakeApi:
    """The public API, as far as it is used."""

    found: list[FakeRun]

    def run(self, path: str) -> FakeRun:
        for run in self.found:
            if path == "/".join(run.path):
                return run
        raise ValueError(f"Could not find run <Run {path} (not found)>")

    def runs(self, path: str, per_page: int) -> list[FakeRun]:
        assert path == "me/project"
        return self.found

    def sweep(self, path: str) -> Any:
        assert path == "me/project/s1"
        return type("Sweep", (), {"runs": self.found[:1]})()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEESAW_CACHE", str(tmp_path))
    return tmp_path


def test_a_run_on_the_server_is_read_by_optimizer_step() -> None:
    [run] = read("wandb:me/project/abc", client=FakeApi([FakeRun()]))
    assert (run.name, run.method, run.config["beta"]) == ("dpo", "dpo", 0.2)
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
