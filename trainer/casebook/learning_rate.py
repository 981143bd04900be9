"""E4: a larger learning rate lowers both sides."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import FROM_PLAIN, GRADIENTS, LONG_REJECTED

_RATES = {"x1": 1e-4, "x3": 3e-4, "x10": 1e-3, "x30": 3e-3}
_CURE = Remedy(
    "x10",
    "both_fall",
    "a tenth of the learning rate",
    "B",
    "Ethayarajh et al., arXiv 2402.01306, section 4.2; the README of SimPO's code",
)

EXPERIMENT = Experiment(
    name="E4",
    title="Learning rate times 1, 3, 10 and 30 on pairs that are ideal at 1",
    claim="Too large a step pushes both sides down: log-probabilities are concave in the weights "
    "to second order, so what a step really does stays below its first-order promise.",
    arms=tuple(
        Arm(
            name,
            f"learning rate {rate:g}",
            LONG_REJECTED,
            FROM_PLAIN,
            {
                **GRADIENTS,
                "learning_rate": rate,
                "max_steps": 32,
                "eval_steps": 8,
                "warmup_ratio": 0.0,
            },
            regime={"x10": "both_fall", "x30": "both_fall"}.get(name),
            remedy=_CURE if name == "x1" else None,
            follow=name == "x10",
        )
        for name, rate in _RATES.items()
    ),
    expectations=(
        Expectation("S falls from x1 to x3", ("x3", "share"), "<", ("x1", "share")),
        Expectation("S falls from x3 to x10", ("x10", "share"), "<", ("x3", "share")),
        Expectation("both fall at x10: chosen", ("x10", "chosen"), "<", 0.0),
        Expectation("both fall at x10: rejected", ("x10", "rejected"), "<", 0.0),
        Expectation(
            "the curvature of one step grows with the rate",
            ("x30", "start/curvature"),
            ">",
            ("x1", "start/curvature"),
        ),
        Expectation(
            "one step at x30 falls short of half its first-order promise",
            ("x30", "start/curvature"),
            ">",
            0.5,
        ),
    ),
)
