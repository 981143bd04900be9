"""The order of the data and its division into steps, ranks and micro-batches.

Everything here is a pure function of the settings and the step number, known to every rank
without communication; so a resumed run, more ranks or more accumulation see the same examples.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.config import TrainConfig
from trainer.data import Example
from trainer.packing import Item, balance, shared_tokens


@dataclass(frozen=True)
class Batch:
    """The examples of one optimizer step over all ranks, and how they are divided.

    `parts` holds one list of positions in `examples` per micro-batch; rank r of W takes the
    parts r, r + W, r + 2W, …
    """

    examples: tuple[Example, ...]
    parts: tuple[tuple[int, ...], ...]

    def own(self, rank: int, world: int) -> list[list[Example]]:
        """Return the micro-batches of one rank."""
        return [[self.examples[i] for i in part] for part in self.parts[rank::world]]

    @property
    def completions(self) -> int:
        """Completions over all ranks."""
        return sum(len(example.completions) for example in self.examples)

    def mismatched(self, max_length: int) -> Batch:
        """Return the batch in which each prompt carries the completions of the example before.

        These are KTO's samples for its reference point (arXiv 2402.01306, section 4.1).
        """
        previous = (self.examples[-1], *self.examples[:-1])
        examples = tuple(
            Example(
                prompt_ids=own.prompt_ids,
                completions=tuple(
                    c[: max(1, max_length - len(own.prompt_ids))] for c in other.completions
                ),
                labels=other.labels,
                index=own.index,
                prompt_text=own.prompt_text,
                completion_texts=other.completion_texts,
            )
            for own, other in zip(self.examples, previous, strict=True)
        )
        return Batch(examples, self.parts)


def item(example: Example) -> Item:
    """Return the part of an example that is packed."""
    return Item(example.prompt_ids, example.completions)


def divide(examples: Sequence[Example], n_parts: int) -> Batch:
    """Divide examples into micro-batches of nearly equal tokens."""
    tokens = [shared_tokens(item(example)) for example in examples]
    return Batch(tuple(examples), tuple(tuple(part) for part in balance(tokens, n_parts)))


def divide_for_scoring(examples: Sequence[Example], size: int, world: int) -> Batch:
    """Divide examples for a forward pass, in micro-batches of about `size` examples.

    Every rank gets the same number of micro-batches, as sharded models need.
    """
    per_rank = math.ceil(len(examples) / (size * world))
    # No part may be empty, so a remainder makes the parts larger instead of more.
    return divide(examples, max(1, min(per_rank, len(examples) // world)) * world)


def examples_per_step(config: TrainConfig, world: int) -> int:
    """Return the examples of one optimizer step over all ranks."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * world


def total_steps(config: TrainConfig, n_examples: int, world: int) -> int:
    """Return the optimizer steps of the whole training."""
    if config.max_steps > 0:
        return config.max_steps
    seen = config.num_train_epochs * n_examples
    return max(1, math.ceil(seen / examples_per_step(config, world)))


def batch_of_step(config: TrainConfig, examples: Sequence[Example], step: int, world: int) -> Batch:
    """Return the batch of optimizer step `step` (1 is the first).

    The data is an endless sequence of epochs, each in its own order, so that no batch is short
    and no example is dropped.
    """
    size = examples_per_step(config, world)
    first = (step - 1) * size
    chosen = []
    orders: dict[int, list[int]] = {}
    for position in range(first, first + size):
        epoch, place = divmod(position, len(examples))
        if epoch not in orders:
            orders[epoch] = epoch_order(config, len(examples), epoch)
        chosen.append(examples[orders[epoch][place]])
    return divide(chosen, config.gradient_accumulation_steps * world)


def epoch_order(config: TrainConfig, n_examples: int, epoch: int) -> list[int]:
    """Return the order of the examples in one epoch."""
    order = list(range(n_examples))
    if config.shuffle:
        random.Random(f"{config.seed}-{epoch}").shuffle(order)
    return order
