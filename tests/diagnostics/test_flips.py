"""Label flips against their null, and against flips of known pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.flips import MOST_EVALUATIONS, find, too_little
from diagnostics.intervals import Floats
from diagnostics.pathologies.label_flips import ALPHA, LEAST_SIZE, MIN_FLIPS, check
from diagnostics.probegrid import ProbeGrid, probe_grid
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.verdicts import Status
from tests.diagnostics.probe_runs import run_of, table

PAIRS, TIMES = 40, 11


def run_with(margins: Floats, tokens: Floats | None = None, **options: object) -> Run:
    """Return a run whose pairs have these per-token margins (T, P), all of them from chosen."""
    lengths = np.full((2, margins.shape[1]), 20.0) if tokens is None else tokens
    logps = np.full((len(margins), 2, margins.shape[1]), -50.0)
    logps[:, 0] += margins * lengths[0]
    steps = [10 * time for time in range(len(margins))]
    return run_of(table(logps, steps=steps, tokens=lengths, **options))  # type: ignore[arg-type]


def grid(margins: Floats) -> ProbeGrid:
    found = probe_grid(run_with(margins))
    assert found is not None
    return found


def walks(draw: np.random.Generator, mean: float, size: float) -> Floats:
    """Return margins (T, P) whose increments are independent between evaluations and pairs."""
    steps = mean + size * draw.standard_t(4, size=(TIMES - 1, PAIRS))
    return np.vstack([np.zeros(PAIRS), np.cumsum(steps, axis=0)])


def straight(ends: Floats) -> Floats:
    return np.linspace(0, 1, TIMES)[:, None] * ends


def alarms(margins: list[Floats]) -> int:
    return sum(check(Reading(run_with(one))).status.is_alarm for one in margins)


def test_increments_dealt_out_at_random_raise_at_most_one_alarm_in_a_hundred() -> None:
    draw = np.random.default_rng(0)
    nulls = [walks(draw, mean, 0.1) for mean in (0.005, 0.02, 0.05) for _ in range(50)]
    assert alarms(nulls) <= len(nulls) // 100
    p = [find(grid(one)).p for one in nulls]
    assert np.mean(np.array(p) <= ALPHA) <= 0.02


def test_one_bell_of_slopes_is_no_group_of_flips() -> None:
    # Some pairs do move against their labels, and less far than the rest.
    draw = np.random.default_rng(1)
    widths = (0.1, 0.3, 0.5, 0.8)
    bells = [straight(draw.normal(0.5, width, PAIRS)) for width in widths for _ in range(30)]
    found = [check(Reading(run_with(one))).status for one in bells]
    assert found.count(Status.PRESENT) <= len(bells) // 100
    assert found.count(Status.SUSPECTED) <= 6 * len(bells) // 100


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25])
def test_flipped_pairs_are_found_by_name(share: float) -> None:
    hits = 0
    for seed in range(10):
        draw = np.random.default_rng(seed)
        flipped = draw.permutation(PAIRS) < round(share * PAIRS)
        ends = np.where(flipped, -1.0, 1.0) * draw.normal(0.5, 0.12, PAIRS)
        noise = 0.03 * draw.normal(size=(TIMES, PAIRS))
        noise[0] = 0
        run = run_with(straight(ends) + noise)
        found = probe_grid(run)
        assert found is not None
        hits += check(Reading(run)).status is Status.PRESENT and np.array_equal(
            find(found).against, flipped
        )
    assert hits >= 9


def test_two_flips_are_too_few_and_weak_ones_too_small() -> None:
    ends = np.full(PAIRS, 0.5) + np.linspace(-0.1, 0.1, PAIRS)
    ends[: MIN_FLIPS - 1] = -0.5
    assert check(Reading(run_with(straight(ends)))).status is Status.ABSENT
    ends[:6] = -0.9 * LEAST_SIZE * 0.5
    assert check(Reading(run_with(straight(ends)))).status is Status.ABSENT
    ends[:6] = -1.2 * LEAST_SIZE * 0.5 + np.linspace(-0.01, 0.01, 6)
    assert check(Reading(run_with(straight(ends)))).status is Status.PRESENT


def test_where_lengths_tell_the_groups_apart_it_is_a_suspicion() -> None:
    draw = np.random.default_rng(2)
    ends = draw.normal(0.5, 0.05, PAIRS)
    ends[:8] *= -1
    tokens = np.full((2, PAIRS), 20.0) + draw.integers(0, 5, (2, PAIRS))
    assert check(Reading(run_with(straight(ends), tokens))).status is Status.PRESENT
    tokens[1, :8] *= 4
    verdict = check(Reading(run_with(straight(ends), tokens)))
    assert verdict.status is Status.SUSPECTED
    assert "their lengths differ" in verdict.sentence


def test_a_pair_that_recovers_or_ends_at_its_start_does_not_move_against_its_label() -> None:
    ends = np.full(PAIRS, 0.5)
    margins = straight(ends)
    margins[:-1, 0] = -0.5  # against to the last but one evaluation
    margins[1:, 1] = -0.001
    margins[1:, 2] = -0.5
    assert np.flatnonzero(find(grid(margins)).against).tolist() == [2]


def test_too_little_is_said_with_its_numbers() -> None:
    ends = straight(np.full(PAIRS, 0.5))
    assert too_little(None) is not None
    assert "12 probe pairs" in str(too_little(grid(ends[:, :12])))
    assert "3 times" in str(too_little(grid(ends[:4])))
    assert "has not grown" in str(too_little(grid(-ends)))
    assert too_little(grid(ends)) is None


def test_unpaired_data_has_no_flips_to_find() -> None:
    run = replace(run_with(straight(np.full(PAIRS, 0.5))), method="kto")
    assert check(Reading(run)).status is Status.NOT_APPLICABLE


def test_long_runs_are_thinned_and_the_answer_is_the_same_every_time() -> None:
    ends = np.full(PAIRS, 0.5) + np.linspace(-0.1, 0.1, PAIRS)
    ends[:8] = -0.5
    long = grid(np.linspace(0, 1, 4 * MOST_EVALUATIONS)[:, None] * ends)
    one, other = find(long), find(long)
    assert (one.count, one.p) == (8, other.p)
    assert np.array_equal(one.against, other.against)
