"""The safe windows: hand-worked values, and that a setting inside of one does what it says."""

from __future__ import annotations

from dataclasses import replace
from math import inf, sqrt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.band import Band
from diagnostics.reading import Reading
from diagnostics.windows import (
    Curvature,
    Window,
    band_in_words,
    curvature,
    decisive,
    desirable_ratio,
    odds_weight,
    safe_settings,
    sft_weight,
)
from tests.diagnostics.gradient_runs import entangled, with_sft


def test_the_sft_window_of_a_hand_worked_pair() -> None:
    # 100 tokens * 0.05 * (0.8 * 2 - 1) = 3 and 100 * 0.05 * (2 / 0.8 - 1) = 7.5.
    window = sft_weight(Reading(entangled()), "token")
    assert window is not None
    assert (window.low, window.high) == (pytest.approx(3.0), pytest.approx(7.5))


def test_the_two_reductions_differ_by_mean_length_times_mean_of_one_over_length() -> None:
    reading = Reading(entangled(tokens=(50.0, 150.0)))
    token, sequence = (sft_weight(reading, one) for one in ("token", "sequence"))
    assert token is not None
    assert sequence is not None
    assert token.low == pytest.approx(3.0)
    # (1/50 + 1/150) / 2 = 1/75 a pair instead of 1/100.
    assert sequence.low == pytest.approx(2.25)
    assert sequence.high / token.high == pytest.approx(0.75)


def test_a_present_sft_term_counts_into_the_window() -> None:
    # 0.02 of d_w = 0.05 is an SFT term of weight 2 over 100 tokens: the edges do not move.
    config = {"sft_weight": 2.0}
    window = sft_weight(Reading(entangled(weights=(0.05, 0.03), config=config)), "token")
    assert window is not None
    assert window.low == pytest.approx(2 + (0.03 * 1.6 - 0.05) * 100)
    assert window.high == pytest.approx(2 + (0.03 * 2.5 - 0.05) * 100)


@pytest.mark.parametrize(
    ("weights", "place"),
    [
        # rho q* = 1.6 and q*/rho = 2.5
        ((0.05, 0.05), "q = 1.00 lies below the band of 1.60 to 2.50, so that chosen falls"),
        ((0.10, 0.05), "q = 2.00 lies inside the band of 1.60 to 2.50"),
        ((0.15, 0.05), "q = 3.00 lies above the band of 1.60 to 2.50, so that rejected rises"),
    ],
)
def test_the_band_in_words_says_where_q_lies(weights: tuple[float, float], place: str) -> None:
    words = band_in_words(Reading(entangled(weights=weights, steps=(0, 50))))
    assert words is not None
    assert words.startswith(f"at step 50 {place}")


def test_the_band_in_words_ends_with_the_sft_window_where_there_is_one() -> None:
    words = band_in_words(Reading(entangled()))
    assert words is not None
    assert words.endswith("an SFT coefficient of 3 to 7.5 keeps q inside (now 0)")
    above = band_in_words(Reading(entangled(weights=(0.15, 0.05))))
    assert above is not None
    assert "SFT" not in above  # no coefficient keeps rejected from rising
    run = entangled()
    assert band_in_words(Reading(replace(run, tables={}))) is None


def test_the_windows_of_a_run_are_sentences_on_its_settings() -> None:
    assert safe_settings(Reading(entangled())) == {
        "sft_weight": "chosen rises and rejected falls from 3 to 7.5, gradients of step 0"
    }
    config = {"desirable_weight": 1.0, "undesirable_weight": 2.0}
    kto = entangled(q_star=1.0, cosine=0.5, weights=(0.04, 0.05), method_name="kto", config=config)
    # q = 0.8, the band 0.5 to 2: the ratio, now 1/2, may lie between 0.3125 and 1.25.
    assert safe_settings(Reading(kto))["desirable_weight"] == (
        "chosen rises and rejected falls from 0.625 to 2.5, gradients of step 0"
    )


def test_a_rate_whose_step_bends_is_told_with_a_lower_one() -> None:
    bent: dict[str, dict[int, float]] = {"curvature": {0: 0.5}, "first_order/chosen": {0: 1.0}}
    train = pd.DataFrame({"learning_rate": 2e-5}, index=pd.Index([1, 11], name="step"))
    run = replace(entangled(evals=bent), train=train)
    sentence = safe_settings(Reading(run))["learning_rate"]
    assert (
        sentence == "a step at 2e-05 loses 50 % of its first-order gain; 1e-05 keeps that to 25 %"
    )


def test_without_gradients_there_is_no_window() -> None:
    reading = Reading(replace(entangled(), tables={}))
    assert reading.bands == []
    assert sft_weight(reading, "token") is None
    assert desirable_ratio(reading) is None


def test_the_first_evaluation_outside_of_the_band_decides() -> None:
    run = entangled(q_star=1.0, cosine=0.2, steps=(0, 50, 100))
    evals = run.evals.copy()
    evals.loc[[50, 100], "entanglement/q_star"] = 9.0
    found = decisive(Reading(replace(run, evals=evals)))
    assert found is not None
    assert found.step == 50
    assert decisive(Reading(replace(run, evals=evals)), falling=False).step == 0  # type: ignore[union-attr]


POSITIVE = st.floats(0.1, 10.0)


@given(cosine=st.floats(0.05, 0.99), q_star=POSITIVE, pull=POSITIVE, at=st.floats(0.05, 0.95))
def test_inside_the_sft_window_both_sides_go_their_way(
    cosine: float, q_star: float, pull: float, at: float
) -> None:
    reading = Reading(
        entangled(q_star=q_star, cosine=cosine, weights=(0.05, 0.05), tokens=(100 / pull,))
    )
    window, band = sft_weight(reading, "token"), reading.bands[0].band
    if window is None:
        assert band.q >= band.high
        return
    inside = window.low + at * (window.high - window.low)
    assert with_sft(band, inside * pull / 100).regime == "ideal"
    assert with_sft(band, 1.01 * window.high * pull / 100).rejected_rate > 0
    if window.low > 0:
        assert with_sft(band, 0.99 * window.low * pull / 100).chosen_rate < 0


@given(cosine=st.floats(0.1, 0.95), q_star=st.floats(0.3, 3.0), lam=st.floats(0.05, 2.0))
def test_inside_the_odds_window_both_sides_go_their_way(
    cosine: float, q_star: float, lam: float
) -> None:
    # An SFT term of weight 1 over 100 tokens, and odds weights of 0.008 and 0.01 at lambda 1.
    sft, up, down = 0.01, 0.008, 0.01
    config = {"beta": lam, "sft_weight": 1.0}
    run = entangled(
        "both_rise",
        q_star=q_star,
        cosine=cosine,
        weights=(sft + lam * up, lam * down),
        method_name="orpo",
        config=config,
    )
    window = odds_weight(Reading(run))

    def band(value: float) -> Band:
        return Band(sft + value * up, value * down, 1.0, q_star, cosine)

    if window is None:
        # However large lambda, the odds term alone lifts the rejected side.
        assert band(1e9).rejected_rate >= -1e-6
        return
    assert band(1.01 * window.low).rejected_rate < 0 < band(0.99 * window.low).rejected_rate
    if window.high != inf:
        assert band(0.99 * window.high).chosen_rate > 0 > band(1.01 * window.high).chosen_rate


def test_the_ratio_of_ktos_weights_scales_the_band() -> None:
    config = {"desirable_weight": 2.0, "undesirable_weight": 1.0}
    run = entangled(q_star=1.0, cosine=0.5, weights=(0.04, 0.02), method_name="kto", config=config)
    window = desirable_ratio(Reading(run))
    # q = 2 at a ratio of 2, and the band is 0.5 to 2.
    assert window == Window(0.5, 2.0, 0)
    assert window.centre == pytest.approx(1.0)


def test_the_rate_by_curvature_is_exact_to_second_order() -> None:
    gain, bend, rate = 3.0, 2000.0, 1e-3

    def k(at: float) -> float:
        return 1 - (gain * at - bend * at * at) / (gain * at)

    lower = Curvature(k(rate), 0, rate).lower_rate()
    assert lower is not None
    assert k(lower) == pytest.approx(0.25)
    assert Curvature(0.2, 0, rate).lower_rate() is None
    assert Curvature(100.0, 0, rate).lower_rate() == pytest.approx(rate / 10)


def test_curvature_is_read_near_the_peak_rate_and_where_the_gradient_promises_a_rise() -> None:
    values = {"curvature": {0: 0.9, 50: 0.6, 100: 0.3}, "first_order/chosen": {0: 1.0, 50: -1.0}}
    run = entangled(evals=values)
    train = run.train.copy()
    train["learning_rate"] = 1e-6
    train.loc[1:10, "learning_rate"] = 1e-8  # warm-up
    found = curvature(Reading(replace(run, train=train)))
    assert found == Curvature(0.3, 100, 1e-6)


def test_the_centre_of_a_window_lies_inside_of_it() -> None:
    assert Window(1.0, 4.0, 0).centre == pytest.approx(2.0)
    assert Window(0.0, 4.0, 0).centre == pytest.approx(2.0)
    assert Window(3.0, inf, 0).centre == pytest.approx(6.0)
    assert Window(2.0, 3.0, 0).centre == pytest.approx(sqrt(6.0))
