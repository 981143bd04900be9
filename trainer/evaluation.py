"""Evaluation on held-out pairs, and the probes on the fixed set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from accelerate import Accelerator

from trainer import metrics
from trainer.batches import divide, divide_for_scoring
from trainer.data import Example
from trainer.probes import PROBES
from trainer.probes.contract import CompletionScore, ProbeSet
from trainer.sinks import Sinks
from trainer.step import Step


def evaluate(step: Step, held_out: Sequence[Example], size: int) -> dict[str, float]:
    """Return the means of every metric over the held-out examples, which form one batch."""
    world = step.accelerator.num_processes
    if len(held_out) < world:
        return {}
    sums = metrics.Sums(step.accelerator.device)
    batch = divide_for_scoring(held_out, size, world)
    step.run(batch, sums, None, train=False)
    return metrics.finish(sums.means(step.accelerator))


def probe(step: Step, probe_set: ProbeSet, size: int, at: int, sinks: Sinks) -> None:
    """Score the fixed probe set and write one table part per probe."""

    def score(examples: Sequence[Example]) -> list[list[CompletionScore]]:
        return score_completions(step, examples, size)

    for one in PROBES:
        sinks.write_probe(one.table, at, one.measure(probe_set, score))


def score_completions(
    step: Step, examples: Sequence[Example], size: int
) -> list[list[CompletionScore]]:
    """Return the scores of every completion of every example, in their order, on all ranks.

    Ranks share the work; fewer examples than ranks are scored by every rank.
    """
    if not examples:
        return []
    accelerator: Accelerator = step.accelerator
    shared = len(examples) >= accelerator.num_processes
    world, rank = (accelerator.num_processes, accelerator.process_index) if shared else (1, 0)
    batch = divide_for_scoring(examples, size, world) if shared else divide(examples, 1)
    offsets = [0]
    for example in examples:
        offsets.append(offsets[-1] + len(example.completions))
    table = torch.zeros(offsets[-1], 4, dtype=torch.float64, device=accelerator.device)
    for part, own in zip(batch.parts[rank::world], batch.own(rank, world), strict=True):
        scores = step.score_only(own)
        slots = [slot for i in part for slot in range(offsets[i], offsets[i + 1])]
        columns = (scores.logps_C, scores.tokens_C, scores.entropy_C, scores.top1_C)
        table[slots] = torch.stack([column[: len(slots)].double() for column in columns], 1)
    if shared:
        table = accelerator.reduce(table, reduction="sum")
    rows = [CompletionScore(*row) for row in table.tolist()]
    return [rows[a:b] for a, b in itertools.pairwise(offsets)]
