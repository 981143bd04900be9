"""The margin is shared out among tokens exactly, and a wasted margin is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics.attribution import attribute, top_share
from diagnostics.examples import example
from diagnostics.run import Run

BASE = example("ideal", pairs=2, evaluations=3)
GROUPS = ["shared_prefix", "first_difference", "unique", "eos"]


def tokens(pairs: int = 30, *, valley: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Return two evaluations; `valley` is the fall of one unlikely rejected token a pair."""
    rng = np.random.default_rng(seed)
    rows = []
    for pair in range(pairs):
        shared = rng.normal()
        for side, sign in (("chosen", 1.0), ("rejected", -1.0)):
            for position, group in enumerate(GROUPS):
                start, unlikely = -1.0, side == "rejected" and group == "unique"
                change = shared if position == 0 else sign * rng.uniform(0.5, 1.5)
                if unlikely and valley:
                    start, change = -9.0, -valley
                for step, logps in ((0, start), (10, start + change)):
                    rows.append((step, pair, side, position, group, logps, -0.5))
    names = ["step", "pair", "side", "position", "group", "logps", "argmax_logps"]
    return pd.DataFrame(rows, columns=names).assign(split="train", token=1)


def run_of(table: pd.DataFrame) -> Run:
    return replace(BASE, tables={"tokens": table})


def test_the_groups_share_out_margin_and_common_mode_without_a_rest():
    table = tokens()
    found = attribute(run_of(table))
    assert (found.start, found.step, found.n_pairs) == (0, 10, 30)
    moved = table["logps"].where(table["step"] == 10, -table["logps"])
    chosen, rejected = (moved[table["side"] == side].sum() / 30 for side in ("chosen", "rejected"))
    assert found.margin.value == pytest.approx(chosen - rejected)
    assert found.common.value == pytest.approx((chosen + rejected) / 2)
    assert [group.group for group in found.groups] == GROUPS
    assert sum(group.margin.value for group in found.groups) == pytest.approx(found.margin.value)
    assert sum(group.common.value for group in found.groups) == pytest.approx(found.common.value)
    assert sum(group.of_margin.value for group in found.groups) == pytest.approx(1.0)
    assert sum(group.tokens for group in found.groups) == pytest.approx(1.0)
    prefix = found.groups[0]
    assert (prefix.margin.value, prefix.of_margin.value) == (0.0, 0.0)
    assert prefix.common.value != 0


def test_a_margin_bought_in_a_valley_is_wasted():
    plain, wasted = attribute(run_of(tokens())), attribute(run_of(tokens(valley=50.0)))
    assert (plain.wasted.value, plain.valley_tokens) == (0.0, 0.0)
    assert wasted.valley_tokens == pytest.approx(1 / 4)
    assert wasted.wasted.value == pytest.approx(50 / wasted.margin.value)
    assert wasted.wasted.low > 0.8
    # One token of eight moved by 50, the others by about 1.
    assert wasted.top_share > 5 * 0.05


def test_a_likely_or_a_chosen_token_is_in_no_valley():
    table = tokens(valley=50.0)
    table["argmax_logps"] = table["logps"]
    assert attribute(run_of(table)).valley_tokens == 0
    table = tokens(valley=50.0)
    table["side"] = table["side"].map({"chosen": "rejected", "rejected": "chosen"})
    assert attribute(run_of(table)).valley_tokens == 0


def test_no_share_is_given_of_a_margin_that_is_noise():
    table = tokens(6)
    later = table["step"] == 10
    rng = np.random.default_rng(1)
    table.loc[later, "logps"] = table.loc[~later, "logps"].to_numpy() + rng.normal(size=later.sum())
    found = attribute(run_of(table))
    assert found.wasted is None
    assert all(group.of_margin is None for group in found.groups)


def test_pairs_with_one_side_runs_without_tokens_and_a_start_alone_say_nothing():
    table = tokens()
    assert attribute(BASE) is None
    assert attribute(run_of(table[table["side"] == "chosen"])) is None
    assert attribute(run_of(table), step=0) is None
    assert attribute(run_of(table.iloc[:0])) is None
    assert attribute(run_of(table), split="held_out") is None


def test_the_top_tokens_make_up_their_part_of_the_movement():
    assert top_share(np.zeros(5)) is None
    assert top_share(np.ones(100)) == pytest.approx(0.05)
    assert top_share(-np.array([95.0, *[5 / 19] * 19])) == pytest.approx(0.95)
