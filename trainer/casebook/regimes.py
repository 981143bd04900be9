"""E0: the regimes, each by its published cause."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment
from trainer.casebook.settings import (
    APART,
    FROM_ALIKE,
    FROM_HABITS,
    FROM_PLAIN,
    LONG_REJECTED,
    NOVEL_FORMAT,
    PLAIN,
    after_sft,
)

EXPERIMENT = Experiment(
    name="E0",
    title="Four regimes, each by its published cause",
    claim="Ideal, both rise, both fall and rise-then-fall follow from what the policy knew before "
    "and from how far it is trained; the diagnosis should name each.",
    arms=(
        Arm(
            "new style",
            "the policy's habits are the rejected style, the chosen style is new to it",
            APART,
            FROM_HABITS,
            regime="ideal",
        ),
        Arm(
            "plain policy",
            "the policy knows both styles; the rejected side is longer",
            LONG_REJECTED,
            FROM_PLAIN,
            {"max_steps": 32, "eval_steps": 4},
            regime="ideal",
        ),
        Arm(
            "novel format",
            "both sides use a format new to the policy, the rejected side half as often",
            NOVEL_FORMAT,
            FROM_ALIKE,
            {"learning_rate": 2e-4},
            regime="both_rise",
        ),
        Arm(
            "sft on chosen",
            "four epochs of SFT on the chosen side came before",
            LONG_REJECTED,
            after_sft(PLAIN, 4),
            {"learning_rate": 2e-4},
            regime="both_fall",
        ),
        Arm(
            "trained on",
            "as the plain policy, but trained three times as long",
            LONG_REJECTED,
            FROM_PLAIN,
            {"max_steps": 96, "eval_steps": 8},
            regime="rise_then_fall",
        ),
        Arm(
            "trained on, new style",
            "as the new style, at three times the rate and half as long again",
            APART,
            FROM_HABITS,
            {"max_steps": 72, "learning_rate": 3e-4},
            regime="rise_then_fall",
        ),
    ),
    expectations=(
        Expectation(
            "trained on, chosen falls from its peak",
            ("trained on", "from_peak/chosen"),
            "<",
            -0.02,
        ),
    ),
)
