"""Seesaw's own run folders: complete, growing, resumed, half-made and damaged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnostics.errors import MalformedLog
from diagnostics.meaning import Base, Scope
from diagnostics.readers import native, read
from diagnostics.readers.native import write
from diagnostics.run import Run
from diagnostics.runlog import RunLog

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "native"
HEADER: dict[str, Any] = {"name": "a run", "method": "kto", "config": {"beta": 0.1}}


def log(folder: Path, *lines: dict[str, Any] | bytes) -> Path:
    header = {"kind": "header", "format": "seesaw-run-log", "version": 1, **HEADER}
    texts = [
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in (header, *lines)
    ]
    (folder / "run.jsonl").write_bytes(b"\n".join(texts) + b"\n")
    return folder


def row(step: int, kind: str = "train", **values: Any) -> dict[str, Any]:
    return {"kind": kind, "step": step, **values}


def test_the_resumed_sample_reads_as_it_was_made() -> None:
    run = read(SAMPLES / "resumed")
    assert (run.name, run.method, run.status) == ("both_fall-0", "dpo", "running")
    assert list(run.train.index) == [*range(1, 21), 30]
    assert math.isnan(run.train.loc[30, "loss"])
    assert run.train.loc[30, "kl"] == math.inf
    assert list(run.evals.index) == [0, 10, 20, 30]
    assert run.evals.loc[30, "rewards/chosen"] == -math.inf
    assert sorted(set(run.probes["step"])) == [0, 10, 20]
    assert set(run.probes["split"]) == {"train", "held_out"}
    assert len(run.samples)
    assert run.unrecognised == ("odd/name",)
    # A torn last line is how a growing log looks.
    assert run.caveats == ()
    assert run.last_step == 30


def test_the_log_file_itself_reads_like_its_folder(tmp_path: Path) -> None:
    sample = SAMPLES / "resumed"
    by_file = read(sample / "run.jsonl")
    assert by_file.name == "both_fall-0"
    assert by_file.probes.equals(read(sample).probes)
    # A log copied elsewhere has left its pair tables behind, whatever lies beside it there.
    with RunLog(tmp_path) as other:
        other.write_pairs("samples", 1, 1, {"sample": [0], "prompt": ["a"]})
    copy = tmp_path / "copied.jsonl"
    copy.write_bytes((sample / "run.jsonl").read_bytes())
    assert len(read(copy).train) == 21
    assert len(read(copy).samples) == 0


def test_many_unknown_kinds_and_unreadable_parts_stay_one_sentence_each(tmp_path: Path) -> None:
    log(tmp_path, *(row(1, kind=f"{number:02}" * 99) for number in range(50)), row(1))
    (tmp_path / "pairs").mkdir()
    for step in range(9):
        (tmp_path / "pairs" / f"probe-{step}.parquet").touch()
    kinds, parts = read(tmp_path).caveats
    assert kinds.startswith("50 records of kinds unknown to this version (0000")
    assert len(kinds) < 250
    assert parts.endswith("be read: probe-0.parquet, probe-1.parquet, probe-2.parquet, ….")


@pytest.mark.parametrize("content", [b"", b"{", b'{"ki', b'{"kind":"header","format":"seesaw-ru'])
def test_a_run_whose_header_is_not_written_yet_is_running_and_empty(
    tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    (folder / "run.jsonl").write_bytes(content)
    run = read(folder)
    assert (run.name, run.method, run.status, run.last_step) == ("fresh", None, "running", None)
    assert (len(run.train), len(run.evals), len(run.probes), len(run.samples)) == (0, 0, 0, 0)
    assert run.caveats == (
        "The log has no header, so the method and the configuration are unknown.",
    )


def test_a_header_alone_is_a_running_run_without_rows() -> None:
    run = read(SAMPLES / "just_started")
    assert (run.name, run.method, run.status) == ("just started", "simpo", "running")
    assert run.train.empty
    assert run.train.index.name == "step"
    assert run.caveats == ()


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" * 99,
        b"plain text\n",
        b"[1]\n",
        b'{"step": 1}\n',
        b"\0\1\2",
        b"{1",
        b'x\n{"ki',
    ],
)
def test_a_file_without_any_record_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.jsonl").write_bytes(content)
    with pytest.raises(MalformedLog, match=r"run\.jsonl: none of its lines is a record"):
        read(tmp_path)


def test_rows_without_a_header_are_kept_with_a_caveat(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text('garbage\n{"kind":"train","step":1,"loss":0.5}\n')
    run = read(tmp_path)
    assert run.train.loc[1, "loss"] == 0.5
    assert (run.name, run.method) == (tmp_path.name, None)
    assert run.caveats[0] == "1 line of the log could not be read."
    assert "no header" in run.caveats[1]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"version": 2}, "was written in version 2 of the run log, expected 1; update Seesaw"),
        ({"format": "other"}, "names the format 'other', expected 'seesaw-run-log'"),
        ({"format": None}, "names the format 'None'"),
    ],
)
def test_another_format_or_a_later_version_is_refused(
    tmp_path: Path, header: dict[str, Any], told: str
) -> None:
    log(tmp_path, {"kind": "header", "format": "seesaw-run-log", "version": 1, **header})
    with pytest.raises(MalformedLog, match=told):
        read(tmp_path)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ({"status": "completed"}, "completed"),
        ({"status": "failed", "message": "out of memory"}, "failed"),
        ({"status": "stopped"}, "stopped"),
        ({"status": "exploded"}, "stopped"),
        ({}, "stopped"),
    ],
)
def test_the_status_is_what_the_end_says(tmp_path: Path, end: dict[str, Any], status: str) -> None:
    assert read(log(tmp_path, row(1), row(1, kind="end", **end))).status == status


def test_columns_come_in_the_order_of_the_schema_and_unknown_ones_last(tmp_path: Path) -> None:
    line = row(1, zzz=1, grad_norm=1, aaa="x", loss=1, time=5.0)
    run = read(log(tmp_path, line, row(2, loss=0.5)))
    assert list(run.train.columns) == ["time", "loss", "grad_norm", "aaa", "zzz"]
    assert run.unrecognised == ("aaa", "zzz")
    assert run.train["aaa"].tolist() == ["x", None]
    assert math.isnan(run.train.loc[2, "grad_norm"])


def test_absurd_values_of_known_metrics_are_kept_and_no_numbers_are_nan(tmp_path: Path) -> None:
    values = [-1e300, 10**25, True, "text", [1.0], {"a": 1}, None, "-Infinity", -(10**400)]
    run = read(log(tmp_path, *(row(step, loss=value) for step, value in enumerate(values))))
    nan, inf = math.nan, math.inf
    expected = [-1e300, 1e25, 1.0, nan, nan, nan, nan, -inf, -inf]
    np.testing.assert_array_equal(run.train["loss"], expected)


@pytest.mark.parametrize("value", [[1.0, 2.0], {"a": [1]}, "text", [[1.0]], []])
def test_values_of_unknown_columns_are_kept_as_they_are(tmp_path: Path, value: Any) -> None:
    run = read(log(tmp_path, row(1, odd=value, loss=value), row(2, odd=value, loss=value)))
    assert run.train["odd"].tolist() == [value, value]
    assert run.train["loss"].isna().all()
    write(run, tmp_path / "again")
    assert read(tmp_path / "again").train.equals(run.train)


def test_a_log_with_a_thousand_unknown_columns_is_bounded_and_says_so(tmp_path: Path) -> None:
    rows = [row(step, **{f"x{step * 10 + i:05}": 1 for i in range(10)}) for step in range(100)]
    run = read(log(tmp_path, *rows))
    assert len(run.unrecognised) == native.MOST_UNRECOGNISED
    assert len(run.train) == 100
    assert run.caveats == ("500 columns beyond the first 500 were left out.",)


def test_everything_that_was_left_out_is_told(tmp_path: Path) -> None:
    log(tmp_path, b"garbage", b"more", row(5), row(3), row(4, kind="note"), b'{"kind":"tr')
    (tmp_path / "pairs").mkdir()
    for table in ("probe", "samples"):
        (tmp_path / "pairs" / f"{table}-00000020.parquet").write_bytes(b"PAR1half")
    assert read(tmp_path).caveats == (
        "3 lines of the log could not be read.",
        "1 record of kind unknown to this version (note) was left out.",
        "Steps go back once without a resume marker;"
        " later records replace earlier ones of the same step.",
        "2 parts of the pair tables could not be read:"
        " probe-00000020.parquet, samples-00000020.parquet.",
    )


def test_the_configuration_comes_from_the_header_or_else_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"beta": 0.5}')
    assert read(log(tmp_path)).config == {"beta": 0.1}
    (tmp_path / "run.jsonl").write_text('{"kind":"header","config":"lost"}\n')
    assert read(tmp_path).config == {"beta": 0.5}
    (tmp_path / "config.json").write_text("[half")
    assert read(tmp_path).config == {}


def test_the_version_of_the_framework_is_taken_from_the_header(tmp_path: Path) -> None:
    RunLog.create(tmp_path, {**HEADER, "versions": {"seesaw": "1.2", "torch": "3"}}).close()
    assert read(tmp_path).source.version == "1.2"
    assert read(SAMPLES / "just_started").source.version is None


def test_a_run_can_be_read_at_every_moment_of_its_life(tmp_path: Path) -> None:
    seen: list[Run] = []
    with RunLog.create(tmp_path, HEADER) as writer:
        for step in range(1, 6):
            writer.write("train", step, {"loss": 1 / step})
            writer.write_pairs("samples", step, step, {"sample": [0], "prompt": ["a"]})
            writer.flush()
            seen.append(read(tmp_path))
        writer.write("end", 5, {"status": "completed"})
    assert [len(run.train) for run in seen] == [1, 2, 3, 4, 5]
    assert [len(run.samples) for run in seen] == [1, 2, 3, 4, 5]
    assert {run.status for run in seen} == {"running"}
    assert read(tmp_path).status == "completed"


@pytest.mark.parametrize(
    ("method", "beta", "base", "factor"),
    [
        ("dpo", 0.3, Base.LOGRATIO_SUM, 0.3),
        ("simpo", 2.0, Base.LOGPS_MEAN, 2.0),
        ("cpo", 0.1, Base.LOGPS_SUM, 0.1),
        ("dpo", None, Base.LOGRATIO_SUM, None),
        ("dpo", math.nan, Base.LOGRATIO_SUM, None),
    ],
)
def test_the_meaning_of_the_rewards_follows_method_and_beta(
    tmp_path: Path, method: str, beta: float | None, base: Base, factor: float | None
) -> None:
    with RunLog.create(tmp_path / "run", {"method": method, "beta": beta}) as log:
        log.write("train", 1, {"loss": 0.5})
    meaning = read(tmp_path / "run").meaning
    assert meaning is not None
    assert (meaning.base, meaning.factor, meaning.scope) == (base, factor, Scope.WINDOW)
