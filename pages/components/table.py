"""The table of runs: one row a run, every number on the scale that all methods share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from diagnostics.figures.style import CHOSEN, REJECTED, regime_label, run_mark
from diagnostics.intervals import Interval
from diagnostics.schema import NATS_PER_TOKEN
from pages.components.runs import Reading
from pages.components.verdict import STATUS

SPARK_POINTS = 40
SMALLEST_SHOWN = 5e-4


def table(readings: Sequence[Reading]) -> None:
    """Show one row a run that could be read."""
    rows = [_row(reading) for reading in readings if reading.run]
    if not rows:
        return
    config = st.column_config
    scale = _scale(rows)
    st.dataframe(
        {name: [row[name] for row in rows] for name in rows[0]},
        hide_index=True,
        key="table",
        placeholder="–",
        height="content" if len(rows) <= 12 else 460,
        column_config={
            "Mark": config.TextColumn("", width=36, pinned=True, help="Its mark on the plane"),
            "Run": config.TextColumn(width=140, pinned=True),
            "Regime": config.TextColumn(
                width=105, help="What chosen does, then what rejected does, since the start"
            ),
            "Method": config.TextColumn(width=60),
            "Status": config.TextColumn(width=95),
            "Last step": config.NumberColumn(format="localized", width=68),
            "Chosen": config.LineChartColumn(width=80, color=CHOSEN, help=_path("chosen"), **scale),
            "Rejected": config.LineChartColumn(
                width=80, color=REJECTED, help=_path("rejected"), **scale
            ),
            "Δ chosen": _number("%+.3f", f"Change of chosen since the start [{NATS_PER_TOKEN}]"),
            "Δ rejected": _number(
                "%+.3f", f"Change of rejected since the start [{NATS_PER_TOKEN}]"
            ),
            "S": _number(
                "%.2f", "Chosen share of the margin: above 1 both rise, below 0 both fall", 58
            ),
            "Drift": _number("%.3f", f"Forward KL from the initial policy [{NATS_PER_TOKEN}]", 58),
            "Reward acc.": _number(
                "%.0f %%", "Share of probe pairs whose margin has grown since the start", 90
            ),
            "Ranking acc.": _number(
                "%.0f %%", "Share of probe pairs whose chosen side is the likelier one", 90
            ),
        },
        alt="Every run with its regime, its changes per token and its accuracies",
    )


def _scale(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return one range for the small curves of all runs, so that a flat run looks flat."""
    values = [value for row in rows for side in ("Chosen", "Rejected") for value in row[side]]
    return {"y_min": min(values), "y_max": max(values)} if values else {}


def _number(form: str, text: str, width: int = 72) -> Any:
    return st.column_config.NumberColumn(format=form, help=text, width=width)


def _path(side: str) -> str:
    return f"Δ {side} over the run [{NATS_PER_TOKEN}], all runs on one scale"


def _row(reading: Reading) -> dict[str, Any]:
    run, verdict = reading.run, reading.verdict
    if run is None or verdict is None:
        raise ValueError("only a run that was read has a row")
    estimate = verdict.estimate
    return {
        "Mark": run_mark(reading.entry.index),
        "Run": reading.name,
        "Regime": regime_label(verdict.regime),
        "Method": run.method or "not known",
        "Status": STATUS.get(reading.status, (reading.status, ""))[0],
        "Last step": run.last_step,
        "Chosen": _spark([point.delta_chosen for point in reading.track]),
        "Rejected": _spark([point.delta_rejected for point in reading.track]),
        "Δ chosen": _value(estimate.delta_chosen),
        "Δ rejected": _value(estimate.delta_rejected),
        "S": _value(estimate.share),
        "Drift": _value(estimate.drift),
        "Reward acc.": _percent(estimate.reward_accuracy),
        "Ranking acc.": _percent(estimate.ranking_accuracy),
    }


def _value(interval: Interval | None) -> float | None:
    if interval is None or interval.value != interval.value:
        return None
    # What rounds to nothing has no sign to show.
    return 0.0 if abs(interval.value) < SMALLEST_SHOWN else interval.value


def _percent(interval: Interval | None) -> float | None:
    value = _value(interval)
    return None if value is None else 100 * value


def _spark(intervals: Sequence[Interval]) -> list[float]:
    """Return at most `SPARK_POINTS` values of a path, the newest among them."""
    values = [interval.value for interval in intervals if interval.value == interval.value]
    stride = -(-len(values) // SPARK_POINTS) or 1
    return values[::-1][::stride][::-1]
