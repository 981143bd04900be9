"""Train the cases with TRL itself and print what it logs, as JSON.

Run as a process of its own (`python tests/parity/trl_runs.py FOLDER CASE…`), which keeps TRL's
warnings and its process-wide state away from the tests. FOLDER is what `write_setting` wrote.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from parity_setting import BATCH, CASES, LEARNING_RATE, MAX_LENGTH, STEPS, Case, rows

LIBRARIES = ("trl", "transformers", "torch", "accelerate")


def run_case(case: Case, model_folder: Path) -> list[dict[str, float]]:
    """Return TRL's log records of one training, one per optimizer step."""
    with tempfile.TemporaryDirectory() as output:
        trainer = trained(case, model_folder, output)
    return [record for record in trainer.state.log_history if "loss" in record]


def trained(case: Case, model_folder: Path, output: str, **changes: Any) -> Any:
    """Return TRL's trainer after one training on a case; `changes` are settings of its config."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trainer_class, config_class = classes(case.trainer)
    settings = {
        "output_dir": output,
        "per_device_train_batch_size": BATCH,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_steps": STEPS,
        "max_length": MAX_LENGTH,
        "train_sampling_strategy": "sequential",
        # The fused kernel rounds otherwise than the reference implementation.
        "optim": "adamw_torch",
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(model_folder, dtype="float32"),
        args=config_class(**{**settings, **case.trl, **changes}),
        train_dataset=Dataset.from_list(rows(case.data)),
        processing_class=AutoTokenizer.from_pretrained(model_folder),
    )
    trainer.train()
    return trainer


def classes(name: str) -> tuple[Any, Any]:
    """Return the trainer and the config class of a trainer's name."""
    if name in ("ORPOTrainer", "CPOTrainer"):
        import trl.experimental.cpo as cpo
        import trl.experimental.orpo as orpo

        home: Any = cpo if name == "CPOTrainer" else orpo
    else:
        import trl as home
    return getattr(home, name), getattr(home, name.replace("Trainer", "Config"))


def versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in LIBRARIES}


def main() -> None:
    """Train the named cases and print {case: records} on the last line."""
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    # TRL and datasets write progress to standard output; the answer has its own line at the end.
    trajectories = {name: run_case(CASES[name], folder / "model") for name in names}
    print(json.dumps({"versions": versions(), "trajectories": trajectories}))  # noqa: T201


if __name__ == "__main__":
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    warnings.simplefilter("ignore")
    main()
