"""Confidence against labels: exact on a run made by hand, and on the diagonal where it belongs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from diagnostics.examples import BETA, example, nan_ridden
from diagnostics.figures.reliability import reliability as figure
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.pairs import GAP, MARGIN_SUM, view
from diagnostics.reliability import CONFIDENCE, COUNT, RIGHT, reliability, reward_margins
from diagnostics.run import Run


def calibrated(seed: int, *, boast: float = 1.0) -> Run:
    """A run whose pairs are preferred as labelled as often as its margins say; `boast` times."""
    run = example("ideal", seed, pairs=2000, evaluations=1)
    draw = np.random.default_rng(seed)
    probes = run.probes.copy()
    rows = (probes["step"] > 0) & (probes["split"] == "train")
    size = draw.uniform(0.1, 2.5, int(rows.sum()))
    sign = np.where(draw.random(len(size)) < expit(size), 1.0, -1.0)
    first = probes[(probes["step"] == 0) & (probes["split"] == "train")]
    for side, by in (("chosen", 0.5), ("rejected", -0.5)):
        start = first[f"logps/{side}"].to_numpy()
        probes.loc[rows, f"logps/{side}"] = start + by * boast * sign * size / BETA
    return replace(run, probes=probes)


def test_a_calibrated_run_lies_on_the_diagonal_and_a_boasting_one_below() -> None:
    for boast in (1.0, 3.0):
        run = calibrated(0, boast=boast)
        pairs = view(run, "train")
        assert pairs is not None
        bins = reliability(run, pairs)
        assert bins is not None
        assert bins[COUNT].sum() == 2000
        assert bins[CONFIDENCE].is_monotonic_increasing
        surplus = (bins[CONFIDENCE] - bins[RIGHT]).to_numpy()
        if boast == 1.0:
            assert np.abs(surplus).max() < 7
            within = bins[CONFIDENCE].between(bins[f"{RIGHT} from"], bins[f"{RIGHT} to"])
            assert within.sum() >= len(bins) - 1
        else:
            assert surplus[1:-1].min() > 7


def test_the_margin_is_in_the_units_of_the_reward() -> None:
    run = example("ideal")
    pairs = view(run, "train")
    assert pairs is not None
    found = reward_margins(run, pairs)
    assert found == pytest.approx(BETA * pairs.frame[MARGIN_SUM].to_numpy())
    simpo = replace(run, meaning=Meaning(Base.LOGPS_MEAN, 2.0, Scope.WINDOW, ""))
    assert reward_margins(simpo, pairs) == pytest.approx(2 * pairs.frame[GAP].to_numpy())
    for unknown in (None, Meaning(Base.OTHER, 1.0, Scope.WINDOW, "")):
        assert reliability(replace(run, meaning=unknown), pairs) is None


def test_pairs_that_have_not_moved_have_no_confidence() -> None:
    run = example("ideal")
    start = view(run, "train", 0)
    assert start is not None
    assert reliability(run, start) is None
    broken = nan_ridden()
    last = view(broken, "train")
    assert last is not None
    assert reliability(replace(broken, meaning=run.meaning), last) is None


def test_the_figure_shows_the_bins_and_the_diagonal() -> None:
    run = example("ideal")
    pairs = view(run, "train")
    assert pairs is not None
    bins = reliability(run, pairs)
    assert bins is not None
    diagonal, drawn = figure(bins).data
    assert list(diagonal.x) == list(diagonal.y)
    assert list(drawn.y) == bins[RIGHT].tolist()
