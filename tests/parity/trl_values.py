"""Evaluate TRL's own loss functions on given log-probabilities and print the values, as JSON.

Run as a process of its own: `python tests/parity/trl_values.py FOLDER`. The log-probabilities go
in where TRL expects its model's answer, so no model stands between the numbers and the formulas.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Pairs as (z_w, z_l, n_w, n_l, ref_w, ref_l); two pairs of ranks apart, and one far away.
PAIRS = (
    (-6.0, -10.0, 4, 5, -4.0, -11.0),
    (-3.0, -9.0, 2, 10, -6.0, -8.0),
    (-40.0, -5.5, 12, 3, -21.0, -17.0),
    (-0.02, -0.5, 2, 1, -3.0, -0.1),
    (-230.0, -310.0, 64, 90, -190.0, -205.0),
)
DPO_SETTINGS: dict[str, dict[str, float]] = {
    "sigmoid": {},
    "hinge": {},
    "ipo": {},
    "exo_pair": {"label_smoothing": 0.05},
    "nca_pair": {},
    "robust": {"label_smoothing": 0.2},
    "bco_pair": {},
    "sppo_hard": {},
    "aot": {"label_smoothing": 0.2},
    "aot_unpaired": {"label_smoothing": 0.2},
    "apo_zero": {},
    "apo_down": {},
    "discopop": {"discopop_tau": 0.3},
    "sigmoid_norm": {},
}
CPO_SETTINGS: dict[str, dict[str, float]] = {
    "sigmoid": {"label_smoothing": 0.1},
    "simpo": {"label_smoothing": 0.1, "simpo_gamma": 0.7},
}
BETAS = (0.1, 1.7)


def _inputs(pairs: Any) -> tuple[dict[str, Any], Any]:
    """Return TRL's batch and the model's answer to it: all of a side's log-prob on one token."""
    import torch

    width = 1 + max(max(n_w, n_l) for _, _, n_w, n_l, _, _ in pairs)
    sides = [(z_w, n_w) for z_w, _, n_w, _, _, _ in pairs]
    sides += [(z_l, n_l) for _, z_l, _, n_l, _, _ in pairs]
    mask = torch.zeros(len(sides), width, dtype=torch.long)
    logps = torch.zeros(len(sides), width - 1, dtype=torch.float64)
    for row, (z, n) in enumerate(sides):
        mask[row, 1 : 1 + int(n)] = 1
        logps[row, 0] = z
    refs = {
        "ref_chosen_logps": torch.tensor([pair[4] for pair in pairs], dtype=torch.float64),
        "ref_rejected_logps": torch.tensor([pair[5] for pair in pairs], dtype=torch.float64),
    }
    ids = {"input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask)}
    nothing = torch.zeros_like(logps)
    answer = SimpleNamespace(
        log_probs=logps, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool()
    )
    return {**ids, "completion_mask": mask, **refs}, answer


def dpo_values(trainer: Any) -> dict[str, float]:
    """Return the batch mean of every loss type at every beta."""
    found = {}
    batch, answer = _inputs(PAIRS)
    trainer.precompute_ref_logps = True
    for loss_type, settings in DPO_SETTINGS.items():
        for beta in BETAS:
            trainer.loss_types, trainer.loss_weights = [loss_type], [1.0]
            trainer.beta = beta
            trainer.label_smoothing = settings.get("label_smoothing", 0.0)
            trainer.args.discopop_tau = settings.get("discopop_tau", 0.05)
            loss = trainer._compute_loss(_Answering(answer), batch, return_outputs=False)
            found[f"{loss_type} {beta}"] = float(loss)
    return found


class _Answering:
    """Stands where TRL calls its model."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, **inputs: Any) -> Any:
        return self.answer


def reference_free_values(cpo: Any, orpo: Any) -> dict[str, list[float]]:
    """Return the per-pair losses of CPO, SimPO and ORPO's odds term."""
    import torch

    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*PAIRS, strict=True)]
    sums, means = (columns[0], columns[1]), (columns[0] / columns[2], columns[1] / columns[3])
    found = {}
    for beta in BETAS:
        for loss_type, settings in CPO_SETTINGS.items():
            cpo.loss_type, cpo.beta = loss_type, beta
            cpo.label_smoothing = settings["label_smoothing"]
            cpo.simpo_gamma = settings.get("simpo_gamma", 0.0)
            losses = cpo.cpo_loss(*(means if loss_type == "simpo" else sums))[0]
            found[f"cpo {loss_type} {beta}"] = losses.tolist()
        orpo.beta = beta
        found[f"orpo {beta}"] = (-orpo.odds_ratio_loss(*means)[0]).tolist()
    return found


def _trainer(name: str, model: Path, output: str) -> Any:
    from datasets import Dataset
    from parity_setting import rows
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl_runs import classes

    trainer_class, config_class = classes(name)
    return trainer_class(
        model=AutoModelForCausalLM.from_pretrained(model, dtype="float32"),
        args=config_class(output_dir=output, use_cpu=True, bf16=False, report_to="none"),
        train_dataset=Dataset.from_list(rows("pairs")),
        processing_class=AutoTokenizer.from_pretrained(model),
    )


def main() -> None:
    """Print {"dpo": means, "free": per-pair values} on the last line."""
    model = Path(sys.argv[1]) / "model"
    with tempfile.TemporaryDirectory() as output:
        dpo, cpo, orpo = (
            _trainer(name, model, output) for name in ("DPOTrainer", "CPOTrainer", "ORPOTrainer")
        )
        values = {"dpo": dpo_values(dpo), "free": reference_free_values(cpo, orpo)}
    print(json.dumps(values))  # noqa: T201


if __name__ == "__main__":
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    warnings.simplefilter("ignore")
    main()
