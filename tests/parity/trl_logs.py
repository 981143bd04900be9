"""Train cases with TRL, every log on: trainer_state.json, event files, W&B offline, the console.

Run as a process of its own (`python tests/parity/trl_logs.py SETTING OUTPUT CASE…`): the trackers
keep state for as long as their process lives.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

from parity_setting import BATCH, CASES, LEARNING_RATE, MAX_LENGTH, Case, rows
from trl_runs import classes

# An odd number: the last step is left over, and TRL logs it in the record that sums up the run.
STEPS, LOGGING_STEPS, EVAL_STEPS = 11, 2, 4


def run_case(case: Case, model_folder: Path, output: Path) -> None:
    """Train one case; its logs lie in `output` afterwards."""
    import wandb
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trainer_class, config_class = classes(case.trainer)
    config = config_class(
        output_dir=str(output),
        run_name=case.name,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        max_steps=STEPS,
        max_length=MAX_LENGTH,
        train_sampling_strategy="sequential",
        optim="adamw_torch",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        logging_steps=LOGGING_STEPS,
        eval_strategy="steps",
        eval_steps=EVAL_STEPS,
        save_strategy="steps",
        save_steps=STEPS,
        save_only_model=True,
        report_to=["tensorboard", "wandb"],
        **case.trl,
    )
    data = rows(case.data)
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(model_folder, dtype="float32"),
        args=config,
        train_dataset=Dataset.from_list(data[:32]),
        eval_dataset=Dataset.from_list(data[32:]),
        processing_class=AutoTokenizer.from_pretrained(model_folder),
    )
    # The trainer goes on with the run that there is.
    wandb.init(project="logs", name=case.name, dir=str(output))
    with (
        (output / "console.log").open("w") as console,
        contextlib.redirect_stdout(console),
        contextlib.redirect_stderr(console),
    ):
        trainer.train()
    wandb.finish()


def main() -> None:
    """Train the named cases."""
    setting, output, names = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    for name in names:
        (output / name).mkdir(parents=True)
        run_case(CASES[name], setting / "model", output / name)


if __name__ == "__main__":
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("WANDB_SILENT", "true")
    warnings.simplefilter("ignore")
    main()
