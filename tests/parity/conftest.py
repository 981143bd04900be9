from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# The scripts beside this file run on their own too, and so import each other by plain names.
sys.path.insert(0, str(Path(__file__).parent))

from parity_setting import Case, our_settings, write_setting

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
            output = tmp_path_factory.mktemp(case.name)
            config = TrainConfig(**our_settings(case, setting, output))
            train(config)
            kept[case.name] = read_log(Path(config.output_dir)).train
        return kept[case.name]

    return run
