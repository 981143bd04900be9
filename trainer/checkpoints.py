"""Checkpoints: whole or not there, and enough to go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from accelerate import Accelerator

from trainer.errors import ModelError
from trainer.metrics import Sums

_PREFIX = "checkpoint-"
_STATE = "seesaw.json"


def save(accelerator: Accelerator, directory: Path, step: int, sums: Sums, keep: int) -> None:
    """Write a checkpoint of `step` and delete all but the newest `keep`.

    The folder gets its name only when everything is in it, so a kill leaves no half checkpoint.
    """
    final = directory / f"{_PREFIX}{step}"
    temporary = directory / f"{final.name}.tmp"
    sums.collect_on_main(accelerator)
    accelerator.save_state(str(temporary), safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (temporary / _STATE).write_text(json.dumps({"step": step}), encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        os.replace(temporary, final)
        for old in _complete(directory)[: -keep or None] if keep > 0 else []:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def latest(directory: Path) -> Path | None:
    """Return the newest complete checkpoint of a run folder, or None."""
    found = _complete(directory)
    return found[-1] if found else None


def load(accelerator: Accelerator, checkpoint: Path, sums: Sums) -> int:
    """Restore everything that was prepared or registered; return the step to go on from.

    Raises
    ------
    ModelError
        When the checkpoint does not fit the model or is damaged.
    """
    try:
        step = int(json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))["step"])
        accelerator.load_state(str(checkpoint))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{checkpoint} cannot be restored ({reason}); delete it to go on from the checkpoint "
            "before it, or start a new --output_dir"
        ) from error
    if not accelerator.is_main_process:
        sums.load_state_dict({})
    return step


def _complete(directory: Path) -> list[Path]:
    folders = [
        path
        for path in directory.glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdigit() and (path / _STATE).is_file()
    ]
    return sorted(folders, key=lambda path: int(path.name.removeprefix(_PREFIX)))
