import math

import pytest

from diagnostics.methods import METHODS, PairState, method

# One pair: logratios Delta_w = -2 and Delta_l = 1 nats, lengths 4 and 5, mean log-probs -1.5, -2.
PAIR = PairState(z_w=-6.0, z_l=-10.0, ref_w=-4.0, ref_l=-11.0, n_w=4, n_l=5)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def bump(x: float) -> float:
    return sigmoid(x) * (1 - sigmoid(x))


def only(name: str, pair: PairState = PAIR, **hyper: float | str) -> tuple[float, float]:
    return METHODS[name].gradient_weights([pair], hyper)[0]


def test_the_table_is_keyed_by_name_and_no_alias_hides_another_method() -> None:
    names = [one.name for one in METHODS.values()]
    aliases = [alias for one in METHODS.values() for alias in one.aliases]
    assert list(METHODS) == names
    assert len(set(names) | set(aliases)) == len(names) + len(aliases)


@pytest.mark.parametrize(
    ("given", "name"),
    [("sigmoid", "dpo"), ("cDPO", "dpo"), ("APO-zero", "apo_zero"), (" simpo ", "simpo")],
)
def test_aliases_case_and_hyphens_lead_to_the_method(given: str, name: str) -> None:
    assert method(given).name == name


def test_an_unknown_name_suggests_the_nearest_one() -> None:
    with pytest.raises(KeyError, match="no method is called 'simppo'; did you mean 'simpo'"):
        method("simppo")


def test_a_name_like_no_other_lists_what_is_known() -> None:
    with pytest.raises(KeyError, match="known are dpo, ipo"):
        method("zzzzzz")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is_in_words(name: str) -> None:
    one = METHODS[name]
    assert one.reward.endswith(".")
    assert one.reward_kind in {"beta*delta", "beta*logps_per_token", "beta*logps"}
    assert one.logps_kind in {"sum", "per_token"}
    assert one.reference == (one.reward_kind == "beta*delta")
    assert one.title
    assert one.equation
    settings = [setting.name for setting in one.hyperparameters]
    assert len(set(settings)) == len(settings)
    assert {"beta", "sft_weight", "sft_reduction"} <= set(settings)
    assert all(setting.meaning.endswith(".") for setting in one.hyperparameters)


def test_only_kto_is_unpaired_and_four_methods_need_no_reference() -> None:
    assert [one.name for one in METHODS.values() if not one.paired] == ["kto"]
    free = [one.name for one in METHODS.values() if not one.reference]
    assert free == ["orpo", "simpo", "cpo", "sft"]


def test_the_sft_term_is_on_by_default_only_where_it_belongs_to_the_method() -> None:
    on = {one.name for one in METHODS.values() if one.hyper()["sft_weight"]}
    assert on == {"orpo", "cpo", "sft"}


def test_none_leaves_a_default_alone_and_a_value_replaces_it() -> None:
    hyper = METHODS["simpo"].hyper({"beta": None, "gamma": 1.2})
    assert (hyper["beta"], hyper["gamma"]) == (2.0, 1.2)


# The values at policy == reference, by hand from the formulas at beta 0.1.
STARTS = {
    "dpo": math.log(2),
    "ipo": 25.0,
    "hinge": 1.0,
    "robust": math.log(2),
    "exo_pair": 2.7612307,  # -ln 2 - ln(0.001 * 0.999) / 2
    "nca_pair": 2 * math.log(2),
    "bco_pair": 2 * math.log(2),
    "sppo_hard": 50.0,
    "aot": math.log(2),
    "aot_unpaired": math.log(2),
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "discopop": 0.8465736,
    "sigmoid_norm": math.log(2),
    "kto": 0.5,
    "orpo": None,
    "simpo": None,
    "cpo": None,
    "sft": None,
}


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_starts_where_the_formula_says(name: str) -> None:
    assert METHODS[name].start_loss({"beta": 0.1}) == pytest.approx(STARTS[name], abs=1e-7)


def test_the_start_follows_the_hyper_parameters() -> None:
    assert METHODS["ipo"].start_loss({"beta": 0.5}) == pytest.approx(1.0)
    assert METHODS["kto"].start_loss({"desirable_weight": 3.0}) == pytest.approx(1.0)
    assert METHODS["exo_pair"].start_loss({"label_smoothing": 0.1}) == pytest.approx(0.5108256)


# (d_w, d_l) of PAIR, by hand from the derivative of every loss; u = beta m = 0.1 * -3 = -0.3.
WEIGHTS = {
    "dpo": (0.1 * sigmoid(0.3),) * 2,
    "ipo": (2 * (5 - (-0.5 - 0.2)) / 4, 2 * (5 - (-0.5 - 0.2)) / 5),
    "hinge": (0.1, 0.1),
    "robust": (0.1 * (0.9 * sigmoid(0.3) + 0.1 * sigmoid(-0.3)) / 0.8,) * 2,
    "exo_pair": (0.1 * bump(0.3) * (math.log(999) + 0.3),) * 2,
    "nca_pair": (0.1 * (1 - 1.5 * sigmoid(-0.2)), 0.1 * 0.5 * sigmoid(0.1)),
    "bco_pair": (0.1 * sigmoid(0.2), 0.1 * sigmoid(0.1)),
    "sppo_hard": (14.0, 12.0),
    "aot": (0.1 * sigmoid(0.3),) * 2,
    "aot_unpaired": (0.1 * sigmoid(0.3),) * 2,
    "apo_zero": (0.1 * bump(0.2), 0.1 * bump(0.1)),
    "apo_down": (0.1 * (bump(0.3) - bump(0.2)), 0.1 * bump(0.3)),
    # The central difference of eq. 5 at u = -0.3, taken with 50 digits.
    "discopop": (0.0551916546,) * 2,
    "sigmoid_norm": (0.1 * sigmoid(0.07) / 4, 0.1 * sigmoid(0.07) / 5),
    "kto": (0.1 * bump(0.2), 0.1 * bump(0.1)),
    # log odds: -1.5 - ln(1 - e^-1.5) = -1.24752, -2 - ln(1 - e^-2) = -1.85459, ratio 0.60707.
    "orpo": (0.1 * 0.3527281 / 0.7768698 / 4 + 1 / 4, 0.1 * 0.3527281 / 0.8646647 / 5),
    "simpo": (0.1 * sigmoid(-(0.05 - 0.5)) / 4, 0.1 * sigmoid(-(0.05 - 0.5)) / 5),
    "cpo": (0.1 * sigmoid(-0.4) + 1 / 4, 0.1 * sigmoid(-0.4)),
    "sft": (1 / 4, 0.0),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_weights_are_those_worked_out_by_hand(name: str) -> None:
    assert only(name, beta=0.1) == pytest.approx(WEIGHTS[name], rel=1e-5)


def test_conservative_dpo_pulls_the_margin_back_once_it_is_sure_enough() -> None:
    sure = PairState(z_w=30.0, z_l=0.0, n_w=1, n_l=1)  # beta m = 3 > ln 9 = 2.197
    unsure = PairState(z_w=20.0, z_l=0.0, n_w=1, n_l=1)  # beta m = 2
    assert (
        only("dpo", sure, label_smoothing=0.1)[0] < 0 < only("dpo", unsure, label_smoothing=0.1)[0]
    )


def test_discopop_starts_by_pulling_the_margin_down() -> None:
    start = PairState(z_w=-3.0, z_l=-4.0, ref_w=-3.0, ref_l=-4.0, n_w=2, n_l=2)
    # u = 0: 0.5 * 0.5 + 0.5 - (0.25 - 0.25 ln 2) / 0.05
    assert only("discopop", start, beta=1.0)[0] == pytest.approx(0.75 - 5 * (1 - math.log(2)))


def test_apo_down_does_not_move_chosen_at_the_start() -> None:
    start = PairState(z_w=-3.0, z_l=-4.0, ref_w=-3.0, ref_l=-4.0, n_w=2, n_l=2)
    assert only("apo_down", start) == (0.0, pytest.approx(0.025))


def test_kto_weights_are_measured_from_the_reference_point() -> None:
    at_peak = PairState(z_w=2.0, z_l=2.0, n_w=1, n_l=1, kl=2.0)
    d_w, d_l = only("kto", at_peak, desirable_weight=3.0, undesirable_weight=0.5)
    assert (d_w, d_l) == pytest.approx((3 * 0.1 / 4, 0.5 * 0.1 / 4))


def test_a_token_reduced_sft_term_weighs_every_completion_alike() -> None:
    pairs = [PairState(0.0, 0.0, n_w=2, n_l=3), PairState(0.0, 0.0, n_w=6, n_l=3)]
    assert METHODS["sft"].gradient_weights(pairs) == [(0.25, 0.0), (0.25, 0.0)]  # 1 * 2 / 8


def test_a_sequence_reduced_sft_term_pulls_long_completions_less() -> None:
    pairs = [PairState(0.0, 0.0, n_w=2, n_l=3), PairState(0.0, 0.0, n_w=6, n_l=3)]
    hyper = {"sft_weight": 3.0, "sft_reduction": "sequence"}
    plain, mixed = (METHODS["dpo"].gradient_weights(pairs, h) for h in ({}, hyper))
    added = [d_w - p_w for (d_w, _), (p_w, _) in zip(mixed, plain, strict=True)]
    assert added == pytest.approx([1.5, 0.5])
    assert [d_l for _, d_l in mixed] == [d_l for _, d_l in plain]


def test_an_sft_term_over_the_prompt_too_divides_by_its_tokens() -> None:
    pair = PairState(0.0, 0.0, n_w=2, n_l=3, sft_tokens=8)
    assert METHODS["sft"].gradient_weights([pair]) == [(0.125, 0.0)]


def test_aot_compares_ranks_not_pairs() -> None:
    # Gaps 1, 3; reference gaps 2, 0: sorted differences 1 - 0 and 3 - 2, both 1.
    pairs = [
        PairState(z_w=1.0, z_l=0.0, ref_w=2.0, ref_l=0.0, n_w=1, n_l=1),
        PairState(z_w=3.0, z_l=0.0, ref_w=0.0, ref_l=0.0, n_w=1, n_l=1),
    ]
    weight = pytest.approx(sigmoid(-1.0))
    assert METHODS["aot"].gradient_weights(pairs, {"beta": 1.0}) == [(weight, weight)] * 2


def test_unpaired_aot_gives_the_two_sides_of_a_pair_different_weights() -> None:
    # Logratios chosen 6, 1 and rejected -2, 0: by rank 1 - -2 = 3 and 6 - 0 = 6.
    pairs = [
        PairState(z_w=6.0, z_l=-2.0, n_w=1, n_l=1),
        PairState(z_w=1.0, z_l=0.0, n_w=1, n_l=1),
    ]
    low, high = sigmoid(-(1.0 - -2.0)), sigmoid(-(6.0 - 0.0))
    (w_0, l_0), (w_1, l_1) = METHODS["aot_unpaired"].gradient_weights(pairs, {"beta": 1.0})
    assert (w_0, l_0, w_1, l_1) == pytest.approx((high, low, low, high))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_pairs_give_finite_weights(name: str, size: float) -> None:
    for z_w, z_l in [(size, -size), (size, size), (size, 0.0), (0.0, size)]:
        pair = PairState(z_w=z_w, z_l=z_l, ref_w=-size, ref_l=size, n_w=7, n_l=1, kl=3.0)
        assert all(math.isfinite(weight) for weight in only(name, pair))


@pytest.mark.parametrize("name", METHODS)
def test_an_empty_batch_has_no_weights(name: str) -> None:
    assert METHODS[name].gradient_weights([]) == []
