"""What every probe receives and returns: the record types of the family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.data import Example


@dataclass(frozen=True)
class ProbeSet:
    """Fixed texts, chosen once at the start of a run and scored again at every evaluation.

    `samples` are drawn from the initial policy: one completion an example, on the prompts of
    `train`.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    samples: tuple[Example, ...]


@dataclass(frozen=True)
class CompletionScore:
    """Sums over the scored tokens of one completion under the current policy."""

    logps: float  # nats
    tokens: float
    entropy: float  # nats
    top1: float  # tokens


Scorer = Callable[[Sequence[Example]], list[list[CompletionScore]]]


@dataclass(frozen=True)
class Probe:
    """One member of the family: scores its part of the probe set into the columns of a table.

    `measure` returns no columns where the probe set holds nothing for it.
    """

    name: str
    table: str
    measure: Callable[[ProbeSet, Scorer], dict[str, list[Any]]]
