"""Every completion token of a few pairs: where the margin comes from.

Delta of a completion is the sum over its tokens of the change of their log-probs, so groups of
tokens share out margin and common fall exactly. A shared prefix has the same context and token
on both sides: it adds nothing to the margin, and the same to both sides.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from trainer.data import Example
from trainer.probes.contract import Findings, Probe, ProbeSet, Subject, side


def measure(subject: Subject) -> Findings:
    """Return one row per scored token of both sides of the first train pairs."""
    examples = subject.probe_set.train[: subject.step.config.probe_token_pairs]
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("pair", "position", "token", "split", "side", "group", "logps", "argmax_logps")
    }
    for example, scores in zip(examples, subject.score(examples), strict=True):
        groups = groups_of(example, subject.probe_set)
        for ids, label, score, own in zip(
            example.completions, example.labels, scores, groups, strict=True
        ):
            skipped = len(ids) - score.tokens  # 1 behind an empty prompt
            columns["pair"] += [example.index] * score.tokens
            columns["position"] += range(skipped, len(ids))
            columns["token"] += ids[skipped:]
            columns["split"] += ["train"] * score.tokens
            columns["side"] += [side(label)] * score.tokens
            columns["group"] += own[skipped:]
            columns["logps"] += score.logps
            columns["argmax_logps"] += score.argmax_logps
    return Findings(columns if columns["pair"] else {})


def groups_of(example: Example, probe_set: ProbeSet) -> list[list[str]]:
    """Return the group of every token of every completion; a single one is compared to nothing."""
    sides = list(example.completions)
    other: list[Sequence[int]] = list(reversed(sides)) if len(sides) == 2 else [()] * len(sides)
    groups = [compared(ids, against) for ids, against in zip(sides, other, strict=True)]
    for ids, own in zip(sides, groups, strict=True):
        _mark_template(ids, own, probe_set)
    return groups


def compared(ids: Sequence[int], against: Sequence[int]) -> list[str]:
    """Return each token's group from the two sides alone.

    Examples
    --------
    >>> compared([1, 2, 3, 4], [1, 5, 3])
    ['shared_prefix', 'first_difference', 'shared_after', 'unique']
    """
    groups = ["unique"] * len(ids)
    if not against:
        return groups
    prefix = 0
    while prefix < min(len(ids), len(against)) and ids[prefix] == against[prefix]:
        prefix += 1
    groups[:prefix] = ["shared_prefix"] * prefix
    if prefix < len(ids):
        groups[prefix] = "first_difference"
    behind = (list(ids[prefix + 1 :]), list(against[prefix + 1 :]))
    for match in difflib.SequenceMatcher(None, *behind, autojunk=False).get_matching_blocks():
        start = prefix + 1 + match.a
        groups[start : start + match.size] = ["shared_after"] * match.size
    return groups


def _mark_template(ids: Sequence[int], groups: list[str], probe_set: ProbeSet) -> None:
    """Mark what the chat template writes: a leading block, special tokens, all behind the end."""
    block = probe_set.template_block
    if block and tuple(ids[: len(block)]) == tuple(block):
        groups[: len(block)] = ["template"] * len(block)
    special, ended = {*probe_set.template_ids}, False
    for place, token in enumerate(ids):
        if token in special or ended:
            groups[place] = "template"
        elif token in probe_set.end_ids:
            groups[place] = "eos"
            ended = True


PROBE = Probe("tokens", "tokens", measure)
