"""A training killed at any moment goes on as if nothing had happened."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.runlog import read_log, read_pairs
from trainer import checkpoints
from trainer.errors import ConfigError
from trainer.train import train

KILLS = 20
STEPS = 400  # far more than twenty kills let through


def settings_of(settings, folder: Path):
    return settings(
        output_dir=str(folder),
        max_steps=STEPS,
        eval_steps=25,
        save_steps=10,
        logging_steps=1,
        lr_scheduler_type="cosine",
        learning_rate=1e-4,
        save_model=True,
    )


def run_process(config) -> multiprocessing.process.BaseProcess:
    """Start a training in a process of its own; the server has loaded torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainer.train"])
    process = context.Process(target=train, args=(config,))
    process.start()
    return process


def wait_for_lines(path: Path, count: int, process) -> None:
    """Return when the log has `count` lines or the training has ended."""
    while process.is_alive():
        if path.is_file() and path.read_bytes().count(b"\n") >= count:
            return
        process.join(0.005)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_leave_one_whole_trajectory(settings, tmp_path):
    whole = settings_of(settings, tmp_path / "whole")
    train(whole)
    killed = settings_of(settings, tmp_path / "killed")
    log = tmp_path / "killed" / "run.jsonl"
    draw = random.Random(0)
    kills = 0
    while kills < KILLS:
        lines = log.read_bytes().count(b"\n") if log.is_file() else 0
        process = run_process(replace(killed, resume=kills > 0))
        # Anywhere from loading over the first steps after the resume to the next checkpoints.
        wait_for_lines(log, lines + draw.randint(0, 14), process)
        process.join(draw.random() * 0.1)
        assert process.is_alive() or process.exitcode == 0
        if not process.is_alive():
            break
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    assert kills == KILLS, "the training ended before it was killed often enough"
    train(replace(killed, resume=True))

    expected, found = read_log(whole.output_dir), read_log(killed.output_dir)
    assert [row["step"] for row in found.train] == list(range(1, STEPS + 1))
    assert [row["step"] for row in found.evals] == [row["step"] for row in expected.evals]
    for kind in ("train", "evals"):
        for one, other in zip(getattr(expected, kind), getattr(found, kind), strict=True):
            for name in ("loss", "rewards/margins", "logps/chosen", "learning_rate", "tokens"):
                if name in one:
                    assert other[name] == pytest.approx(one[name], abs=1e-6), (one["step"], name)
    for table in ("train", "probe", "samples", "entanglement", "tokens", "families"):
        assert read_pairs(killed.output_dir, table).equals(read_pairs(whole.output_dir, table))


def test_a_finished_run_is_left_alone_unless_it_is_resumed(settings):
    config = settings(save_steps=2)
    train(config)
    with pytest.raises(ConfigError, match="already holds a run: add --resume true"):
        train(config)


def test_resuming_with_another_learning_rate_is_refused(settings):
    config = settings(save_steps=2)
    train(config)
    with pytest.raises(ConfigError, match=r"learning_rate is 0\.5 but the run in"):
        train(replace(config, resume=True, learning_rate=0.5))


def test_resuming_with_other_examples_per_step_is_refused(settings):
    config = settings(save_steps=2)
    train(config)
    path = Path(config.output_dir) / "checkpoint-4" / "seesaw.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**state, "examples_per_step": 16}), encoding="utf-8")
    with pytest.raises(ConfigError, match="8 examples per step, and the run began with 16"):
        train(replace(config, resume=True))


def test_only_the_newest_checkpoints_are_kept_and_half_ones_are_ignored(settings):
    config = settings(max_steps=6, save_steps=1, save_total_limit=2)
    train(config)
    folder = Path(config.output_dir)
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == [
        "checkpoint-5",
        "checkpoint-6",
    ]
    (folder / "checkpoint-7").mkdir()  # what a kill in the middle could leave
    assert checkpoints.latest(folder) == folder / "checkpoint-6"


def test_a_window_that_a_checkpoint_cuts_in_two_keeps_its_mean(settings, tmp_path):
    whole = settings(output_dir=str(tmp_path / "whole"), max_steps=4, logging_steps=4)
    train(whole)
    cut = replace(whole, output_dir=str(tmp_path / "cut"), save_steps=2)
    train(cut)
    (tmp_path / "cut" / "checkpoint-4").rename(tmp_path / "checkpoint-4")
    log = tmp_path / "cut" / "run.jsonl"
    log.write_bytes(b"\n".join(log.read_bytes().split(b"\n")[:1]) + b"\n")  # the header alone
    train(replace(cut, resume=True))
    one, other = read_log(whole.output_dir).train, read_log(cut.output_dir).train
    assert [row["step"] for row in other] == [4]
    assert other[0]["loss"] == pytest.approx(one[0]["loss"], abs=1e-6)
