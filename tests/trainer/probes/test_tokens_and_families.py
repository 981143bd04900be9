"""Groups of tokens, and texts made from others."""

from __future__ import annotations

import dataclasses
from collections import Counter

import torch

from tests.trainer.probes.toys import Markov, pair, subject_of
from trainer.data import Example
from trainer.probes import families, tokens
from trainer.probes.contract import ProbeSet

END, BREAK, THINK, ENDED = 90, 91, 92, 93
SET = ProbeSet(
    (), (), (), end_ids=(END,), template_ids=(THINK, ENDED), template_block=(THINK, 8, ENDED, 8)
)


def groups(chosen: list[int], rejected: list[int]) -> list[list[str]]:
    short = {
        "shared_prefix": "prefix",
        "first_difference": "first",
        "shared_after": "after",
        "unique": "own",
    }
    found = tokens.groups_of(pair(0, chosen, rejected), SET)
    return [[short.get(name, name) for name in side] for side in found]


def test_tokens_are_told_apart_by_where_the_sides_differ():
    chosen, rejected = groups([1, 2, 3, 5, 6, END], [1, 2, 4, 5, 7, 6, END])
    assert chosen == ["prefix", "prefix", "first", "after", "after", "eos"]
    assert rejected == ["prefix", "prefix", "first", "after", "own", "after", "eos"]


def test_a_side_that_the_other_begins_with_has_no_first_difference():
    chosen, rejected = groups([1, 2], [1, 2, 3])
    assert chosen == ["prefix", "prefix"]
    assert rejected == ["prefix", "prefix", "first"]


def test_an_empty_think_block_and_what_follows_the_end_are_the_templates():
    block = [THINK, 8, ENDED, 8]
    chosen, rejected = groups([*block, 8, 3, END, BREAK], [*block, 4, END, BREAK])
    assert chosen == ["template"] * 4 + ["first", "own", "eos", "template"]
    assert rejected == ["template"] * 4 + ["first", "eos", "template"]
    # Thinking that says something is text, but its marks are not.
    thought, _ = groups([THINK, 5, ENDED, 6], [1])
    assert thought == ["template", "own", "template", "own"]


def test_a_single_completion_is_compared_with_nothing():
    alone = Example((0,), ((1, 2, END),), (True,), 0, "", ("",))
    assert tokens.groups_of(alone, SET) == [["unique", "unique", "eos"]]


def test_the_table_holds_every_token_of_the_first_pairs_and_sums_to_the_log_probs():
    torch.manual_seed(0)
    examples = [pair(7, [1, 2, 3], [1, 4]), pair(9, [2], [3, 3]), pair(11, [1], [2])]
    subject = subject_of(Markov(torch.randn(6, 6)), examples, probe_token_pairs=2)
    columns = tokens.measure(subject).columns
    assert columns["pair"] == [7] * 5 + [9] * 3
    assert columns["side"] == ["chosen"] * 3 + ["rejected"] * 2 + ["chosen"] + ["rejected"] * 2
    assert columns["position"] == [0, 1, 2, 0, 1, 0, 0, 1]
    assert columns["token"] == [1, 2, 3, 1, 4, 2, 3, 3]
    (chosen, _), *_ = subject.score(examples)
    assert sum(columns["logps"][:3]) == chosen.total
    assert not tokens.measure(
        subject_of(Markov(torch.randn(6, 6)), examples, probe_token_pairs=0)
    ).columns


def test_families_are_made_of_the_same_prompts_and_are_the_same_every_time():
    examples = [pair(i, [10 + i, 20 + i, 30 + i, END], [1, END], (i,)) for i in range(3)]
    vocabulary = range(40, 60)
    made = families.make(examples, vocabulary, (END,), seed=0)
    assert made == families.make(examples, vocabulary, (END,), seed=0)
    assert made != families.make(examples, vocabulary, (END,), seed=1)
    for place, (example, own) in enumerate(zip(examples, made, strict=True)):
        other, shuffled, noise = own.completions
        chosen = example.completions[0]
        assert own.prompt_ids == example.prompt_ids
        assert other == examples[(place + 1) % 3].completions[0]
        assert Counter(shuffled) == Counter(chosen)
        assert shuffled[-1] == noise[-1] == END
        assert len(noise) == len(chosen)
        assert set(noise[:-1]) <= set(vocabulary)


def test_each_family_is_scored_under_its_own_name():
    torch.manual_seed(0)
    examples = [pair(i, [1, 2, 3], [4, i], (0,)) for i in range(2)]
    subject = subject_of(Markov(torch.randn(6, 6)), examples)
    made = families.make(examples, range(6), (), seed=0)
    samples = tuple(
        dataclasses.replace(one, completions=((5, 5),), labels=(True,)) for one in examples
    )
    subject = dataclasses.replace(
        subject, probe_set=dataclasses.replace(subject.probe_set, families=made, samples=samples)
    )
    columns = families.measure(subject).columns
    found = dict(
        zip(zip(columns["pair"], columns["family"], strict=True), columns["logps"], strict=True)
    )
    assert len(found) == 12
    logs = subject.step.policy.table_VV.detach().log_softmax(-1)

    def logp(*ids: int) -> float:
        return float(sum(logs[a, b] for a, b in zip((0, *ids), ids, strict=False)))

    for place in (0, 1):
        assert abs(found[place, "chosen"] - logp(1, 2, 3)) < 1e-5
        assert abs(found[place, "rejected"] - logp(4, place)) < 1e-5
        assert abs(found[place, "initial_sample"] - logp(5, 5)) < 1e-5
        for name, ids in zip(families.MADE, made[place].completions, strict=True):
            assert abs(found[place, name] - logp(*ids)) < 1e-5
