"""The gradients, the band and CHES against closed forms and against plain autograd."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from diagnostics.band import Band
from tests.trainer.dense_oracle import dense_logps
from tests.trainer.probes.toys import LogLinear, SharedSuffix, pair, subject_of
from trainer import attention
from trainer.batches import item
from trainer.data import Example
from trainer.metrics import Sums
from trainer.probes import entanglement


def row(findings, index: int = 0) -> dict[str, float]:
    return {name: values[index] for name, values in findings.columns.items()}


def band_of(found: dict[str, float]) -> Band:
    return Band(
        found["weight/chosen"],
        found["weight/rejected"],
        found["norm/chosen"],
        found["norm/rejected"],
        found["cosine"],
    )


def net(a: list[float], b: list[float]) -> LogLinear:
    """The finite net {chosen, rejected, -(chosen + rejected)}: uniform, so that s_y = y."""
    vectors = torch.tensor([a, b], dtype=torch.float64)
    return LogLinear(torch.cat([vectors, -vectors.sum(0, keepdim=True)]))


@pytest.mark.parametrize(
    ("a", "b", "regime"),
    [
        ([3.0, 0.0], [1.0, 0.2], "both_rise"),
        ([1.0, 0.0], [3.0, 0.2], "both_fall"),
        ([1.0, 0.0], [-1.0, 0.2], "ideal"),
        ([1.0, 0.0], [0.9, 1.5], "ideal"),
    ],
)
def test_the_band_of_a_tilt_is_that_of_its_two_vectors(a, b, regime):
    found = entanglement.measure(subject_of(net(a, b), [pair(0, [0], [1])]))
    one = row(found)
    w, r = torch.tensor(a).double(), torch.tensor(b).double()
    step = w - r
    assert one["norm/rejected"] / one["norm/chosen"] == pytest.approx(float(r.norm() / w.norm()))
    assert one["cosine"] == pytest.approx(float(w @ r / w.norm() / r.norm()))
    assert found.metrics["entanglement/share"] == pytest.approx(float(w @ step / (step @ step)))
    assert found.metrics["entanglement/q"] == pytest.approx(1.0)
    assert one["weight/chosen"] == pytest.approx(0.05)
    assert band_of(one).regime == regime


def test_the_phase_diagram_of_the_tilt_is_a_disc_and_a_line():
    draw = random.Random(0)
    seen = set()
    for _ in range(60):
        kappa, s, q = draw.uniform(-2, 5), draw.uniform(0.01, 3), draw.choice([0.5, 1, 2, 4])
        found = entanglement.measure(
            subject_of(net([1.0, 0.0], [kappa, s]), [pair(0, [0], [1])], method="kto")
            if q == 1
            else subject_of(
                net([1.0, 0.0], [kappa, s]),
                [pair(0, [0], [1])],
                method="kto",
                desirable_weight=float(q),
            )
        )
        if (kappa - q / 2) ** 2 + s**2 < (q / 2) ** 2:
            expected = "both_rise"
        else:
            expected = "both_fall" if kappa > q else "ideal"
        band = band_of(row(found))
        assert band.q == pytest.approx(q)
        grows = band.chosen_rate > band.rejected_rate
        # With q other than 1 the margin itself can shrink: chosen then falls behind rejected.
        assert band.regime == (expected if grows else "margin_loss"), (kappa, s, q)
        seen.add(expected)
    assert seen == {"both_rise", "both_fall", "ideal"}


@pytest.mark.parametrize(("length", "regime"), [(17, "ideal"), (18, "both_fall")])
def test_a_shared_suffix_makes_both_fall_from_its_eighteenth_token_on(length, regime):
    model = SharedSuffix(length, p_w=0.9, p_l=0.6, r=0.95)
    example = pair(0, [0] * (length + 1), [1] + [0] * length)
    one = row(entanglement.measure(subject_of(model, [example])))
    absent_w, absent_l = 0.1, 0.4
    assert one["norm/chosen"] ** 2 == pytest.approx(0.5 + 2 * length * absent_w**2)
    assert one["norm/rejected"] ** 2 == pytest.approx(0.5 + 2 * length * absent_l**2)
    overlap = one["cosine"] * one["norm/chosen"] * one["norm/rejected"]
    assert overlap == pytest.approx(-0.5 + 2 * length * absent_w * absent_l * 0.95)
    assert band_of(one).regime == regime
    # The output matrix is all that is trained here.
    for name in ("norm/chosen", "norm/rejected", "cosine"):
        assert one[f"head_{name}"] == pytest.approx(one[name], rel=1e-9)


@pytest.mark.parametrize(("length", "regime"), [(17, "ideal"), (18, "both_rise")])
def test_with_the_sure_side_rejected_the_same_suffix_makes_both_rise(length, regime):
    model = SharedSuffix(length, p_w=0.6, p_l=0.9, r=0.95)
    example = pair(0, [0] * (length + 1), [1] + [0] * length)
    assert band_of(row(entanglement.measure(subject_of(model, [example])))).regime == regime


def test_one_token_with_all_trained_has_the_rate_of_razins_theorem_4():
    torch.manual_seed(0)
    vocabulary, size = 7, 5

    class OneToken(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(size, vocabulary, bias=False, dtype=torch.float64)
            self.hidden = torch.nn.Parameter(torch.randn(size, dtype=torch.float64))

        def get_output_embeddings(self):
            return self.head

        def forward(self, input_ids, logits_to_keep, **others):
            states = self.hidden.expand(1, len(logits_to_keep), -1)
            return type("Output", (), {"logits": self.head(states)})

    model = OneToken()
    one = row(entanglement.measure(subject_of(model, [pair(0, [2], [4])])))
    W, h = model.head.weight.detach(), model.hidden.detach()
    p = (W @ h).softmax(0)
    both = 1 - p[2] + p[4]
    rate = (1 - p[2]) * W[2] @ W[2] + p[4] * W[4] @ W[4] + both * h @ h - both * W[2] @ W[4]
    rate -= sum(p[z] * W[z] @ (W[2] - W[4]) for z in range(vocabulary) if z not in (2, 4))
    band = band_of({**one, "weight/chosen": 1.0, "weight/rejected": 1.0})
    assert band.chosen_rate == pytest.approx(float(rate), rel=1e-9)
    # h is the same for both sides here, and CHES is then 0 although the heads' gradients differ.
    assert one["ches"] == pytest.approx(0, abs=1e-12)
    assert one["head_cosine"] < 0


def tiny(tied: bool):
    attention.register()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention.NAME).eval()


def ragged_pairs(count: int = 3) -> list[Example]:
    draw = random.Random(3)

    def ids(n: int) -> list[int]:
        return [draw.randrange(61) for _ in range(n)]

    return [
        pair(i, ids(draw.randint(1, 9)), ids(draw.randint(1, 9)), tuple(ids(draw.randint(1, 5))))
        for i in range(count)
    ]


@pytest.mark.parametrize("trained", ["tied", "untied", "lora"])
def test_packed_gradients_equal_those_of_the_padded_dense_oracle(trained):
    model = tiny(trained != "untied")
    if trained == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
    examples = ragged_pairs()
    found = entanglement.measure(subject_of(model, examples, method="simpo"))
    parameters = [p for p in model.parameters() if p.requires_grad]
    model.set_attn_implementation("sdpa") if trained != "lora" else None
    weighted = []
    for index, example in enumerate(examples):
        logps = dense_logps(model, [item(example)])
        sides = [
            torch.cat([g.flatten() for g in torch.autograd.grad(z, parameters, retain_graph=True)])
            for z in logps
        ]
        one = row(found, index)
        for own, name in zip(sides, ("norm/chosen", "norm/rejected"), strict=True):
            assert one[name] == pytest.approx(float(own.norm()), rel=1e-4)
        assert one["cosine"] == pytest.approx(
            float(torch.cosine_similarity(*sides, dim=0)), abs=1e-5
        )
        weighted.append((one["weight/chosen"] * sides[0], one["weight/rejected"] * sides[1]))
    total_w, total_l = (sum(side) for side in zip(*weighted, strict=True))
    sums = [
        sum(row(found, i)[f"weight/{side}"] for i in range(3)) for side in ("chosen", "rejected")
    ]
    metrics = found.metrics
    assert metrics["entanglement/q"] == pytest.approx(sums[0] / sums[1])
    cosine = float(torch.cosine_similarity(total_w, total_l, dim=0))
    assert metrics["entanglement/cosine"] == pytest.approx(cosine, abs=1e-5)
    ahead = total_w - total_l
    a, b = float(total_w @ ahead) / sums[0], float(total_l @ ahead) / sums[1]
    assert metrics["entanglement/share"] == pytest.approx(a / (a - b), rel=1e-3)
    rises, falls = a > 0, b < 0
    assert (metrics["entanglement/slack"] > 0) == (rises and falls)


@pytest.mark.parametrize("tied", [True, False])
def test_head_numbers_equal_autograd_on_the_output_matrix_and_ches_its_definition(tied):
    model = tiny(tied)
    examples = ragged_pairs()
    found = entanglement.measure(subject_of(model, examples))
    model.set_attn_implementation("sdpa")
    for index, example in enumerate(examples):
        gradients, states = [], []
        for completion in example.completions:
            ids = torch.tensor([[*example.prompt_ids, *completion]])
            # From the last prompt token to the token before the last of the completion.
            first = len(example.prompt_ids) - 1
            hidden = model.model(ids).last_hidden_state[0, first:-1].detach().double()
            matrix = model.lm_head.weight.detach().double().requires_grad_(True)
            logps = (hidden @ matrix.T).log_softmax(-1)
            picked = logps[torch.arange(len(completion)), torch.tensor(completion)].sum()
            gradients.append(torch.autograd.grad(picked, matrix)[0].flatten())
            states.append(hidden)
        one = row(found, index)
        w, r = gradients
        assert one["head_norm/chosen"] == pytest.approx(float(w.norm()), rel=1e-5)
        assert one["head_norm/rejected"] == pytest.approx(float(r.norm()), rel=1e-5)
        assert one["head_cosine"] == pytest.approx(float(w @ r / w.norm() / r.norm()), abs=1e-5)
        sum_w, sum_l = (own.sum(0) for own in states)
        n_w, n_l = (len(own) for own in states)
        assert one["ches"] == pytest.approx(float(sum_w @ sum_l - sum_w @ sum_w), rel=1e-4)
        per_token = float(sum_w @ sum_l / n_w / n_l - sum_w @ sum_w / n_w**2)
        assert one["ches_per_token"] == pytest.approx(per_token, rel=1e-4, abs=1e-4)


def test_single_completions_have_one_side_and_share_one_band():
    model = LogLinear(torch.tensor([[3.0, 0.0], [1.0, 0.2], [-4.0, -0.2]]).double())
    both = pair(0, [0], [1])
    alone = [
        Example((0,), (both.completions[i],), (label,), i, "", ("",))
        for i, label in enumerate((True, False))
    ]
    paired, single = (
        entanglement.measure(subject_of(model, examples, method="kto"))
        for examples in ([both], alone)
    )
    assert math.isnan(row(single)["norm/rejected"])
    assert math.isnan(row(single, 1)["weight/chosen"])
    assert single.metrics == pytest.approx(paired.metrics)


def test_a_side_that_nothing_pulls_on_is_averaged_with_equal_weights():
    model = net([3.0, 0.0], [1.0, 0.2])
    examples = [pair(0, [0], [1]), pair(1, [0], [1])]
    found = entanglement.measure(subject_of(model, examples, method="sft")).metrics
    assert found["entanglement/q"] == math.inf
    assert found["entanglement/cosine"] == pytest.approx(3 / 3 / math.hypot(1, 0.2))
    assert found["entanglement/slack"] == -math.inf
    model = net([1.0, 0.0], [3.0, 0.2])
    down = entanglement.measure(subject_of(model, examples, method="apo_down")).metrics
    assert down["entanglement/q"] == pytest.approx(0, abs=1e-9)
    # dz_w = -d_l <w, l> = -3 d_l, dz_l = -d_l |l|^2 = -9.04 d_l.
    assert down["entanglement/share"] == pytest.approx(-3 / (-3 + 9.04))


def test_the_sft_term_raises_q_by_g_over_the_mean_length():
    model = SharedSuffix(5, 0.9, 0.6, 0.9)
    examples = [pair(0, [0] * 6, [1, 0]), pair(1, [0, 0], [1, 0, 0])]
    plain, with_sft = (
        entanglement.measure(subject_of(model, examples, sft_weight=g)).metrics["entanglement/q"]
        for g in (0.0, 0.3)
    )
    assert plain == pytest.approx(1.0)
    assert with_sft == pytest.approx(1.0 + 0.3 / 4 / 0.05)


def test_sharded_weights_leave_the_columns_of_the_output_matrix():
    subject = subject_of(tiny(True), ragged_pairs(), method="simpo")
    whole = entanglement.measure(subject)
    sharded = entanglement.measure(dataclasses.replace(subject, whole_weights=False))
    assert sharded.metrics == {}
    for name, values in whole.columns.items():
        if name in ("norm/chosen", "norm/rejected", "cosine"):
            assert all(math.isnan(value) for value in sharded.columns[name])
        else:
            assert sharded.columns[name] == values


@pytest.mark.parametrize("reduction", ["token", "sequence"])
@pytest.mark.parametrize(
    "method", ["dpo", "ipo", "simpo", "orpo", "cpo", "kto", "aot", "nca_pair", "kto-unpaired"]
)
def test_weights_times_gradients_are_the_gradient_that_training_follows(method, reduction):
    name = method.removesuffix("-unpaired")
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    model = LogLinear(features)
    examples = [pair(0, [0, 3], [1]), pair(1, [2], [5, 6, 1]), pair(2, [7, 7, 8], [4, 2])]
    if name != method:
        examples = [
            Example((0,), (one.completions[not label],), (label,), i, "", ("",))
            for i, (one, label) in enumerate(zip(examples, (True, False, True), strict=True))
        ]
    subject = subject_of(model, examples, method=name, sft_weight=0.4, sft_reduction=reduction)
    with torch.no_grad():  # away from the reference, where the weights differ from pair to pair
        model.theta_D += torch.tensor([0.5, -1.0, 0.2, 0.8])
    weights = entanglement.pair_weights(subject, examples, subject.score(examples))
    logps = (model.features_VD @ model.theta_D).log_softmax(0)
    pull = torch.zeros(4, dtype=torch.float64)
    count = 0
    for example, (d_w, d_l) in zip(examples, weights, strict=True):
        for ids, label in zip(example.completions, example.labels, strict=True):
            total = logps[list(ids)].sum()
            own = torch.autograd.grad(total, model.theta_D, retain_graph=True)[0]
            pull += d_w * own if label else -d_l * own
            count += 1
    mean_over = count if name == "kto" else len(examples)
    subject.step.run(subject.batch, Sums(torch.device("cpu")), None, train=True)
    assert torch.allclose(-model.theta_D.grad * mean_over, pull, rtol=1e-4, atol=1e-7)
