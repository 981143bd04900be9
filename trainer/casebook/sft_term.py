"""E6: the SFT term and its safe window."""

from __future__ import annotations

import math
from itertools import pairwise

from trainer.casebook.contract import Arm, Arms, Expectation, Experiment, Numbers, Remedy
from trainer.casebook.settings import FROM_ALIKE, pairs

_WEIGHTS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)
_NONE = "g 0"
# The window is that of all probe pairs, as are the changes that it is held against.
_LOOKED_INTO = {"probe_entanglement_pairs": 48, "probe_virtual_steps": 0, "eval_steps": 6}
_CURE = Remedy(
    _NONE,
    "both_fall",
    "an SFT term of 1.6",
    "A",
    "Pang et al., arXiv 2404.19733; Razin et al., arXiv 2410.08847, appendix E",
)
# The shared format makes the gradients of both sides overlap, and rejected has more of it.
_SHARED = pairs(
    "casebook-shared-format",
    "Both sides use a novel format, chosen in a third of its sentences, rejected in all.",
    overlap=0.7,
    chosen_format=0.33,
    rejected_format=1.0,
)


def flips(arms: Arms) -> dict[str, float | None]:
    """Return where chosen stops falling and rejected starts rising, predicted and observed.

    Predicted from the gradients before the first step: g_min = n_w d_l (rho q* - 1), and
    g_max = n_w d_l (q*/rho - 1), with q = 1 for DPO. Observed at the first evaluation, between the
    two weights that give opposite signs, on a logarithmic scale.
    """
    found: dict[str, float | None] = {
        "g_min/observed": _flip(arms, "early/chosen"),
        "g_max/observed": _flip(arms, "early/rejected"),
        **_predicted(arms[_NONE]),
    }
    for edge in ("g_min", "g_max"):
        one, other = found[f"{edge}/observed"], found.get(f"{edge}/predicted")
        if one and other:
            found[f"{edge}/factor"] = math.exp(abs(math.log(one / other)))
    return found


def _predicted(start: Numbers) -> dict[str, float | None]:
    rho, q_star = start.get("start/entanglement/cosine"), start.get("start/entanglement/q_star")
    tokens, pull = start.get("tokens/chosen"), start.get("start/weight/rejected")
    if rho is None or q_star is None or tokens is None or pull is None:
        return {}
    return {
        "g_min/predicted": max(0.0, tokens * pull * (rho * q_star - 1)),
        "g_max/predicted": tokens * pull * (q_star / rho - 1) if rho > 0 else None,
    }


def _flip(arms: Arms, quantity: str) -> float | None:
    """Return the weight at which a quantity turns positive; None where it never does."""
    values = [(g, arms[f"g {g:g}"].get(quantity)) for g in _WEIGHTS]
    known = [(g, value) for g, value in values if value is not None]
    for (low, below), (high, above) in pairwise(known):
        if below < 0 <= above:
            share = -below / (above - below)
            return low + share * (high - low)
    return None


EXPERIMENT = Experiment(
    name="E6",
    title="An SFT term of growing weight on pairs that share a format, rejected more of it",
    claim="Weighting in some SFT loss keeps the model near where it was. The gradients before the "
    "first step give a window: below g_min chosen falls, above g_max rejected rises.",
    arms=tuple(
        Arm(
            f"g {g:g}",
            f"SFT term of weight {g:g}",
            _SHARED,
            FROM_ALIKE,
            {**(_LOOKED_INTO if g == 0 else {}), "sft_weight": g},
            regime="both_fall" if g == 0 else None,
            remedy=_CURE if g == 1.6 else None,
            follow=g == 0,
        )
        for g in _WEIGHTS
    ),
    expectations=(
        Expectation(
            "the larger the weight, the higher chosen ends: 1.6 against 0",
            ("g 1.6", "chosen"),
            ">",
            ("g 0", "chosen"),
        ),
        Expectation("10 against 1.6", ("g 10", "chosen"), ">", ("g 1.6", "chosen")),
        Expectation("at 10, rejected rises early", ("g 10", "early/rejected"), ">", 0.0),
        Expectation(
            "chosen stops falling within a factor of 2 of g_min",
            ("across arms", "g_min/factor"),
            "<",
            2.0,
        ),
        Expectation(
            "rejected starts rising within a factor of 2 of g_max",
            ("across arms", "g_max/factor"),
            "<",
            2.0,
        ),
        Expectation(
            "the SFT term keeps the policy nearer to where it was (less drift at 1.6 than at 0)",
            ("g 1.6", "drift"),
            "<",
            ("g 0", "drift"),
        ),
    ),
    derive=flips,
    kept=(
        *("early/chosen", "early/rejected", "tokens/chosen", "start/weight/rejected"),
        *("start/entanglement/cosine", "start/entanglement/q_star"),
    ),
)
