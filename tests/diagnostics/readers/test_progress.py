"""How far a large file is read is told, from the first second on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diagnostics.readers import lineblocks, progress, read
from diagnostics.readers.progress import listening


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)
    monkeypatch.setattr(progress, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(lineblocks, "BLOCK_BYTES", 2000)


def rows(path: Path, **more: object) -> Path:
    lines = [{**more, "step": s, "chosen_reward": s, "rejected_reward": 0} for s in range(200)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("name", ["table.jsonl", "run.jsonl"])
def test_a_listener_hears_growing_shares_up_to_the_whole(
    name: str, tmp_path: Path, impatient: None
) -> None:
    path = rows(tmp_path / name, **({"kind": "train"} if name == "run.jsonl" else {}))
    heard: list[tuple[str, float]] = []
    with listening(lambda file, share: heard.append((file, share))):
        read(path)
    assert {file for file, _ in heard} == {str(path)}
    shares = [share for _, share in heard]
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    read(path)
    assert len(heard) == len(shares)


def test_a_short_reading_says_nothing(tmp_path: Path) -> None:
    heard: list[float] = []
    with listening(lambda _, share: heard.append(share)):
        read(rows(tmp_path / "table.jsonl"))
    assert heard == []
