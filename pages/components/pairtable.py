"""The table of pairs: filtered, opened by a click, ticked, and taken along as a list."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from diagnostics.droplist import drop_list, jsonl
from diagnostics.figures.data import csv
from diagnostics.pairmarks import COPY_OF, DIFFER_TOKENS, DIFFER_WORDS, REASONS
from diagnostics.pairs import (
    CHES,
    COSINE,
    DELTA,
    FLIP,
    GAP,
    GAP_START,
    LENGTH,
    MARGIN,
    MARGIN_SUM,
    PAIR,
    SEEN,
    SURPRISE,
)
from pages.components import figure
from pages.components.pairs import OPEN, PROMPT_TEXT, Look, forget_region, outlines, texts, within
from pages.components.text import literal

ALL = "all"
FILTERS = (ALL, "marked", "margin below 0", "ranked wrong", "forgotten")

MOST_ROWS = 2000
"""Rows that are sent to the browser; a table whose rows can be ticked has to be sent whole."""


def table(seen: Look) -> list[int]:
    """Show the pairs that are left after region and filter; return the chosen ones.

    Chosen are the ticked rows; without a tick all that are shown, if that is a part of all.
    """
    st.header("Table of pairs")
    with st.container(horizontal=True, vertical_alignment="center"):
        kind = st.segmented_control(
            "Show",
            FILTERS if seen.pairs.is_paired else FILTERS[:2],
            default=ALL,
            required=True,
            key="show",
            bind="query-params",
            label_visibility="collapsed",
        )
        near = within(seen)
        rows = _filtered(near, kind or ALL)
        rows = rows.sort_values(MARGIN if seen.pairs.is_paired else PAIR, kind="stable")
        part = f" of {len(seen.rows):,}" if len(rows) < len(seen.rows) else ""
        inside_it = ", in the region drawn above" if outlines(seen) else ""
        # The table's own tools lie above its right end.
        st.caption(f"{len(rows):,}{part} pairs{inside_it}", width="content")
        if outlines(seen):
            forget_region(seen)
    if rows.empty:
        st.info("No pair is like that.")
        return []
    every, rows = rows[PAIR].tolist(), rows.head(MOST_ROWS)
    numbers = every[:MOST_ROWS]
    # Ticks are places of rows: another filter is another table.
    key = f"pairs {seen.slot} {kind} {hash(tuple(numbers))}"
    shown = [name for name in _COLUMNS if name in rows and rows[name].notna().any()]
    if not rows[REASONS].astype(bool).any():
        shown.remove(REASONS)
    state: Any = st.dataframe(
        rows[shown],
        hide_index=True,
        key=key,
        height=min(420, 38 + 35 * len(rows)),
        column_config={name: _COLUMNS[name] for name in shown},
        placeholder="–",
        on_select=partial(_opened, key, numbers),
        selection_mode=("multi-row", "single-cell"),
        alt="Every pair with its changes, its ranking, its lengths and its marks",
    )
    if len(every) > MOST_ROWS:
        st.caption(
            f"△ The {MOST_ROWS:,} of them with the smallest margins are listed; a filter or a "
            "region above lists others."
        )
    st.caption(
        f"{literal(seen.labels[:1].upper() + seen.labels[1:])}. Click a cell to open its pair, "
        "tick rows to take them along."
    )
    ticked = [numbers[row] for row in state["selection"]["rows"] if row < len(numbers)]
    return ticked or (every if len(every) < len(seen.rows) else [])


def _filtered(rows: Any, kind: str) -> Any:
    if kind == "marked":
        return rows[rows[REASONS].astype(bool)]
    if kind == "margin below 0":
        return rows[rows[MARGIN] < 0]
    if kind == "ranked wrong":
        return rows[rows[GAP] <= 0]
    if kind == "forgotten":
        return rows[(rows[GAP_START] > 0) & (rows[GAP] <= 0)]
    return rows


def _opened(key: str, numbers: Sequence[int]) -> None:
    """Open the pair whose cell was clicked."""
    cells = st.session_state[key].get("selection", {}).get("cells", [])
    if cells and cells[0][0] < len(numbers):
        st.session_state[OPEN] = numbers[cells[0][0]]


def _changes(label: str, help: str) -> Any:
    return st.column_config.NumberColumn(label, format="%+.3f", help=help, width=142)


_COLUMNS: dict[str, Any] = {
    PAIR: st.column_config.NumberColumn(
        "Pair", format="%d", pinned=True, width=62, help="Row of the data set, from 0"
    ),
    REASONS: st.column_config.TextColumn(
        "Marks", width=140, help="What speaks for looking at the pair again"
    ),
    SEEN: st.column_config.NumberColumn("Trained at step", format="localized", width=100),
    DELTA["chosen"]: _changes("Δ chosen [nats/tok.]", DELTA["chosen"]),
    DELTA["rejected"]: _changes("Δ rejected [nats/tok.]", DELTA["rejected"]),
    MARGIN: _changes("Margin [nats/tok.]", "Δ chosen minus Δ rejected, nats per token"),
    MARGIN_SUM: st.column_config.NumberColumn(
        "Margin [nats]", format="%+.1f", width=106, help="The same, summed over the completions"
    ),
    GAP: _changes(
        "Gap [nats/tok.]",
        "Log-prob per token of chosen minus that of rejected: below 0 the pair is ranked wrong",
    ),
    FLIP: st.column_config.NumberColumn(
        "To flip [nats]",
        format="%.1f",
        width=108,
        help="How far the summed log-prob of rejected lies above that of chosen: what the margin "
        "still has to grow by until the pair is ranked right",
    ),
    SURPRISE["chosen"]: st.column_config.NumberColumn(
        "Surprise z, chosen [sd]",
        format="%+.1f",
        width=158,
        help="About 0 for text that the policy itself would write; standard deviations",
    ),
    SURPRISE["rejected"]: st.column_config.NumberColumn(
        "Surprise z, rejected [sd]", format="%+.1f", width=166, help="As for chosen"
    ),
    LENGTH["chosen"]: st.column_config.NumberColumn(
        "Chosen [tokens]", format="%d", width=118, help="Length of the chosen completion"
    ),
    LENGTH["rejected"]: st.column_config.NumberColumn(
        "Rejected [tokens]", format="%d", width=126, help="Length of the rejected completion"
    ),
    DIFFER_WORDS: st.column_config.NumberColumn(
        "Sides differ [of words]", format="percent", width=158, help="Edits over the longer side"
    ),
    DIFFER_TOKENS: st.column_config.NumberColumn(
        "Sides differ [of tokens]", format="percent", width=158, help="Edits over the longer side"
    ),
    COPY_OF: st.column_config.NumberColumn("Copy of pair", format="%d", width=100),
    CHES: st.column_config.NumberColumn(
        "CHES/token [act.²]",
        format="%+.2f",
        width=138,
        help="The higher of two pairs displaces its chosen side more (arXiv 2410.08847)",
    ),
    COSINE: st.column_config.NumberColumn(
        "Gradient cosine", format="%.2f", width=118, help="Of the two sides' gradients"
    ),
    PROMPT_TEXT: st.column_config.TextColumn("Prompt", width=260),
}


def export(seen: Look, chosen: Sequence[int]) -> None:
    """Offer the chosen pairs as a list that the trainer leaves out."""
    if not chosen:
        st.caption(
            "Tick rows, or narrow the table by a region or a filter, to leave pairs out of the "
            "next training."
        )
        return
    name = f"drop-{figure.file_name(seen.run.name)}"
    listed = partial(_listed, seen, tuple(chosen))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(chosen):,} pair{'s' * (len(chosen) != 1)}**", width="content")
        st.download_button(
            "List as JSONL",
            lambda: jsonl(listed()),
            file_name=f"{name}.jsonl",
            mime="application/jsonl",
            on_click="ignore",
            key="drop_jsonl",
        )
        st.download_button(
            "List as CSV",
            lambda: csv(listed()),
            file_name=f"{name}.csv",
            mime="text/csv",
            on_click="ignore",
            key="drop_csv",
        )
    if seen.pairs.split == "held_out":
        st.caption("Held-out pairs are not trained on: the trainer passes over them in a list.")
    st.caption(
        "Read the pairs before you drop them. The same run without them, evaluated on the same "
        "held-out pairs, with `…` for its other settings:"
    )
    st.code(f"python -m trainer … --drop_pairs {name}.jsonl", language="bash")


def _listed(seen: Look, chosen: Sequence[int]) -> Any:
    return drop_list(seen.run, seen.pairs, seen.rows, chosen, texts(seen, chosen))
