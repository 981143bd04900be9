"""What only a GPU can show: the variable-length kernel, bf16, and memory that is counted."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
import torch

from diagnostics.runlog import read_log
from trainer import evaluation
from trainer.attention import packed_attention
from trainer.packing import Item, pack
from trainer.probes import virtual_step
from trainer.train import train

pytestmark = pytest.mark.cuda


def ragged_layout(device: str):
    draw = random.Random(0)
    items = [
        Item([1] * draw.randint(1, 40), [[2] * draw.randint(1, 60), [3] * draw.randint(1, 60)])
        for _ in range(6)
    ]
    batch = pack(items, device)
    return batch.layout, batch.n_tokens


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_variable_length_kernel_is_causal_from_the_bottom_right(groups):
    layout, n_tokens = ragged_layout("cuda")
    generator = torch.Generator("cuda").manual_seed(0)

    def draw(heads: int) -> torch.Tensor:
        return torch.randn(1, heads, n_tokens, 64, device="cuda", generator=generator)

    exact = [t.requires_grad_(True) for t in (draw(8), draw(8 // groups), draw(8 // groups))]
    half = [t.detach().bfloat16().requires_grad_(True) for t in exact]
    weights = torch.randn(1, n_tokens, 8, 64, device="cuda", generator=generator)
    outputs = []
    for tensors in (exact, half):  # fp32 takes the segment loop, bf16 the kernel
        output, _ = packed_attention(None, *tensors, None, packed_layout=layout)
        (output.float() * weights).sum().backward()
        outputs.append(output.float())
    assert (outputs[0] - outputs[1]).abs().max() < 3e-2
    for one, other in zip(exact, half, strict=True):
        cosine = torch.cosine_similarity(one.grad.flatten(), other.grad.float().flatten(), dim=0)
        assert cosine > 0.999


@pytest.mark.parametrize("method", ["dpo", "kto", "orpo", "simpo"])
def test_bf16_on_the_gpu_follows_fp32_on_the_cpu(method, settings, tmp_path):
    shared = {"method": method, "max_steps": 3, "learning_rate": 1e-4}
    runs = [
        settings(use_cpu=use_cpu, output_dir=str(tmp_path / str(use_cpu)), **shared)
        for use_cpu in (True, False)
    ]
    for run in runs:
        train(run)
    cpu, gpu = (read_log(run.output_dir).train for run in runs)
    for one, other in zip(cpu, gpu, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=2e-2)
        assert other["logps/chosen"] == pytest.approx(one["logps/chosen"], rel=2e-2)
    assert 0 < gpu[-1]["memory"] < 8
    if method == "dpo":
        assert gpu[0]["loss"] == pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize("lora_r", [0, 4])
def test_the_gradient_probes_on_the_gpu_follow_the_cpu(settings, tmp_path, lora_r):
    shared = {
        **{"max_steps": 2, "eval_steps": 1, "learning_rate": 1e-4, "lora_r": lora_r},
        **{"probe_entanglement_pairs": 4, "probe_virtual_steps": 1},
    }
    runs = [
        settings(use_cpu=use_cpu, output_dir=str(tmp_path / str(use_cpu)), **shared)
        for use_cpu in (True, False)
    ]
    for run in runs:
        train(run)
    cpu, gpu = (read_log(run.output_dir).evals for run in runs)
    for one, other in zip(cpu, gpu, strict=True):
        assert other["entanglement/cosine"] == pytest.approx(one["entanglement/cosine"], abs=5e-2)
        assert other["entanglement/q_star"] == pytest.approx(one["entanglement/q_star"], rel=5e-2)
        for name in ("first_order/rejected", "virtual_step/rejected"):
            assert other[name] == pytest.approx(one[name], rel=0.1, abs=1e-3)


@pytest.mark.parametrize("lora_r", [0, 4])
def test_a_virtual_step_on_the_gpu_leaves_weights_and_moments_as_they_were(
    settings, monkeypatch, lora_r
):
    seen = []
    measure = virtual_step.measure

    def watched(subject):
        inner = subject.optimizer.optimizer

        def state():
            moments = [v for s in inner.state.values() for v in s.values()]
            return [t.detach().clone() for t in (*subject.step.policy.parameters(), *moments)]

        before = state()
        found = measure(subject)
        after = state()
        same = len(before) == len(after) and all(map(torch.equal, before, after))
        seen.append((bool(found.metrics), same))
        return found

    probes = tuple(
        dataclasses.replace(one, measure=watched) if one.name == "virtual_step" else one
        for one in evaluation.PROBES
    )
    monkeypatch.setattr(evaluation, "PROBES", probes)
    train(settings(max_steps=2, eval_steps=1, use_cpu=False, lora_r=lora_r, probe_virtual_steps=1))
    assert seen == [(True, True)] * 3
