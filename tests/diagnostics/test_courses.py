"""Courses: the way of a run in units that compare, and why some logs have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.courses import course, quantities, units
from diagnostics.examples import example
from diagnostics.reading import Reading
from diagnostics.schema import NATS, NATS_PER_TOKEN
from tests.diagnostics.logged_runs import NOT_KNOWN, logged_run, noisy


def test_fixed_pairs_give_every_quantity_with_its_interval() -> None:
    run = example("both_fall")
    found = course("a", Reading(run))
    assert (found.unit, found.from_log, found.refusal) == (NATS_PER_TOKEN, False, None)
    assert list(found.lines) == ["chosen", "rejected", "margin", "drift"]
    chosen = found.lines["chosen"]
    assert chosen.value[-1] == pytest.approx(-0.3)
    assert chosen.low[-1] < -0.3 < chosen.high[-1]
    assert chosen.end is not None
    assert chosen.end.value == chosen.value[-1]
    assert found.along("step") is found.steps
    assert found.along("margin") is found.lines["margin"].value


def test_a_log_gives_what_its_unit_allows() -> None:
    run = example("both_fall")
    bare = replace(run, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0])
    found = course("a", Reading(bare))
    assert found.from_log
    assert found.unit in (NATS, NATS_PER_TOKEN)
    assert len(found.steps) == len(run.train)
    assert found.along("drift") is None
    moved = Reading(bare).regime.movement
    assert moved is not None
    assert found.lines["chosen"].end == moved.chosen


def test_rewards_of_no_known_scale_have_no_course_and_say_why() -> None:
    found = course("a", Reading(logged_run(*noisy((-0.4, -0.9)), meaning=NOT_KNOWN)))
    assert not found.lines
    assert "reward units" in (found.refusal or "")
    empty = course("b", Reading(logged_run([], [])))
    assert empty.refusal == "its log holds no rewards of both sides"


def test_units_and_quantities_of_several_courses() -> None:
    probed = course("a", Reading(example("ideal")))
    samples = example("ideal").samples.iloc[:0]
    without = course("b", Reading(replace(example("ideal"), samples=samples)))
    assert units([probed, without]) == [NATS_PER_TOKEN]
    assert quantities([without], "step") == ["chosen", "rejected", "margin"]
    assert quantities([probed, without], "margin") == ["chosen", "rejected", "drift"]
    assert not np.isfinite(without.lines["chosen"].value).any() or "drift" not in without.lines
