"""What the margin is made of: both parts sum to it, whatever the regime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.examples import TRUTH, example, nan_ridden
from diagnostics.parts import MOST_GROUPS, of_log, of_probe
from diagnostics.series import Changes, changes
from diagnostics.share import trajectory


@pytest.mark.parametrize("regime", ["ideal", "both_rise", "both_fall", "reversed"])
def test_the_parts_of_a_probed_run_are_what_both_sides_did(regime: str) -> None:
    found = of_probe(trajectory(example(regime)))
    assert found is not None
    chosen, rejected = TRUTH[regime]  # type: ignore[index]
    assert found.chosen[-1] == pytest.approx(chosen)
    assert found.rejected[-1] == pytest.approx(-rejected)
    assert found.margin == pytest.approx(found.chosen + found.rejected)
    if chosen > rejected:
        assert found.share[-1] == pytest.approx(chosen / (chosen - rejected), abs=1e-6)


def test_evaluations_without_numbers_are_left_out() -> None:
    path = trajectory(nan_ridden())
    found = of_probe(path)
    assert found is not None
    assert len(found.steps) < len(path)
    assert np.isfinite(found.margin).all()
    assert of_probe([]) is None


def logged(points: int, **changed: object) -> Changes:
    steps = np.arange(1, points + 1)
    one = Changes("train", steps, steps * 0.1, steps * -0.3, steps * 0.4, "nats", 0.1, True)
    return replace(one, **changed)  # type: ignore[arg-type]


def test_a_long_log_is_averaged_in_groups_that_keep_the_mean() -> None:
    found = of_log(logged(1000))
    assert found is not None
    assert (found.group, found.unit) == (17, "nats")
    assert len(found.steps) <= MOST_GROUPS
    assert found.steps[0] == 9.0
    assert found.steps[-1] == np.mean(np.arange(987, 1001))  # what is left over
    assert found.chosen == pytest.approx(0.1 * found.steps)
    assert found.rejected == pytest.approx(0.3 * found.steps)
    assert found.margin == pytest.approx(0.4 * found.steps)


def test_a_short_log_keeps_every_record_and_gaps_are_left_out() -> None:
    broken = np.array([0.1, np.nan, 0.3])
    found = of_log(logged(3, chosen=broken))
    assert found is not None
    assert (found.group, found.steps.tolist()) == (1, [1, 3])
    assert of_log(logged(3, chosen=broken * np.nan)) is None


def test_the_logged_parts_end_where_the_probed_ones_do() -> None:
    run = example("both_fall")
    logged_changes = changes(run)
    assert logged_changes is not None
    by_log, by_probe = of_log(logged_changes), of_probe(trajectory(run))
    assert by_log is not None
    assert by_probe is not None
    assert by_log.unit == by_probe.unit
    assert by_log.chosen[-1] == pytest.approx(by_probe.chosen[-1], abs=0.1)
