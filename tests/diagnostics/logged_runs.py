"""Runs that hold logged rewards only, made from a known change of the log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.run import Run, Source

BETA_DELTA = Meaning(Base.LOGRATIO_SUM, 0.1, Scope.WINDOW, "beta is 0.1 in the configuration")
NOT_KNOWN = Meaning(Base.LOGRATIO_SUM, None, Scope.WINDOW, "beta is not in the log")
FIRST_RECORD = Meaning(Base.LOGPS_MEAN, 2.0, Scope.WINDOW, "beta is 2 in the configuration")


def logged_run(
    chosen: Sequence[float] | np.ndarray,
    rejected: Sequence[float] | np.ndarray,
    *,
    meaning: Meaning | None = BETA_DELTA,
    steps: Sequence[int] | np.ndarray | None = None,
    method: str | None = "dpo",
    tokens: float | None = None,
    rows: str = "train",
    margins: Sequence[float] | np.ndarray | None = None,
) -> Run:
    """Return a run whose log holds these rewards, with lengths where `tokens` is given."""
    index = np.arange(1, len(chosen) + 1) * 10 if steps is None else np.asarray(steps)
    frame = pd.DataFrame(
        {"rewards/chosen": chosen, "rewards/rejected": rejected},
        index=pd.Index(index.astype(np.int64), name="step"),
        dtype=np.float64,
    )
    if margins is not None:
        frame["rewards/margins"] = np.asarray(margins, dtype=np.float64)
    if tokens is not None:
        for side in ("chosen", "rejected"):
            frame[f"completion_tokens/{side}"] = tokens
    run = Run(
        name="logged",
        method=method,
        source=Source(path="nowhere", reader="trainer_state", framework="trl"),
        meaning=meaning,
    )
    return replace(run, **{rows: frame})


def noisy(
    end: tuple[float, float],
    points: int = 60,
    size: float = 0.02,
    seed: int = 0,
    start: tuple[float, float] = (0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Return two series that move straight from `start` to `end`, with half their noise shared."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, size / 2, points)
    chosen, rejected = (
        np.linspace(first, last, points) + shared + rng.normal(0, size, points)
        for first, last in zip(start, end, strict=True)
    )
    return chosen, rejected
