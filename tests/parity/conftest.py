from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# The scripts beside this file run on their own too, and so import each other by plain names.
sys.path.insert(0, str(Path(__file__).parent))

from parity_setting import (
    BATCH,
    LEARNING_RATE,
    MAX_LENGTH,
    STEPS,
    Case,
    write_setting,
)

from diagnostics.runlog import read_log
from trainer.config import TrainConfig
from trainer.train import train


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model and the data that both sides train on."""
    folder = tmp_path_factory.mktemp("setting")
    write_setting(folder)
    return folder


@pytest.fixture(scope="session")
def ours(
    setting: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Case], list[dict[str, float]]]:
    """Return our log records of a case; each case is trained once a session."""
    kept: dict[str, list[dict[str, float]]] = {}

    def run(case: Case) -> list[dict[str, float]]:
        if case.name not in kept:
            config = TrainConfig(
                model=str(setting / "model"),
                data=str(setting / f"{case.data}.jsonl"),
                output_dir=str(tmp_path_factory.mktemp(case.name)),
                max_steps=STEPS,
                per_device_train_batch_size=BATCH,
                learning_rate=LEARNING_RATE,
                lr_scheduler_type="constant",
                max_length=MAX_LENGTH,
                held_out=0.0,
                shuffle=False,
                eval_steps=0,
                save_steps=0,
                save_model=False,
                log_pairs=False,
                probe_pairs=1,
                probe_samples=0,
                use_cpu=True,
                **case.ours,
            )
            train(config)
            kept[case.name] = read_log(Path(config.output_dir)).train
        return kept[case.name]

    return run
