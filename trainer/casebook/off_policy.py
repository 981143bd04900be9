"""E7: the further the rejected side is from the policy, the less a nat of margin changes."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment
from trainer.casebook.settings import APART, FROM_PLAIN

_SAMPLED = {"learning_rate": 3e-4, "max_steps": 32, "eval_steps": 8}

EXPERIMENT = Experiment(
    name="E7",
    title="Rejected side from the policy itself, from another style, and random",
    claim="If the rejected texts do not come from the current model, pushing them down is wasted.",
    arms=(
        Arm(
            "own samples",
            "rejected sampled from the policy",
            APART,
            FROM_PLAIN,
            _SAMPLED,
            rejected="policy",
        ),
        Arm("other style", "rejected in the bad style", APART, FROM_PLAIN, _SAMPLED),
        Arm(
            "random words",
            "rejected of random words",
            APART,
            FROM_PLAIN,
            _SAMPLED,
            rejected="random",
        ),
    ),
    expectations=(
        Expectation(
            "random words are less on-policy than the bad style",
            ("random words", "start/surprise_z/rejected"),
            ">",
            ("other style", "start/surprise_z/rejected"),
        ),
        Expectation(
            "the bad style is less on-policy than own samples",
            ("other style", "start/surprise_z/rejected"),
            ">",
            ("own samples", "start/surprise_z/rejected"),
        ),
        Expectation(
            "more valley tokens in random words than in own samples",
            ("random words", "start/valley/rejected"),
            ">",
            ("own samples", "start/valley/rejected"),
        ),
        Expectation(
            "random words buy more margin",
            ("random words", "margin"),
            ">",
            ("own samples", "margin"),
        ),
        Expectation(
            "and less true reward a nat of margin than the bad style",
            ("random words", "gain_per_margin"),
            "<",
            ("other style", "gain_per_margin"),
        ),
        Expectation(
            "the most likely token gains more on random words than on own samples",
            ("random words", "argmax_logps/rejected"),
            ">",
            ("own samples", "argmax_logps/rejected"),
        ),
    ),
    samples=True,
)
