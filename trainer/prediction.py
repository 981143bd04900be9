"""What the probes of step 0 foretell, as sentences that the trainer prints and logs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from diagnostics.band import Band, predicted_regime, sft_window

_WORDS = {
    "ideal": "chosen rises and rejected falls",
    "both_rise": "both sides rise",
    "both_fall": "both sides fall",
    "reversed": "chosen falls and rejected rises",
    "margin_loss": "the margin shrinks",
    "flat": "nothing moves",
}


def sentences(
    metrics: Mapping[str, float], pairs: Mapping[str, Sequence[Any]], hyper: Mapping[str, Any]
) -> list[str]:
    """Return what to expect of the first steps, and the safe window of the SFT coefficient.

    `metrics` and `pairs` are those of the entanglement probe and the virtual step; either may be
    empty, and nothing is said of what was not measured.
    """
    found = [_first_steps(metrics), _window(metrics, pairs, hyper)]
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
    metrics: Mapping[str, float], pairs: Mapping[str, Sequence[Any]], hyper: Mapping[str, Any]
) -> str:
    band = batch_band(metrics, pairs)
    pull = sft_pull(pairs, str(hyper.get("sft_reduction", "token")))
    if band is None or "sft_weight" not in hyper or not pull > 0:
        return ""
    weight = float(hyper["sft_weight"])
    window = sft_window(band, pull, weight)
    if window is None:
        return (
            "SFT coefficient: none keeps rejected from rising, to first order"
            if band.weight_rejected > 0
            else ""
        )
    ends = f"{_short(window.low)} to {_short(window.high)}"
    inside = "inside" if window.low <= weight <= window.high else "outside"
    return (
        f"SFT coefficient: chosen rises and rejected falls from {ends} to first order; "
        f"this run's {weight:g} is {inside}."
    )


def batch_band(metrics: Mapping[str, float], pairs: Mapping[str, Sequence[Any]]) -> Band | None:
    """Return the band of the probe batch in units of its mean weights, None if not measured."""
    names = ("cosine", "q_star")
    if not pairs or any(f"entanglement/{name}" not in metrics for name in names):
        return None
    chosen, rejected = (_mean(pairs[f"weight/{side}"]) for side in ("chosen", "rejected"))
    q_star, cosine = metrics["entanglement/q_star"], metrics["entanglement/cosine"]
    return Band(chosen, rejected, 1.0, q_star, cosine)


def sft_pull(pairs: Mapping[str, Sequence[Any]], reduction: str) -> float:
    """Return what an SFT coefficient of 1 adds to the mean d_w [per nat]; NaN if not known.

    The token mean adds 1 / (mean n_w) to every pair, the mean over sequences 1 / n_w to each.
    """
    lengths = [n for n in pairs.get("completion_tokens/chosen", ()) if n > 0]
    if not lengths:
        return math.nan
    if reduction == "sequence":
        return _mean([1 / n for n in lengths])
    return 1 / _mean(lengths)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _short(value: float) -> str:
    return "unknown" if math.isnan(value) else "no end" if math.isinf(value) else f"{value:.3g}"
