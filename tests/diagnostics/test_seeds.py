"""Runs of one setting and several seeds: who belongs together, and what their spread allows."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from diagnostics.contrasts import MATCHES
from diagnostics.examples import example
from diagnostics.run import Run, Source
from diagnostics.seeds import group_contrasts, group_difference, seed_bands, seed_groups
from diagnostics.tracks import tracks_of
from tests.diagnostics.probe_runs import any_run, table

ENDS = {1e-6: (0.1, 0.2, 0.3), 5e-6: (0.9, 1.0, 1.1)}


def seeded(ends: dict[float, tuple[float, ...]] = ENDS) -> list[Run]:
    """Return runs whose both sides end at `ends` [nats per token], by learning rate and seed."""
    start = np.random.default_rng(0).normal(-50, 5, (2, 12))
    ramp = np.linspace(0, 1, 5)[:, None, None]
    return [
        Run(
            name=f"{lr}-{seed}",
            method="dpo",
            probes=table(start + ramp * np.full((1, 2, 12), end)),
            config={"learning_rate": lr, "seed": seed, "output_dir": f"runs/{lr}-{seed}"},
            source=Source(path="", reader="native", framework="synthetic"),
        )
        for lr, several in ends.items()
        for seed, end in enumerate(several)
    ]


def test_seeds_are_grouped_and_their_spread_is_the_uncertainty() -> None:
    runs = seeded()
    low, high = seed_groups(runs)
    assert low.runs == ("1e-06-0", "1e-06-1", "1e-06-2")
    assert (low.label, high.label) == ("1e-06", "5e-06")
    # mean 0.2, sd 0.1, t(2) = 4.30: 0.2 +- 0.248
    assert low.chosen.value == pytest.approx(0.2)
    assert low.chosen.high == pytest.approx(0.2 + 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert group_difference(low, high).low > 0
    (alone,) = seed_groups(runs[:1])
    assert alone.chosen.high == inf


def test_runs_that_do_not_state_a_seed_are_no_seeds_of_each_other() -> None:
    silent = [replace(run, config={"learning_rate": 1e-6}) for run in seeded()[:2]]
    assert [group.runs for group in seed_groups(silent)] == [("1e-06-0",), ("1e-06-1",)]


def test_a_second_run_of_one_seed_is_no_further_seed() -> None:
    first, second, _ = seeded()[:3]
    again = replace(first, name="again")
    assert [group.runs for group in seed_groups([first, second, again])] == [
        ("1e-06-0", "1e-06-1"),
        ("again",),
    ]


def test_groups_are_compared_by_the_spread_between_their_seeds() -> None:
    (found,) = group_contrasts(seed_groups(seeded()))
    assert (found.first, found.second, found.seeds) == ("1e-06", "5e-06", (3, 3))
    chosen = found.differences[0]
    assert chosen.interval.value == pytest.approx(0.8)
    # Both means have a half-width of 4.30 * 0.1 / sqrt(3) = 0.248; together 0.351.
    assert chosen.interval.low == pytest.approx(0.8 - 0.351, abs=1e-3)
    assert chosen.beyond_noise
    alike = group_contrasts(seed_groups(seeded({1e-6: ENDS[1e-6], 5e-6: (0.15, 0.3, 0.35)})))
    assert not any(one.beyond_noise for one in alike[0].differences)


def test_one_seed_is_compared_to_no_group() -> None:
    runs = seeded()
    assert group_contrasts(seed_groups([*runs[:3], runs[3]])) == ()


def test_a_band_shows_the_range_of_the_seeds_and_their_median() -> None:
    runs = seeded()
    found = seed_bands(runs, tracks_of(runs), "step")
    assert {(one.label, one.seeds) for one in found} == {("1e-06", 3), ("5e-06", 3)}
    chosen = next(one for one in found if one.quantity == "chosen")
    assert (chosen.low[-1], chosen.median[-1], chosen.high[-1]) == pytest.approx((0.1, 0.2, 0.3))
    assert chosen.at[0] == 0


def test_a_band_over_the_margin_ends_where_the_shortest_course_does() -> None:
    runs = [example("ideal", 0, name="a-0"), example("both_fall", 1, name="a-1")]
    runs = [replace(run, config=run.config | {"seed": seed}) for seed, run in enumerate(runs)]
    found = seed_bands(runs, tracks_of(runs), "margin")
    assert {one.quantity for one in found} == {"chosen", "rejected", "drift"}
    assert all(one.at[-1] == pytest.approx(0.5) for one in found)


@settings(max_examples=30, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(any_run(), max_size=3), st.sampled_from(MATCHES))
def test_grouping_never_raises(runs: list[Run], matched: str) -> None:
    found = seed_groups(runs)
    assert sum(len(group.runs) for group in found) == len(runs)
    group_contrasts(found)
    for band in seed_bands(runs, tracks_of(runs), matched):
        assert all(isfinite(value) for value in band.median)
