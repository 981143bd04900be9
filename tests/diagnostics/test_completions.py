"""Tokens with their change: exact numbers, and no way for a text to become markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.completions import (
    CHANGE,
    GROUP,
    NOW,
    POSITION,
    SIDE,
    START,
    TOKEN,
    coloured,
    legend,
    scale,
    token_changes,
)
from diagnostics.examples import example
from diagnostics.run import Run

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' style='position:fixed",
    "</span></div><style>*{display:none}</style>",
    "<a href=javascript:alert(1)>",
    "&lt;b&gt; &amp; \x00 \u202e",
)


def run_with(tokens: list[str], changes: list[float]) -> Run:
    """A run whose pair 7 has these tokens on both sides; rejected moves the other way."""
    rows = []
    for step in (0, 10):
        for side, sign in (("chosen", 1.0), ("rejected", -1.0)):
            rows += [
                {
                    **{"step": step, "pair": 7, "position": at, "token": 100 + at},
                    **{"split": "train", "side": side, "group": "unique", "argmax_logps": -0.1},
                    "logps": -2.0 + sign * change * (step > 0),
                }
                for at, change in enumerate(changes)
            ]
    pieces = [
        {"step": 0, "pair": 7, "position": at, "split": "train", "side": side, "text": text}
        for side in ("chosen", "rejected")
        for at, text in enumerate(tokens)
    ]
    tables = {"tokens": pd.DataFrame(rows), "token_texts": pd.DataFrame(pieces)}
    return replace(example("ideal", pairs=2), tables=tables)


class Seen(HTMLParser):
    """Everything that a browser would see in a text of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def test_each_token_has_its_text_and_its_change() -> None:
    run = run_with(["Yes", " no", "\n"], [0.5, -1.0, 0.0])
    found = token_changes(run, "train", 7, 10)
    assert len(found) == 6
    chosen = found[found[SIDE] == "chosen"]
    assert chosen[TOKEN].tolist() == ["Yes", " no", "\n"]
    assert chosen[POSITION].tolist() == [0, 1, 2]
    assert chosen[CHANGE].tolist() == pytest.approx([0.5, -1.0, 0.0])
    assert chosen[NOW].tolist() == pytest.approx((chosen[START] + chosen[CHANGE]).tolist())
    assert set(found[GROUP]) == {"unique"}
    assert token_changes(run, "train", 7, 5)[CHANGE].tolist() == [0.0] * 6
    assert token_changes(run, "train", 8, 10).empty
    assert token_changes(example("ideal"), "train", 0, 10).empty


def test_tokens_without_a_kept_text_are_shown_by_their_number() -> None:
    run = run_with(["Yes", " no"], [0.5, -1.0])
    bare = replace(run, tables={"tokens": run.tables["tokens"]})
    assert token_changes(bare, "train", 7, 10)[TOKEN].tolist()[:2] == ["[100]", "[101]"]
    some = run.tables["token_texts"]
    partly = replace(run, tables={**run.tables, "token_texts": some[some["position"] == 0]})
    assert token_changes(partly, "train", 7, 10)[TOKEN].tolist()[:2] == ["Yes", "[101]"]


def test_a_rise_and_a_fall_differ_in_line_and_colour_and_say_their_nats() -> None:
    found = token_changes(run_with(["up", "down", "same"], [0.5, -1.0, 0.0]), "train", 7, 10)
    tags = [one for name, one in Seen(coloured(found, "chosen", 1.0)).tags if name == "span"]
    up, down, same = tags
    assert "solid" in str(up["style"])
    assert "dotted" in str(down["style"])
    colours = [re.findall(r"rgb\(.*?\)", str(one["style"])) for one in (up, down)]
    assert colours[0] != colours[1]
    assert "style" not in same
    assert [one["title"] for one in tags] == ["+0.50 nats", "−1.00 nats", "+0.00 nats"]


@pytest.mark.parametrize("change", [0.5, 0.0, float("nan")])
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_becomes_an_element_or_an_attribute(attack: str, change: float) -> None:
    found = token_changes(run_with([attack, "fine"], [change, -1.0]), "train", 7, 10)
    seen = Seen(coloured(found, "chosen", scale(found)))
    assert [name for name, _ in seen.tags] == ["div", "span", "span"]
    assert all(set(one) <= {"title", "style"} for _, one in seen.tags)
    assert all(attack not in str(value) for _, one in seen.tags for value in one.values())
    if "\x00" not in attack:
        assert seen.words == attack + "fine"


@given(text=st.text(max_size=40), change=st.floats(), full=st.floats())
def test_whatever_the_text_and_the_number_there_is_one_element_a_token(
    text: str, change: float, full: float
) -> None:
    tokens = pd.DataFrame({SIDE: ["chosen"], TOKEN: [text], CHANGE: [change]})
    seen = Seen(coloured(tokens, "chosen", full))
    assert [name for name, _ in seen.tags] == ["div", "span"]
    assert set(seen.tags[1][1]) <= {"title", "style"}


def test_one_wild_token_does_not_fade_the_others_and_nothing_moved_is_no_scale() -> None:
    changes = [0.5] * 99 + [50.0]
    found = token_changes(run_with(["w"] * 100, changes), "train", 7, 10)
    assert scale(found) == pytest.approx(0.5)
    assert scale(found.iloc[:0]) == 1.0
    assert scale(found.assign(**{CHANGE: np.nan})) == 1.0
    assert scale(found.assign(**{CHANGE: 0.0})) == 1.0


def test_the_legend_is_in_nats_and_holds_both_ends() -> None:
    words = Seen(legend(0.8)).words
    assert "[nats]" in words
    assert "−0.80 or more" in words
    assert "+0.80 or more" in words
