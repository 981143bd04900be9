"""The training loop, top to bottom."""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from trainer import checkpoints, evaluation, metrics
from trainer.batches import batch_of_step, examples_per_step, item
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.packing import shared_tokens
from trainer.setup import Progress, Training, prepare


class Diverged(TrainerError):
    """The loss or the gradient is no longer a number."""


def train(config: TrainConfig, warm_up_progress: Progress | None = None) -> Path:
    """Train, and return the run folder.

    Raises
    ------
    TrainerError
        With one sentence; what was logged and saved before stays.
    """
    run = prepare(config, warm_up_progress)
    with _ended(run), _bar(run) as bar:
        if run.first_step == 0:
            evaluate(run, 0)
        window = Window(run)
        for step in range(run.first_step + 1, run.total_steps + 1):
            window.tokens += optimize(run, step)
            last = step == run.total_steps
            if _due(step, config.logging_steps) or last:
                means = window.log(step)
                bar.set_postfix(loss=_short(means, "loss"), margin=_short(means, "rewards/margins"))
            if _due(step, config.eval_steps) or last:
                evaluate(run, step)
            if _due(step, config.save_steps):
                save(run, step)
            bar.update()
        if config.save_model:
            save_model(run)
    return Path(config.output_dir)


def optimize(run: Training, step: int) -> int:
    """Take one optimizer step; return the tokens that all ranks computed for it."""
    config, accelerator = run.config, run.accelerator
    batch = batch_of_step(config, run.train, step, accelerator.num_processes)
    if run.records is not None:
        run.records.step = step
    run.policy.train()
    run.step.run(batch, run.sums, run.records, train=True)
    limit = config.max_grad_norm or math.inf
    norm: Any = accelerator.clip_grad_norm_(run.policy.parameters(), limit)
    if hasattr(norm, "full_tensor"):  # under FSDP2 every rank holds a part of it
        norm = norm.full_tensor()
    rate = torch.tensor(run.scheduler.get_last_lr()[0], dtype=torch.float64)
    run.sums.add("grad_norm", torch.as_tensor(norm).to(accelerator.device), 1.0)
    run.sums.add("learning_rate", rate.to(accelerator.device), 1.0)
    run.optimizer.step()
    run.scheduler.step()
    run.optimizer.zero_grad(set_to_none=True)
    return sum(shared_tokens(item(example)) for example in batch.examples)


class Window:
    """One logging window: what the device has summed, and how long it took."""

    def __init__(self, run: Training) -> None:
        self.run = run
        self.first, self.tokens, self.started = run.first_step, 0, time.perf_counter()
        self.examples = examples_per_step(run.config, run.accelerator.num_processes)
        self.computed = 0

    def log(self, step: int) -> dict[str, float]:
        """Write the window's means and start the next window."""
        run = self.run
        means = metrics.finish(run.sums.means(run.accelerator))
        seconds = time.perf_counter() - self.started
        self.computed += self.tokens
        means |= {
            "epoch": step * self.examples / len(run.train),
            "tokens": self.computed,
            "tokens_per_second": self.tokens / seconds,
            "examples_per_second": (step - self.first) * self.examples / seconds,
            "memory": _peak_memory(run.accelerator.device),
        }
        run.sinks.write("train", step, means)
        if run.records is not None:
            run.records.write(run.sinks.log, run.accelerator.process_index)
        if not (math.isfinite(means["loss"]) and math.isfinite(means["grad_norm"])):
            raise Diverged(
                f"step {step}: the loss is {means['loss']:g} and the gradient norm "
                f"{means['grad_norm']:g}, expected finite numbers; lower --learning_rate or go on "
                "from an earlier checkpoint with --resume true"
            )
        self.first, self.tokens, self.started = step, 0, time.perf_counter()
        return means


def evaluate(run: Training, step: int) -> None:
    """Measure the held-out examples and the fixed probe set."""
    run.policy.eval()
    size = run.config.per_device_train_batch_size
    means = evaluation.evaluate(run.step, run.held_out, size)
    if means:
        run.sinks.write("eval", step, means)
    evaluation.probe(run.step, run.probes, size, step, run.sinks)


def save(run: Training, step: int) -> None:
    """Write a checkpoint, after everything that was logged before it has reached the disk."""
    if run.records is not None:
        run.records.write(run.sinks.log, run.accelerator.process_index)
    run.sinks.log.flush()
    directory, keep = Path(run.config.output_dir), run.config.save_total_limit
    checkpoints.save(run.accelerator, directory, step, run.sums, keep)


def save_model(run: Training) -> None:
    """Save the trained model (or its adapter) and tokenizer as an ordinary checkpoint."""
    folder = Path(run.config.output_dir) / "model"
    state = run.accelerator.get_state_dict(run.policy)
    if run.accelerator.is_main_process:
        inner = run.accelerator.unwrap_model(run.policy)
        inner.save_pretrained(folder, state_dict=state)
        run.tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def _ended(run: Training) -> Iterator[None]:
    """Record how the training ended, whatever ended it."""
    status, message = "failed", ""
    try:
        yield
        status = "completed"
    except KeyboardInterrupt:
        status, message = "stopped", "stopped by the user"
        raise
    except BaseException as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise
    finally:
        run.sinks.end(run.scheduler.last_epoch, status, message)


def _bar(run: Training) -> tqdm[None]:
    return tqdm(
        total=run.total_steps,
        initial=run.first_step,
        desc=run.config.run_name,
        unit="step",
        disable=not run.accelerator.is_main_process,
        dynamic_ncols=True,
    )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _short(means: dict[str, float], name: str) -> str:
    return f"{means.get(name, math.nan):.3f}"


def _peak_memory(device: torch.device) -> float:
    """Return the peak memory so far [GiB]."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, else KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
