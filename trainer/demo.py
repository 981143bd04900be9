"""python -m trainer demo: one warm-up, five trainings on the same pairs, one table.

The pairs are those of the synthetic instruction language, so that the truth about them is known.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import cli, language
from trainer.config import TrainConfig
from trainer.errors import ConfigError
from trainer.train import train

# The runs in the order of the table: what each adds to the settings that all share.
RUNS: dict[str, dict[str, Any]] = {
    "dpo": {"method": "dpo"},
    "kto": {"method": "kto"},
    "orpo": {"method": "orpo"},
    "simpo": {"method": "simpo"},
    "dpo-sft": {"method": "dpo", "sft_weight": 0.3},
}


def run_demo(arguments: Sequence[str]) -> None:
    """Train every run of the demo that is not finished yet, then print the comparison."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer demo",
        description="Train five methods on the same synthetic pairs and compare them.",
    )
    parser.add_argument("--output_dir", default="runs/demo", help="folder of the five runs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the pairs and the training")
    chosen = parser.parse_args(arguments)
    root = Path(chosen.output_dir)
    setting = language.SETTINGS["demo"]
    # Each method trains at its own default beta: SimPO's 2 is no DPO beta.
    shared = {name: value for name, value in setting.training.items() if name != "beta"}
    _check_seed(root, chosen.seed)
    pairs, warm_up = language.write(setting, chosen.seed, root / "data")
    for name, own in RUNS.items():
        directory = root / name
        if (directory / "model" / "config.json").is_file():
            continue
        config = TrainConfig(
            data=str(pairs),
            warmup_data=str(warm_up),
            output_dir=str(directory),
            seed=chosen.seed,
            resume=(directory / "config.json").is_file(),
            **{**shared, **own},
        )
        with cli.WarmUpBar() as bar:
            train(config, bar.update)
    cli.report(["compare", str(root)], str(root))


def _check_seed(root: Path, seed: int) -> None:
    """Refuse to compare runs of two seeds as if they were of one."""
    for path in root.glob("*/config.json"):
        before = json.loads(path.read_text(encoding="utf-8"))["seed"]
        if before != seed:
            raise ConfigError(
                f"{root} holds a demo of seed {before}: choose another --output_dir for seed {seed}"
            )
