"""Packed rows with a shared prompt compute what the padded dense layout computes."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen3Config

from tests.trainer.dense_oracle import dense_logps
from trainer import attention
from trainer.logps import score, token_statistics
from trainer.packing import Item, balance, pack

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
CONFIGS = {"qwen3": Qwen3Config(**SHAPE, head_dim=16), "qwen2": Qwen2Config(**SHAPE)}


def _model(family: str, implementation: str, dtype: torch.dtype = torch.float32):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        copy.deepcopy(CONFIGS[family]), attn_implementation=implementation, dtype=dtype
    )
    return model.eval()


def _ragged_items(seed: int) -> list[Item]:
    draw = random.Random(seed)

    def ids(n: int) -> list[int]:
        return [draw.randrange(97) for _ in range(n)]

    return [
        Item(ids(7), [ids(5), ids(9)]),
        Item(ids(1), [ids(1), ids(4)]),  # one-token completion behind a one-token prompt
        Item(ids(12), [ids(3), ids(1)]),
        Item([], [ids(6), ids(3)]),  # empty prompt overlap
        Item(ids(4), [ids(8)]),  # unpaired
        Item(ids(3), [ids(2), ids(6), ids(4)]),  # more than two completions
    ]


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("seed", range(3))
def test_packed_logps_and_gradients_equal_the_padded_dense_oracle(family, seed):
    attention.register()
    packed_model, dense_model = _model(family, attention.NAME), _model(family, "sdpa")
    items = _ragged_items(seed)
    weights = torch.linspace(-1, 1, sum(len(item.completions) for item in items))

    packed = score(packed_model, pack(items)).logps_C
    dense = dense_logps(dense_model, items)
    assert ((packed - dense).abs() / dense.abs()).max() <= 1e-5

    (packed * weights).sum().backward()
    (dense * weights).sum().backward()
    packed_grad, dense_grad = (
        torch.cat([p.grad.flatten() for p in m.parameters()]) for m in (packed_model, dense_model)
    )
    assert torch.cosine_similarity(packed_grad, dense_grad, dim=0) >= 0.9999
    assert (packed_grad - dense_grad).abs().max() <= 1e-4 * dense_grad.abs().max()


def test_a_later_completion_does_not_see_an_earlier_one():
    attention.register()
    model = _model("qwen3", attention.NAME)
    alone = score(model, pack([Item([1, 2, 3], [[4, 5], [6, 7, 8]])])).logps_C[1]
    other = score(model, pack([Item([1, 2, 3], [[90, 91], [6, 7, 8]])])).logps_C[1]
    torch.testing.assert_close(alone, other, rtol=1e-6, atol=1e-6)


def test_scored_prompts_add_one_sum_per_prompt_and_leave_completions_alone():
    attention.register()
    model = _model("qwen2", attention.NAME)
    items = _ragged_items(1)
    plain, with_prompts = score(model, pack(items)), score(model, pack(items, score_prompts=True))
    n = len(plain.logps_C)
    torch.testing.assert_close(with_prompts.logps_C[:n], plain.logps_C)
    as_completion = score(model, pack([Item(items[0].prompt_ids[:1], [items[0].prompt_ids[1:]])]))
    torch.testing.assert_close(with_prompts.logps_C[n], as_completion.logps_C[0])
    assert with_prompts.tokens_C[n:].tolist() == [6, 0, 11, 0, 3, 2]


def test_a_completion_without_a_scorable_token_is_refused():
    with pytest.raises(ValueError, match="completion 1 has no token"):
        pack([Item([], [[1, 2], [3]])])


def test_token_statistics_equal_autograd_of_log_softmax_in_fp64():
    torch.manual_seed(0)
    logits = torch.randn(6, 11, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 3, 10, 5, 5, 1])
    logps, entropy, top1 = token_statistics(logits, labels)
    reference = logits.log_softmax(-1)
    torch.testing.assert_close(logps, reference.gather(-1, labels[:, None]).squeeze(-1))
    torch.testing.assert_close(entropy, -(reference.exp() * reference).sum(-1).detach())
    assert top1.tolist() == (logits.argmax(-1) == labels).double().tolist()
    assert torch.autograd.gradcheck(lambda x: token_statistics(x, labels)[0], (logits,))


def test_entropy_is_finite_when_a_token_is_masked_out():
    logits = torch.tensor([[0.0, float("-inf"), 0.0]])
    _, entropy, _ = token_statistics(logits, torch.tensor([0]))
    torch.testing.assert_close(entropy, torch.tensor([2.0]).log())


def test_balanced_parts_hold_every_item_once_and_differ_by_at_most_one_item():
    draw = random.Random(0)
    tokens = [draw.randrange(1, 100) for _ in range(64)]
    parts = balance(tokens, 4)
    assert sorted(index for part in parts for index in part) == list(range(64))
    loads = [sum(tokens[i] for i in part) for part in parts]
    assert max(loads) - min(loads) <= max(tokens)
    assert all(balance([5] * 7, 7))
