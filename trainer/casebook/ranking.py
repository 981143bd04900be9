"""E12: reward accuracy is not ranking accuracy."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment
from trainer.casebook.settings import APART, FROM_PLAIN, pairs

_LONG = pairs(
    "casebook-long",
    "Chosen three sentences, rejected one.",
    chosen_sentences=3,
    rejected_sentences=1,
)
_SHORT = pairs(
    "casebook-short",
    "Chosen one sentence, rejected three.",
    chosen_sentences=1,
    rejected_sentences=3,
)

_SHORTER = {"learning_rate": 2e-4, "max_steps": 32, "eval_steps": 8}

EXPERIMENT = Experiment(
    name="E12",
    title="Reward accuracy beside ranking accuracy, for long and for short chosen sides",
    claim="Half of DPO's results violate the order of likelihoods that inference needs: a reward "
    "accuracy near 1 says nothing about which side is likelier (arXiv 2405.19534).",
    arms=(
        Arm("long chosen", "chosen three sentences, rejected one", _LONG, FROM_PLAIN, _SHORTER),
        Arm("alike", "two sentences each", APART, FROM_PLAIN, _SHORTER),
        Arm("short chosen", "chosen one sentence, rejected three", _SHORT, FROM_PLAIN, _SHORTER),
    ),
    expectations=(
        Expectation(
            "reward accuracy is high with long chosen",
            ("long chosen", "reward_accuracy"),
            ">",
            0.9,
        ),
        Expectation("and ranking accuracy low", ("long chosen", "ranking_accuracy"), "<", 0.3),
        Expectation(
            "ranking accuracy is high with short chosen",
            ("short chosen", "ranking_accuracy"),
            ">",
            0.9,
        ),
        Expectation(
            "with equal lengths both accuracies differ",
            ("alike", "ranking_accuracy"),
            "<",
            ("alike", "reward_accuracy"),
        ),
        Expectation(
            "long chosen has further to go until its order flips",
            ("long chosen", "distance_to_flip"),
            ">",
            ("alike", "distance_to_flip"),
        ),
    ),
)
