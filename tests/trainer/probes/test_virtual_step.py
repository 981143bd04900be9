"""A virtual step measures what the step would do, and leaves no trace."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diagnostics.runlog import read_log, read_pairs
from tests.trainer.probes.toys import LogLinear, pair, subject_of
from trainer.probes import virtual_step
from trainer.train import train


def log_linear(seed: int) -> LogLinear:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    return LogLinear(features, torch.randn(4, generator=generator, dtype=torch.float64))


EXAMPLES = [pair(0, [0, 3], [1]), pair(1, [2], [5, 6, 1])]


def summed(model: LogLinear, side: int) -> torch.Tensor:
    logps = (model.features_VD @ model.theta_D).log_softmax(0)
    return sum(logps[list(example.completions[side])].sum() for example in EXAMPLES) / 2


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_log_linear_model_moves_as_computed_and_never_above_first_order(seed, kind):
    model = log_linear(seed)
    make = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[kind]
    optimizer = make(model.parameters(), lr=0.5)
    if seed % 2:  # moments of an earlier step
        summed(model, 1).backward()
        optimizer.step()
        optimizer.zero_grad()
    subject = subject_of(model, EXAMPLES, optimizer=optimizer, max_grad_norm=0.01)
    kept, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    found = virtual_step.measure(subject).metrics

    # The same step by hand, on a copy.
    by_hand = make(kept.parameters(), lr=0.5)
    by_hand.load_state_dict(copy.deepcopy(state))
    weight = 0.05  # beta / 2 at policy == reference
    loss = -weight * (summed(kept, 0) - summed(kept, 1))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(kept.parameters(), 0.01)
    before = kept.theta_D.detach().clone()
    starts = [summed(kept, side) for side in (0, 1)]
    slopes = [torch.autograd.grad(start, kept.theta_D)[0] for start in starts]
    by_hand.step()
    moved = kept.theta_D.detach() - before
    for side, start, slope in zip((0, 1), starts, slopes, strict=True):
        name = ("chosen", "rejected")[side]
        assert found[f"first_order/{name}"] == pytest.approx(float(slope @ moved), rel=1e-6)
        change = float((summed(kept, side) - start).detach())
        assert found[f"virtual_step/{name}"] == pytest.approx(change, rel=1e-6)
        assert found[f"virtual_step/{name}"] <= found[f"first_order/{name}"]
    first, measured = found["first_order/chosen"], found["virtual_step/chosen"]
    assert found["curvature"] == pytest.approx((first - measured) / abs(first))
    assert found["curvature"] > 0

    assert torch.equal(model.theta_D.detach(), before)
    assert model.theta_D.grad is None
    after = optimizer.state_dict()
    assert after["param_groups"] == state["param_groups"]
    assert after["state"].keys() == state["state"].keys()
    for own, other in zip(after["state"].values(), state["state"].values(), strict=True):
        assert all(torch.equal(own[name], other[name]) for name in other)


def test_a_step_that_is_too_large_lowers_what_its_gradient_would_raise():
    model = log_linear(0)
    subjects = [
        subject_of(model, EXAMPLES, optimizer=torch.optim.SGD(model.parameters(), lr=rate))
        for rate in (1e-3, 3.0, 300.0)
    ]
    small, middle, large = (virtual_step.measure(subject).metrics for subject in subjects)
    assert small["curvature"] < 0.01 < middle["curvature"] < large["curvature"]
    assert large["first_order/chosen"] > 0 > large["virtual_step/chosen"]
    assert large["curvature"] > 1


def test_the_step_is_tried_only_when_it_is_due_and_weights_are_whole():
    subject = subject_of(log_linear(0), EXAMPLES, probe_virtual_steps=2)
    for evaluation, found in ((0, True), (1, False), (2, True), (-1, False)):
        assert bool(virtual_step.measure(replace(subject, evaluation=evaluation)).metrics) == found
    assert not virtual_step.measure(replace(subject, whole_weights=False)).metrics
    never = subject_of(log_linear(0), EXAMPLES, probe_virtual_steps=0)
    assert not virtual_step.measure(never).metrics


def test_a_warm_up_from_zero_is_measured_at_its_first_rate():
    model = log_linear(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
    subject = subject_of(model, EXAMPLES, optimizer=optimizer)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 4))
    subject = replace(subject, scheduler=schedule)
    assert optimizer.param_groups[0]["lr"] == 0
    assert virtual_step.next_rates(subject) == [0.1]
    assert virtual_step.measure(subject).metrics["first_order/chosen"] != 0
    assert optimizer.param_groups[0]["lr"] == 0


ON = {
    "probe_entanglement_pairs": 3,
    "probe_token_pairs": 3,
    "probe_family_prompts": 3,
    "probe_virtual_steps": 1,
}
OFF = dict.fromkeys(ON, 0)
CLOCK = {"time", "tokens_per_second", "examples_per_second", "memory"}


@pytest.mark.parametrize(
    "extra",
    [
        {"method": "dpo", "warmup_ratio": 0.5, "lr_scheduler_type": "cosine"},
        {"method": "dpo", "lora_r": 2},
        {"method": "kto", "gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    ],
    ids=["full", "lora", "kto"],
)
def test_probing_changes_no_bit_of_the_training(settings, tmp_path, extra):
    logs, weights = [], []
    for name, probes in (("on", ON), ("off", OFF)):
        config = settings(
            output_dir=str(tmp_path / name), max_steps=3, eval_steps=1, save_model=True,
            **{**probes, **extra},
        )  # fmt: skip
        train(config)
        logs.append(read_log(config.output_dir))
        (file,) = Path(config.output_dir).glob("model/*.safetensors")
        weights.append(file.read_bytes())
    on, off = logs
    for one, other in zip(on.train, off.train, strict=True):
        assert {k: v for k, v in one.items() if k not in CLOCK} == {
            k: v for k, v in other.items() if k not in CLOCK
        }
    assert weights[0] == weights[1]

    assert all("curvature" in row and "entanglement/cosine" in row for row in on.evals)
    assert not any("curvature" in row or "entanglement/cosine" in row for row in off.evals)
    folder = tmp_path / "on"
    for table in ("entanglement", "tokens", "families"):
        assert set(read_pairs(folder, table)["step"].to_pylist()) == {0, 1, 2, 3}
        assert not read_pairs(tmp_path / "off", table).num_rows
    sentences = [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]
    remarks = [line["text"] for line in sentences if line["kind"] == "remark"]
    assert remarks[0].startswith("First steps: by the pairs' gradients, ")
    assert "in one trial step" in remarks[0]
    assert remarks[1].startswith("SFT coefficient: ")
