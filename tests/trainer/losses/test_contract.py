"""What every member of the family owes, whatever it computes."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diagnostics.methods import METHODS, PairState
from trainer.errors import ConfigError
from trainer.losses import (
    LOSS_BY_NAME,
    LOSSES,
    Loss,
    LossOptions,
    LossTerms,
    PairedLogps,
    UnpairedLogps,
    options_for,
)

HUGE = 1e4
EXTREMES = [(HUGE, -HUGE), (-HUGE, HUGE), (HUGE, HUGE), (-HUGE, -HUGE), (0.0, -HUGE), (-HUGE, 0.0)]
# Settings away from the defaults, each of them used by the losses that have it.
SETTINGS = {
    "beta": 0.3,
    "label_smoothing": 0.15,
    "gamma": 0.8,
    "desirable_weight": 1.3,
    "undesirable_weight": 0.7,
    "discopop_tau": 0.4,
}
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=[loss.name for loss in LOSSES])


def random_pairs(seed: int, size: int = 6, spread: float = 10.0) -> list[PairState]:
    """Return pairs as a model would score them: per-token means of -0.1 to -spread/10 nats."""
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 30, (size, 2), generator=draw).double()
    mean = -0.01 - torch.rand(size, 4, generator=draw, dtype=torch.float64) * spread / 10
    z = mean * tokens.repeat(1, 2)
    kl = float(torch.rand((), generator=draw)) * spread
    return [
        PairState(*z[i, :2].tolist(), *tokens[i].tolist(), *z[i, 2:].tolist(), kl=kl)
        for i in range(size)
    ]


def extreme_pairs() -> list[PairState]:
    near_certain = PairState(z_w=-1e-9, z_l=-1e-9, n_w=3, n_l=2, kl=5.0)
    return [
        PairState(z_w, z_l, 7, 3, ref_w, ref_l, kl=5.0)
        for z_w, z_l in EXTREMES
        for ref_w, ref_l in [(0.0, 0.0), (-HUGE, HUGE)]
    ] + [near_certain]


def run(
    loss: Loss, pairs: list[PairState], options: LossOptions, dtype: torch.dtype = torch.float64
) -> tuple[LossTerms, Tensor, Tensor]:
    """Return the loss's terms with the chosen and rejected logps (B) that it came from."""
    columns = zip(*map(dataclasses.astuple, pairs), strict=True)
    z_w, z_l, n_w, n_l, ref_w, ref_l, kl, _ = ([x or 0.0 for x in column] for column in columns)
    chosen_B = torch.tensor(z_w, dtype=dtype, requires_grad=True)
    rejected_B = torch.tensor(z_l, dtype=dtype, requires_grad=True)
    tokens = torch.tensor(n_w, dtype=dtype), torch.tensor(n_l, dtype=dtype)
    refs = torch.tensor(ref_w, dtype=dtype), torch.tensor(ref_l, dtype=dtype)
    if loss.paired:
        reference = refs if METHODS[loss.name].reference else (None, None)
        return (
            loss.compute(PairedLogps(chosen_B, rejected_B, *tokens, *reference), options),
            chosen_B,
            rejected_B,
        )
    desirable_B = torch.tensor([True] * len(pairs) + [False] * len(pairs))
    both = (torch.cat(two) for two in ((chosen_B, rejected_B), tokens))
    examples = UnpairedLogps(*both, desirable_B, torch.cat(refs), torch.tensor(kl[0], dtype=dtype))
    return loss.compute(examples, options), chosen_B, rejected_B


def rewards_of(terms: LossTerms) -> tuple[Tensor, Tensor]:
    if terms.rewards_B is not None:
        chosen_B, rejected_B = terms.rewards_B.chunk(2)
        return chosen_B, rejected_B
    assert terms.rewards_chosen_B is not None
    assert terms.rewards_rejected_B is not None
    return terms.rewards_chosen_B, terms.rewards_rejected_B


def swapped(pair: PairState) -> PairState:
    return PairState(
        pair.z_l, pair.z_w, pair.n_l, pair.n_w, pair.ref_l, pair.ref_w, pair.kl, pair.sft_tokens
    )


def test_losses_and_methods_know_the_same_names_in_the_same_order() -> None:
    assert [loss.name for loss in LOSSES] == list(LOSS_BY_NAME) == list(METHODS)


@each_loss
def test_a_loss_agrees_with_its_method_entry_about_pairs(loss: Loss) -> None:
    assert loss.paired == METHODS[loss.name].paired


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_values_and_gradients_are_finite_and_one_per_example(
    loss: Loss, dtype: torch.dtype
) -> None:
    for pairs in (random_pairs(0), extreme_pairs()):
        terms, chosen_B, rejected_B = run(loss, pairs, options_for(loss.name), dtype)
        examples = len(pairs) if loss.paired else 2 * len(pairs)
        assert terms.losses_B.shape == (examples,)
        assert terms.losses_B.dtype == dtype
        assert terms.losses_B.isfinite().all()
        gradients = torch.autograd.grad(
            terms.losses_B.sum(), (chosen_B, rejected_B), allow_unused=True
        )
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)
        assert gradients[0] is not None


@each_loss
@pytest.mark.parametrize("hyper", [{}, SETTINGS], ids=["defaults", "settings"])
@pytest.mark.parametrize("seed", range(4))
def test_gradient_weights_equal_autograd(loss: Loss, hyper: dict[str, float], seed: int) -> None:
    pairs = random_pairs(seed, spread=10.0 ** (seed % 2 + 1)) if seed < 3 else extreme_pairs()
    terms, chosen_B, rejected_B = run(loss, pairs, options_for(loss.name, hyper))
    up_B, down_B = torch.autograd.grad(
        terms.losses_B.sum(), (chosen_B, rejected_B), materialize_grads=True, allow_unused=True
    )
    computed = METHODS[loss.name].gradient_weights(pairs, hyper | {"sft_weight": 0.0})
    expected = torch.stack([-up_B, down_B], dim=1)
    torch.testing.assert_close(
        torch.tensor(computed, dtype=torch.float64), expected, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("reduction", ["token", "sequence"])
def test_the_sft_terms_weights_equal_autograd(reduction: str) -> None:
    pairs = random_pairs(5)
    tokens_B = torch.tensor([pair.n_w for pair in pairs], dtype=torch.float64)
    chosen_B = torch.tensor([pair.z_w for pair in pairs], dtype=torch.float64, requires_grad=True)
    mean = chosen_B.sum() / tokens_B.sum() if reduction == "token" else (chosen_B / tokens_B).mean()
    (gradient_B,) = torch.autograd.grad(len(pairs) * 0.7 * -mean, chosen_B)
    hyper = {"sft_weight": 0.7, "sft_reduction": reduction}
    computed = METHODS["sft"].gradient_weights(pairs, hyper)
    assert [d_w for d_w, _ in computed] == pytest.approx((-gradient_B).tolist(), abs=1e-12)


@each_loss
def test_the_loss_starts_at_its_methods_start_value(loss: Loss) -> None:
    pairs = [dataclasses.replace(p, z_w=p.ref_w, z_l=p.ref_l, kl=0.0) for p in random_pairs(1)]
    for hyper in ({}, SETTINGS):
        terms, _, _ = run(loss, pairs, options_for(loss.name, hyper))
        start = METHODS[loss.name].start_loss(hyper)
        if METHODS[loss.name].reference:
            assert terms.losses_B.mean().item() == pytest.approx(start, abs=1e-12)
        else:
            assert start is None


@each_loss
def test_rewards_are_what_the_method_says_and_carry_no_gradient(loss: Loss) -> None:
    pairs = random_pairs(2)
    terms, _, _ = run(loss, pairs, LossOptions(beta=0.4, label_smoothing=0.1))
    chosen_B, rejected_B = rewards_of(terms)
    kind = METHODS[loss.name].reward_kind
    by_kind = {
        "beta*delta": lambda p: (p.delta_w, p.delta_l),
        "beta*logps": lambda p: (p.z_w, p.z_l),
        "beta*logps_per_token": lambda p: (p.z_w / p.n_w, p.z_l / p.n_l),
    }
    expected = [[0.4 * x for x in by_kind[kind](pair)] for pair in pairs]
    assert torch.stack([chosen_B, rejected_B], 1).tolist() == [pytest.approx(x) for x in expected]
    assert not chosen_B.requires_grad
    assert not rejected_B.requires_grad
    assert all(not value_B.requires_grad for value_B in terms.terms.values())


@each_loss
def test_swapping_the_sides_negates_the_reward_margin(loss: Loss) -> None:
    pairs = random_pairs(3)
    options = options_for(loss.name)
    forward, back = (
        torch.sub(*rewards_of(run(loss, some, options)[0]))
        for some in (pairs, [swapped(pair) for pair in pairs])
    )
    assert forward.abs().min() > 0
    torch.testing.assert_close(back, -forward)


@each_loss
def test_only_a_coupling_loss_looks_at_the_rest_of_the_batch(loss: Loss) -> None:
    pairs = random_pairs(4)
    options = options_for(loss.name)
    together, _, _ = run(loss, pairs, options)
    alone = [run(loss, [pair], options)[0].losses_B for pair in pairs]
    rows = torch.stack(alone) if loss.paired else torch.stack(alone).T
    assert torch.allclose(together.losses_B, rows.flatten()) != loss.couples_batch


@given(
    policy=st.floats(-500, 0),
    rejected=st.floats(-500, 0),
    shift=st.floats(-500, 500),
    beta=st.floats(0.01, 5),
)
def test_dpo_is_log_2_at_equal_logratios_whatever_they_are(
    policy: float, rejected: float, shift: float, beta: float
) -> None:
    pair = PairState(policy + shift, rejected + shift, 5, 9, policy, rejected)
    terms, _, _ = run(LOSS_BY_NAME["dpo"], [pair], LossOptions(beta=beta))
    assert terms.losses_B.item() == pytest.approx(math.log(2), abs=1e-9)


@given(
    z_w=st.floats(-500, 0), z_l=st.floats(-500, 0), fall=st.floats(0, 500), beta=st.floats(0.01, 1)
)
def test_dpo_does_not_notice_when_both_sides_fall_together(
    z_w: float, z_l: float, fall: float, beta: float
) -> None:
    before, after = (
        run(LOSS_BY_NAME["dpo"], [PairState(z_w - x, z_l - x, 5, 9)], LossOptions(beta=beta))[0]
        for x in (0.0, fall)
    )
    assert after.losses_B.item() == pytest.approx(before.losses_B.item(), rel=1e-9, abs=1e-9)


def test_a_loss_without_its_reference_says_so() -> None:
    one = torch.zeros(1)
    with pytest.raises(ValueError, match="needs the reference's log-probabilities"):
        LOSS_BY_NAME["dpo"].compute(PairedLogps(one, one, one, one), LossOptions())


def test_options_are_the_methods_defaults_until_something_is_given() -> None:
    assert options_for("simpo") == LossOptions(beta=2.0, gamma=0.5)
    given = {"beta": None, "gamma": 1.0, "sft_weight": 0.3, "learning_rate": 1e-6}
    assert options_for("simpo", given) == LossOptions(beta=2.0, gamma=1.0)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("beta", 0.0),
        ("beta", math.nan),
        ("label_smoothing", 0.5),
        ("label_smoothing", -0.1),
        ("discopop_tau", 0.0),
        ("discopop_tau", 1.5),
        ("desirable_weight", -1.0),
        ("undesirable_weight", -1.0),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        LossOptions(**{setting: value})


def test_exo_refuses_hard_labels() -> None:
    with pytest.raises(ConfigError, match="exo_pair needs more"):
        run(LOSS_BY_NAME["exo_pair"], random_pairs(0), LossOptions())
