"""What every probe receives and returns: the record types of the family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.batches import Batch
from trainer.data import Example
from trainer.step import Step
from trainer.token_scores import CompletionScore


@dataclass(frozen=True)
class ProbeSet:
    """Fixed texts, chosen once at the start of a run and scored again at every evaluation.

    `samples` are drawn from the initial policy: one completion an example, on the prompts of
    `train`. `families` are other completions for the first of these prompts, one example a
    prompt, its completions in the order of `probes.families.MADE`. `end_ids` end a completion;
    `template_ids` are special tokens otherwise, and `template_block` is the empty think block that
    a reasoning model's template puts before an answer, empty where the tokenizer knows none.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    samples: tuple[Example, ...]
    families: tuple[Example, ...] = ()
    end_ids: tuple[int, ...] = ()
    template_ids: tuple[int, ...] = ()
    template_block: tuple[int, ...] = ()


Scorer = Callable[[Sequence[Example]], list[list[CompletionScore]]]


@dataclass(frozen=True)
class Subject:
    """What a probe may look at, at one evaluation; it leaves everything as it found it.

    `score` and `score_reference` give the scores of every completion of every example under the
    policy and under the reference, the same on all ranks; `score` remembers what it was asked
    during this evaluation. `batch` is that of the next optimizer step. `whole_weights` says
    whether every rank holds all weights: where it is false, nothing can be done to them here.
    `evaluation` counts evaluations from 0; -1 for one outside of the regular rhythm.
    """

    probe_set: ProbeSet
    score: Scorer
    score_reference: Scorer
    step: Step
    optimizer: Any
    scheduler: Any
    batch: Batch
    evaluation: int
    whole_weights: bool


@dataclass(frozen=True)
class Findings:
    """The rows of the probe's table by column, and metrics of the evaluation by schema name."""

    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """One member of the family: measures, and fills a table (None: metrics only).

    `measure` finds nothing where the probe set holds nothing for it.
    """

    name: str
    table: str | None
    measure: Callable[[Subject], Findings]


def prompt_key(example: Example) -> str:
    """Return a short name of the prompt, equal for equal prompts."""
    ids = ",".join(map(str, example.prompt_ids))
    return hashlib.sha256(ids.encode()).hexdigest()[:12]


def side(label: bool) -> str:
    """Return the name of a completion's side; `label` tells whether it is desirable."""
    return "chosen" if label else "rejected"
