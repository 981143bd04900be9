"""E9: KTO beside DPO on the same pairs."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment, Remedy
from trainer.casebook.settings import FROM_PLAIN, LONG_REJECTED, PLAIN, after_sft

_RATES = {"x1": 1e-4, "x3": 3e-4, "x10": 1e-3}
_CURE = Remedy(
    "kto x10",
    "both_fall",
    "a tenth of the learning rate",
    "B",
    "Ethayarajh et al., arXiv 2402.01306, section 4.2",
)

EXPERIMENT = Experiment(
    name="E9",
    title="KTO at learning rate times 1, 3 and 10, beside DPO on the same pairs",
    claim="KTO optimises each side on its own and keeps chosen higher than DPO does; in practice "
    "its chosen side still falls slightly, which its paper calls a sign of too large a rate.",
    arms=(
        *(
            Arm(
                f"{method} {name}",
                f"{method} at learning rate {rate:g}",
                LONG_REJECTED,
                FROM_PLAIN,
                {"method": method, "learning_rate": rate, "max_steps": 32, "eval_steps": 8},
                remedy=_CURE if (method, name) == ("kto", "x1") else None,
                follow=(method, name) == ("kto", "x10"),
            )
            for method, names in (("dpo", ("x3",)), ("kto", _RATES))
            for name, rate in _RATES.items()
            if name in names
        ),
        Arm(
            "kto after sft",
            "kto at learning rate 1e-04, after three epochs of SFT on chosen",
            LONG_REJECTED,
            after_sft(PLAIN, 3),
            {"method": "kto", "max_steps": 32, "eval_steps": 8},
        ),
    ),
    expectations=(
        Expectation(
            "at the same rate KTO lowers rejected less",
            ("kto x3", "rejected"),
            ">",
            ("dpo x3", "rejected"),
        ),
        Expectation("and keeps chosen higher", ("kto x3", "chosen"), ">", ("dpo x3", "chosen")),
        Expectation("chosen rises at x1", ("kto x1", "chosen"), ">", 0.0),
        Expectation("chosen falls at x10", ("kto x10", "chosen"), "<", 0.0),
        Expectation(
            "without SFT before it, chosen ends higher",
            ("kto x1", "chosen"),
            ">",
            ("kto after sft", "chosen"),
        ),
        Expectation(
            "its losses are apart, its parameters are not: rejected falls although every "
            "completion is scored alone",
            ("kto x3", "rejected"),
            "<",
            0.0,
        ),
    ),
)
