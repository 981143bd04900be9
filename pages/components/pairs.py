"""The pairs of a run: which of them are looked at, and where they lie on the plane.

What is looked at stands in the URL: the split, the step, the filter and the pair that is open.
A region drawn on the plane and the ticks of the table belong to the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import streamlit as st

from diagnostics.figures.pairs import MOST_POINTS, X, Y, placed, scatter
from diagnostics.pairmarks import Marks, marked, marks, training_marks
from diagnostics.pairs import (
    PAIR,
    TRAINING,
    LengthEffect,
    PairView,
    inside,
    length_effect,
    training_view,
    view,
)
from diagnostics.readers.training_pairs import (
    has_training_records,
    training_records,
    training_texts,
)
from diagnostics.run import Run
from diagnostics.share import SPLITS
from pages.components import figure, runs

WORDS = {"train": "train probe", "held_out": "held-out probe", TRAINING: "every training pair"}
"""The splits as they stand on the page and in the URL."""

OPEN = "pair"
PROMPT_TEXT = "Prompt"
MOST_STEPS = 60
"""Steps to choose from; a long training has more records than a list can show."""

KEPT_SECONDS = 60
"""How long the records of a running training are shown before they are read again."""


@dataclass(frozen=True)
class Look:
    """What of a run is looked at; `rows` are the view's pairs with their marks."""

    entry: runs.Entry
    run: Run
    pairs: PairView
    rows: Any
    labels: str

    @cached_property
    def effect(self) -> LengthEffect | None:
        """The length effect of these pairs."""
        return length_effect(self.pairs)

    @property
    def slot(self) -> str:
        """Names the state of the session that belongs to these pairs."""
        return f"{self.entry.key} {self.pairs.split}"


def look(reading: runs.Reading, run: Run) -> Look | None:
    """Show what can be looked at, tied to the URL, and return it; None where nothing is there."""
    entry = reading.entry
    mark = runs.mark(entry.path)
    known = [split for split in SPLITS if _seen(mark, entry, split, run) is not None]
    if _has_records(mark, entry, run):
        known.append(TRAINING)
    if not known:
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        word = st.segmented_control(
            "Pairs",
            [WORDS[split] for split in known],
            default=WORDS[known[0]],
            required=True,
            key="pairs_of",
            bind="query-params",
        )
        split = next((one for one in known if WORDS[one] == word), known[0])
        live = reading.status == "running"
        found = _found(mark, entry, split, run, live)
        if found is None:
            return None
        step = _step(found.pairs)
    if step is not None and step != found.pairs.step:
        found = _found(mark, entry, split, run, live, step) or found
    return found


def _step(pairs: PairView) -> int | None:
    """Show the step that is looked at, the last one when none is picked."""
    steps = list(pairs.steps)
    if len(steps) > MOST_STEPS:
        last = len(steps) - 1
        steps = [steps[round(at * last / (MOST_STEPS - 1))] for at in range(MOST_STEPS)]
    picked = st.selectbox(
        "At step",
        [str(step) for step in steps],
        index=None,
        key="step",
        bind="query-params",
        placeholder=f"{pairs.steps[-1]:,} (the last)",
        width=160,
    )
    return int(picked) if picked else None


@st.cache_resource(max_entries=32, show_spinner=False)
def _seen(mark: str, entry: runs.Entry, split: str, _run: Run, step: int | None = None) -> Any:
    return view(_run, split, step)


@st.cache_resource(max_entries=32, show_spinner=False)
def _has_records(mark: str, entry: runs.Entry, _run: Run) -> bool:
    return has_training_records(_run)


@st.cache_resource(max_entries=16, show_spinner=False)
def _marks(mark: str, entry: runs.Entry, split: str, _run: Run) -> Marks | None:
    """Return the marks of the fixed pairs: of the whole run, so found once for all steps."""
    pairs = _seen(mark, entry, split, _run)
    return None if pairs is None else marks(_run, pairs)


def _found(
    mark: str, entry: runs.Entry, split: str, run: Run, live: bool, step: int | None = None
) -> Look | None:
    if split == TRAINING:
        # A log that grows has a new mark every few seconds, and its records are many.
        return _training("" if live else mark, entry, step, run)
    pairs, found = _seen(mark, entry, split, run, step), _marks(mark, entry, split, run)
    if pairs is None or found is None:
        return None
    rows = marked(pairs, found)
    texts = _prompts(run, split)
    if texts is not None:
        rows[PROMPT_TEXT] = rows[PAIR].map(texts)
    return Look(entry, run, pairs, rows, found.labels)


@st.cache_resource(max_entries=4, ttl=KEPT_SECONDS, show_spinner="Reading the training records…")
def _records(mark: str, path: Path, _run: Run) -> Any:
    return training_records(_run)


@st.cache_resource(max_entries=8, ttl=KEPT_SECONDS, show_spinner=False)
def _training(mark: str, entry: runs.Entry, step: int | None, _run: Run) -> Look | None:
    records = _records(mark, entry.path, _run)
    pairs = training_view(records, step)
    if pairs is None:
        return None
    found = training_marks(pairs, records)
    return Look(entry, _run, pairs, marked(pairs, found), found.labels)


def _prompts(run: Run, split: str) -> Any:
    table = run.tables.get("texts")
    if table is None or "prompt_text" not in table:
        return None
    rows = table[table["split"] == split].drop_duplicates("pair", keep="last")
    return rows.set_index("pair")["prompt_text"].str.slice(0, 400)


def texts(seen: Look, chosen: Sequence[int]) -> Any:
    """Return the texts of these pairs by pair, as far as they were kept."""
    if seen.pairs.split == TRAINING and len(chosen) == 1:
        return _training_text(runs.mark(seen.entry.path), seen.entry, chosen[0], seen.run)
    if seen.pairs.split == TRAINING:
        return training_texts(seen.run, list(chosen))
    table = seen.run.tables.get("texts")
    if table is None:
        return training_texts(seen.run, []).iloc[:0]
    rows = table[(table["split"] == seen.pairs.split) & table["pair"].isin(chosen)]
    return rows.drop_duplicates("pair", keep="last").set_index("pair")


@st.cache_resource(max_entries=64, show_spinner=False)
def _training_text(mark: str, entry: runs.Entry, pair: int, _run: Run) -> Any:
    """Return the texts of one training pair: the page shows them again at every rerun."""
    return training_texts(_run, [pair])


# The plane


_TOOLS = {
    **figure.CONFIG,
    "displayModeBar": True,
    "modeBarButtonsToRemove": ["toImage", "zoomIn2d", "zoomOut2d", "autoScale2d"],
}


_WITHOUT_PLACE = {
    False: "No pair has finite log-probs on both sides at the start and at this step.",
    True: "This method trains without a reference model, so the records of its training hold "
    "log-probs, not changes. The probe pairs show changes.",
}


def plane(seen: Look) -> None:
    """Draw every pair; a box or a lasso filters the table, and opens a pair alone in it."""
    count = len(placed(seen.rows))
    if not count:
        st.info(_WITHOUT_PLACE[seen.pairs.split == TRAINING])
        return
    key, drawn_region = f"plane of {seen.slot}", outlines(seen)
    drawing = scatter(seen.rows, _open_pair(), drawn_region)
    with st.container(gap=None):
        st.plotly_chart(
            drawing,
            width="stretch",
            key=key,
            alt="Every pair: change of chosen against change of rejected",
            config=_TOOLS,
            on_select=partial(_chosen, key, _region(seen)),
        )
        figure.downloads(drawing, key, "Pairs", lambda: seen.rows)
    drawn = f"{MOST_POINTS:,} of {count:,} pairs drawn, the farthest and the marked ones among them"
    without = len(seen.rows) - count
    st.caption(
        (f"{drawn}. " if count > MOST_POINTS else f"{count:,} pairs. ")
        + (f"{without:,} lack a number on one side. " if without else "")
        + "Draw a box or a lasso to list its pairs below; around a single one, it opens."
    )


def _open_pair() -> int | None:
    """Return the pair that is open; on a first visit its widget does not stand yet."""
    if OPEN in st.session_state:
        number: int | None = st.session_state[OPEN]
        return number
    named = st.query_params.get(OPEN, "")
    return int(named) if named.isdecimal() else None


def _region(seen: Look) -> str:
    return f"region of {seen.slot}"


def _chosen(key: str, region: str) -> None:
    """Keep the region that was drawn, and open a pair that lies in it alone.

    Plotly's own selection is lost whenever the figure changes, by a new record or by a pair that
    is opened: the region is kept in the session instead, and drawn.
    """
    chosen = st.session_state[key].get("selection", {})
    points = chosen.get("points", [])
    found = []
    for box in chosen.get("box", []):
        (x0, x1), (y0, y1) = sorted(box["x"][:2]), sorted(box["y"][:2])
        found.append([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    for lasso in chosen.get("lasso", []):
        found.append(list(zip(lasso["x"], lasso["y"], strict=True)))
    # A figure that is drawn anew reports an empty selection: that is nobody's wish.
    if found:
        st.session_state[region] = found
    if len(points) == 1:
        st.session_state[OPEN] = _number(points[0])


def outlines(seen: Look) -> Any:
    """Return the boxes and lassos drawn on the plane, as corners."""
    return st.session_state.get(_region(seen), [])


def forget_region(seen: Look) -> None:
    """Offer to list all pairs again."""
    st.button(
        "Whole plane",
        key="whole plane",
        on_click=st.session_state.pop,
        args=(_region(seen), None),
    )


def _number(point: Any) -> int | None:
    custom = point.get("customdata")
    number = custom[0] if isinstance(custom, list | tuple) else custom
    return None if number is None else int(number)


def within(seen: Look) -> Any:
    """Return the rows inside the region drawn on the plane, all where there is none."""
    flags = [inside(seen.rows, X, Y, outline) for outline in outlines(seen)]
    if not flags:
        return seen.rows
    any_of = flags[0]
    for one in flags[1:]:
        any_of = any_of | one
    return seen.rows[any_of]
