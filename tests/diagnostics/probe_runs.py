"""Runs made from a few given numbers, and runs of any shape whatever."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from diagnostics.run import Run, Source

SOURCE = Source(path="nowhere", reader="native", framework="synthetic")
STEPS = (0, 10, 20, 30, 40)


def table(
    logps: np.ndarray,
    *,
    steps: Sequence[int] = STEPS,
    tokens: np.ndarray | None = None,
    prompts: Sequence[object] | None = None,
    split: str = "train",
) -> pd.DataFrame:
    """Return the probe table of `logps` (T, sides, P); one token and one prompt a pair."""
    times, _, pairs = logps.shape
    lengths = np.ones((2, pairs)) if tokens is None else tokens
    names = [f"prompt {pair}" for pair in range(pairs)] if prompts is None else list(prompts)
    return pd.DataFrame(
        {
            "step": np.repeat(steps, pairs),
            "split": split,
            "pair": np.tile(np.arange(pairs), times),
            "prompt": names * times,
            "logps/chosen": logps[:, 0].ravel(),
            "logps/rejected": logps[:, 1].ravel(),
            "completion_tokens/chosen": np.tile(lengths[0], times),
            "completion_tokens/rejected": np.tile(lengths[1], times),
        }
    )


def straight(changes: np.ndarray, times: int = len(STEPS), start: float = -50.0) -> np.ndarray:
    """Return log-probabilities (T, sides, P) that move straight to `changes` (sides, P)."""
    return start + np.linspace(0.0, 1.0, times)[:, None, None] * changes


def probe_run(changes: Sequence[Sequence[float]] | np.ndarray, **options: object) -> Run:
    """Return a run whose probe pairs end changed by `changes` (sides, P) [nats, one token]."""
    return run_of(table(straight(np.asarray(changes, dtype=float)), **options))


def run_of(probes: pd.DataFrame, samples: pd.DataFrame | None = None) -> Run:
    """Return a run of a probe table and, maybe, a sample table."""
    if samples is None:
        return Run(name="run", method="dpo", source=SOURCE, probes=probes)
    return Run(name="run", method="dpo", source=SOURCE, probes=probes, samples=samples)


def spread(centre: float, size: float, pairs: int) -> np.ndarray:
    """Return `pairs` values whose mean is exactly `centre` and whose deviation is `size`."""
    values = np.arange(pairs) - (pairs - 1) / 2
    return centre + size * values / values.std(ddof=1)


def moved(chosen: float, rejected: float, size: float = 0.01, pairs: int = 20) -> Run:
    """Return a run whose sides end exactly there; their noise is independent."""
    rng = np.random.default_rng(0)
    changes = np.array(
        [spread(chosen, size, pairs), rng.permutation(spread(rejected, size, pairs))]
    )
    return probe_run(changes)


ABSURD = st.one_of(
    st.floats(),
    st.floats(-100, 0),
    st.integers(-5, 500),
    st.sampled_from([None, "", "NaN", "text", 1e308, -1e308, 5e-324, 10**30, True]),
)
COLUMNS = [
    *("step", "split", "pair", "sample", "prompt", "logps", "logps/chosen", "logps/rejected"),
    *("completion_tokens", "completion_tokens/chosen", "completion_tokens/rejected"),
]


@st.composite
def _frames(draw: DrawFn, stepped: bool = False) -> pd.DataFrame:
    rows = draw(st.integers(0, 12))
    columns = draw(st.lists(st.sampled_from(COLUMNS), unique=True))
    if stepped:
        columns = [*dict.fromkeys([*columns, "step"])]
    cells = {
        "step": st.integers(0, 40) if stepped else st.integers(0, 40) | ABSURD,
        "split": st.sampled_from(["train", "held_out", "other", None]),
        "prompt": st.sampled_from(["a", "b", "", None, 3]),
    }
    return pd.DataFrame(
        {
            name: pd.Series(
                draw(st.lists(cells.get(name, ABSURD), min_size=rows, max_size=rows)),
                dtype=draw(st.sampled_from([object, None])) if name != "step" else object,
            )
            for name in columns
        }
    )


@st.composite
def _probe_like(draw: DrawFn) -> pd.DataFrame:
    """Return a table of the right shape, full of wrong values."""
    times, pairs = draw(st.integers(1, 6)), draw(st.integers(1, 10))
    value = st.floats(-60, 0) | st.floats() | st.sampled_from([np.nan, np.inf, 1e308, -1e308, 0.0])
    logps = draw(st.lists(value, min_size=times * 2 * pairs, max_size=times * 2 * pairs))
    tokens = draw(st.lists(st.integers(1, 50) | value, min_size=2 * pairs, max_size=2 * pairs))
    return table(
        np.array(logps, dtype=float).reshape(times, 2, pairs),
        steps=[10 * time for time in range(times)],
        tokens=np.array(tokens, dtype=float).reshape(2, pairs),
        prompts=draw(st.lists(st.sampled_from("abc"), min_size=pairs, max_size=pairs)),
        split=draw(st.sampled_from(["train", "held_out"])),
    )


@st.composite
def any_run(draw: DrawFn, stepped: bool = False) -> Run:
    """Return a run of any shape: empty, one pair, one step, unpaired, NaN-ridden, absurd.

    With `stepped` its rows at least know their step, as every reader promises.
    """
    return run_of(draw(_frames(stepped) | _probe_like()), draw(_frames(stepped)))
