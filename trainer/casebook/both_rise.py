"""E2: both sides rise where they share what the policy has not learnt yet."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Policy
from trainer.casebook.settings import (
    ALIKE,
    APART,
    FORMATTED,
    FROM_ALIKE,
    FROM_HABITS,
    NOVEL_FORMAT,
    PROBED,
    after_sft,
)

EXPERIMENT = Experiment(
    name="E2",
    title="Both rise: a format that the policy has never seen, more of it on the chosen side",
    claim="Chosen and rejected can rise together although the margin grows; a typical cause is "
    "that both sides share a format or style which the policy has yet to learn.",
    arms=(
        Arm(
            "novel format",
            "both sides use a novel format, the rejected side half as often",
            NOVEL_FORMAT,
            FROM_ALIKE,
            PROBED,
            regime="both_rise",
            follow=True,
        ),
        Arm(
            "known format",
            "the same pairs, from a policy that has the format as a habit",
            NOVEL_FORMAT,
            Policy(FORMATTED),
            PROBED,
        ),
        Arm(
            "sft on rejected",
            "the same pairs, from a policy fine-tuned on the rejected side for three epochs",
            NOVEL_FORMAT,
            after_sft(ALIKE, 3, "rejected"),
            PROBED,
        ),
        Arm(
            "own samples",
            "the rejected side is sampled from the policy, the chosen style is new to it",
            APART,
            FROM_HABITS,
            PROBED,
            rejected="policy",
        ),
    ),
    expectations=(
        Expectation("rejected rises", ("novel format", "rejected"), ">", 0.0),
        Expectation("S is above 1 early", ("novel format", "early/share"), ">", 1.0),
        Expectation(
            "S comes down over the run",
            ("novel format", "share"),
            "<",
            ("novel format", "early/share"),
        ),
        Expectation(
            "once the format is known, rejected rises less",
            ("known format", "rejected"),
            "<",
            ("novel format", "rejected"),
        ),
        Expectation(
            "with the rejected side sampled from the policy, both rise early",
            ("own samples", "early/share"),
            ">",
            1.0,
        ),
        Expectation(
            "after SFT on the rejected side, both rise early",
            ("sft on rejected", "early/share"),
            ">",
            1.0,
        ),
    ),
)
