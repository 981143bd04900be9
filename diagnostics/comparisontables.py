"""What the figures of a comparison were drawn from, as tables with units in their heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from diagnostics.contrasts import Contrast
from diagnostics.courses import Course
from diagnostics.intervals import Interval
from diagnostics.seeds import GroupContrast, SeedBand
from diagnostics.share import ShareEstimate

RATIO = "nats of margin per nat of drift"


def differences(contrasts: Sequence[Contrast], quantity: str | None = None) -> pd.DataFrame:
    """Return one row a difference, of one quantity or of all; what was refused says why."""
    rows = []
    for one in contrasts:
        base = {
            "First": one.first,
            "Second": one.second,
            "Matched by": one.matched,
            "Matched at": one.at,
            "Step of the first": one.steps[0],
            "Step of the second": one.steps[1],
        }
        found = [d for d in one.differences if quantity in (None, d.quantity)]
        rows += [
            {
                **base,
                "Quantity": difference.quantity,
                **_interval("Second minus first", difference.interval),
                "Unit": difference.unit,
                "Beyond noise": difference.beyond_noise,
                "Not compared because": "",
            }
            for difference in found
        ]
        if one.reason is not None:
            rows.append({**base, "Not compared because": one.reason})
    return pd.DataFrame(rows)


def courses(several: Sequence[Course], quantity: str | None = None) -> pd.DataFrame:
    """Return every point of the courses, of one quantity or of all, with its interval."""
    frames = [
        pd.DataFrame(
            {
                "Run": one.name,
                "Source": "log" if one.from_log else "probe set",
                "Step": one.steps,
                "Quantity": name,
                "Value": line.value,
                "95 % from": line.low,
                "95 % to": line.high,
                "Unit": one.unit,
                **{
                    f"{axis.capitalize()} [{one.unit}]": one.lines[axis].value
                    for axis in ("margin", "drift")
                    if axis in one.lines
                },
            }
        )
        for one in several
        for name, line in one.lines.items()
        if quantity in (None, name)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"Run": []})


def paths(named: Sequence[tuple[str, Sequence[ShareEstimate]]], unit: str) -> pd.DataFrame:
    """Return the points of the plane, one row an evaluation of a run."""
    rows = [
        {
            "Run": name,
            "Step": one.step,
            **_interval(f"Δ rejected [{unit}]", one.delta_rejected),
            **_interval(f"Δ chosen [{unit}]", one.delta_chosen),
        }
        for name, estimates in named
        for one in estimates
    ]
    return pd.DataFrame(rows)


def efficiency(
    found: Sequence[tuple[str, Interval | None]], unknown: Mapping[str, str]
) -> pd.DataFrame:
    """Return the margin gained for each nat of drift, one row a run."""
    rows = [
        {"Run": name, **_interval(RATIO, one), "Not known because": unknown.get(name, "")}
        for name, one in found
    ]
    return pd.DataFrame(rows)


def seed_bands(bands: Sequence[SeedBand], unit: str, matched: str) -> pd.DataFrame:
    """Return the course of every group of seeds: median, lowest and highest run."""
    frames = [
        pd.DataFrame(
            {
                "Group": band.label,
                "Seeds": band.seeds,
                "Quantity": band.quantity,
                matched.capitalize(): band.at,
                f"Median [{unit}]": band.median,
                f"Lowest [{unit}]": band.low,
                f"Highest [{unit}]": band.high,
            }
        )
        for band in bands
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"Group": []})


def between_groups(found: Sequence[GroupContrast]) -> pd.DataFrame:
    """Return the differences between groups of seeds, one row a difference."""
    rows = [
        {
            "First": one.first,
            "Second": one.second,
            "Seeds of the first": one.seeds[0],
            "Seeds of the second": one.seeds[1],
            "Quantity": difference.quantity,
            **_interval("Second minus first", difference.interval),
            "Unit": difference.unit,
            "Beyond noise": difference.beyond_noise,
        }
        for one in found
        for difference in one.differences
    ]
    return pd.DataFrame(rows)


def settings(
    names: Sequence[str], found: Mapping[str, Sequence[object]], not_stated: str = "–"
) -> pd.DataFrame:
    """Return settings as text, the longer list down: one row a setting, or one a run.

    `found` holds one value a run of `names`.
    """
    rows = {
        setting: [not_stated if value is None else str(value) for value in values]
        for setting, values in found.items()
    }
    columns: list[list[str]]
    if len(rows) >= len(names):
        columns = [list(column) for column in zip(*rows.values(), strict=True)]
        head, first, heads = "Setting", list(rows), list(names)
    else:
        columns = list(rows.values())
        head, first, heads = "Run", list(names), list(rows)
    # A run or a setting may be called as the first column is.
    table = {head: first}
    for name, column in zip(heads, columns, strict=True):
        table[name if name != head else f"{name} "] = column
    return pd.DataFrame(table, dtype=object)


def _interval(head: str, interval: Interval | None) -> dict[str, float]:
    one = Interval(nan, nan, nan) if interval is None else interval
    return {
        head: one.value,
        f"{head}, 95 % from": _finite(one.low),
        f"{head}, 95 % to": _finite(one.high),
    }


def _finite(bound: float) -> float:
    return bound if np.isfinite(bound) else nan
