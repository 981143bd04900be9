"""One logging window: what the device has summed over its steps, and how long they took."""

from __future__ import annotations

import math
import resource
import sys
import time

import torch

from trainer import metrics
from trainer.batches import examples_per_step
from trainer.errors import TrainerError
from trainer.setup import Training


class Diverged(TrainerError):
    """The loss or the gradient is no longer a number."""


class Window:
    """One logging window: what the device has summed, and how long it took."""

    def __init__(self, run: Training) -> None:
        self.run = run
        self.examples = examples_per_step(run.config, run.accelerator.num_processes)
        self.all_tokens = run.done.tokens
        self._start(run.done.step)

    def _start(self, after: int) -> None:
        self.after, self.tokens, self.started = after, 0, time.perf_counter()

    def add(self, tokens: int) -> None:
        """Count the tokens of one step."""
        self.tokens += tokens
        self.all_tokens += tokens

    def log(self, step: int) -> dict[str, float]:
        """Write the window's means and start the next window."""
        run = self.run
        means = metrics.finish(run.sums.means(run.accelerator))
        seconds = time.perf_counter() - self.started
        means |= {
            "epoch": step * self.examples / len(run.train),
            "tokens": self.all_tokens,
            "tokens_per_second": self.tokens / seconds,
            "examples_per_second": (step - self.after) * self.examples / seconds,
            "memory": _peak_memory(run.accelerator.device),
        }
        run.sinks.write("train", step, means)
        if run.records is not None:
            run.records.write(run.sinks.log, run.accelerator.process_index)
        _check_finite(step, means["loss"], means["grad_norm"])
        self._start(step)
        return means

    def check(self, step: int) -> None:
        """Raise before an unfinished window whose sums are no numbers is saved in a checkpoint."""
        if step > self.after:
            sums, accelerator = self.run.sums, self.run.accelerator
            loss, norm = (sums.so_far(name, accelerator) for name in ("loss", "grad_norm"))
            _check_finite(step, loss, norm)


def _check_finite(step: int, loss: float, norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise Diverged(
            f"step {step}: the loss is {loss:g} and the gradient norm {norm:g}, expected finite "
            "numbers; start again in a new --output_dir with a lower --learning_rate or a lower "
            "--max_grad_norm"
        )


def _peak_memory(device: torch.device) -> float:
    """Return the peak memory so far [GiB]."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, else KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
