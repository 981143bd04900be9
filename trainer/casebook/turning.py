"""E19: where the chosen side turns, for the forecast to be tried on."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Policy
from trainer.casebook.settings import FROM_PLAIN, LONG_REJECTED, PLAIN, pairs

_CONSTANT = {"lr_scheduler_type": "constant_with_warmup", "max_steps": 64, "eval_steps": 4}
_LONGER = pairs(
    "casebook-much-longer",
    "Good against bad style; one sentence against three.",
    chosen_sentences=1,
    rejected_sentences=3,
)

EXPERIMENT = Experiment(
    name="E19",
    title="Chosen turns, and comes back to where it began",
    claim="Chosen follows S_0 m - kappa m^2 / 2: it peaks at a margin of S_0 / kappa and is back "
    "at its start at twice that margin.",
    arms=(
        Arm(
            "9e-5",
            "rate 9e-5",
            LONG_REJECTED,
            FROM_PLAIN,
            {**_CONSTANT, "learning_rate": 9e-5},
            regime="rise_then_fall",
        ),
        Arm(
            "much longer",
            "rate 1e-4, one sentence against three",
            _LONGER,
            Policy(PLAIN),
            {**_CONSTANT, "learning_rate": 1e-4},
            regime="rise_then_fall",
        ),
    ),
    expectations=(
        Expectation(
            "chosen falls from its peak at the smaller rate",
            ("9e-5", "from_peak/chosen"),
            "<",
            -0.01,
        ),
    ),
)
