"""The whole tables behind the figures of one run: every row, with units.

The index is the optimizer step; what else the curves can be drawn against stands in columns of
its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from diagnostics.attribution import Attribution
from diagnostics.axis import Choice
from diagnostics.entanglement import Measured
from diagnostics.parts import Parts
from diagnostics.run import Run
from diagnostics.schema import metric

STEP = "Optimizer step"


def logged(run: Run, names: Sequence[str], choice: Choice) -> pd.DataFrame:
    """Return logged columns by step, training rows and held-out rows side by side."""
    columns = {}
    for name in names:
        entry = metric(name)
        if name in run.train:
            columns[f"{entry.label} [{entry.unit}]"] = run.train[name]
        if name in run.evals:
            columns[f"{entry.label}, held-out [{entry.unit}]"] = run.evals[name]
    frame = pd.DataFrame(columns)
    return _with_axes(frame, choice)


def parts(found: Parts, choice: Choice) -> pd.DataFrame:
    """Return what the margin is made of, by step."""
    unit = found.unit
    columns = {
        f"Δ chosen [{unit}]": found.chosen,
        f"−Δ rejected [{unit}]": found.rejected,
        f"Margin [{unit}]": found.margin,
        "S [share of the margin]": found.share,
    }
    return _with_axes(pd.DataFrame(columns, index=found.steps), choice)


def bands(found: Sequence[Measured], choice: Choice) -> pd.DataFrame:
    """Return q, its band and what it is made of, by evaluation."""
    columns = {
        "q [ratio]": [one.band.q for one in found],
        "ρ q*, lower edge [ratio]": [one.band.low for one in found],
        "q*/ρ, upper edge [ratio]": [one.band.high for one in found],
        "q* [ratio]": [one.band.q_star for one in found],
        "ρ [cosine]": [one.band.cosine for one in found],
        "First-order share S_0 [fraction of margin]": [one.band.share for one in found],
        "Regime to first order": [one.band.regime for one in found],
    }
    return _with_axes(pd.DataFrame(columns, index=[one.step for one in found]), choice)


def tokens(found: Attribution) -> pd.DataFrame:
    """Return what each group of tokens contributed, with its 95 % interval."""
    rows = [
        {
            "Tokens": one.group,
            "Share of all tokens [fraction]": one.tokens,
            "Margin [nats per pair]": one.margin.value,
            "Margin, 95 % from": one.margin.low,
            "Margin, 95 % to": one.margin.high,
            "Moved in common [nats per pair]": one.common.value,
            "Moved in common, 95 % from": one.common.low,
            "Moved in common, 95 % to": one.common.high,
        }
        for one in found.groups
    ]
    return pd.DataFrame(rows)


def _with_axes(frame: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """Return the frame by step, behind the other measures of how far training has come."""
    found = frame.sort_index().rename_axis(index=STEP)
    others = [one for one in choice.axes.values() if not one.counts_steps]
    for place, axis in enumerate(others):
        found.insert(place, axis.title, axis.at(found.index))
    return found
