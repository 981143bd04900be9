"""E15: better pairs beside better losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trainer.casebook.contract import Arm, Arms, Expectation, Experiment
from trainer.casebook.settings import APART, FROM_PLAIN

_FAST = {"learning_rate": 4e-4, "max_steps": 32, "eval_steps": 8}
_SWAPS: dict[str, dict[str, Any]] = {
    "robust": {"method": "robust", "label_smoothing": 0.3},
    "ipo": {"method": "ipo"},
}


def spreads(arms: Arms) -> dict[str, float | None]:
    """Return how far the true reward differs between data, and between methods on noisy data."""
    data = [arms[f"noise {share}"].get("true_reward") for share in ("0", "0.3")]
    methods = [arms[name].get("true_reward") for name in ("noise 0.3", *_SWAPS)]
    return {"spread/data": _spread(data), "spread/methods": _spread(methods)}


def _spread(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) - min(known) if len(known) == len(values) else None


EXPERIMENT = Experiment(
    name="E15",
    title="Label noise of 0 and 30 %, and other losses at 30 %",
    claim="The quality of the data matters more than the method.",
    arms=(
        *(
            Arm(
                f"noise {share:g}",
                f"{share:.0%} of the pairs are exchanged",
                replace(APART, name=f"casebook-noise-{share:g}", label_noise=share),
                FROM_PLAIN,
                _FAST,
            )
            for share in (0.0, 0.3)
        ),
        *(
            Arm(
                name,
                f"30 % of the pairs are exchanged; {given}",
                replace(APART, name="casebook-noise-0.3", label_noise=0.3),
                FROM_PLAIN,
                {**_FAST, **given},
            )
            for name, given in _SWAPS.items()
        ),
    ),
    expectations=(
        Expectation(
            "noise costs true reward",
            ("noise 0.3", "true_reward"),
            "<",
            ("noise 0", "true_reward"),
        ),
        Expectation(
            "the data spread the true reward further than the methods do",
            ("across arms", "spread/data"),
            ">",
            ("across arms", "spread/methods"),
        ),
        Expectation(
            "a loss made for noise gains over DPO",
            ("robust", "true_reward"),
            ">",
            ("noise 0.3", "true_reward"),
        ),
    ),
    samples=True,
    derive=spreads,
)
