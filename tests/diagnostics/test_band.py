"""The disentanglement band, against the inner products that it is a short form of."""

from __future__ import annotations

import math
from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diagnostics.band import Band, batch_band, predicted_regime, sft_pull, sft_window
from diagnostics.gradient_weights import PairState
from diagnostics.methods import METHODS
from diagnostics.regimes import Regime

positive = st.floats(0.01, 20)
cosines = st.floats(-0.99, 0.99)


@given(d_w=positive, d_l=positive, norm_w=positive, norm_l=positive, rho=cosines)
def test_edges_slack_and_share_say_the_same_as_the_rates(d_w, d_l, norm_w, norm_l, rho):
    band = Band(d_w, d_l, norm_w, norm_l, rho)
    s_w = np.array([norm_w, 0.0])
    s_l = norm_l * np.array([rho, math.sqrt(1 - rho * rho)])
    step = d_w * s_w - d_l * s_l
    chosen, rejected = float(s_w @ step), float(s_l @ step)
    assert band.chosen_rate == pytest.approx(chosen, rel=1e-6, abs=1e-9)
    assert band.rejected_rate == pytest.approx(rejected, rel=1e-6, abs=1e-9)
    assume(min(abs(chosen), abs(rejected), abs(chosen - rejected)) > 1e-6)
    assert (band.q > band.low) == (chosen > 0)
    assert (band.q < band.high) == (rejected < 0)
    assert (band.slack > 0) == (chosen > 0 > rejected)
    if chosen > rejected:
        assert band.share == pytest.approx(chosen / (chosen - rejected), rel=1e-6)
    # The exact condition for a shrinking margin.
    shrinks = band.q + band.q_star**2 < (1 + band.q) * rho * band.q_star
    assert shrinks == (chosen < rejected)
    assert isnan(band.share) == shrinks
    # Impossible to first order, whatever the weights.
    assert band.regime != "reversed"
    assert Regime(band.regime)


@pytest.mark.parametrize(
    ("rates", "regime"),
    [
        ((1.0, -1.0), "ideal"),
        ((2.0, 1.0), "both_rise"),
        ((-1.0, -2.0), "both_fall"),
        ((-1.0, 1.0), "reversed"),
        ((-2.0, -1.0), "margin_loss"),
        ((1.0, 2.0), "margin_loss"),
        ((0.0, 0.0), "flat"),
    ],
)
def test_rates_are_named_as_regimes_are(rates, regime):
    assert predicted_regime(*rates) == regime
    assert Regime(regime)


def test_what_was_not_measured_predicts_nothing():
    band = Band(0.05, 0.05, nan, 1.0, nan)
    assert band.regime == "unknown"
    assert isnan(band.slack)
    assert isnan(Band(0.0, 0.0, 1.0, 1.0, 0.5).q)
    assert sft_window(band, 0.01) is None


def test_a_rho_of_zero_or_below_leaves_every_positive_q_inside():
    band = Band(0.05, 0.01, 1.0, 3.0, -0.2)
    assert (band.high, band.slack, band.regime) == (inf, inf, "ideal")
    window = sft_window(band, 0.01)
    assert window is not None
    assert (window.low, window.high) == (0.0, inf)


@given(
    norm_l=st.floats(0.2, 5),
    rho=st.floats(0.05, 0.95),
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    reduction=st.sampled_from(["token", "sequence"]),
    method=st.sampled_from(["dpo", "simpo", "orpo"]),
)
def test_the_window_ends_where_the_methods_own_weights_reach_the_edges(
    norm_l, rho, lengths, reduction, method
):
    """d_w and d_l come from the method with the coefficient set to the window's own ends."""

    def weighed(coefficient: float) -> Band:
        states = [
            PairState(z_w=-2.0 * n, z_l=-2.0 * n, n_w=n, n_l=n, ref_w=-2.0 * n, ref_l=-2.0 * n)
            for n in lengths
        ]
        hyper = {"sft_weight": coefficient, "sft_reduction": reduction}
        weights = METHODS[method].gradient_weights(states, hyper)
        d_w, d_l = zip(*weights, strict=True)
        return batch_band(d_w, d_l, norm_l, rho)

    now = 0.3
    band, pull = weighed(now), sft_pull(lengths, reduction)
    window = sft_window(band, pull, now)
    if window is None:
        assert weighed(0.0).rejected_rate > -1e-9
        return
    assert weighed(window.high).rejected_rate == pytest.approx(0, abs=1e-9 * (1 + norm_l**2))
    if window.low > 0:
        assert weighed(window.low).chosen_rate == pytest.approx(0, abs=1e-9 * (1 + norm_l**2))
    else:
        assert weighed(0.0).chosen_rate >= -1e-9


def test_the_window_of_dpo_is_that_of_its_formula():
    # g_min = n_w d_l (rho q* - 1), g_max = n_w d_l (q*/rho - 1) where d_w = d_l.
    window = sft_window(Band(0.05, 0.05, 2.0, 5.0, 0.6), sft_pull([200.0]))
    assert window is not None
    assert window.low == pytest.approx(200 * 0.05 * (0.6 * 2.5 - 1))
    assert window.high == pytest.approx(200 * 0.05 * (2.5 / 0.6 - 1))


def test_no_coefficient_helps_where_rejected_rises_without_the_term():
    assert sft_window(Band(0.05, 0.05, 3.0, 1.0, 0.9), sft_pull([100.0])) is None


def test_a_pull_is_known_only_with_lengths_and_rows_without_a_side_count_nothing():
    assert isnan(sft_pull([]))
    assert isnan(sft_pull([nan, 0.0]))
    band = batch_band([0.2, nan], [nan, 0.1], 1.0, 0.5)
    assert (band.weight_chosen, band.weight_rejected) == (0.1, 0.05)
