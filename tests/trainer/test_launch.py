"""The same command on two processes gives the same numbers as on one."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.runlog import read_log, read_pairs
from trainer.train import train

ROOT = Path(__file__).resolve().parents[2]
NOT_COMPARED = {"kind", "time", "tokens_per_second", "examples_per_second", "memory"}


def launch(config, processes: int) -> subprocess.CompletedProcess[str]:
    path = Path(config.output_dir).with_suffix(".json")
    path.write_text(json.dumps(dataclasses.asdict(config)), encoding="utf-8")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    # --multi_gpu is accelerate's way to start several processes; the setting use_cpu makes them
    # gloo processes on the CPU (its own --cpu starts one process unless there is an MPI).
    command += ["--num_processes", str(processes), "--num_machines", "1", "--dynamo_backend", "no"]
    command += ["--mixed_precision", "no", "--main_process_port", "0", "-m", "trainer", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dpo", "kto", "aot"])
def test_two_processes_of_four_equal_one_of_eight(method, settings, tmp_path):
    shared = {"method": method, "beta": 0.1, "learning_rate": 1e-4, "max_steps": 3, "eval_steps": 2}
    # Three pairs on two processes: the probes share out work that does not divide evenly.
    shared |= {"probe_entanglement_pairs": 3, "probe_virtual_steps": 1}
    one = settings(output_dir=str(tmp_path / "one"), **shared)
    two = settings(output_dir=str(tmp_path / "two"), per_device_train_batch_size=4, **shared)
    train(one)
    finished = launch(two, processes=2)
    assert finished.returncode == 0, finished.stderr[-2000:]
    first, second = read_log(one.output_dir), read_log(two.output_dir)
    assert second.header["processes"] == 2
    for kind in ("train", "evals"):
        for row, other in zip(getattr(first, kind), getattr(second, kind), strict=True):
            assert row.keys() == other.keys()
            for name in row.keys() - NOT_COMPARED:
                # What is left of one step after its first order are the last digits of both.
                near = 1e-2 if name == "curvature" else 1e-5
                assert other[name] == pytest.approx(row[name], rel=near, abs=near), name
    assert "curvature" in first.evals[0]
    for table in ("train", "probe"):
        sort = ["step", "pair"]
        a, b = (read_pairs(c.output_dir, table).to_pandas().sort_values(sort) for c in (one, two))
        assert a["pair"].tolist() == b["pair"].tolist()
        gap = a["logps/chosen"].to_numpy() - b["logps/chosen"].to_numpy()
        assert abs(gap[~(gap != gap)]).max() < 1e-3
    for table, columns in (
        (
            "entanglement",
            ("norm/chosen", "norm/rejected", "cosine", "head_cosine", "ches_per_token"),
        ),
        ("tokens", ("token", "logps", "argmax_logps")),
        ("families", ("logps", "entropy")),
    ):
        a, b = (read_pairs(c.output_dir, table).to_pandas() for c in (one, two))
        assert len(a) == len(b) > 0
        for column in columns:
            gap = (a[column] - b[column]).abs() / (1 + a[column].abs())
            assert gap.max() < 1e-4, (table, column)
