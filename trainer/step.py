"""One optimizer step's worth of forward, loss and backward, for training and for evaluation.

The loss is normalised by counts of the global batch that every rank knows beforehand, so
micro-batches and ranks change neither the gradient nor a logged number.

Shapes: B examples (pairs, or single completions) of a micro-batch, C completions, G examples of
the global batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from diagnostics.methods import METHODS
from trainer import metrics
from trainer.batches import Batch, item
from trainer.config import TrainConfig
from trainer.data import Example
from trainer.logps import Scores, score
from trainer.losses import LOSS_BY_NAME, options_for
from trainer.losses.contract import LossTerms, PairedLogps, UnpairedLogps
from trainer.models import Reference
from trainer.packing import PackedBatch, pack
from trainer.records import PairRecords
from trainer.token_scores import score_tokens

_SATURATED = 0.1  # of the pull at zero margin: sigma(-beta m) < 0.05 for DPO; our convention


@dataclass(frozen=True)
class _Totals:
    """Counts of the global batch that normalise the loss."""

    examples: int
    sft_sequences: int
    sft_tokens: int
    parts: int


class Step:
    """Everything a step needs; `run` adds to the sums it is given and accumulates gradients."""

    def __init__(
        self,
        config: TrainConfig,
        policy: nn.Module,
        reference: Reference | None,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.policy, self.reference = config, policy, reference
        self.accelerator = accelerator
        self.loss = LOSS_BY_NAME[config.method]
        self.sft_weight = float(config.hyper.get("sft_weight", 0.0))
        self.options = options_for(config.method, config.hyper)
        self.score_prompts = config.sft_scope == "prompt_and_completion" and self.sft_weight != 0

    def run(
        self, batch: Batch, sums: metrics.Sums, records: PairRecords | None, *, train: bool
    ) -> None:
        """Work through this rank's micro-batches; `train` says whether gradients are wanted."""
        own = batch.own(self.accelerator.process_index, self.accelerator.num_processes)
        totals = self._totals(batch)
        kl = self.reference_point(batch, sums) if not self.loss.paired else None
        coupled = self._coupled_terms(batch) if self._needs_global_batch(batch) else None
        for number, examples in enumerate(own):
            last = number == len(own) - 1
            hold = train and not last
            with self.accelerator.no_sync(self.policy) if hold else contextlib.nullcontext():
                with torch.set_grad_enabled(train):
                    packed = self._pack(examples)
                    scores, reference = self._score(packed)
                    inputs = self._inputs(examples, scores, reference, kl)
                    if coupled is None:
                        terms = self.loss.compute(inputs, self.options)
                    else:
                        terms = coupled.of_part(number, inputs)
                    partial = terms.losses_B.sum() / totals.examples
                    partial = partial + self._sft(examples, packed, scores, totals, sums)
                if train:
                    self.accelerator.backward(partial * self.accelerator.num_processes)
            sums.add("loss", partial, 1 / totals.parts)
            self._measure(examples, inputs, terms, scores, reference, sums)
            if records is not None:
                records.add(examples, scores, reference, terms)

    def score_tokens(self, examples: Sequence[Example], *, reference: bool = False) -> Tensor:
        """Return what the policy (or the reference) thinks of every scored token (R, 4).

        See `token_scores.COLUMNS`; no gradient, no loss.
        """
        packed = pack([item(example) for example in examples], self.accelerator.device)
        with self.autocast():
            if not reference:
                return score_tokens(self.policy, packed)
            if self.reference is None:
                raise ValueError(f"{self.loss.name} has no reference")
            with self.reference.scoring() as frozen:
                return score_tokens(frozen, packed)

    def _pack(self, examples: Sequence[Example]) -> PackedBatch:
        return pack(
            [item(example) for example in examples],
            self.accelerator.device,
            score_prompts=self.score_prompts,
        )

    def autocast(self) -> Any:
        """Return the precision that forward passes run in, as a context."""
        on = self.config.bf16 and self.accelerator.device.type == "cuda"
        return torch.autocast("cuda", dtype=torch.bfloat16) if on else contextlib.nullcontext()

    def _score(self, packed: PackedBatch) -> tuple[Scores, Scores | None]:
        reference = None
        with self.autocast():
            if self.reference is not None:
                with self.reference.scoring() as frozen:
                    reference = score(frozen, packed)
            scores = score(self.policy, packed)
        return scores, reference

    def _inputs(
        self,
        examples: Sequence[Example],
        scores: Scores,
        reference: Scores | None,
        kl: Tensor | None,
    ) -> PairedLogps | UnpairedLogps:
        n = sum(len(example.completions) for example in examples)
        logps_C, tokens_C = scores.logps_C[:n], scores.tokens_C[:n]
        if self.loss.paired:
            frozen_B2 = None if reference is None else reference.logps_C[:n].view(-1, 2)
            return PairedLogps(
                chosen_B=logps_C.view(-1, 2)[:, 0],
                rejected_B=logps_C.view(-1, 2)[:, 1],
                chosen_tokens_B=tokens_C.view(-1, 2)[:, 0],
                rejected_tokens_B=tokens_C.view(-1, 2)[:, 1],
                ref_chosen_B=None if frozen_B2 is None else frozen_B2[:, 0],
                ref_rejected_B=None if frozen_B2 is None else frozen_B2[:, 1],
            )
        if reference is None or kl is None:
            raise ValueError(f"{self.loss.name} needs reference log-probs and a reference point")
        return UnpairedLogps(
            logps_C, tokens_C, _desirable(examples, logps_C.device), reference.logps_C[:n], kl
        )

    def _totals(self, batch: Batch) -> _Totals:
        sequences = tokens = 0
        for example in batch.examples:
            if any(example.labels) and self.score_prompts:
                tokens += max(0, len(example.prompt_ids) - 1)
            for completion, label in zip(example.completions, example.labels, strict=True):
                sequences += label
                tokens += label * (len(completion) - (not example.prompt_ids))
        count = len(batch.examples) if self.loss.paired else batch.completions
        return _Totals(count, sequences, tokens, len(batch.parts))

    def _sft(
        self,
        examples: Sequence[Example],
        packed: PackedBatch,
        scores: Scores,
        totals: _Totals,
        sums: metrics.Sums,
    ) -> Tensor:
        """Return this micro-batch's part of the SFT term, a mean over tokens or sequences."""
        zero = scores.logps_C.new_zeros(())
        if self.sft_weight == 0 or totals.sft_sequences == 0:
            return zero
        n = packed.n_completions
        desirable_C = _desirable(examples, scores.logps_C.device)
        nll_B = -scores.logps_C[:n][desirable_C]
        tokens_B = scores.tokens_C[:n][desirable_C]
        if self.score_prompts:
            owner = [i for i, example in enumerate(examples) for label in example.labels if label]
            prompt_B = torch.tensor(owner, device=nll_B.device, dtype=torch.long) + n
            nll_B = nll_B - scores.logps_C[prompt_B]
            tokens_B = tokens_B + scores.tokens_C[prompt_B]
        if self.config.sft_reduction == "sequence":
            sums.add("sft_loss", nll_B / tokens_B)
            term = (nll_B / tokens_B).sum() / totals.sft_sequences
        else:
            sums.add("sft_loss", nll_B, tokens_B.sum())
            term = nll_B.sum() / max(1, totals.sft_tokens)
        return self.sft_weight * term

    def reference_point(self, batch: Batch, sums: metrics.Sums) -> Tensor:
        """Return KTO's z0: the mean log-ratio of mismatched completions, never below 0."""
        mismatched = batch.mismatched(self.config.max_length)
        total = torch.zeros(2, dtype=torch.float64, device=self.accelerator.device)
        for examples in mismatched.own(
            self.accelerator.process_index, self.accelerator.num_processes
        ):
            with torch.no_grad():
                scores, reference = self._score(self._pack(examples))
            if reference is None:
                raise ValueError(f"{self.loss.name} needs a reference")
            n = sum(len(example.completions) for example in examples)
            total[0] += (scores.logps_C[:n] - reference.logps_C[:n]).double().sum()
            total[1] += n
        total = self.accelerator.reduce(total, reduction="sum")
        kl: Tensor = (total[0] / total[1]).clamp(min=0).float()
        sums.add("kl", kl)
        return kl

    def _needs_global_batch(self, batch: Batch) -> bool:
        return self.loss.couples_batch and len(batch.parts) > 1

    def _coupled_terms(self, batch: Batch) -> _Coupled:
        """Compute a batch-coupled loss once on the whole global batch, without a graph."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        columns: dict[str, Tensor] = {}
        positions = [list(part) for part in batch.parts[rank::world]]
        for part, examples in zip(positions, batch.own(rank, world), strict=True):
            with torch.no_grad():
                inputs = self._inputs(examples, *self._score(self._pack(examples)), None)
            for field in dataclasses.fields(inputs):
                value = getattr(inputs, field.name)
                if value is None:
                    continue
                if field.name not in columns:
                    columns[field.name] = value.new_zeros(len(batch.examples))
                columns[field.name][part] = value
        whole = {
            name: self.accelerator.reduce(column, reduction="sum")
            for name, column in columns.items()
        }
        leaves = {n: whole[n].requires_grad_(True) for n in ("chosen_B", "rejected_B")}
        with torch.enable_grad():
            terms = self.loss.compute(PairedLogps(**whole), self.options)
            gradients = torch.autograd.grad(terms.losses_B.sum(), list(leaves.values()))
        return _Coupled(positions, terms, gradients)

    def _measure(
        self,
        examples: Sequence[Example],
        inputs: PairedLogps | UnpairedLogps,
        terms: LossTerms,
        scores: Scores,
        reference: Scores | None,
        sums: metrics.Sums,
    ) -> None:
        desirable = _desirable(examples, scores.logps_C.device)
        metrics.add_completions(sums, scores, desirable, reference)
        if isinstance(inputs, PairedLogps):
            metrics.add_pairs(sums, terms, scores)
        else:
            metrics.add_unpaired(sums, terms, desirable)
        for name, values in terms.terms.items():
            sums.add(name, values)
        if self.config.method != "sft":
            sums.add("saturated", self._saturated(inputs).double())

    def _saturated(self, inputs: PairedLogps | UnpairedLogps) -> Tensor:
        """Return which examples pull less than a tenth as hard as at zero margin (B)."""
        return self._pull(inputs) < _SATURATED * self._pull(_at_zero_margin(inputs, self.loss.name))

    def _pull(self, inputs: PairedLogps | UnpairedLogps) -> Tensor:
        """Return the size of the loss gradient on the summed log-probs of each example (B)."""
        names = ("chosen_B", "rejected_B") if isinstance(inputs, PairedLogps) else ("logps_B",)
        leaves = {name: getattr(inputs, name).detach().requires_grad_(True) for name in names}
        with torch.enable_grad():
            losses_B = self.loss.compute(
                dataclasses.replace(inputs, **leaves), self.options
            ).losses_B
            gradients = torch.autograd.grad(losses_B.sum(), list(leaves.values()))
        return torch.stack([gradient.abs() for gradient in gradients]).sum(0)


@dataclass(frozen=True)
class _Coupled:
    """A batch-coupled loss, computed globally, handed out per micro-batch.

    Around the current log-probs the loss is its value plus its gradient times the change, which
    is all that one backward pass needs.
    """

    positions: list[list[int]]
    whole: LossTerms
    gradients: Sequence[Tensor]

    def of_part(self, number: int, inputs: PairedLogps | UnpairedLogps) -> LossTerms:
        part = self.positions[number]
        if not isinstance(inputs, PairedLogps):
            raise ValueError("only paired losses couple the batch")
        linear_B = sum(
            gradient[part] * (logps_B - logps_B.detach())
            for gradient, logps_B in zip(
                self.gradients, (inputs.chosen_B, inputs.rejected_B), strict=True
            )
        )
        chosen, rejected = self.whole.rewards_chosen_B, self.whole.rewards_rejected_B
        return LossTerms(
            losses_B=self.whole.losses_B.detach()[part] + linear_B,
            rewards_chosen_B=None if chosen is None else chosen[part],
            rewards_rejected_B=None if rejected is None else rejected[part],
            terms={name: values[part] for name, values in self.whole.terms.items()},
        )


def _at_zero_margin(inputs: PairedLogps | UnpairedLogps, name: str) -> PairedLogps | UnpairedLogps:
    """Return the inputs at policy == reference, or at equal likelihood without a reference."""
    if isinstance(inputs, UnpairedLogps):
        return dataclasses.replace(inputs, logps_B=inputs.ref_logps_B, kl=0 * inputs.kl)
    if inputs.ref_chosen_B is not None and inputs.ref_rejected_B is not None:
        return dataclasses.replace(
            inputs, chosen_B=inputs.ref_chosen_B, rejected_B=inputs.ref_rejected_B
        )
    equal_B = inputs.chosen_B
    if METHODS[name].logps_kind == "per_token":
        equal_B = equal_B * inputs.rejected_tokens_B / inputs.chosen_tokens_B
    return dataclasses.replace(inputs, rejected_B=equal_B)


def _desirable(examples: Sequence[Example], device: torch.device) -> Tensor:
    return torch.tensor([label for one in examples for label in one.labels], device=device)
