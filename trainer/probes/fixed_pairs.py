"""The fixed pairs: what the policy now thinks of both sides of the same pairs.

Their change from step 0 is Delta_w and Delta_l, the quantities that compare across methods; a
logged reward averages other pairs at every step. Beside it stands how far each side is from what
the policy itself would write: excess surprise, valley tokens, log-prob of the argmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trainer.data import Example
from trainer.probes.contract import Findings, Probe, Subject, prompt_key, side
from trainer.token_scores import CompletionScore

_COLUMNS: dict[str, Callable[[CompletionScore], float]] = {
    "logps": lambda score: score.total,
    "completion_tokens": lambda score: score.tokens,
    "entropy": lambda score: score.mean_entropy,
    "top1_rate": lambda score: score.top1_rate,
    "surprise": lambda score: score.surprise,
    "surprise_z": lambda score: score.surprise_z,
    "valley": lambda score: score.valley,
    "argmax_logps": lambda score: score.mean_argmax_logps,
}


def measure(subject: Subject) -> Findings:
    """Return one row per probe example; the side an unpaired example lacks is NaN."""
    columns: dict[str, list[Any]] = {"split": [], "pair": [], "prompt": []}
    columns |= {f"{name}/{side(label)}": [] for name in _COLUMNS for label in (True, False)}
    both = (("train", subject.probe_set.train), ("held_out", subject.probe_set.held_out))
    for split, examples in both:
        for example, scores in zip(examples, subject.score(examples), strict=True):
            columns["split"].append(split)
            columns["pair"].append(example.index)
            columns["prompt"].append(prompt_key(example))
            for label in (True, False):
                score = _of_label(example, scores, label)
                for name, value in _COLUMNS.items():
                    columns[f"{name}/{side(label)}"].append(
                        math.nan if score is None else value(score)
                    )
    return Findings(columns if columns["pair"] else {})


def _of_label(
    example: Example, scores: list[CompletionScore], label: bool
) -> CompletionScore | None:
    matching = [s for s, own in zip(scores, example.labels, strict=True) if own is label]
    return matching[0] if matching else None


PROBE = Probe("fixed_pairs", "probe", measure)
