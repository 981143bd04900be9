"""E8: closer to chosen is worse where chosen is worse."""

from __future__ import annotations

from dataclasses import replace

from trainer.casebook.contract import Arm, Expectation, Experiment
from trainer.casebook.settings import APART, FROM_PLAIN

_SWAPPED = replace(APART, name="casebook-swapped", label_noise=1.0)
_FAST = {"learning_rate": 3e-4, "max_steps": 32, "eval_steps": 8}

EXPERIMENT = Experiment(
    name="E8",
    title="Chosen texts of the worse style",
    claim="Getting closer to the chosen texts is certainly fine.",
    arms=(
        Arm("good chosen", "chosen is the good style", APART, FROM_PLAIN, _FAST),
        Arm("worse chosen", "the sides are exchanged", _SWAPPED, FROM_PLAIN, _FAST),
    ),
    expectations=(
        Expectation("chosen rises with good pairs", ("good chosen", "chosen"), ">", 0.0),
        Expectation("chosen rises with worse ones too", ("worse chosen", "chosen"), ">", 0.0),
        Expectation(
            "with good pairs the policy writes better",
            ("good chosen", "gain/true_reward"),
            ">",
            0.0,
        ),
        Expectation(
            "with worse ones it writes worse, while every chart looks the same",
            ("worse chosen", "gain/true_reward"),
            "<",
            0.0,
        ),
    ),
    samples=True,
)
