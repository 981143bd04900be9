"""Numbers and words on the screen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.intervals import Interval
from pages.components.text import bounds, literal, percent, plain, sentence, signed

NAN = float("nan")


@given(st.text())
def test_no_sign_of_markdown_is_left_bare(text: str) -> None:
    shown = literal(text)
    bare = re.sub(r"\\[\\`*_{}\[\]()<>#+\-.!|~$:&^=]", "", shown)
    assert not re.search(r"[\\`*_{}\[\]()<>#+!|~$:&^=]", bare)
    assert "\n" not in shown


@pytest.mark.parametrize("address", ["http://a.b/c", "www.example.org", "someone@example.org"])
def test_an_address_is_broken_so_that_it_stays_text(address: str) -> None:
    shown = literal(address).replace("\\", "")
    assert address not in shown
    assert shown.replace("\u2060", "") == address


def test_numbers_that_are_none_are_a_dash() -> None:
    assert (signed(None), signed(NAN), plain(None), plain(NAN)) == ("–", "–", "–", "–")
    assert (percent(None), percent(NAN)) == ("–", "–")


def test_a_negative_number_carries_a_true_minus() -> None:
    assert (signed(-0.5), plain(-0.5)) == ("−0.500", "−0.50")


def test_an_interval_without_bounds_says_so() -> None:
    assert bounds(None) == "not known"
    assert bounds(Interval(NAN, NAN, NAN)) == "not known"
    assert bounds(Interval(0.5, float("-inf"), float("inf"))) == "spread not known"
    assert bounds(Interval(0.5, 0.25, 0.75), 2) == "95 %: 0.25 to 0.75"


def test_a_sentence_begins_large_ends_with_a_stop_and_keeps_hyphens() -> None:
    assert sentence("the tide-corrected 3-step value is -0.2") == (
        "The tide-corrected 3-step value is −0.2."
    )
    assert sentence("Is it?") == "Is it?"
