"""The fixed pairs: what the policy now thinks of both sides of the same pairs.

Their change from step 0 is Delta_w and Delta_l, the quantities that compare across methods; a
logged reward averages other pairs at every step.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from trainer.data import Example
from trainer.probes.contract import CompletionScore, Probe, ProbeSet, Scorer


def prompt_key(example: Example) -> str:
    """Return a short name of the prompt, equal for equal prompts."""
    ids = ",".join(map(str, example.prompt_ids))
    return hashlib.sha256(ids.encode()).hexdigest()[:12]


def measure(probe_set: ProbeSet, score: Scorer) -> dict[str, list[Any]]:
    """Return one row per probe example; the side an unpaired example lacks is NaN."""
    columns: dict[str, list[Any]] = {"split": [], "pair": [], "prompt": []}
    for name in ("logps", "completion_tokens", "entropy", "top1_rate"):
        columns |= {f"{name}/chosen": [], f"{name}/rejected": []}
    for split, examples in (("train", probe_set.train), ("held_out", probe_set.held_out)):
        for example, scores in zip(examples, score(examples), strict=True):
            columns["split"].append(split)
            columns["pair"].append(example.index)
            columns["prompt"].append(prompt_key(example))
            for side, label in (("chosen", True), ("rejected", False)):
                _append_side(columns, side, _of_label(example, scores, label))
    return columns if columns["pair"] else {}


def _of_label(
    example: Example, scores: list[CompletionScore], label: bool
) -> CompletionScore | None:
    matching = [s for s, own in zip(scores, example.labels, strict=True) if own is label]
    return matching[0] if matching else None


def _append_side(columns: dict[str, list[Any]], side: str, score: CompletionScore | None) -> None:
    if score is None:
        score = CompletionScore(math.nan, math.nan, math.nan, math.nan)
    columns[f"logps/{side}"].append(score.logps)
    columns[f"completion_tokens/{side}"].append(score.tokens)
    columns[f"entropy/{side}"].append(score.entropy / score.tokens)
    columns[f"top1_rate/{side}"].append(score.top1 / score.tokens)


PROBE = Probe("fixed_pairs", "probe", measure)
