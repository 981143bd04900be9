"""The command line of the trainer: arguments in, one sentence out when something is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import logging
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import PartialState
from tqdm import tqdm
from transformers import HfArgumentParser
from transformers.utils import logging as transformers_logging

from diagnostics.errors import DiagnosticsError
from trainer.config import TrainConfig
from trainer.errors import ConfigError, TrainerError
from trainer.train import train


def run(arguments: Sequence[str]) -> int:
    """Train as the arguments say; return the exit status."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("accelerate").setLevel(logging.ERROR)  # it warns at every checkpoint
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments[:1] == ["demo"]:
            from trainer.demo import run_demo

            run_demo(list(arguments[1:]))
        elif arguments[:1] == ["casebook"]:
            from trainer.casebook.command import run_casebook

            run_casebook(list(arguments[1:]))
        else:
            config = parse(list(arguments))
            with WarmUpBar() as bar:
                train(config, bar.update)
            if PartialState().is_main_process:
                report(["diagnose", "--line", config.output_dir], config.output_dir)
    except (TrainerError, DiagnosticsError) as error:
        return _stop(str(error))
    except torch.OutOfMemoryError as error:
        return _stop(
            f"out of memory ({str(error).splitlines()[0]}): halve --per_device_train_batch_size "
            "and double --gradient_accumulation_steps, which changes no result, or lower "
            "--max_length, or add --gradient_checkpointing true"
        )
    except KeyboardInterrupt:
        _stop("stopped; go on with --resume true if there is a checkpoint")
        return 130
    return 0


def parse(arguments: list[str]) -> TrainConfig:
    """Return the settings of the flags, or of one YAML/JSON file followed by flags.

    Raises
    ------
    ConfigError
        For an unknown setting, an unreadable file or a bad value.
    """
    parser = HfArgumentParser(TrainConfig, prog="python -m trainer")
    parser.exit_on_error = False
    if arguments and not arguments[0].startswith("-"):
        arguments = [*_flags_of_file(Path(arguments[0])), *arguments[1:]]
    try:
        (config, unknown) = parser.parse_args_into_dataclasses(
            arguments, return_remaining_strings=True
        )
    except SystemExit as error:
        if not error.code:
            raise
        raise ConfigError("see python -m trainer --help for the settings") from None
    except Exception as error:
        if type(error).__name__ != "ArgumentError":
            raise
        raise ConfigError(f"{error}; see python -m trainer --help") from None
    if unknown:
        raise ConfigError(_unknown_setting(unknown[0]))
    return config  # type: ignore[no-any-return]


def report(command: list[str], output_dir: str) -> None:
    """Print the diagnosis of a finished run, made by the diagnostics in a process of their own."""
    sys.stdout.flush()
    root = Path(__file__).resolve().parent.parent
    paths = [str(Path(part).resolve()) if Path(part).exists() else part for part in command]
    subprocess.run([sys.executable, "-m", "diagnostics", *paths], cwd=root, check=False)
    print(f"log, probes and model: {output_dir}   dashboard: make run")  # noqa: T201


class WarmUpBar:
    """A progress bar that appears when a tiny model has to be built."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> WarmUpBar:
        """Return the bar itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def update(self, step: int, steps: int, loss: float) -> None:
        """Show that `step` of `steps` is done, with the language-model loss [nats per token]."""
        if self._bar is None:
            self._bar = tqdm(total=steps, desc="warm-up of the tiny model", unit="step")
        self._bar.set_postfix(loss=f"{loss:.3f}")
        self._bar.update(step - self._bar.n)
        if step >= steps:
            self._bar.close()


def _flags_of_file(path: Path) -> list[str]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path} cannot be read as YAML or JSON: {reason}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} holds no settings: expected one `name: value` a line")
    flags = []
    for name, value in settings.items():
        flags += [f"--{name}", str(value)]
    return flags


def _unknown_setting(flag: str) -> str:
    names = [f"--{field.name}" for field in dataclasses.fields(TrainConfig)]
    near = difflib.get_close_matches(flag.split("=")[0], names, n=1)
    hint = f"did you mean {near[0]}?" if near else "see python -m trainer --help"
    return f"{flag} is not a setting; {hint}"


def _stop(sentence: str) -> int:
    sys.stderr.write(f"seesaw: {sentence}\n")
    return 2
