"""Advice: which remedies fit which pathology, worked out for one run.

The order is the order of the evidence: what to try first stands first.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from diagnostics import remedies
from diagnostics.reading import Reading
from diagnostics.verdicts import Advice

Remedy = Callable[[Reading], Advice | None]

REMEDIES: dict[str, tuple[Remedy, ...]] = {
    "both_rise": (),
    "both_fall": (remedies.lower_learning_rate,),
    "rise_then_fall": (remedies.raise_beta, remedies.lower_learning_rate),
    "reversed": (remedies.lower_learning_rate,),
    "margin_loss": (remedies.lower_learning_rate,),
    "flat_run": (remedies.raise_learning_rate,),
    "reference_mismatch": (),
    "saturation": (),
    "surface_cue": (),
    "kto_imbalance": (),
    "kl_stuck": (remedies.lower_learning_rate,),
    "instability": (remedies.lower_learning_rate,),
    "untrusted_numbers": (),
    "length_exploitation": (),
    "drift": (remedies.raise_beta, remedies.lower_learning_rate),
    "squeezing": (remedies.lower_learning_rate,),
    "ranking_mismatch": (),
    "off_policy_rejected": (),
    "near_duplicates": (),
    "label_flips": (),
    "frozen_weights": (remedies.raise_learning_rate,),
}


def advice(reading: Reading, pathology: str) -> tuple[Advice, ...]:
    """Return what to try against a pathology of this run, the best founded first.

    Raises
    ------
    KeyError
        For a pathology that the table does not hold; the message suggests the nearest name.
    """
    if pathology not in REMEDIES:
        near = get_close_matches(pathology, REMEDIES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise KeyError(f"there is no advice on a pathology called {pathology!r}{hint}")
    found = (remedy(reading) for remedy in REMEDIES[pathology])
    return tuple(one for one in found if one is not None)
