"""E11: ORPO's weight of the odds ratio."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import APART, FROM_PLAIN

_WEIGHTS = (0.1, 0.5, 1.0, 3.0)
_FAST = {"learning_rate": 3e-4}
_CURE = Remedy(
    "lambda 0.1",
    "both_rise",
    "lambda 0.5 instead of 0.1",
    "B",
    "Hong et al., arXiv 2403.07691, appendix E, figure 9",
)

EXPERIMENT = Experiment(
    name="E11",
    title="ORPO with lambda 0.1 to 3, beside SFT alone",
    claim="At its usual weight of 0.1 the SFT part of ORPO dominates: rejected rises with chosen. "
    "Larger weights turn rejected down (arXiv 2403.07691, figure 9).",
    arms=(
        *(
            Arm(
                f"lambda {weight:g}",
                f"ORPO with lambda {weight:g}",
                APART,
                FROM_PLAIN,
                {**_FAST, "method": "orpo", "beta": weight},
                regime="both_rise" if weight == 0.1 else None,
                remedy=_CURE if weight == 0.5 else None,
                follow=weight == 0.1,
            )
            for weight in _WEIGHTS
        ),
        Arm("sft", "SFT on chosen alone", APART, FROM_PLAIN, {**_FAST, "method": "sft"}),
    ),
    expectations=(
        Expectation("rejected rises at 0.1", ("lambda 0.1", "rejected"), ">", 0.0),
        Expectation("and under SFT alone", ("sft", "rejected"), ">", 0.0),
        Expectation(
            "0.5 lifts rejected less than 0.1",
            ("lambda 0.5", "rejected"),
            "<",
            ("lambda 0.1", "rejected"),
        ),
        Expectation("1 less than 0.5", ("lambda 1", "rejected"), "<", ("lambda 0.5", "rejected")),
        Expectation("3 less than 1", ("lambda 3", "rejected"), "<", ("lambda 1", "rejected")),
        Expectation("at 3, rejected falls", ("lambda 3", "rejected"), "<", 0.0),
    ),
)
