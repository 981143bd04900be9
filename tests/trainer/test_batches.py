"""The division of examples into micro-batches and ranks."""

from __future__ import annotations

import pytest

from trainer.batches import batch_of_step, divide_for_scoring
from trainer.data import Example


def examples(count: int) -> list[Example]:
    return [
        Example([1] * (1 + i % 5), ((2,) * (1 + i % 7), (3,)), (True, False), i, f"{i}", ("a", "b"))
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [2, 3, 5, 8, 17])
@pytest.mark.parametrize("size", [1, 2, 8])
@pytest.mark.parametrize("world", [1, 2])
def test_scoring_gives_every_rank_equally_many_parts_and_none_empty(count, size, world):
    batch = divide_for_scoring(examples(count), size, world)
    assert len(batch.parts) % world == 0
    assert all(batch.parts)
    assert sorted(i for part in batch.parts for i in part) == list(range(count))


def test_every_epoch_shows_every_example_once_in_an_order_of_its_own(settings):
    config = settings(per_device_train_batch_size=4)
    data = examples(10)
    seen = [e.index for step in range(1, 6) for e in batch_of_step(config, data, step, 1).examples]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_mismatched_completions_come_from_the_example_before(settings):
    batch = batch_of_step(settings(shuffle=False), examples(8), 1, 1)
    mismatched = batch.mismatched(max_length=100)
    for own, other in zip(mismatched.examples, batch.examples[-1:] + batch.examples, strict=False):
        assert own.completions == other.completions
    assert [e.prompt_ids for e in mismatched.examples] == [e.prompt_ids for e in batch.examples]
