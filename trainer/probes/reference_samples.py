"""Samples of the initial policy, scored again: the tide, and with its sign turned the drift.

For y drawn from the initial policy, E[Delta_y] = -KL(initial || current), whatever the model
(arXiv 2404.12358, Eq. 16); cutting samples at a fixed length keeps the identity for the cut text.
"""

from __future__ import annotations

from trainer.probes.contract import Findings, Probe, Subject, prompt_key


def measure(subject: Subject) -> Findings:
    """Return one row per reference sample."""
    samples = subject.probe_set.samples
    if not samples:
        return Findings()
    scores = [only for (only,) in subject.score(samples)]
    return Findings(
        {
            "sample": list(range(len(scores))),
            "prompt": [prompt_key(example) for example in samples],
            "logps": [one.total for one in scores],
            "completion_tokens": [one.tokens for one in scores],
        }
    )


PROBE = Probe("reference_samples", "samples", measure)
