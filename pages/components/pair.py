"""One pair: its texts with the change of every token, its numbers, and its way through training."""

from __future__ import annotations

from typing import Any

import streamlit as st

from diagnostics.completions import SIDE, coloured, legend, scale, token_changes
from diagnostics.figures.pairs import path as path_figure
from diagnostics.pairmarks import REASONS
from diagnostics.pairs import DELTA, FLIP, GAP, GAP_START, LENGTH, MARGIN, PAIR, TRAINING, path
from pages.components import figure
from pages.components.pairs import OPEN, Look, texts
from pages.components.text import literal, plain, signed

LONGEST_TEXT = 8000
"""Signs of one text that are shown; the download holds all of it."""


def card(seen: Look) -> None:
    """Show the pair that is open, tied to `?pair=`, or how to open one."""
    st.header("One pair")
    numbers = seen.rows.sort_values(MARGIN if seen.pairs.is_paired else PAIR)[PAIR].tolist()
    number = _picker(numbers)
    if number is None:
        st.caption("Click a cell of the table, or give the number of a pair.")
        return
    found = seen.rows[seen.rows[PAIR] == number]
    if found.empty:
        st.info(f"Pair {number} is not among these pairs.")
        return
    row = found.iloc[0]
    _facts(row)
    known = texts(seen, [number])
    own = known.loc[number] if number in known.index else None
    if own is None:
        st.caption("The text of this pair was not kept: a run logs texts with `--log_texts true`.")
    else:
        st.markdown("**Prompt**")
        _text(own["prompt_text"])
    _sides(seen, number, own)
    if seen.pairs.split != TRAINING:
        steps = path(seen.run, seen.pairs.split, number)
        figure.show(
            path_figure(steps, seen.pairs.step),
            "pair path",
            f"Changes of pair {number} by step",
            lambda: steps,
        )


def _picker(numbers: list[int]) -> int | None:
    """Show the number of the open pair, and the ways to its neighbours by margin."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.number_input(
            "Pair",
            min_value=0,
            value=None,
            step=1,
            key=OPEN,
            bind="query-params",
            placeholder="its row in the data",
            width=200,
        )
        place = numbers.index(number) if number in numbers else None
        last = len(numbers) - 1
        for label, at in (("← smaller margin", -1), ("larger margin →", 1)):
            target = None if place is None else place + at
            able = target is not None and 0 <= target <= last
            st.button(
                label,
                key=f"pair {at}",
                disabled=not able,
                on_click=_open,
                args=(numbers[target] if target is not None and able else None,),
            )
    return number


def _open(number: int | None) -> None:
    st.session_state[OPEN] = number


def _facts(row: Any) -> None:
    """Show the pair's numbers in one line each, with their units."""
    facts = [
        ("Δ chosen", signed(row[DELTA["chosen"]]), "nats/token"),
        ("Δ rejected", signed(row[DELTA["rejected"]]), "nats/token"),
        ("Margin", signed(row[MARGIN]), "nats/token"),
        ("Ranked", _ranked(row), "per token, start → now"),
        ("Distance to flip", plain(row[FLIP], 1), "nats, summed log-probs"),
        (
            "Length",
            " / ".join(plain(row[LENGTH[side]], 0) for side in ("chosen", "rejected")),
            "tokens, chosen / rejected",
        ),
    ]
    with st.grid(6, min_column_width=150, gap="small"):
        for label, value, unit in facts:
            with st.container(gap=None):
                st.caption(label)
                st.markdown(f"**{literal(value)}** :small[{unit}]")
    if row.get(REASONS):
        st.markdown(f"◆ Marked: **{literal(row[REASONS])}**")


def _ranked(row: Any) -> str:
    words = []
    for name in (GAP_START, GAP):
        value = row[name]
        words.append("–" if value != value else "right" if value > 0 else "wrong")
    return " → ".join(words)


def _sides(seen: Look, number: int, own: Any) -> None:
    """Show both completions, coloured where their tokens were recorded."""
    split = "train" if seen.pairs.split == TRAINING else seen.pairs.split
    tokens = token_changes(seen.run, split, number, seen.pairs.step)
    if own is None and tokens.empty:
        return
    full = scale(tokens)
    for column, side in zip(st.columns(2, gap="large"), ("chosen", "rejected"), strict=True):
        with column:
            st.markdown(f"**{side.capitalize()}**")
            if (tokens[SIDE] == side).any():
                with st.container(border=True):
                    st.html(coloured(tokens, side, full))
            elif own is not None and own[f"text/{side}"]:
                _text(own[f"text/{side}"])
            else:
                st.caption("There is no such completion in this log.")
    if len(tokens):
        st.html(legend(full))
        with st.expander("Every token as a table"):
            st.dataframe(tokens, hide_index=True, height=320, key="tokens", placeholder="–")
    elif own is not None:
        st.caption(
            "The single tokens of this pair were not recorded; "
            "`--probe_token_pairs` says for how many train pairs of the probe set they are."
        )


def _text(text: str) -> None:
    """Show untrusted text as it is."""
    more = f"\n… {len(text) - LONGEST_TEXT:,} signs more" if len(text) > LONGEST_TEXT else ""
    st.code(text[:LONGEST_TEXT] + more, language=None, wrap_lines=True)
