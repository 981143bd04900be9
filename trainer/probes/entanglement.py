"""Gradient entanglement: how far the pull up on chosen and the push down on rejected collide.

One backward pass a completion gives s_w and s_l, the gradients of the two log-probs with respect
to the trained weights, and the loss gives their weights d_w and d_l; `diagnostics.band` says what
follows (arXiv 2410.13828, section 4; arXiv 2604.18239). Where no process holds all weights, and
for a cross-check, the part of the gradients on the output matrix needs no backward pass: with H
the hidden states fed to it and E = onehot - p the errors of a completion's rows,

    <grad_W z, grad_W z'> = sum over k, k' of (H H'^T)_kk' (E E'^T)_kk'

of which the CHES score (arXiv 2410.08847, Definition 2) is the form with E E'^T set to 1.

Shapes: R scored rows, V vocabulary, D hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from diagnostics.band import Band
from diagnostics.methods import METHODS, PairState
from trainer.batches import divide, divide_for_scoring, item
from trainer.data import Example
from trainer.logps import scored_logits, token_statistics
from trainer.metrics import Sums
from trainer.packing import PackedBatch, pack
from trainer.probes.contract import Findings, Probe, Subject, prompt_key
from trainer.token_scores import CompletionScore

SIDES = ("chosen", "rejected")
# Columns of one pair, in the order of the rows that `measure` fills.
_GRADIENT = ("norm/chosen", "norm/rejected", "cosine")
_HEAD = ("head_norm/chosen", "head_norm/rejected", "head_cosine", "ches", "ches_per_token")

# Weights this small are the rounding of log-probs [loss units per nat], not a pull.
NO_PULL = 1e-9

Gradient = list[Tensor]


def measure(subject: Subject) -> Findings:
    """Return one row per probe example, and the band of all of them together.

    Where no process holds all weights, the rows hold the part on the output matrix alone.
    """
    examples = subject.probe_set.train[: subject.step.config.probe_entanglement_pairs]
    if not examples:
        return Findings()
    scores = subject.score(examples)
    weights = pair_weights(subject, examples, scores)
    if not subject.whole_weights:
        return Findings(_columns(examples, scores, weights, _heads(subject, examples)))
    accelerator = subject.step.accelerator
    model = accelerator.unwrap_model(subject.step.policy)
    trained = [p for p in model.parameters() if p.requires_grad]
    shares = _shares([own[0] for own in weights]), _shares([own[1] for own in weights])
    sums: list[Gradient] = [[torch.zeros_like(p) for p in trained] for _ in SIDES]
    table = torch.zeros(len(examples), len(_GRADIENT + _HEAD), dtype=torch.float64)
    for place in range(accelerator.process_index, len(examples), accelerator.num_processes):
        both, head = gradients(model, trained, examples[place], subject)
        for index, own in enumerate(both):
            if own is not None and shares[index][place] != 0:
                torch._foreach_add_(sums[index], own, alpha=shares[index][place])
        table[place] = torch.tensor([*_geometry(both), *head], dtype=torch.float64)
        del both
    table = accelerator.reduce(table.to(accelerator.device), reduction="sum")
    if accelerator.num_processes > 1:
        sums = [[accelerator.reduce(own, reduction="sum") for own in side] for side in sums]
    band = _band(weights, sums)
    return Findings(_columns(examples, scores, weights, table), _metrics(band))


def _heads(subject: Subject, examples: Sequence[Example]) -> Tensor:
    """Return the rows of the table with the columns of the output matrix alone, without backward.

    Every process runs the policy equally often, as sharded weights need.
    """
    accelerator, policy = subject.step.accelerator, subject.step.policy
    world, rank = accelerator.num_processes, accelerator.process_index
    table = torch.zeros(len(examples), len(_GRADIENT + _HEAD), dtype=torch.float64)
    for first in range(0, len(examples), world):
        place = min(first + rank, len(examples) - 1)
        with torch.no_grad():
            head = _forward(policy, examples[place], subject)[2]
        if first + rank < len(examples):
            unknown = [math.nan] * len(_GRADIENT)
            table[place] = torch.tensor([*unknown, *head], dtype=torch.float64)
    whole: Tensor = accelerator.reduce(table.to(accelerator.device), reduction="sum")
    return whole


def gradients(
    model: nn.Module, trained: Sequence[Tensor], example: Example, subject: Subject
) -> tuple[tuple[Gradient | None, Gradient | None], list[float]]:
    """Return s_w, s_l (None for a side that is absent), and the numbers of the output matrix."""
    with torch.enable_grad():
        logps_R, rows, head = _forward(model, example, subject)
    present = [own for own in rows if own is not None]
    found: list[Gradient | None] = []
    for own in rows:
        if own is None:
            found.append(None)
            continue
        total = logps_R[own].sum()
        some = torch.autograd.grad(
            total, list(trained), retain_graph=own is not present[-1], materialize_grads=True
        )
        found.append(list(some))
    return (found[0], found[1]), head


def _forward(
    model: nn.Module, example: Example, subject: Subject
) -> tuple[Tensor, list[Tensor | None], list[float]]:
    """Return log-probs of the scored rows (R), the rows of both sides, and the head's numbers."""
    accelerator = subject.step.accelerator
    packed = pack([item(example)], accelerator.device)
    with subject.step.autocast(), _head_input(accelerator.unwrap_model(model)) as hidden:
        logits_RV = scored_logits(model, packed)
        logps_R = token_statistics(logits_RV, packed.labels_R)[0]
    rows = [_rows_of(example, packed, label) for label in (True, False)]
    if not hidden:
        return logps_R, rows, [math.nan] * len(_HEAD)
    return logps_R, rows, head_numbers(hidden[-1][0], logits_RV.detach(), packed.labels_R, rows)


def head_numbers(
    hidden_RD: Tensor, logits_RV: Tensor, labels_R: Tensor, rows: Sequence[Tensor | None]
) -> list[float]:
    """Return norms and cosine of the gradients on the output matrix, CHES and its per-token form.

    Exact where the logits are the hidden states times that matrix, up to one common factor.
    """
    hidden = hidden_RD.detach().double()
    errors = -logits_RV.double().softmax(-1)
    errors[torch.arange(len(labels_R)), labels_R] += 1
    products = (errors @ errors.T) * (hidden @ hidden.T)

    def inner(one: Tensor | None, other: Tensor | None) -> float:
        if one is None or other is None:
            return math.nan
        return float(products[one][:, other].sum())

    chosen, rejected = rows
    norms = [math.sqrt(max(0.0, inner(own, own))) for own in (chosen, rejected)]
    cosine = _ratio(inner(chosen, rejected), norms[0] * norms[1])
    if chosen is None or rejected is None:
        return [*norms, cosine, math.nan, math.nan]
    sum_w, sum_l = hidden[chosen].sum(0), hidden[rejected].sum(0)
    mean_w, mean_l = hidden[chosen].mean(0), hidden[rejected].mean(0)
    ches = float(sum_w @ sum_l - sum_w @ sum_w)
    return [*norms, cosine, ches, float(mean_w @ mean_l - mean_w @ mean_w)]


def pair_weights(
    subject: Subject, examples: Sequence[Example], scores: Sequence[Sequence[CompletionScore]]
) -> list[tuple[float, float]]:
    """Return (d_w, d_l) of every example, taken as one batch; NaN for a side that is absent."""
    step = subject.step
    method = METHODS[step.config.method]
    refs = subject.score_reference(examples) if step.reference is not None else None
    kl = 0.0
    if not method.paired:
        world = step.accelerator.num_processes
        # Sharded weights need as many parts on every process.
        many = len(examples) >= world
        batch = divide_for_scoring(examples, len(examples), world) if many else divide(examples, 1)
        kl = float(step.reference_point(batch, Sums(step.accelerator.device)))
    states: dict[bool, dict[int, PairState]] = {True: {}, False: {}}
    for place, example in enumerate(examples):
        sides = {}
        for at, (label, score) in enumerate(zip(example.labels, scores[place], strict=True)):
            sides[label] = (score.total, score.tokens, refs[place][at].total if refs else 0.0)
        (z_w, n_w, ref_w), (z_l, n_l, ref_l) = (
            sides.get(label, (0.0, 1, 0.0)) for label in (True, False)
        )
        prompt = max(0, len(example.prompt_ids) - 1) if step.score_prompts else 0
        state = PairState(z_w, z_l, n_w, n_l, ref_w, ref_l, kl, sft_tokens=n_w + prompt)
        for label in sides:
            states[label][place] = state
    hyper = dict(step.config.hyper)
    if not method.paired and states[True]:
        # An unpaired loss is a mean over all completions, its SFT term one over desirable ones.
        completions = len(states[True]) + len(states[False])
        hyper["sft_weight"] = hyper.get("sft_weight", 0.0) * completions / len(states[True])
    found = {
        label: dict(zip(own, method.gradient_weights(list(own.values()), hyper), strict=True))
        for label, own in states.items()
    }
    nothing = (math.nan, math.nan)
    return [
        (found[True].get(place, nothing)[0], found[False].get(place, nothing)[1])
        for place in range(len(examples))
    ]


@contextmanager
def _head_input(model: Any) -> Iterator[list[Tensor]]:
    """Collect what the output matrix receives; nothing where the model names no such matrix."""
    caught: list[Tensor] = []
    head = model.get_output_embeddings()
    if head is None:
        yield caught
        return
    hook = head.register_forward_pre_hook(lambda _, given: caught.append(given[0].detach()))
    try:
        yield caught
    finally:
        hook.remove()


def _rows_of(example: Example, packed: PackedBatch, label: bool) -> Tensor | None:
    """Return the scored rows of the side with this label, None where there is none."""
    for place, own in enumerate(example.labels):
        if own is label:
            return (packed.completion_R == place).nonzero().squeeze(1)
    return None


def _shares(weights: Sequence[float]) -> list[float]:
    """Return what each gradient counts in the mean of its side; equal where no weight pulls."""
    known = [0.0 if math.isnan(weight) else weight for weight in weights]
    total = math.fsum(known)
    if max(map(abs, known), default=0.0) > NO_PULL:
        return [weight / total if total > 0 else math.nan for weight in known]
    count = sum(not math.isnan(weight) for weight in weights)
    return [0.0 if math.isnan(weight) else 1 / count for weight in weights]


def _geometry(both: Sequence[Gradient | None]) -> list[float]:
    chosen, rejected = both
    norms = [math.nan if own is None else math.sqrt(_dot(own, own)) for own in both]
    if chosen is None or rejected is None:
        return [*norms, math.nan]
    return [*norms, _ratio(_dot(chosen, rejected), norms[0] * norms[1])]


def _dot(one: Gradient, other: Gradient) -> float:
    pairs = zip(one, other, strict=True)
    parts = [torch.dot(a.reshape(-1), b.reshape(-1)).double() for a, b in pairs]
    return float(torch.stack(parts).sum())


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan


def _band(weights: Sequence[tuple[float, float]], sums: Sequence[Gradient]) -> Band:
    """Return the band of the batch: mean weights, and gradients averaged with these weights."""
    means = []
    for index in (0, 1):
        known = [own[index] for own in weights if not math.isnan(own[index])]
        means.append(math.fsum(known) / len(weights) if known else math.nan)
    return Band(*means, *_geometry(sums))


def _metrics(band: Band) -> dict[str, float]:
    named = {
        "cosine": band.cosine,
        "q": band.q,
        "q_star": band.q_star,
        "share": band.share,
        "slack": band.slack,
    }
    return {f"entanglement/{name}": v for name, v in named.items() if not math.isnan(v)}


def _columns(
    examples: Sequence[Example],
    scores: Sequence[Sequence[CompletionScore]],
    weights: Sequence[tuple[float, float]],
    table: Tensor,
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "pair": [example.index for example in examples],
        "split": ["train"] * len(examples),
        "prompt": [prompt_key(example) for example in examples],
    }
    for index, name in enumerate(SIDES):
        columns[f"weight/{name}"] = [own[index] for own in weights]
        columns[f"completion_tokens/{name}"] = [
            _tokens(one, own, index == 0) for one, own in zip(examples, scores, strict=True)
        ]
    for name, values in zip(_GRADIENT + _HEAD, table.T.tolist(), strict=True):
        columns[name] = values
    return columns


def _tokens(example: Example, scores: Sequence[CompletionScore], label: bool) -> float:
    for own, score in zip(example.labels, scores, strict=True):
        if own is label:
            return float(score.tokens)
    return math.nan


PROBE = Probe("entanglement", "entanglement", measure)
