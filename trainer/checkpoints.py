"""Checkpoints: whole or not there, and enough to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedTokenizerBase

from trainer.errors import ModelError
from trainer.metrics import Sums

_PREFIX = "checkpoint-"
_STATE = "seesaw.json"


@dataclass(frozen=True)
class Progress:
    """How far a run has come: optimizer steps, their tokens on all ranks, examples per step."""

    step: int = 0
    tokens: int = 0
    examples_per_step: int = 0


def save(
    accelerator: Accelerator, directory: Path, progress: Progress, sums: Sums, keep: int
) -> None:
    """Write a checkpoint and delete all but the newest `keep`.

    The folder gets its name only when everything is in it, so a kill leaves no half checkpoint.
    """
    final = directory / f"{_PREFIX}{progress.step}"
    temporary = directory / f"{final.name}.tmp"
    sums.collect_on_main(accelerator)
    accelerator.save_state(str(temporary), safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        state = json.dumps(dataclasses.asdict(progress))
        (temporary / _STATE).write_text(state, encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        os.replace(temporary, final)
        for old in _complete(directory)[:-keep] if keep > 0 else []:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def latest(directory: Path) -> Path | None:
    """Return the newest complete checkpoint of a run folder, or None."""
    found = _complete(directory)
    return found[-1] if found else None


def load(accelerator: Accelerator, checkpoint: Path, sums: Sums) -> Progress:
    """Restore everything that was prepared or registered; return how far the run had come.

    Raises
    ------
    ModelError
        When the checkpoint does not fit the model or is damaged.
    """
    try:
        progress = Progress(**json.loads((checkpoint / _STATE).read_text(encoding="utf-8")))
        accelerator.load_state(str(checkpoint))
    except Exception as error:  # a damaged file fails in as many ways as there are formats
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{checkpoint} cannot be restored ({reason}); delete it to go on from the checkpoint "
            "before it, or start a new --output_dir"
        ) from error
    if not accelerator.is_main_process:
        sums.load_state_dict({})
    return progress


def save_model(
    accelerator: Accelerator,
    policy: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
) -> None:
    """Save the trained model (or its adapter) and tokenizer as an ordinary model folder."""
    state = accelerator.get_state_dict(policy)
    if accelerator.is_main_process:
        folder = directory / "model"
        accelerator.unwrap_model(policy).save_pretrained(folder, state_dict=state)
        tokenizer.save_pretrained(folder)


def _complete(directory: Path) -> list[Path]:
    folders = [
        path
        for path in directory.glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdigit() and (path / _STATE).is_file()
    ]
    return sorted(folders, key=lambda path: int(path.name.removeprefix(_PREFIX)))
