"""E10: KTO on labels out of balance."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import FROM_PLAIN, pairs

_LABELS = pairs("casebook-labels", "Good and bad style; one label a prompt.", pairs=704)
_WEIGHTS = (1.0, 5.0, 13.0)
_CURE = Remedy(
    "lambda 1",
    "kto_imbalance",
    "lambda_D 13, so that lambda_D n_D / (lambda_U n_U) is 1.3",
    "B",
    "Ethayarajh et al., arXiv 2402.01306, equation 9",
)

EXPERIMENT = Experiment(
    name="E10",
    title="KTO with one desirable label for ten undesirable ones",
    claim="With labels out of balance the majority side dominates, and weights repair it.",
    arms=tuple(
        Arm(
            f"lambda {weight:g}",
            f"lambda_D {weight:g}",
            _LABELS,
            FROM_PLAIN,
            {
                "method": "kto",
                "desirable_weight": weight,
                "learning_rate": 3e-4,
                "max_steps": 40,
                "eval_steps": 10,
            },
            labels=(1, 10),
            remedy=_CURE if weight == 13.0 else None,
            follow=weight == 1.0,
        )
        for weight in _WEIGHTS
    ),
    expectations=(
        Expectation(
            "at weight 1 the majority moves further than the minority",
            ("lambda 1", "size/rejected"),
            ">",
            ("lambda 1", "size/chosen"),
        ),
        Expectation(
            "chosen ends higher at 5 than at 1",
            ("lambda 5", "chosen"),
            ">",
            ("lambda 1", "chosen"),
        ),
        Expectation("and higher still at 13", ("lambda 13", "chosen"), ">", ("lambda 5", "chosen")),
    ),
)
