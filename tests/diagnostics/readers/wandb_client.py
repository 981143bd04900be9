"""A client that answers as W&B's public API does, without a server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


def history() -> list[dict[str, Any]]:
    """Rows as transformers logs them: train and eval apart, a table and system rows between."""
    rows: list[dict[str, Any]] = []
    for step in range(1, 21):
        rows.append(
            {
                "train/loss": 0.69 - step / 100,
                "train/rewards/chosen": -0.01 * step,
                "train/rewards/rejected": -0.03 * step,
                "train/global_step": step,
                "gradients/layer0": [1, 2, 3],
                "my/own/measure": 1.0,
            }
        )
        if step % 5 == 0:
            rows.append(
                {
                    "eval/loss": 0.6,
                    "eval/rewards/chosen": -0.02 * step,
                    "eval/rewards/rejected": -0.02 * step,
                    "train/global_step": step,
                    "train/epoch": step / 20,
                }
            )
    rows[3]["train/kl"] = math.nan
    return [{**row, "_step": count, "_timestamp": 1e9 + count} for count, row in enumerate(rows)]


@dataclass
class FakeRun:
    """A run as the public API gives it."""

    id: str = "abc"
    name: str = "dpo"
    state: str = "finished"
    rows: list[dict[str, Any]] = field(default_factory=history)
    config: dict[str, Any] = field(default_factory=lambda: {"beta": 0.2, "loss_type": ["sigmoid"]})
    asked: list[list[str]] = field(default_factory=list)
    created_at: str = "2026-01-01T00:00:00Z"

    @property
    def path(self) -> list[str]:
        return ["me", "project", self.id]

    @property
    def lastHistoryStep(self) -> int:
        return len(self.rows) - 1

    @property
    def historyLineCount(self) -> int:
        return len(self.rows)

    @property
    def summary(self) -> dict[str, Any]:
        return {name: value for row in self.rows for name, value in row.items()}

    @property
    def history_keys(self) -> dict[str, Any]:
        return {"keys": {name: {} for name in self.summary}}

    def scan_history(self, keys: list[str], page_size: int) -> Iterator[dict[str, Any]]:
        assert page_size <= 1000
        self.asked.append(keys)
        for row in self.rows:
            # W&B gives the rows that hold all of the keys.
            if all(key in row for key in keys):
                yield {key: row[key] for key in keys}


@dataclass
class FakeApi:
    """The public API, as far as it is used."""

    found: list[FakeRun]

    def run(self, path: str) -> FakeRun:
        for run in self.found:
            if path == "/".join(run.path):
                return run
        raise ValueError(f"Could not find run <Run {path} (not found)>")

    def runs(self, path: str, per_page: int, order: str = "+created_at") -> list[FakeRun]:
        if path != "me/project":
            raise ValueError(f"Could not find project {path}")
        return self.found[::-1] if order == "-created_at" else self.found

    def sweep(self, path: str) -> Any:
        assert path == "me/project/s1"
        return type("Sweep", (), {"runs": self.found[:1]})()
