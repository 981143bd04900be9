"""Where records go: the run log always, W&B beside it when asked.

Only the main process writes records; every rank writes its own parts of the pair tables.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from accelerate import Accelerator
from tqdm import tqdm

from diagnostics.runlog import LOG_NAME, RunLog, read_log, read_pairs
from trainer.config import TrainConfig
from trainer.errors import ConfigError


class Sinks:
    """Everything a training writes to; `end` records how it ended and closes it."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        header: Mapping[str, Any],
        first_step: int,
    ) -> None:
        self.main = accelerator.is_main_process
        if self.main and (first_step or has_trained(Path(config.output_dir))):
            self.log = RunLog.resume(config.output_dir, first_step)
        elif self.main:
            self.log = RunLog.create(config.output_dir, header)
        accelerator.wait_for_everyone()
        if not self.main:
            self.log = RunLog(config.output_dir)
        self.wandb = _open_wandb(config, header) if self.main else None
        self._changes = _Changes(Path(config.output_dir))
        self._remarks = 0

    def write(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Write one window's means; `kind` is train or eval."""
        if not self.main:
            return
        self.log.write(kind, step, values)
        if self.wandb is not None:
            self.wandb.log({f"{kind}/{name}": v for name, v in values.items()} | {"step": step})

    def write_probe(self, table: str, step: int, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write one probe's table; W&B receives the mean change per token from step 0."""
        if not (self.main and columns):
            return
        length = len(next(iter(columns.values())))
        self.log.write_pairs(table, step, step, {"step": [step] * length, **columns})
        if self.wandb is None:
            return
        if table == "probe":
            means = self._changes.means(step, columns)
            self.wandb.log({f"probe/{name}": v for name, v in means.items()} | {"step": step})
        elif table == "families":
            means = _family_means(columns)
            self.wandb.log({f"probe/{name}": v for name, v in means.items()} | {"step": step})

    def remark(self, step: int, text: str) -> None:
        """Print a sentence for people, and keep it in the log."""
        if not self.main:
            return
        tqdm.write(text)
        self.log.write("remark", step, {"text": text})
        if self.wandb is not None:
            self.wandb.summary[f"remark {self._remarks}"] = text
        self._remarks += 1

    def end(self, step: int, status: str, message: str = "") -> None:
        """Record how the run ended and close everything."""
        if self.main:
            self.log.write("end", step, {"status": status, "message": message})
        self.log.close()
        if self.wandb is not None:
            self.wandb.finish(exit_code=0 if status == "completed" else 1)


def has_trained(directory: Path) -> bool:
    """Tell whether the folder's log holds a training step."""
    return (directory / LOG_NAME).is_file() and bool(read_log(directory).train)


def _wandb_id(config: TrainConfig) -> str:
    """Return the W&B id of this run, made once and kept beside the log for a resumed run."""
    path = Path(config.output_dir) / "wandb_run_id.txt"
    if not path.is_file():
        path.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _open_wandb(config: TrainConfig, header: Mapping[str, Any]) -> Any:
    """Start the W&B run: step axis defined, configuration complete, metric names as in the schema.

    One project holds runs of all methods; their curves overlay because names and axis agree.
    """
    if config.report_to != "wandb":
        return None
    try:
        import wandb
    except ImportError as error:
        raise ConfigError(
            "--report_to wandb: the package wandb is not installed; run pip install wandb"
        ) from error
    run = wandb.init(
        project=config.wandb_project,
        name=config.run_name,
        id=_wandb_id(config),
        group=config.method,
        config={**config.resolved(), "header": dict(header)},
        dir=config.output_dir,
        resume="allow" if config.resume else None,
    )
    run.define_metric("step")
    for kind in ("train", "eval", "probe"):
        run.define_metric(f"{kind}/*", step_metric="step")
    return run


def _family_means(columns: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """Return each response family's mean log-prob per token."""
    values: dict[str, list[float]] = {}
    for family, logps, tokens in zip(
        columns["family"], columns["logps"], columns["completion_tokens"], strict=True
    ):
        values.setdefault(f"families/{family}/logps_per_token", []).append(logps / tokens)
    return {name: sum(own) / len(own) for name, own in values.items()}


class _Changes:
    """The probe pairs' mean change from step 0 in nats per token, for the W&B curves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._start: dict[str, list[float]] = {}

    def means(self, step: int, columns: Mapping[str, Sequence[Any]]) -> dict[str, float]:
        sides = ("chosen", "rejected")
        if step == 0:
            self._start = {side: list(columns[f"logps/{side}"]) for side in sides}
        elif not self._start:
            first = read_pairs(self.directory, "probe").filter(pc.field("step") == 0)
            self._start = {side: first[f"logps/{side}"].to_pylist() for side in sides}
        means = {}
        for split in dict.fromkeys(columns["split"]):
            for side in sides:
                values = [
                    (now - start) / tokens
                    for own, now, start, tokens in zip(
                        columns["split"],
                        columns[f"logps/{side}"],
                        self._start[side],
                        columns[f"completion_tokens/{side}"],
                        strict=True,
                    )
                    if own == split and now is not None and now == now
                ]
                if values:
                    means[f"{split}/delta_per_token/{side}"] = sum(values) / len(values)
        return means
