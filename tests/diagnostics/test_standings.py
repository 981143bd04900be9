"""Who leads beyond noise: one sentence a quantity, which claims no more than the differences."""

from __future__ import annotations

from itertools import combinations
from math import nan

from diagnostics.contrasts import Contrast, Difference
from diagnostics.intervals import Interval
from diagnostics.schema import NATS, NATS_PER_TOKEN
from diagnostics.standings import standings


def contrast(
    first: str, second: str, value: float, clear: bool, quantity: str, unit: str = NATS_PER_TOKEN
) -> Contrast:
    interval = Interval(value, value - 0.01, value + 0.01)
    found = Difference(quantity, interval, unit, clear)
    return Contrast(first, second, "step", 10.0, (10.0, 10.0), (found,), True, ("",))


def every(values: dict[str, float], clear: set[tuple[str, str]], quantity: str) -> list[Contrast]:
    """Return every two runs against each other; only those of `clear` differ beyond noise."""
    return [
        contrast(a, b, values[b] - values[a], (a, b) in clear, quantity)
        for a, b in combinations(values, 2)
    ]


VALUES = {"a": 0.1, "b": 0.5, "c": 0.3}
ALL = set(combinations(VALUES, 2))


def test_the_leader_beats_every_other_run_beyond_noise() -> None:
    (said,) = standings(every(VALUES, ALL, "chosen"), against_first=False)
    assert said == (
        "b keeps chosen highest: 0.20, 95 % 0.19…0.21 nats per token from c, the next, beyond noise"
    )


def test_less_is_better_for_rejected_and_drift() -> None:
    (said,) = standings(every(VALUES, ALL, "rejected"), against_first=False)
    assert said.startswith("a keeps rejected lowest: 0.20, 95 % 0.19…0.21 nats per token from c")
    (said,) = standings(every(VALUES, ALL, "drift"), against_first=False)
    assert said.startswith("a has drifted least: 0.20")


def test_runs_that_noise_does_not_tell_apart_share_the_lead() -> None:
    clear = {("a", "b"), ("a", "c")}
    (said,) = standings(every(VALUES, clear, "margin"), against_first=False)
    assert said == "b and c have the largest margin, and noise does not tell them apart"


def test_nothing_beyond_noise_is_said_as_such() -> None:
    (said,) = standings(every(VALUES, set(), "margin"), against_first=False)
    assert said == "the margin: no difference beyond noise between a, b and c"


def test_a_ring_of_runs_has_no_leader() -> None:
    ring = [
        contrast("a", "b", 0.1, True, "chosen"),
        contrast("b", "c", 0.1, True, "chosen"),
        contrast("a", "c", -0.1, True, "chosen"),
    ]
    (said,) = standings(ring, against_first=False)
    assert said == "chosen: no run leads all others beyond noise"


def test_many_runs_are_told_as_higher_or_lower_than_the_first() -> None:
    rows = [contrast("a", name, value, value != 0.01, "chosen") for name, value in (
        ("b", 0.4), ("c", -0.2), ("d", 0.5), ("e", 0.01), ("f", 0.3), ("g", 0.2), ("h", 0.1)
    )]  # fmt: skip
    (said,) = standings(rows, against_first=True)
    assert said == (
        "against a, chosen ends higher in d (+0.50), b (+0.40), f (+0.30), g (+0.20) and 1 more "
        "and lower in c (-0.20), in nats per token; 1 within noise"
    )


def test_sizes_in_several_units_and_refusals_have_no_order() -> None:
    mixed = [contrast("a", "b", 0.1, True, "chosen"), contrast("a", "c", 9.0, True, "chosen", NATS)]
    assert standings(mixed, against_first=False) == ()
    refused = Contrast("a", "b", "step", nan, (nan, nan), (), False, ("",), "a reason")
    assert standings([refused], against_first=False) == ()
