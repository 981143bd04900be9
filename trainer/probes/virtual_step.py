"""A virtual step: the optimizer's next step, really taken, measured and undone.

The gradient promises a change of every log-prob; a step of finite size delivers less, on both
sides, because log pi is concave in the logits (for a log-linear model measured <= first order
always). How much less tells a learning rate that is too large from entangled data. First order
means <gradient of z, theta' - theta>, with the step as the optimizer took it: moments, clipping
and learning rate included. Policy, optimizer and random numbers end as they were, bit by bit.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainer.batches import item
from trainer.data import Example
from trainer.logps import scored_logits, token_statistics
from trainer.metrics import Sums
from trainer.packing import pack
from trainer.probes.contract import Findings, Probe, Subject, side


def measure(subject: Subject) -> Findings:
    """Return the curvature, and what both sides of the next batch would do in one step."""
    every = subject.step.config.probe_virtual_steps
    due = every > 0 and subject.evaluation >= 0 and subject.evaluation % every == 0
    if not (due and subject.whole_weights):
        return Findings()
    accelerator = subject.step.accelerator
    own = subject.batch.own(accelerator.process_index, accelerator.num_processes)
    model: Any = accelerator.unwrap_model(subject.step.policy)
    trained = [p for p in model.parameters() if p.requires_grad]
    with _undone(subject, trained) as moved:
        after = [_token_logps(model, examples, accelerator.device) for examples in own]
    # Of each side: completions, and sums of the first-order and of the measured change.
    totals = torch.zeros(2, 3, dtype=torch.float64, device=accelerator.device)
    for examples, after_R in zip(own, after, strict=True):
        totals += _changes(model, trained, moved, examples, after_R)
    totals = accelerator.reduce(totals, reduction="sum")
    metrics = {}
    for (count, first, measured), label in zip(totals.tolist(), (True, False), strict=True):
        if count:
            metrics[f"first_order/{side(label)}"] = first / count
            metrics[f"virtual_step/{side(label)}"] = measured / count
    promised = metrics.get("first_order/chosen", 0.0)
    if promised:
        missing = promised - metrics["virtual_step/chosen"]
        metrics["curvature"] = missing / abs(promised)
    return Findings(metrics=metrics)


@contextlib.contextmanager
def _undone(subject: Subject, trained: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Take the step; hand out theta' - theta, filled in when all is back as it was."""
    step, accelerator = subject.step, subject.step.accelerator
    optimizer = getattr(subject.optimizer, "optimizer", subject.optimizer)
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    moved: list[Tensor] = []
    with torch.random.fork_rng(devices=devices):
        step.policy.train()
        step.run(subject.batch, Sums(accelerator.device), None, train=True)
        limit = step.config.max_grad_norm or math.inf
        accelerator.clip_grad_norm_(step.policy.parameters(), limit)
        step.policy.eval()
        kept = [_kept(parameter) for parameter in trained]
        rates = [group["lr"] for group in optimizer.param_groups]
        with _state_kept(optimizer):
            for group, rate in zip(optimizer.param_groups, next_rates(subject), strict=True):
                group["lr"] = rate
            optimizer.step()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        try:
            yield moved
        finally:
            with torch.no_grad():
                for parameter, before in zip(trained, kept, strict=True):
                    before = before.to(parameter.device)
                    moved.append(parameter - before)
                    parameter.copy_(before)


@contextlib.contextmanager
def _state_kept(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Give the optimizer its state back at the end, the very tensors included."""
    kept = {
        parameter: {name: _kept(value) for name, value in state.items()}
        for parameter, state in optimizer.state.items()
    }
    try:
        yield
    finally:
        for parameter in list(optimizer.state):
            if parameter not in kept:
                del optimizer.state[parameter]
                continue
            state = optimizer.state[parameter]
            for name, value in kept[parameter].items():
                if isinstance(value, Tensor):
                    state[name].copy_(value)
                else:
                    state[name] = value


def _kept(value: Any) -> Any:
    """Return a copy outside of the accelerator's memory, which may hold no second model."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    return copy.deepcopy(value)


def next_rates(subject: Subject) -> list[float]:
    """Return the learning rates of the next step whose rate is not 0 (a warm-up begins at 0)."""
    optimizer = getattr(subject.optimizer, "optimizer", subject.optimizer)
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule = subject.scheduler
    if any(rates) or not any(schedule.base_lrs):
        return rates
    for ahead in range(1, MOST_WARM_UP):
        factors = [one(schedule.last_epoch + ahead) for one in schedule.lr_lambdas]
        rates = [base * f for base, f in zip(schedule.base_lrs, factors, strict=True)]
        if any(rates):
            break
    return rates


# A schedule that stays at 0 for longer than this has ended.
MOST_WARM_UP = 1000


def _token_logps(model: nn.Module, examples: Sequence[Example], device: torch.device) -> Tensor:
    """Return the log-prob of every scored token (R), in full precision and without gradient."""
    with torch.no_grad():
        packed = pack([item(example) for example in examples], device)
        return token_statistics(scored_logits(model, packed), packed.labels_R)[0]


def _changes(
    model: nn.Module,
    trained: Sequence[Tensor],
    moved: Sequence[Tensor],
    examples: Sequence[Example],
    after_R: Tensor,
) -> Tensor:
    """Return per side: completions, summed first-order and summed measured change (2, 3)."""
    packed = pack([item(example) for example in examples], after_R.device)
    labels = [label for example in examples for label in example.labels]
    desirable_R = torch.tensor(labels, device=after_R.device)[packed.completion_R]
    totals = torch.zeros(2, 3, dtype=torch.float64, device=after_R.device)
    with torch.enable_grad():
        before_R = token_statistics(scored_logits(model, packed), packed.labels_R)[0]
    # Token by token, because sums over long completions have lost the digits of a small step.
    change_R = after_R.double() - before_R.detach().double()
    masks = (desirable_R, ~desirable_R)
    for index, mask_R in enumerate(masks):
        if not mask_R.any():
            continue
        again = index == 0 and bool(masks[1].any())
        gradient = torch.autograd.grad(
            before_R[mask_R].sum(), list(trained), retain_graph=again, materialize_grads=True
        )
        parts = [(g * m).sum(dtype=torch.float64) for g, m in zip(gradient, moved, strict=True)]
        totals[index, 0] = sum(label is (index == 0) for label in labels)
        totals[index, 1] = torch.stack(parts).sum()
        totals[index, 2] = change_R[mask_R].sum()
    return totals


PROBE = Probe("virtual_step", None, measure)
