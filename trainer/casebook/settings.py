"""The corpora, the pairs and the policies that several experiments share.

Sentences are short and few, so that a training takes seconds.
"""

from __future__ import annotations

from typing import Any

from trainer.casebook.contract import Policy
from trainer.language import Setting


def corpus(name: str, description: str, **given: Any) -> Setting:
    """Return a setting of which only the warm-up corpus is used: texts of one to three sentences.

    It is drawn apart from every preference set, so several sets can start from one policy.
    """
    lengths = {"chosen_sentences": 1, "rejected_sentences": 3, "pairs": 0}
    return Setting(name, description, None, warm_up_documents=1000, **{**lengths, **given})


def pairs(name: str, description: str, **given: Any) -> Setting:
    """Return a setting of which only the pairs are used: two sentences a side unless given."""
    lengths = {"chosen_sentences": 2, "rejected_sentences": 2, "pairs": 320}
    return Setting(name, description, None, **{**lengths, **given})


PLAIN = corpus("casebook-plain", "All three styles alike, no format.")
HABITS = corpus(
    "casebook-habits",
    "The policy's habits are mostly style B.",
    warm_up_styles=(0.0, 0.8, 0.2),
)
ALIKE = corpus("casebook-alike", "The styles share most of their transitions.", overlap=0.7)
FORMATTED = corpus(
    "casebook-formatted", "As alike, and the format is a habit.", overlap=0.7, warm_up_format=0.75
)

APART = pairs("casebook-apart", "Good against bad style, drawn on their own.")
LONG_REJECTED = pairs(
    "casebook-long-rejected",
    "Good against bad style; the rejected side is a sentence longer.",
    rejected_sentences=3,
)
EDITED = pairs(
    "casebook-edited",
    "The rejected side is the chosen one with four style words replaced.",
    edits=4,
)
NOVEL_FORMAT = pairs(
    "casebook-novel-format",
    "Both sides use a format that the policy has never seen, the rejected side half as often.",
    overlap=0.7,
    chosen_format=1.0,
    rejected_format=0.5,
)

FROM_PLAIN = Policy(PLAIN)
FROM_HABITS = Policy(HABITS)
FROM_ALIKE = Policy(ALIKE)


def after_sft(base: Setting, epochs: int, side: str = "chosen") -> Policy:
    """Return the policy of a corpus after epochs of fine-tuning on one side of the pairs."""
    return Policy(base, side, epochs)


# Looking into a policy, not only scoring it, costs as much as training it.
GRADIENTS = {"probe_entanglement_pairs": 8, "probe_virtual_steps": 4}
PROBED = {
    "probe_entanglement_pairs": 12,
    "probe_token_pairs": 12,
    "probe_family_prompts": 12,
    "probe_virtual_steps": 4,
}
