"""W&B receives the same numbers on the step axis, and the whole configuration, also offline."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import pytest

from trainer.train import train

EXPECTED = (
    b"train/rewards/chosen",
    b"eval/logps_per_token/rejected",
    b"probe/train/delta_per_token/chosen",
    b"probe/families/random_tokens/logps_per_token",
    b"eval/entanglement/cosine",
    b"First steps: by the pairs' gradients",
    b"train/*",  # the metrics whose axis is the optimizer step
    b"per_device_train_batch_size",
    b"git_revision",
)


def missing_in_record(output_dir: str, expected: tuple[bytes, ...]) -> list[bytes]:
    """Return what never reaches the offline file; its writer is a little behind the run."""
    (path,) = Path(output_dir).glob("wandb/offline-run-*/run-*.wandb")
    missing = list(expected)
    for _ in range(200):
        record = path.read_bytes()
        missing = [text for text in expected if text not in record]
        if not missing:
            break
        threading.Event().wait(0.1)
    return missing


@pytest.mark.slow
def test_runs_of_different_methods_share_axis_and_metric_names(settings, need, tmp_path):
    need(importlib.util.find_spec("wandb"), "wandb is not installed")
    for method in ("dpo", "simpo"):
        config = settings(
            method=method, report_to="wandb", eval_steps=2, output_dir=str(tmp_path / method)
        )
        train(config)
        assert missing_in_record(config.output_dir, (*EXPECTED, method.encode())) == []
