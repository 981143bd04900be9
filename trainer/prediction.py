"""What the probes of step 0 foretell, as sentences that the trainer prints and logs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostics.band import Band, batch_band, predicted_regime, sft_pull, sft_window
from diagnostics.methods import METHODS

_WORDS = {
    "ideal": "chosen rises and rejected falls",
    "both_rise": "both sides rise",
    "both_fall": "both sides fall",
    "reversed": "chosen falls and rejected rises",
    "margin_loss": "the margin shrinks",
    "flat": "nothing moves",
}


def sentences(
    metrics: Mapping[str, float], pairs: Mapping[str, Sequence[Any]], method: str, hyper: Any
) -> list[str]:
    """Return what to expect of the first steps, and the safe window of the SFT coefficient.

    `metrics` and `pairs` are those of the entanglement probe and the virtual step, `hyper` are the
    settings of the loss. Nothing is said of what was not measured.
    """
    found = [_first_steps(metrics), _window(metrics, pairs, method, hyper)]
    return [sentence for sentence in found if sentence]


def _first_steps(metrics: Mapping[str, float]) -> str:
    parts = []
    names = ("cosine", "q", "q_star")
    if all(f"entanglement/{name}" in metrics for name in names):
        rho, q, q_star = (metrics[f"entanglement/{name}"] for name in names)
        # Only the ratios matter to the signs.
        band = Band(min(q, 1e300), 1.0, 1.0, q_star, rho)
        if band.regime in _WORDS:
            share = metrics.get("entanglement/share", math.nan)
            parts.append(
                f"by the pairs' gradients, {_WORDS[band.regime]} (q {_short(q)}, band "
                f"{_short(max(0.0, band.low))} to {_short(band.high)}, share {_short(share)})"
            )
    chosen, rejected = (metrics.get(f"virtual_step/{side}") for side in ("chosen", "rejected"))
    if chosen is not None and rejected is not None:
        parts.append(
            f"in one trial step, {_WORDS[predicted_regime(chosen, rejected)]} (chosen "
            f"{chosen:+.2g}, rejected {rejected:+.2g} nats; curvature "
            f"{_short(metrics.get('curvature', math.nan))})"
        )
    return f"First steps: {'; '.join(parts)}." if parts else ""


def _window(
    metrics: Mapping[str, float], pairs: Mapping[str, Sequence[Any]], method: str, hyper: Any
) -> str:
    names = ("entanglement/q_star", "entanglement/cosine")
    if not pairs or "sft_weight" not in hyper or any(name not in metrics for name in names):
        return ""
    weights = [pairs[f"weight/{side}"] for side in ("chosen", "rejected")]
    band = batch_band(weights[0], weights[1], metrics[names[0]], metrics[names[1]])
    pull = sft_pull(pairs["completion_tokens/chosen"], str(hyper.get("sft_reduction", "token")))
    if not METHODS[method].paired:
        # An unpaired loss is a mean over completions, its SFT term over the desirable ones.
        completions = sum(value == value for side in weights for value in side)
        pull *= completions / len(weights[0])
    weight = float(hyper["sft_weight"])
    window = sft_window(band, pull, weight)
    if window is None:
        known = band.weight_rejected > 0 and pull > 0
        return "SFT coefficient: rejected rises with any, to first order." if known else ""
    inside = "inside" if window.low <= weight <= window.high else "outside"
    return (
        f"SFT coefficient: chosen rises and rejected falls from {_short(window.low)} to "
        f"{_short(window.high)}, to first order; this run's {weight:g} is {inside}."
    )


def _short(value: float) -> str:
    return "unknown" if math.isnan(value) else "no end" if math.isinf(value) else f"{value:.3g}"
