"""Large run logs: read in bulk they are the same run as read line by line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diagnostics.logcontents import LogContents, read_log, record_of
from diagnostics.readers import bulk, lineblocks, native
from diagnostics.readers.bulk import LogRows
from diagnostics.run import Run


def log(folder: Path, lines: list[dict[str, Any] | bytes], end: bytes = b"\n") -> Path:
    folder.mkdir(exist_ok=True)
    header = {"kind": "header", "format": "seesaw-run-log", "version": 1, "method": "dpo"}
    texts = [t if isinstance(t, bytes) else json.dumps(t).encode() for t in (header, *lines)]
    (folder / "run.jsonl").write_bytes(b"\n".join(texts) + end)
    return folder


def row(step: int, kind: str = "train", **values: Any) -> dict[str, Any]:
    return {"kind": kind, "step": step, "loss": 1 / (step + 2), **values}


def frames(contents: LogContents) -> list[pd.DataFrame]:
    """Return the rows of a log that was read line by line as frames, columns by name."""
    found = []
    for rows in (contents.train, contents.evals):
        names = sorted({name for row in rows for name in row} - {"kind", "step"})
        columns = {name: [row.get(name) for row in rows] for name in names}
        index = pd.Index([row["step"] for row in rows], dtype=np.int64, name="step")
        numeric = {
            name: np.array(values, dtype=float)
            if all(isinstance(v, int | float | None) for v in values)
            else pd.Series(values, index=index, dtype=object)
            for name, values in columns.items()
        }
        found.append(pd.DataFrame(numeric, index=index))
    return found


def check(folder: Path, run: Run) -> None:
    """Compare a run with what the line-by-line reading of its log says."""
    contents = read_log(folder)
    with (folder / "run.jsonl").open("rb") as stream:
        rows = LogRows()
        rows.read_on(stream)
        found = rows.settled().contents
    for name in ("header", "end", "resumes", "remarks", "unknown_kinds", "backward", "starting"):
        assert getattr(found, name) == getattr(contents, name), name
    assert found.torn_lines - found.open_line == contents.torn_lines - contents.open_line
    for frame, expected in zip((run.train, run.evals), frames(contents), strict=True):
        assert sorted(frame.columns) == list(expected.columns)
        assert frame[list(expected.columns)].equals(expected)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have logs read in blocks that hold a few rows."""
    monkeypatch.setattr(lineblocks, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(bulk, "SMALLEST_BLOCK", 200)


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
def test_a_log_in_bulk_is_the_same_run(name: str, tmp_path: Path, small_blocks: None) -> None:
    folder = log(tmp_path / "run", CASES[name])
    run = native.read(folder)
    assert len(run.train) > 50
    check(folder, run)


@pytest.mark.parametrize("end", [b"", b'\n{"kind":"train","st', b"\n\n\n"])
def test_the_end_of_a_growing_log_in_bulk_is_no_damage(
    end: bytes, tmp_path: Path, small_blocks: None
) -> None:
    folder = log(tmp_path / "run", [*many()], end)
    run = native.read(folder)
    check(folder, run)
    assert run.caveats == ()


def test_plain_rows_are_not_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = {"kind": "end", "step": 2001, "status": "stopped"}
    lines = [*many(2000), ended, *many(6000)[2300:], row(6001, loss="NaN")]
    seen = []
    monkeypatch.setattr(bulk, "record_of", lambda line: seen.append(line) or record_of(line))
    run = native.read(log(tmp_path / "run", lines))
    assert len(run.train) > 5500
    assert 0 < len(seen) < 600


def test_a_loss_that_is_not_a_number_any_more_does_not_slow_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{**one, "loss": "NaN"} if one["step"] > 1000 else one for one in many(4000)]
    folder = log(tmp_path / "run", lines)
    seen = []
    monkeypatch.setattr(bulk, "record_of", lambda line: seen.append(line) or record_of(line))
    run = native.read(folder)
    assert len(seen) < 300
    assert np.isnan(run.train["loss"]).sum() == 3000
    assert "loss" in run.evals
    monkeypatch.setattr(bulk, "record_of", record_of)
    check(folder, run)


def test_a_line_of_many_megabytes_is_torn_in_bulk_too(tmp_path: Path) -> None:
    lines = [*many(20), b'{"kind":"train","step":21,"x":"' + b"y" * (1 << 25), *many()[30:]]
    folder = log(tmp_path / "run", lines)
    run = native.read(folder)
    check(folder, run)
    assert "1 line of the log could not be read." in run.caveats
