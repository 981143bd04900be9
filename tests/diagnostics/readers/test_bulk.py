"""Large run logs: read in bulk they are the same run as read line by line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from diagnostics.readers import bulk, native
from diagnostics.run import Run


def log(folder: Path, lines: list[dict[str, Any] | bytes], end: bytes = b"\n") -> Path:
    folder.mkdir(exist_ok=True)
    header = {"kind": "header", "format": "seesaw-run-log", "version": 1, "method": "dpo"}
    texts = [t if isinstance(t, bytes) else json.dumps(t).encode() for t in (header, *lines)]
    (folder / "run.jsonl").write_bytes(b"\n".join(texts) + end)
    return folder


def row(step: int, kind: str = "train", **values: Any) -> dict[str, Any]:
    return {"kind": kind, "step": step, "loss": 1 / (step + 2), **values}


def both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Run]:
    """Return a log read line by line and in bulk, in blocks that hold a few rows."""
    plain = native.read(folder)
    monkeypatch.setattr(native, "BULK_BYTES", 0)
    monkeypatch.setattr(bulk, "CHUNK_BYTES", 3000)
    monkeypatch.setattr(bulk, "SMALLEST_BLOCK", 200)
    return plain, native.read(folder)


def many(count: int = 200) -> list[dict[str, Any]]:
    draw = random.Random(1)
    rows = []
    for step in range(1, count + 1):
        rows.append(row(step, **{"rewards/chosen": draw.gauss(0, 1), "own": step * 2}))
        if step % 10 == 0:
            rows.append(row(step, "eval", **{"rewards/chosen": draw.gauss(0, 1)}))
    return rows


CASES: dict[str, list[dict[str, Any] | bytes]] = {
    "plain": [*many()],
    "resumed twice": [
        *many(100),
        {"kind": "resume", "step": 60},
        *many(130)[65:],
        {"kind": "resume", "step": 40},
        *many(150)[44:],
    ],
    "ended": [*many(), {"kind": "end", "step": 200, "status": "completed"}],
    "ended and gone on": [
        *many(100),
        {"kind": "end", "step": 100, "status": "stopped"},
        *many(120)[110:],
    ],
    "repeated and backward": [*many(50), *many(80), row(3, loss=7.0)],
    "not finite": [*many(80), row(81, loss="NaN"), row(82, loss="-Infinity"), *many(200)[90:]],
    "texts and gaps": [*many(60), row(61, note="a"), row(62, note="b", extra=None), *many()[70:]],
    "torn": [*many(60), b'{"kind":"tra', b"\0\0", b"[1, 2]", b"", *many()[70:]],
    "remarks and others": [
        *many(60),
        {"kind": "remark", "step": 60, "text": "so"},
        {"kind": "odd", "step": 61},
        *many()[70:],
    ],
    "booleans": [*many(60), row(61, flag=True), *many()[70:]],
    "huge steps": [*many(60), row(2**62), row(2**62 + 1)],
    "bad steps": [*many(60), row(-1), {"kind": "train", "step": 1.5}, {"kind": "train"}],
}


@pytest.mark.parametrize("name", CASES)
def test_a_log_in_bulk_is_the_same_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fast = both(log(tmp_path / "run", CASES[name]), monkeypatch)
    assert len(plain.train) > 50
    assert fast.train.equals(plain.train)
    assert fast == plain


@pytest.mark.parametrize("end", [b"", b'\n{"kind":"train","st', b"\n\n\n"])
def test_the_end_of_a_growing_log_in_bulk_is_no_damage(
    end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fast = both(log(tmp_path / "run", [*many()], end), monkeypatch)
    assert fast == plain
    assert fast.caveats == ()


def test_plain_rows_are_not_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = log(tmp_path / "run", [*many(2000), row(2001, loss="NaN"), *many(4000)[2300:]])
    monkeypatch.setattr(native, "BULK_BYTES", 0)
    seen = []
    monkeypatch.setattr(bulk, "record_of", lambda line: seen.append(line) or None)
    run = native.read(folder)
    assert len(run.train) > 3500
    assert 0 < len(seen) < 500


def test_a_line_of_many_megabytes_is_torn_in_bulk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [*many(20), b'{"kind":"train","step":21,"x":"' + b"y" * (1 << 25), *many()[30:]]
    plain, fast = both(log(tmp_path / "run", lines), monkeypatch)
    assert fast.train.equals(plain.train)
    assert "1 line of the log could not be read." in fast.caveats
