"""E14: SimPO drifts with the learning rate."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import APART, FROM_PLAIN

_RATES = {"x1": 1e-4, "x10": 1e-3, "x30": 3e-3}
_CURE = Remedy(
    "simpo x30",
    "drift",
    "a thirtieth of the learning rate",
    "B",
    "Meng et al., arXiv 2405.14734, and the README of its code",
)

EXPERIMENT = Experiment(
    name="E14",
    title="SimPO and DPO, learning rate times 1, 10 and 30",
    claim="SimPO has no reference, so only a small learning rate restrains it; it drifts easily.",
    arms=tuple(
        Arm(
            f"{method} {name}",
            f"{method} at learning rate {rate:g}",
            APART,
            FROM_PLAIN,
            {"method": method, "learning_rate": rate, "max_steps": 32, "eval_steps": 8},
            remedy=_CURE if (method, name) == ("simpo", "x1") else None,
            follow=(method, name) == ("simpo", "x30"),
        )
        for method in ("dpo", "simpo")
        for name, rate in _RATES.items()
        if (method, name) != ("dpo", "x30")
    ),
    expectations=(
        Expectation(
            "SimPO's drift grows from x1 to x10",
            ("simpo x10", "drift"),
            ">",
            ("simpo x1", "drift"),
        ),
        Expectation("and to x30", ("simpo x30", "drift"), ">", ("simpo x10", "drift")),
        Expectation(
            "at x10 SimPO drifts more than DPO", ("simpo x10", "drift"), ">", ("dpo x10", "drift")
        ),
        Expectation(
            "at x1 it need not: a nat of drift buys as much margin as DPO's",
            ("simpo x1", "margin_per_drift"),
            ">",
            ("dpo x1", "margin_per_drift"),
        ),
    ),
)
