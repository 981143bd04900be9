"""Models whose gradients and log-probs have a closed form, and what a probe is handed of them."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from trainer.batches import divide
from trainer.config import TrainConfig
from trainer.data import Example
from trainer.evaluation import score_completions
from trainer.models import Reference
from trainer.probes.contract import ProbeSet, Subject
from trainer.step import Step


class LogLinear(nn.Module):
    """log pi(v) = <theta, phi_v> - log Z whatever the context; s_v = phi_v - E phi."""

    def __init__(self, features_VD: Tensor, theta_D: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("features_VD", features_VD)
        start = torch.zeros(features_VD.shape[1]) if theta_D is None else theta_D
        self.theta_D = nn.Parameter(start.clone().to(features_VD.dtype))

    def forward(self, input_ids: Tensor, logits_to_keep: Tensor, **others: object):
        logits_V = self.features_VD @ self.theta_D
        return SimpleNamespace(logits=logits_V.expand(1, len(logits_to_keep), -1))

    def get_output_embeddings(self) -> None:
        return None


class Markov(nn.Module):
    """Logits are a row of a table, chosen by the token before."""

    def __init__(self, table_VV: Tensor) -> None:
        super().__init__()
        self.table_VV = nn.Parameter(table_VV)

    def forward(self, input_ids: Tensor, logits_to_keep: Tensor, **others: object):
        return SimpleNamespace(logits=self.table_VV[input_ids[:, logits_to_keep]])


class SharedSuffix(nn.Module):
    """First tokens 0 and 1 at 1/2 each, then zeros with probability p_w or p_l, by first token.

    Hidden states have length 1; those of different positions are orthogonal, those of the two
    contexts at one position have the cosine r. Only the output matrix is trained.
    """

    def __init__(self, length: int, p_w: float, p_l: float, r: float) -> None:
        super().__init__()
        hidden = torch.zeros(2, length + 2, 2 * length + 1, dtype=torch.float64)
        hidden[:, 0, 0] = 1
        logits = torch.zeros(2, 2 * length + 1, dtype=torch.float64)
        side = math.sqrt(1 - r * r)
        logit_w, logit_l = (math.log(p / (1 - p)) for p in (p_w, p_l))
        for place in range(1, length + 1):
            one, two = 2 * place - 1, 2 * place
            hidden[0, place, one] = 1
            hidden[1, place, one], hidden[1, place, two] = r, side
            pull = torch.tensor([logit_w, (logit_l - r * logit_w) / side], dtype=torch.float64)
            logits[0, one : two + 1], logits[1, one : two + 1] = pull / 2, -pull / 2
        self.register_buffer("hidden", hidden)
        self.head = nn.Linear(2 * length + 1, 2, bias=False, dtype=torch.float64)
        self.head.weight = nn.Parameter(logits)

    def forward(self, input_ids: Tensor, position_ids: Tensor, logits_to_keep: Tensor, **others):
        # Behind a prompt of one token, position 1 holds the first token of a completion.
        first = torch.where(position_ids[0] == 1, input_ids[0], -1)
        contexts = []
        for token in first.tolist():
            contexts.append(token if token >= 0 else (contexts[-1] if contexts else 0))
        states = self.hidden[torch.tensor(contexts), position_ids[0]]
        return SimpleNamespace(logits=self.head(states[logits_to_keep].unsqueeze(0)))

    def get_output_embeddings(self) -> nn.Module:
        return self.head


def pair(index: int, chosen: list[int], rejected: list[int], prompt: tuple[int, ...] = (0,)):
    """Return a pair of completions as an example."""
    return Example(
        prompt, (tuple(chosen), tuple(rejected)), (True, False), index, f"{prompt}", ("", "")
    )


def subject_of(model: nn.Module, examples: list[Example], **given: object) -> Subject:
    """Return what a probe sees of a model; the reference is the model as it is now.

    `optimizer` and `scheduler` may be given; every other keyword is a setting of the training.
    """
    optimizer = given.pop("optimizer", None) or torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=0.1
    )
    default = {"method": "dpo", "probe_virtual_steps": 1}
    paths = {"model": "toy", "data": "toy", "output_dir": "toy"}
    config = TrainConfig(**{**paths, **default, **given})  # type: ignore[arg-type]
    accelerator = Accelerator(cpu=True)
    frozen = Reference(copy.deepcopy(model).requires_grad_(False), model)
    step = Step(config, model, frozen, accelerator)
    return Subject(
        probe_set=ProbeSet(tuple(examples), (), ()),
        score=lambda some: score_completions(step, some, 8),
        score_reference=lambda some: score_completions(step, some, 8, reference=True),
        step=step,
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        batch=divide(examples, 1),
        evaluation=0,
        whole_weights=True,
    )
