"""The training loop, top to bottom."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from trainer import checkpoints, evaluation, pair_texts, prediction
from trainer.batches import batch_of_step, item
from trainer.config import TrainConfig
from trainer.packing import shared_tokens
from trainer.setup import Training, prepare
from trainer.tiny import Progress
from trainer.window import Window


def train(config: TrainConfig, warm_up_progress: Progress | None = None) -> Path:
    """Train, and return the run folder.

    Raises
    ------
    TrainerError
        With one sentence; what was logged and saved before stays.
    """
    folder = Path(config.output_dir)
    run = prepare(config, warm_up_progress)
    with _ended(run), _bar(run) as bar:
        if run.done.step == 0:
            pair_texts.write(run)
            evaluate(run, 0)
        window = Window(run)
        for step in range(run.done.step + 1, run.total_steps + 1):
            window.add(optimize(run, step))
            last = step == run.total_steps
            if _due(step, config.logging_steps) or last:
                means = window.log(step)
                bar.set_postfix(loss=_short(means, "loss"), margin=_short(means, "rewards/margins"))
            if _due(step, run.eval_every) or last:
                evaluate(run, step)
            if _due(step, config.save_steps):
                window.check(step)
                save(run, checkpoints.Progress(step, window.all_tokens, window.examples))
            bar.update()
        if config.save_model:
            checkpoints.save_model(run.accelerator, run.policy, run.tokenizer, folder)
    return folder


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


def evaluate(run: Training, step: int) -> None:
    """Measure the held-out examples and the fixed probe set."""
    run.policy.eval()
    size = run.config.per_device_train_batch_size
    metrics = evaluation.evaluate(run.step, run.held_out, size)
    ahead = batch_of_step(run.config, run.train, step + 1, run.accelerator.num_processes)
    number, rest = divmod(step, max(1, run.eval_every))
    regular = step == 0 or (run.eval_every > 0 and rest == 0)
    found = evaluation.probe(
        run.step, run.probes, ahead, run.optimizer, run.scheduler, number if regular else -1
    )
    tables = {table: one.columns for table, one in found if table is not None}
    for _, one in found:
        metrics |= one.metrics
    if metrics:
        run.sinks.write("eval", step, metrics)
    for table, columns in tables.items():
        run.sinks.write_probe(table, step, columns)
    if step == 0:
        pairs = tables.get("entanglement", {})
        method, hyper = run.config.method, run.config.hyper
        for sentence in prediction.sentences(metrics, pairs, method, hyper):
            run.sinks.remark(step, sentence)


def save(run: Training, progress: checkpoints.Progress) -> None:
    """Write a checkpoint, after everything that was logged before it has reached the disk."""
    if run.records is not None:
        run.records.write(run.sinks.log, run.accelerator.process_index)
    run.sinks.log.flush()
    directory, keep = Path(run.config.output_dir), run.config.save_total_limit
    checkpoints.save(run.accelerator, directory, progress, run.sums, keep)


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
        initial=run.done.step,
        desc=run.config.run_name,
        unit="step",
        disable=not run.accelerator.is_main_process,
        dynamic_ncols=True,
    )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _short(means: dict[str, float], name: str) -> str:
    return f"{means.get(name, math.nan):.3f}"
