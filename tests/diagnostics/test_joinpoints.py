"""Continuous broken lines with shared knots, and the autocorrelation beside them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from diagnostics.joinpoints import fit, fit_with_swing, noise_weights, unbiased, waves

PLACE = np.linspace(0, 1, 200)


def noise(size: float, phi: float = 0.0, seed: int = 0) -> np.ndarray:
    draws = np.random.default_rng(seed).standard_normal((250, 2))
    return size * lfilter([np.sqrt(1 - phi * phi)], [1, -phi], draws, axis=0)[50:]


def lines(*turns: tuple[float, float, float]) -> np.ndarray:
    """Return both series through points (place, first, second)."""
    at, first, second = zip(*turns, strict=True)
    return np.column_stack([np.interp(PLACE, at, first), np.interp(PLACE, at, second)])


def test_two_exact_lines_meet_where_they_meet() -> None:
    found = fit(PLACE, lines((0, 0, 0), (0.4, 1, -1), (1, 0, -2)) + noise(0.01))
    assert found.knots == pytest.approx([0.4], abs=0.011)
    assert found.row(0.4) @ found.coefficients == pytest.approx([1, -1], abs=0.04)


def test_a_straight_line_gets_no_knot() -> None:
    assert len(fit(PLACE, lines((0, 0, 0), (1, 5, -5))).knots) == 0
    assert sum(len(fit(PLACE, noise(1, seed=s)).knots) for s in range(20)) <= 1


@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_three_pieces_need_two_knots_at_once(phi: float) -> None:
    bent = lines((0, 0, 0), (0.3, 1, -0.3), (0.6, 0, -0.6), (1, 1, -1))
    found = fit(PLACE, bent + noise(0.1, phi))
    assert found.knots == pytest.approx([0.3, 0.6], abs=0.05)


def test_a_wandering_series_is_not_cut_into_pieces() -> None:
    knots = [len(fit(PLACE, noise(1, 0.9, seed)).knots) for seed in range(20)]
    assert sum(knots) <= 2
    assert fit(PLACE, noise(1, 0.9)).phi == pytest.approx(0.9, abs=0.08)


def test_noise_that_both_share_does_not_hide_a_bend_of_one() -> None:
    common = np.repeat(noise(1.0)[:, :1], 2, axis=1)
    bend = lines((0, 0, 0), (0.5, 0, 0), (1, 0.6, 0)) + noise(0.02, seed=1)
    assert len(fit(PLACE, bend[:, :1] + common[:, :1]).knots) == 0
    assert fit(PLACE, bend + common).knots == pytest.approx([0.5], abs=0.05)


def test_a_swing_that_repeats_is_fitted_beside_the_line() -> None:
    swinging = 0.5 * np.sin(2 * np.pi * 5 * PLACE)[:, None] + lines((0, 0, 0), (1, 1, -1))
    found, cycles = fit_with_swing(PLACE, swinging + noise(0.2))
    assert cycles == pytest.approx(5, abs=0.2)
    assert len(found.knots) == 0
    change = (found.row(1.0, found.extra) - found.row(0.0, found.extra)) @ found.coefficients
    assert change == pytest.approx([1, -1], abs=0.15)


def test_one_rise_and_one_fall_are_no_swing() -> None:
    bent = lines((0, 0, 0), (0.5, 1, -1), (1, 0, -2)) + noise(0.1)
    assert fit_with_swing(PLACE, bent)[1] is None


def test_waves_hold_two_harmonics() -> None:
    assert waves(PLACE, 3).shape == (200, 4)
    assert waves(np.array([0, 1 / 12, 1]), 3)[1] == pytest.approx([1, 0, 0, -1], abs=1e-12)


def test_weights_follow_the_noise_and_not_the_path() -> None:
    loud = np.where(PLACE > 0.5, 3.0, 1.0)[:, None]
    weights = noise_weights(noise(1.0) * loud + lines((0, 0, 0), (0.2, 9, 9), (1, 0, 0)))
    assert weights[40] / weights[160] == pytest.approx(9, rel=0.6)
    assert noise_weights(lines((0, 0, 0), (1, 1, 1))) == pytest.approx(np.ones(200))


def test_the_bias_of_an_autocorrelation_is_removed() -> None:
    # Kendall: the mean of the estimate beside a fitted mean is phi - (1 + 3 phi) / K.
    assert unbiased(0.5 - (1 + 1.5) / 50, 50, 1) == pytest.approx(0.5)
    estimates = []
    for seed in range(400):
        draws = noise(1, 0.5, seed)[:40, 0]
        rest = draws - draws.mean()
        estimates.append(unbiased(float(rest[1:] @ rest[:-1] / (rest @ rest)), 40, 1))
    assert np.mean(estimates) == pytest.approx(0.5, abs=0.03)
