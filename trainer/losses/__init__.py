"""The losses: one method a file, pure functions of log-probabilities.

A loss returns one value per example; the training step takes the mean and adds the SFT term.
To add one, write its file, list it here and describe it in `diagnostics.methods`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from diagnostics.methods import METHODS
from trainer.losses import (
    aot,
    aot_unpaired,
    apo_down,
    apo_zero,
    bco_pair,
    cpo,
    discopop,
    dpo,
    exo_pair,
    hinge,
    ipo,
    kto,
    nca_pair,
    orpo,
    robust,
    sft,
    sigmoid_norm,
    simpo,
    sppo_hard,
)
from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps, UnpairedLogps

__all__ = [
    "LOSSES",
    "LOSS_BY_NAME",
    "Loss",
    "LossOptions",
    "LossTerms",
    "PairedLogps",
    "UnpairedLogps",
    "options_for",
]

LOSSES: tuple[Loss, ...] = (
    dpo.LOSS,
    ipo.LOSS,
    hinge.LOSS,
    robust.LOSS,
    exo_pair.LOSS,
    nca_pair.LOSS,
    bco_pair.LOSS,
    sppo_hard.LOSS,
    aot.LOSS,
    aot_unpaired.LOSS,
    apo_zero.LOSS,
    apo_down.LOSS,
    discopop.LOSS,
    sigmoid_norm.LOSS,
    kto.LOSS,
    orpo.LOSS,
    simpo.LOSS,
    cpo.LOSS,
    sft.LOSS,
)

LOSS_BY_NAME: dict[str, Loss] = {loss.name: loss for loss in LOSSES}


def options_for(name: str, given: Mapping[str, Any] | None = None) -> LossOptions:
    """Return a loss's options: its method's defaults, overridden by what `given` sets.

    None in `given` means not set; settings that are not a loss's are left out.

    Raises
    ------
    ConfigError
        For a value out of range.

    Examples
    --------
    >>> options_for("simpo", {"gamma": 1.0, "beta": None})
    LossOptions(beta=2.0, label_smoothing=0.0, gamma=1.0, ...)
    """
    hyper = METHODS[name].hyper(given)
    known = {field.name for field in fields(LossOptions)}
    return LossOptions(**{key: value for key, value in hyper.items() if key in known})
