"""The value of every loss against its formula, written out once more with plain numbers."""

import math
from collections.abc import Callable

import pytest
import torch

from trainer.losses import LOSS_BY_NAME, LossOptions, PairedLogps, UnpairedLogps

# Two pairs: (z_w, z_l, n_w, n_l, ref_w, ref_l), so logratios (-2, 1) and (3, -1).
PAIRS = [(-6.0, -10.0, 4, 5, -4.0, -11.0), (-3.0, -9.0, 2, 10, -6.0, -8.0)]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def ls(x: float) -> float:
    return math.log(sigmoid(x))


def values(name: str, **options: float) -> list[float]:
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*PAIRS, strict=True)]
    terms = LOSS_BY_NAME[name].compute(PairedLogps(*columns), LossOptions(**options))
    return terms.losses_B.tolist()


def each(formula: Callable[[float, float], float]) -> list[float]:
    """Apply a formula of the two logratios to both pairs."""
    return [formula(-2, 1), formula(3, -1)]


def conservative(u: float, eps: float) -> float:
    return -(1 - eps) * ls(u) - eps * ls(-u)


def test_dpo() -> None:
    assert values("dpo", beta=0.5) == pytest.approx([-ls(-1.5), -ls(2.0)])
    # A number from a table of the logistic function: log(1 + e^1.5) = 1.7014133.
    assert values("dpo", beta=0.5)[0] == pytest.approx(1.7014133, abs=1e-7)


def test_conservative_dpo() -> None:
    got = values("dpo", beta=0.5, label_smoothing=0.2)
    assert got == pytest.approx([conservative(-1.5, 0.2), conservative(2.0, 0.2)])


def test_ipo_compares_per_token_means() -> None:
    # -2/4 - 1/5 - 2 = -2.7 and 3/2 + 1/10 - 2 = -0.4 at tau 0.25
    assert values("ipo", beta=0.25) == pytest.approx([7.29, 0.16])


def test_hinge() -> None:
    assert values("hinge", beta=0.5) == pytest.approx([2.5, 0.0])


def test_robust_dpo() -> None:
    expected = [(-0.8 * ls(u) + 0.2 * ls(-u)) / 0.6 for u in (-1.5, 2.0)]
    assert values("robust", beta=0.5, label_smoothing=0.2) == pytest.approx(expected)


def test_exo() -> None:
    expected = [
        sigmoid(u) * (ls(u) - math.log(0.9)) + sigmoid(-u) * (ls(-u) - math.log(0.1))
        for u in (-1.5, 2.0)
    ]
    assert values("exo_pair", beta=0.5, label_smoothing=0.1) == pytest.approx(expected)


def test_exo_is_zero_where_the_policy_says_what_the_label_says() -> None:
    columns = (torch.tensor([x], dtype=torch.float64) for x in (math.log(9), 0.0, 1.0, 1.0, 0, 0))
    options = LossOptions(beta=1.0, label_smoothing=0.1)
    terms = LOSS_BY_NAME["exo_pair"].compute(PairedLogps(*columns), options)
    assert terms.losses_B.item() == pytest.approx(0.0, abs=1e-12)


def test_nca() -> None:
    expected = each(lambda w, r: -ls(0.5 * w) - ls(-0.5 * w) / 2 - ls(-0.5 * r) / 2)
    assert values("nca_pair", beta=0.5) == pytest.approx(expected)


def test_bco() -> None:
    assert values("bco_pair", beta=0.5) == pytest.approx(
        each(lambda w, r: -ls(0.5 * w) - ls(-0.5 * r))
    )


def test_sppo() -> None:
    # Targets +-2: (-2 - 2)^2 + (1 + 2)^2 and (3 - 2)^2 + (-1 + 2)^2
    assert values("sppo_hard", beta=0.25) == pytest.approx([25.0, 2.0])


def test_aot_sorts_policy_and_reference_gaps_apart() -> None:
    # Gaps 4, 6 against sorted reference gaps 2, 7 (of -4 + 11 = 7 and -6 + 8 = 2).
    assert values("aot", beta=0.5) == pytest.approx([-ls(1.0), -ls(-0.5)])
    smoothed = [conservative(1.0, 0.2), conservative(-0.5, 0.2)]
    assert values("aot", beta=0.5, label_smoothing=0.2) == pytest.approx(smoothed)


def test_unpaired_aot_sorts_chosen_and_rejected_apart() -> None:
    # Chosen -2, 3 against sorted rejected -1, 1.
    assert values("aot_unpaired", beta=0.5) == pytest.approx([-ls(-0.5), -ls(1.0)])


def test_apo_zero() -> None:
    expected = each(lambda w, r: 1 - sigmoid(0.5 * w) + sigmoid(0.5 * r))
    assert values("apo_zero", beta=0.5) == pytest.approx(expected)


def test_apo_down() -> None:
    expected = each(lambda w, r: sigmoid(0.5 * w) + 1 - sigmoid(0.5 * (w - r)))
    assert values("apo_down", beta=0.5) == pytest.approx(expected)


def test_discopop() -> None:
    def blend(u: float) -> float:
        share = sigmoid(u / 0.5)
        return (1 - share) * -ls(u) + share * math.exp(-u)

    got = values("discopop", beta=0.5, discopop_tau=0.5)
    assert got == pytest.approx([blend(-1.5), blend(2.0)])


def test_length_normalised_dpo() -> None:
    expected = [-ls(0.5 * (-2 / 4 - 1 / 5)), -ls(0.5 * (3 / 2 + 1 / 10))]
    assert values("sigmoid_norm", beta=0.5) == pytest.approx(expected)


def test_simpo() -> None:
    # Per-token means -1.5, -2 and -1.5, -0.9.
    expected = [-ls(2 * 0.5 - 0.7), -ls(2 * -0.6 - 0.7)]
    assert values("simpo", beta=2.0, gamma=0.7) == pytest.approx(expected)
    smoothed = [conservative(0.3, 0.1), conservative(-1.9, 0.1)]
    assert values("simpo", beta=2.0, gamma=0.7, label_smoothing=0.1) == pytest.approx(smoothed)


def test_simpos_gamma_is_the_papers_ratio_times_beta() -> None:
    ratio = 0.25
    inside = [-ls(2 * (0.5 - ratio)), -ls(2 * (-0.6 - ratio))]
    assert values("simpo", beta=2.0, gamma=ratio * 2.0) == pytest.approx(inside)


def test_cpo() -> None:
    assert values("cpo", beta=0.5) == pytest.approx([-ls(2.0), -ls(3.0)])
    smoothed = [conservative(2.0, 0.1), conservative(3.0, 0.1)]
    assert values("cpo", beta=0.5, label_smoothing=0.1) == pytest.approx(smoothed)


def test_sft_leaves_everything_to_the_sft_term() -> None:
    assert values("sft") == [0.0, 0.0]


def test_orpo_weighs_the_log_odds_ratio() -> None:
    def odds(mean: float) -> float:
        return math.exp(mean) / (1 - math.exp(mean))

    ratios = [math.log(odds(-1.5) / odds(-2.0)), math.log(odds(-1.5) / odds(-0.9))]
    assert values("orpo", beta=0.25) == pytest.approx([-0.25 * ls(ratio) for ratio in ratios])


def test_orpo_reports_its_terms_before_the_coefficient() -> None:
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*PAIRS, strict=True)]
    terms = LOSS_BY_NAME["orpo"].compute(PairedLogps(*columns[:4]), LossOptions(beta=0.25)).terms
    assert terms["odds_loss"].tolist() == pytest.approx(
        [v / 0.25 for v in values("orpo", beta=0.25)]
    )
    assert terms["log_odds_ratio"].sigmoid().log().neg().tolist() == pytest.approx(
        terms["odds_loss"].tolist()
    )


def test_orpo_keeps_its_precision_where_the_probability_is_nearly_one() -> None:
    # log odds of P = e^-x is log(1 / (e^x - 1)), about -log x; 1 - P alone would lose all digits.
    z_w, z_l = torch.tensor([-1e-5]), torch.tensor([-1.0])
    one = torch.ones(1)
    terms = LOSS_BY_NAME["orpo"].compute(PairedLogps(z_w, z_l, one, one), LossOptions())
    expected = -math.log(math.expm1(1e-5)) + math.log(math.expm1(1.0))
    assert terms.terms["log_odds_ratio"].item() == pytest.approx(expected, rel=1e-6)


def test_kto_measures_both_labels_from_the_reference_point() -> None:
    examples = UnpairedLogps(
        logps_B=torch.tensor([-6.0, -3.0, -10.0]),
        tokens_B=torch.tensor([4.0, 2.0, 5.0]),
        desirable_B=torch.tensor([True, True, False]),
        ref_logps_B=torch.tensor([-4.0, -6.0, -11.0]),
        kl=torch.tensor(0.8),
    )
    options = LossOptions(beta=0.5, desirable_weight=1.5, undesirable_weight=2.0)
    terms = LOSS_BY_NAME["kto"].compute(examples, options)
    expected = [
        1.5 * (1 - sigmoid(0.5 * (-2.0 - 0.8))),
        1.5 * (1 - sigmoid(0.5 * (3.0 - 0.8))),
        2.0 * (1 - sigmoid(0.5 * (0.8 - 1.0))),
    ]
    assert terms.losses_B.tolist() == pytest.approx(expected)
    assert terms.rewards_B is not None
    assert terms.rewards_B.tolist() == pytest.approx([-1.0, 1.5, 0.5])
