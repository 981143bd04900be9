"""Per-pair records of training steps: kept on the device, written once per logging window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diagnostics.runlog import RunLog
from trainer.data import Example
from trainer.logps import Scores
from trainer.losses.contract import LossTerms

_VALUES = (
    "logps/chosen",
    "logps/rejected",
    "ref_logps/chosen",
    "ref_logps/rejected",
    "rewards/chosen",
    "rewards/rejected",
    "completion_tokens/chosen",
    "completion_tokens/rejected",
    "loss",
)


class PairRecords:
    """The records of one window on one rank; `step` is set by the loop before each step."""

    def __init__(self) -> None:
        self.step = 0
        self._steps: list[int] = []
        self._pairs: list[int] = []
        self._values: list[Tensor] = []

    def add(
        self,
        examples: Sequence[Example],
        scores: Scores,
        reference: Scores | None,
        terms: LossTerms,
    ) -> None:
        """Add one row per example; an unpaired example leaves the other side NaN."""
        rows: list[int] = []
        sides: list[int] = []
        for row, example in enumerate(examples):
            rows += [row] * len(example.completions)
            sides += [0 if label else 1 for label in example.labels]
        n, device = len(rows), scores.logps_C.device
        table = torch.full((len(examples), len(_VALUES)), torch.nan, device=device)
        row_C, side_C = torch.tensor(rows, device=device), torch.tensor(sides, device=device)
        table[row_C, side_C] = scores.logps_C[:n].detach().float()
        if reference is not None:
            table[row_C, 2 + side_C] = reference.logps_C[:n].float()
        table[row_C, 6 + side_C] = scores.tokens_C[:n].float()
        if terms.rewards_B is not None:
            table[row_C, 4 + side_C] = terms.rewards_B.float()
            losses = torch.zeros(len(examples), device=device)
            table[:, 8] = losses.index_add(0, row_C, terms.losses_B.detach().float())
        else:
            for column, values in ((4, terms.rewards_chosen_B), (5, terms.rewards_rejected_B)):
                if values is not None:
                    table[:, column] = values.float()
            table[:, 8] = terms.losses_B.detach().float()
        self._steps += [self.step] * len(examples)
        self._pairs += [example.index for example in examples]
        self._values.append(table)

    def write(self, log: RunLog, rank: int) -> None:
        """Hand the window's records to the log and forget them."""
        if not self._values:
            return
        table = torch.cat(self._values).cpu().numpy()
        columns: dict[str, Any] = {"step": self._steps, "pair": self._pairs}
        columns |= {name: table[:, i] for i, name in enumerate(_VALUES)}
        log.write_pairs("train", self._steps[0], self._steps[-1], columns, rank=rank)
        self._steps, self._pairs, self._values = [], [], []
