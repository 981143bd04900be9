"""Response families: which texts, beside the pairs themselves, gain and lose probability.

A negative gradient on unlikely text moves probability to the argmax and takes it from everything
else, also from texts that no pair holds (the squeezing effect, arXiv 2407.10490, section 3.3).
The families are those of its section 4 that need no other model.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from trainer.data import Example
from trainer.probes.contract import Findings, Probe, Subject, prompt_key
from trainer.token_scores import CompletionScore

MADE = ("other_chosen", "shuffled_chosen", "random_tokens")


def make(
    examples: Sequence[Example], vocabulary: Sequence[int], end_ids: Sequence[int], seed: int
) -> tuple[Example, ...]:
    """Return one example a prompt whose completions are the families `MADE`.

    The other prompt is that of the next example; only a desirable completion stands for a prompt.
    An end-of-sequence token stays at the end, and so does what stands behind it.
    """
    draw = random.Random(f"{seed}-families")
    desirable = [_chosen(example) for example in examples]
    known = [(example, ids) for example, ids in zip(examples, desirable, strict=True) if ids]
    made = []
    for place, (example, ids) in enumerate(known):
        other = known[(place + 1) % len(known)][1]
        last = next((i for i, token in enumerate(ids) if token in end_ids), len(ids))
        shuffled = list(ids[:last])
        draw.shuffle(shuffled)
        noise = [draw.choice(vocabulary) for _ in ids[:last]]
        completions = (other, (*shuffled, *ids[last:]), (*noise, *ids[last:]))
        made.append(
            dataclasses.replace(
                example,
                completions=completions,
                labels=(False,) * len(MADE),
                completion_texts=("",) * len(MADE),
            )
        )
    return tuple(made)


def measure(subject: Subject) -> Findings:
    """Return one row per prompt and family."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("pair", "family", "prompt", *("logps", "completion_tokens"), "argmax_logps")
    } | {"entropy": []}

    def add(example: Example, family: str, score: CompletionScore) -> None:
        columns["pair"].append(example.index)
        columns["family"].append(family)
        columns["prompt"].append(prompt_key(example))
        columns["logps"].append(score.total)
        columns["completion_tokens"].append(score.tokens)
        columns["argmax_logps"].append(score.mean_argmax_logps)
        columns["entropy"].append(score.mean_entropy)

    probe_set = subject.probe_set
    places = {example.index for example in probe_set.families}
    for example, scores in zip(probe_set.train, subject.score(probe_set.train), strict=True):
        if example.index in places:
            for label, score in zip(example.labels, scores, strict=True):
                add(example, "chosen" if label else "rejected", score)
    first = {example.index: example for example in reversed(probe_set.samples)}
    for example, scores in zip(probe_set.samples, subject.score(probe_set.samples), strict=True):
        if example.index in places and example is first[example.index]:
            add(example, "initial_sample", scores[0])
    for example, scores in zip(probe_set.families, subject.score(probe_set.families), strict=True):
        for family, score in zip(MADE, scores, strict=True):
            add(example, family, score)
    return Findings(columns if columns["pair"] else {})


def _chosen(example: Example) -> tuple[int, ...]:
    for ids, label in zip(example.completions, example.labels, strict=True):
        if label:
            return tuple(ids)
    return ()


PROBE = Probe("families", "families", measure)
