"""Regimes against known truth: examples, closed forms, and noise."""

from __future__ import annotations

import numpy as np
import pytest

from diagnostics.examples import example, gaussian_tilt, tilt_margin
from diagnostics.phases import EFFECT_FLOOR, classify, name_regime, regime_path
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.share import estimate, trajectory
from tests.diagnostics.probe_runs import probe_run, run_of, table


@pytest.mark.parametrize("regime", list(Regime))
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pairs", [16, 64])
def test_examples_are_named_as_they_were_made(regime: Regime, seed: int, pairs: int) -> None:
    assert name_regime(example(regime, seed, pairs=pairs)).regime is regime


TILTS = [
    (np.array(chosen), np.array(rejected))
    for chosen in [(1.0, 0.0), (2.0, 1.0), (3.0, 0.0), (0.5, 2.0), (-1.0, 0.5)]
    for rejected in [(3.0, 0.2), (1.0, 0.2), (-1.0, 0.2), (0.0, -1.0), (2.5, 2.0), (0.4, 0.1)]
]
EVALUATED = (0, 5, 15, 30, 60, 100, 200, 400, 700, 1000, 1500, 2000)


def tilt_regime(chosen: np.ndarray, rejected: np.ndarray, time: int) -> Regime | None:
    """Return the generator's phase: S m - KL against 0 and m; None near a boundary."""
    direction = chosen - rejected
    square = direction @ direction
    margin, share = tilt_margin(time, square), chosen @ direction / square
    divergence = margin**2 / (2 * square)
    sides = share * margin - divergence, (share - 1) * margin - divergence
    if min(map(abs, sides)) < 2 * EFFECT_FLOOR:
        return None
    quadrants = {
        (True, False): Regime.IDEAL,
        (True, True): Regime.BOTH_RISE,
        (False, False): Regime.BOTH_FALL,
    }
    return quadrants[sides[0] > 0, sides[1] > 0]


@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_the_phase_of_a_gaussian_tilt_is_the_generators_own(jitter: float) -> None:
    named: dict[Regime, int] = {}
    for chosen, rejected in TILTS:
        run = gaussian_tilt(chosen, rejected, EVALUATED, jitter=jitter, pairs=64)
        for found in trajectory(run)[1:]:
            truth = tilt_regime(chosen, rejected, found.step)
            regime = classify(found)
            assert regime is not Regime.REVERSED
            # With noise a side may be undecided near its turn, but never wrong.
            if truth is not None and not (jitter and regime is Regime.MIXED):
                assert regime is truth
                named[truth] = named.get(truth, 0) + 1
    assert min(named.values()) > 10
    assert set(named) == {Regime.IDEAL, Regime.BOTH_RISE, Regime.BOTH_FALL}


def test_one_run_visits_three_phases_in_turn() -> None:
    # a = (3, 0), b = (1, 0.2): rejected turns at m = b.D and crosses 0 at 2 b.D, chosen at 2 a.D.
    times = range(0, 2001, 20)
    path = regime_path(gaussian_tilt((3.0, 0.0), (1.0, 0.2), times))
    assert [regime for _, _, regime in path] == [
        Regime.FLAT,
        Regime.BOTH_RISE,
        Regime.IDEAL,
        Regime.BOTH_FALL,
    ]
    square, crossings = 4.04, [2 * (2 - 0.04), 2 * 6]
    for (start, _, _), margin in zip(path[2:], crossings, strict=True):
        assert tilt_margin(start - 20, square) < margin <= tilt_margin(start + 20, square)


@pytest.mark.parametrize("step", [(100, 1.34, 0.36), (1000, 3.97, -4.01), (2000, -1.87, -15.02)])
def test_the_gaussian_tilt_has_its_worked_values(step: tuple[int, float, float]) -> None:
    time, chosen, rejected = step
    found = estimate(gaussian_tilt((3.0, 0.0), (1.0, 0.2), (0, time)))
    assert found.delta_chosen.value == pytest.approx(chosen, abs=0.01)
    assert found.delta_rejected.value == pytest.approx(rejected, abs=0.01)


def log_linear(kappa: float, across: float, ratio: float, size: float = 1e-3) -> Run:
    """Return one small step of a log-linear policy over three completions, uniform at the start.

    Features a = (1, 0), b = (kappa, across) and -(a + b); loss weights d_w : d_l = `ratio` : 1.
    The changes are exact, then scaled up so that they clear the effect floor.
    """
    a, b = np.array([1.0, 0.0]), np.array([kappa, across])
    features = np.array([a, b, -(a + b)])
    logits = size * features @ (ratio * a - b)
    changes = (logits - np.log(np.exp(logits).mean()))[:2] / size
    return probe_run(np.repeat(changes[:, None], 16, axis=1))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 4.0])
def test_the_phase_diagram_of_a_log_linear_policy(ratio: float) -> None:
    named = set()
    for kappa in np.arange(-2.0, 5.01, 0.43):
        for across in np.arange(0.0, 3.01, 0.41):
            disc = (kappa - ratio / 2) ** 2 + across**2 - (ratio / 2) ** 2
            growth = (kappa - 1) * (kappa - ratio) + across**2
            if min(abs(disc), abs(kappa - ratio), abs(growth)) < 0.05:
                continue
            # Inside the disc both rise only while the margin grows at all.
            truth = Regime.BOTH_FALL if kappa > ratio else Regime.IDEAL
            truth = Regime.BOTH_RISE if disc < 0 else truth
            truth = Regime.MARGIN_LOSS if growth < 0 else truth
            found = name_regime(log_linear(kappa, across, ratio)).regime
            assert found is truth
            named.add(found)
    assert {Regime.IDEAL, Regime.BOTH_FALL} <= named
    # Equal weights never lose margin; at 0.5 the region is thinner than the grid's guard.
    assert (Regime.MARGIN_LOSS in named) == (ratio >= 2)


# False alarms and misses on noise.


def independent_looks(changes: np.ndarray) -> list[Regime]:
    """Return the regime of each draw of `changes` (draws, sides, P), all from one start."""
    logps = np.concatenate([np.zeros_like(changes[:1]), changes]) - 50
    run = run_of(table(logps, steps=range(len(logps))))
    return [classify(found) for found in trajectory(run)[1:]]


def test_flat_runs_are_seldom_called_anything_else() -> None:
    rng = np.random.default_rng(11)
    shared = rng.normal(0.0, 0.04, size=(2000, 1, 64))
    found = independent_looks(shared + rng.normal(0.0, 0.06, size=(2000, 2, 64)))
    told = [regime for regime in found if regime not in (Regime.FLAT, Regime.UNKNOWN)]
    assert len(told) / len(found) <= 0.05
    # What is told wrongly is a hint, hardly ever a quadrant.
    quadrants = (Regime.IDEAL, Regime.BOTH_RISE, Regime.BOTH_FALL, Regime.REVERSED)
    assert sum(regime in quadrants for regime in told) / len(found) <= 0.01
    assert found.count(Regime.UNKNOWN) / len(found) <= 0.05


def test_an_imprecise_probe_set_is_not_called_flat() -> None:
    found = independent_looks(np.random.default_rng(12).normal(0, 0.6, size=(500, 2, 32)))
    assert found.count(Regime.FLAT) == 0
    assert found.count(Regime.UNKNOWN) / len(found) >= 0.93
