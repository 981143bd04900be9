"""The table of runs: one row a run or a group, every number on the scale that all methods share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from math import isfinite
from statistics import fmean
from typing import Any

import streamlit as st

from diagnostics.figures.style import CHOSEN, REJECTED, regime_label, run_mark
from diagnostics.groups import Group, by_method, by_setting
from diagnostics.intervals import Interval
from diagnostics.notes import Notes
from diagnostics.schema import NATS_PER_TOKEN
from pages.components import picks
from pages.components.filters import method_of, model_of
from pages.components.link import RUN
from pages.components.runs import Reading
from pages.components.verdict import STATUS, TITLES

SPARK_POINTS = 40
SMALLEST_SHOWN = 5e-4
NO_NOTES = Notes()
TO_OPEN = "run to open"
GROUPINGS = {"run": None, "method": by_method, "setting": by_setting}
"""What a row stands for; a setting is everything but the seed."""

MEANT = {
    "Δ chosen": ("%+.3f", f"Change of chosen since the start [{NATS_PER_TOKEN}]", 72),
    "Δ rejected": ("%+.3f", f"Change of rejected since the start [{NATS_PER_TOKEN}]", 76),
    "S": ("%.2f", "Chosen share of the margin: above 1 both rise, below 0 both fall", 52),
    "Reward acc.": ("%.0f %%", "Share of probe pairs whose margin has grown since the start", 88),
    "Ranking acc.": (
        "%.0f %%",
        "Share of probe pairs whose chosen side is the likelier one",
        92,
    ),
    "Drift": ("%.3f", f"Forward KL from the initial policy [{NATS_PER_TOKEN}]", 56),
}
"""The numbers of a run: format, meaning, width."""

UNITS = f"Δ and drift in {NATS_PER_TOKEN}, accuracies in percent of the probe pairs."
OF_GROUPS = "Numbers of a group are means, its S that of the mean changes."


def table(readings: Sequence[Reading]) -> None:
    """Show one row a run."""
    rows = [_row(reading, NO_NOTES) for reading in readings]
    if rows:
        st.dataframe(_columns(rows), key="table", **_look(rows, _run_columns(rows)))


def choose(readings: Sequence[Reading], notes: Mapping[str, Notes]) -> None:
    """Show one row a run, or a group, whose ticks are the picked runs of the URL."""
    if not readings:
        return
    grouping = st.segmented_control(
        "One row for each",
        list(GROUPINGS),
        default="run",
        required=True,
        key="group",
        bind="query-params",
        help="A setting is everything but the seed: its seeds stand in one row.",
    )
    group = GROUPINGS[grouping or "run"]
    if group is None:
        rows = [_row(reading, notes[reading.entry.key]) for reading in readings]
        keys = [(reading.entry.key,) for reading in readings]
        look = _look(rows, _run_columns(rows) | {"Run": _opening([key for (key,) in keys])})
    else:
        read = [reading for reading in readings if reading.run]
        groups = group([reading.run for reading in read if reading.run])
        members = [[read[place] for place in one.members] for one in groups]
        rows = [_group_row(one, found) for one, found in zip(groups, members, strict=True)]
        keys = [tuple(reading.entry.key for reading in found) for found in members]
        look = _look(rows, _group_columns())
    if rows:
        _ticked(f"table by {grouping}", rows, keys, look)
        to_open = st.session_state.pop(TO_OPEN, None)
        if to_open:
            st.switch_page(RUN, query_params={"run": to_open})
        st.caption(UNITS if group is None else f"{UNITS} {OF_GROUPS}")


def _opening(keys: Sequence[str]) -> Any:
    """Return the column of names, each of which opens its run."""
    return st.column_config.ButtonColumn(
        width=150,
        pinned=True,
        alignment="left",
        type="tertiary",
        help="A name opens its run",
        key="open",
        on_click=partial(_open, keys),
    )


def _open(keys: Sequence[str]) -> None:
    place = st.session_state["open"].row
    if place < len(keys):
        st.session_state[TO_OPEN] = keys[place]


def _ticked(
    slot: str, rows: list[dict[str, Any]], keys: list[tuple[str, ...]], look: dict[str, Any]
) -> None:
    """Show rows with a box each, ticked where all runs behind the row are picked."""
    chosen = set(st.query_params.get_all(picks.NAME))
    ticked = [place for place, behind in enumerate(keys) if chosen.issuperset(behind)]
    # The browser knows rows by their place: where a filter moved them, the boxes move along.
    state = st.session_state.get(slot)
    if state is None or sorted(state["selection"]["rows"]) != ticked:
        st.session_state[slot] = {"selection": {"rows": ticked, "columns": [], "cells": []}}
    st.dataframe(
        _columns(rows), key=slot, on_select=partial(_take, slot, keys, frozenset(ticked)), **look
    )


def _take(slot: str, keys: Sequence[tuple[str, ...]], before: frozenset[int]) -> None:
    """Pick what was ticked and drop what no longer is; runs behind no row stay as they are."""
    now = [place for place in st.session_state[slot]["selection"]["rows"] if place < len(keys)]
    gone = {key for place in before.difference(now) for key in keys[place]}
    stayed = [key for key in st.query_params.get_all(picks.NAME) if key not in gone]
    picks.keep([*stayed, *(key for place in now if place not in before for key in keys[place])])


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _look(rows: Sequence[Mapping[str, Any]], columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "hide_index": True,
        "placeholder": "–",
        "height": "content" if len(rows) <= 12 else 460,
        "column_config": columns,
        "alt": "Table of runs",
    }


def _run_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    config = st.column_config
    scale = _scale(rows)
    return {
        "Mark": config.TextColumn("", width=34, pinned=True, help="Its mark on the plane"),
        "Run": config.TextColumn(width=150, pinned=True),
        "Regime": config.TextColumn(
            width=108, help="What chosen does, then what rejected does, since the start"
        ),
        "Method": config.TextColumn(width=66),
        "Chosen": config.LineChartColumn(width=80, color=CHOSEN, help=_path("chosen"), **scale),
        "Rejected": config.LineChartColumn(
            width=80, color=REJECTED, help=_path("rejected"), **scale
        ),
        **_numbers(""),
        "Findings": config.TextColumn(
            width=150, help="What is established beside the regime, the worst first"
        ),
        "Updated": config.DatetimeColumn(width=110, format="distance", help="Newest record"),
        "Status": config.TextColumn(width=96),
        "Last step": config.NumberColumn(format="localized", width=68),
        "Tags": config.ListColumn(width=110),
        "Note": config.TextColumn(width=140),
        "Model": config.TextColumn(width=120),
        "Remarks": config.TextColumn(
            width=200, help="Why a log could not be read, or what its numbers do not mean"
        ),
    }


def _group_columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "Group": config.TextColumn(width=190, pinned=True),
        "Runs": config.NumberColumn(width=50),
        "Seeds": config.TextColumn(width=70),
        "Regimes": config.TextColumn(width=190, help="Regimes of its runs, the most common first"),
        "Method": config.TextColumn(width=66),
        **_numbers("Mean over the runs. "),
        "Δ chosen, from": _number("%+.3f", f"Lowest of the runs [{NATS_PER_TOKEN}]", 96),
        "Δ chosen, to": _number("%+.3f", f"Highest of the runs [{NATS_PER_TOKEN}]", 84),
        "Δ rejected, from": _number("%+.3f", f"Lowest of the runs [{NATS_PER_TOKEN}]", 104),
        "Δ rejected, to": _number("%+.3f", f"Highest of the runs [{NATS_PER_TOKEN}]", 92),
        "Updated": config.DatetimeColumn(width=110, format="distance", help="Newest record"),
    }


def _scale(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return one range for the small curves of all runs, so that a flat run looks flat."""
    values = [value for row in rows for side in ("Chosen", "Rejected") for value in row[side]]
    return {"y_min": min(values), "y_max": max(values)} if values else {}


def _numbers(before: str) -> dict[str, Any]:
    return {
        name: _number(form, before + text, width) for name, (form, text, width) in MEANT.items()
    }


def _number(form: str, text: str, width: int) -> Any:
    return st.column_config.NumberColumn(format=form, help=text, width=width)


def _path(side: str) -> str:
    return f"Δ {side} over the run [{NATS_PER_TOKEN}], all runs on one scale"


def _row(reading: Reading, notes: Notes) -> dict[str, Any]:
    run, verdict = reading.run, reading.verdict
    track = reading.track if run else ()
    return {
        "Mark": run_mark(reading.entry.index),
        "Run": reading.name,
        "Regime": regime_label(verdict.regime) if verdict else "✕ cannot be read",
        "Method": method_of(reading) if run else None,
        "Chosen": _spark([point.delta_chosen for point in track]),
        "Rejected": _spark([point.delta_rejected for point in track]),
        **_values(reading),
        "Findings": "; ".join(also_found(reading)) or None,
        "Updated": _moment(reading.updated),
        "Status": STATUS.get(reading.status, (reading.status, ""))[0],
        "Last step": run.last_step if run else None,
        "Tags": list(notes.tags),
        "Note": notes.note or None,
        "Model": model_of(run) or None,
        "Remarks": _remarks(reading),
    }


def _group_row(group: Group, members: Sequence[Reading]) -> dict[str, Any]:
    regimes = Counter(regime_label(one.verdict.regime) for one in members if one.verdict)
    values = [_values(one) for one in members]
    methods = {method_of(one) for one in members}
    known = {name: [row[name] for row in values if row[name] is not None] for name in values[0]}
    means = {name: fmean(found) if found else None for name, found in known.items()}
    means["S"] = _share(means) if len(known["S"]) == len(members) else None
    ranges = {
        f"{name}, {word}": pick(known[name]) if known[name] else None
        for name in ("Δ chosen", "Δ rejected")
        for word, pick in (("from", min), ("to", max))
    }
    return {
        "Group": group.name,
        "Runs": len(members),
        "Seeds": ", ".join(group.seeds) or None,
        "Regimes": ", ".join(f"{label} {number}" for label, number in regimes.most_common()),
        "Method": ", ".join(sorted(methods)),
        **means,
        **ranges,
        "Updated": max((_moment(one.updated) for one in members), default=None),
    }


def _share(means: Mapping[str, float | None]) -> float | None:
    """Return the chosen share of the mean changes; a mean of shares would mean nothing."""
    chosen, rejected = means["Δ chosen"], means["Δ rejected"]
    if chosen is None or rejected is None or chosen <= rejected:
        return None
    return chosen / (chosen - rejected)


def _values(reading: Reading) -> dict[str, float | None]:
    """Return the numbers of a run; those that its log has in other units only are not known."""
    verdict = reading.verdict
    if verdict is None:
        return dict.fromkeys(MEANT)
    estimate, moved = verdict.estimate, verdict.movement
    sides = (estimate.delta_chosen, estimate.delta_rejected)
    if not estimate.n_pairs and moved is not None and moved.unit == NATS_PER_TOKEN:
        sides = (moved.chosen, moved.rejected)
    return {
        "Δ chosen": _value(sides[0]),
        "Δ rejected": _value(sides[1]),
        "S": _value(estimate.share if estimate.n_pairs else verdict.share),
        "Reward acc.": _percent(estimate.reward_accuracy),
        "Ranking acc.": _percent(estimate.ranking_accuracy),
        "Drift": _value(estimate.drift),
    }


def also_found(reading: Reading) -> list[str]:
    """Return the titles of what is established beside what the regime says, the worst first."""
    found = reading.diagnosis
    if found is None:
        return []
    others = [one.pathology for one in found.present if one.pathology != found.leading]
    return [TITLES.get(name, name) for name in others]


def _remarks(reading: Reading) -> str | None:
    """Return why a log could not be read, or what must be known beside its numbers."""
    if reading.problem or reading.diagnosis is None:
        return reading.problem or None
    return "; ".join(reading.diagnosis.caveats) or None


def _moment(seconds: float) -> datetime | None:
    """Return a time of the log; a clock that nobody can have shown is not known."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _value(interval: Interval | None) -> float | None:
    if interval is None or not isfinite(interval.value):
        return None
    # What rounds to nothing has no sign to show.
    return 0.0 if abs(interval.value) < SMALLEST_SHOWN else interval.value


def _percent(interval: Interval | None) -> float | None:
    value = _value(interval)
    return None if value is None else 100 * value


def _spark(intervals: Sequence[Interval]) -> list[float]:
    """Return at most `SPARK_POINTS` values of a path, the newest among them."""
    values = [interval.value for interval in intervals if isfinite(interval.value)]
    stride = -(-len(values) // SPARK_POINTS) or 1
    return values[::-1][::stride][::-1]
