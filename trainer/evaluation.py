"""Evaluation on held-out pairs, and the probes on the fixed set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor

from trainer import metrics
from trainer.batches import Batch, divide, divide_for_scoring
from trainer.data import Example
from trainer.probes import PROBES
from trainer.probes.contract import Findings, ProbeSet, Subject
from trainer.step import Step
from trainer.token_scores import COLUMNS, CompletionScore

# Where every process holds all weights, a probe can take their gradients by itself.
_WHOLE = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)


def evaluate(step: Step, held_out: Sequence[Example], size: int) -> dict[str, float]:
    """Return the means of every metric over the held-out examples, which form one batch."""
    world = step.accelerator.num_processes
    if len(held_out) < world:
        return {}
    sums = metrics.Sums(step.accelerator.device)
    batch = divide_for_scoring(held_out, size, world)
    step.run(batch, sums, None, train=False)
    return metrics.finish(sums.means(step.accelerator))


def probe(
    step: Step,
    probe_set: ProbeSet,
    batch: Batch,
    optimizer: object,
    scheduler: object,
    evaluation: int,
) -> list[tuple[str | None, Findings]]:
    """Return what every probe finds, with the name of its table; nothing is changed.

    `batch` is that of the next step, `evaluation` the number of this one: see `Subject`.
    """
    size = step.config.per_device_train_batch_size
    subject = Subject(
        probe_set=probe_set,
        score=_Remembered(step, size),
        score_reference=lambda examples: score_completions(step, examples, size, reference=True),
        step=step,
        optimizer=optimizer,
        scheduler=scheduler,
        batch=batch,
        evaluation=evaluation,
        whole_weights=step.accelerator.distributed_type in _WHOLE,
    )
    return [(one.table, one.measure(subject)) for one in PROBES]


class _Remembered:
    """Scores under the policy, computed once an example and evaluation."""

    def __init__(self, step: Step, size: int) -> None:
        self.step, self.size = step, size
        self._known: dict[int, list[CompletionScore]] = {}

    def __call__(self, examples: Sequence[Example]) -> list[list[CompletionScore]]:
        # The probe set holds each example once and outlives the evaluation, so identity is enough.
        new = {id(one): one for one in examples if id(one) not in self._known}
        found = score_completions(self.step, list(new.values()), self.size)
        self._known.update(zip(new, found, strict=True))
        return [self._known[id(one)] for one in examples]


def score_completions(
    step: Step, examples: Sequence[Example], size: int, *, reference: bool = False
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
    lengths = [scored_lengths(example) for example in examples]
    starts = [0, *itertools.accumulate(sum(own) for own in lengths)]
    table = torch.zeros(starts[-1], len(COLUMNS), dtype=torch.float64, device=accelerator.device)
    for part, own in zip(batch.parts[rank::world], batch.own(rank, world), strict=True):
        scores_R4 = step.score_tokens(own, reference=reference).double()
        rows = [row for i in part for row in range(starts[i], starts[i + 1])]
        table[rows] = scores_R4
    if shared:
        table = accelerator.reduce(table, reduction="sum")
    whole = table.cpu()
    return [
        [_score(piece) for piece in whole[start:stop].split(own)]
        for (start, stop), own in zip(itertools.pairwise(starts), lengths, strict=True)
    ]


def scored_lengths(example: Example) -> list[int]:
    """Return the scored tokens of each completion: behind an empty prompt the first is not."""
    return [len(completion) - (not example.prompt_ids) for completion in example.completions]


def _score(rows_T4: Tensor) -> CompletionScore:
    return CompletionScore(*rows_T4.T.tolist())
