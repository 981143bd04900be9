"""Samples of the initial policy, scored again: the tide, and with its sign turned the drift.

For y drawn from the initial policy, E[Delta_y] = -KL(initial || current), whatever the model
(arXiv 2404.12358, Eq. 16); cutting samples at a fixed length keeps the identity for the cut text.
"""

from __future__ import annotations

from typing import Any

from trainer.probes.contract import Probe, ProbeSet, Scorer
from trainer.probes.fixed_pairs import prompt_key


def measure(probe_set: ProbeSet, score: Scorer) -> dict[str, list[Any]]:
    """Return one row per reference sample."""
    if not probe_set.samples:
        return {}
    scores = [only for (only,) in score(probe_set.samples)]
    return {
        "sample": list(range(len(scores))),
        "prompt": [prompt_key(example) for example in probe_set.samples],
        "logps": [one.logps for one in scores],
        "completion_tokens": [one.tokens for one in scores],
    }


PROBE = Probe("reference_samples", "samples", measure)
