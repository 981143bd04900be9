"""Runs with the tables of the gradient probe, made from a few given numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd

from diagnostics.band import Band, batch_band
from diagnostics.examples import example
from diagnostics.regimes import Regime
from diagnostics.run import Run

PAIRS = 16


@cache
def base(regime: Regime, method_name: str) -> Run:
    """Return the example that runs of a regime start from; nobody changes it."""
    return example(regime, pairs=32, evaluations=4, every=50, method_name=method_name)


def entangled(
    regime: Regime | str = Regime.BOTH_FALL,
    *,
    q_star: float = 2.0,
    cosine: float = 0.8,
    weights: tuple[float, float] = (0.05, 0.05),
    tokens: Sequence[float] = (100.0,),
    steps: Sequence[int] = (0,),
    method_name: str = "dpo",
    config: Mapping[str, Any] | None = None,
    evals: Mapping[str, Mapping[int, float]] | None = None,
) -> Run:
    """Return an example of a regime with the same gradients at every evaluation of `steps`.

    `tokens` are the chosen lengths, in turn; `evals` adds metrics by step.
    """
    run = base(Regime(regime), method_name)
    table = pd.DataFrame(
        {
            "step": step,
            "pair": pair,
            "split": "train",
            "prompt": f"prompt {pair}",
            "completion_tokens/chosen": tokens[pair % len(tokens)],
            "completion_tokens/rejected": 100.0,
            "weight/chosen": weights[0],
            "weight/rejected": weights[1],
            "norm/chosen": 1.0,
            "norm/rejected": q_star,
            "cosine": cosine,
        }
        for step in steps
        for pair in range(PAIRS)
    )
    rows = run.evals.copy()
    band = batch_band([weights[0]], [weights[1]], q_star, cosine)
    metrics = {"cosine": cosine, "q_star": q_star, "q": band.q, "share": band.share}
    for name, value in metrics.items():
        rows.loc[list(steps), f"entanglement/{name}"] = value
    for name, values in (evals or {}).items():
        for step, value in values.items():
            rows.loc[step, name] = value
    return replace(
        run,
        evals=rows,
        tables={"entanglement": table},
        config={**run.config, **(config or {})},
    )


def with_sft(band: Band, extra: float) -> Band:
    """Return the band after adding `extra` to the chosen weight."""
    return replace(band, weight_chosen=band.weight_chosen + extra)
