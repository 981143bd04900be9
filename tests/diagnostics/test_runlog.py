"""The writer of the run log: what it writes, what a killed process leaves, how failures surface."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from diagnostics.runlog import LogWriteError, RunLog, follow, read_log, read_pairs

StartPython = Callable[..., subprocess.Popen[str]]
HEADER = {"name": "a run", "method": "dpo", "config": {"beta": 0.1}}


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]


def steps(folder: Path) -> list[int]:
    return [row["step"] for row in read_log(folder).train]


# -- What is written -----------------------------------------------------------------------------


def test_the_first_line_is_the_header_with_format_and_version(tmp_path: Path) -> None:
    RunLog.create(tmp_path / "new" / "run", HEADER).close()
    (header,) = lines(tmp_path / "new" / "run")
    assert header["kind"] == "header"
    assert (header["format"], header["version"]) == ("seesaw-run-log", 1)
    assert header["config"] == {"beta": 0.1}
    assert str(header["time"]).endswith("+00:00")


def test_the_header_is_on_disk_before_create_returns(tmp_path: Path) -> None:
    log = RunLog.create(tmp_path, HEADER)
    assert len(lines(tmp_path)) == 1
    log.close()


def test_not_a_number_and_infinities_are_written_as_text_and_read_as_numbers(
    tmp_path: Path,
) -> None:
    with RunLog.create(tmp_path, {**HEADER, "limits": {"low": -math.inf}}) as log:
        log.write("train", 1, {"loss": math.nan, "kl": math.inf, "grad_norm": np.float32("-inf")})
    row = lines(tmp_path)[1]
    assert (row["loss"], row["kl"], row["grad_norm"]) == ("NaN", "Infinity", "-Infinity")
    contents = read_log(tmp_path)
    (read,) = contents.train
    assert math.isnan(read["loss"])
    assert (read["kl"], read["grad_norm"]) == (math.inf, -math.inf)
    assert contents.header["limits"] == {"low": -math.inf}


def test_text_fields_keep_a_text_that_looks_like_a_number(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, {"name": "NaN", "method": "Infinity"}) as log:
        log.write("end", 0, {"status": "failed", "message": "NaN"})
    contents = read_log(tmp_path)
    assert (contents.header["name"], contents.header["method"]) == ("NaN", "Infinity")
    assert contents.end is not None
    assert contents.end["message"] == "NaN"


def test_a_header_takes_paths_odd_objects_and_file_names_that_are_no_text(tmp_path: Path) -> None:
    odd = {
        "path": Path("/data"),
        "dtype": Decimal("1.5"),
        "file": b"\xff.json".decode("utf-8", "surrogateescape"),
        "seed": 2**70,
        "sizes": (1, 2),
    }
    RunLog.create(tmp_path, odd).close()
    (header,) = lines(tmp_path)
    assert (header["path"], header["dtype"], header["sizes"]) == ("/data", "1.5", [1, 2])
    assert header["file"] == "\\udcff.json"
    assert header["seed"] == float(2**70)


def test_a_record_carries_the_time_of_the_call_unless_it_brings_one(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, HEADER) as log:
        log.write("train", 1, {"loss": 1.0})
        log.write("train", 2, {"loss": 1.0, "time": 5.0})
        log.write("train", 3, {"loss": 1.0, "time": None})
    first, second, third = read_log(tmp_path).train
    assert first["time"] > 1.7e9
    assert second["time"] == 5.0
    assert "time" not in third


@pytest.mark.parametrize(
    ("kind", "step", "values", "told"),
    [
        ("training", 1, {}, "'training' is no kind of record"),
        ("train", -1, {}, "step -1 is negative"),
        ("train", 1, {"step": 2}, "'kind' or 'step'"),
        ("train", 1, {"loss": object()}, "'loss' is a object, expected a number"),
    ],
)
def test_what_the_log_cannot_hold_is_refused_at_the_call(
    tmp_path: Path, kind: str, step: int, values: dict[str, float], told: str
) -> None:
    with RunLog.create(tmp_path, HEADER) as log:
        with pytest.raises(LogWriteError, match=told):
            log.write(kind, step, values)
        log.write("train", 1, {"loss": 0.5})
    assert steps(tmp_path) == [1]


# -- Starting, joining and resuming --------------------------------------------------------------


def test_a_folder_that_holds_a_trained_run_is_not_overwritten(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, HEADER) as log:
        log.write("train", 1, {"loss": 0.5})
    before = (tmp_path / "run.jsonl").read_bytes()
    with pytest.raises(LogWriteError, match="already holds a run"):
        RunLog.create(tmp_path, HEADER)
    assert (tmp_path / "run.jsonl").read_bytes() == before


def test_a_run_that_failed_before_its_first_step_is_started_afresh(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, HEADER) as log:
        log.write_pairs("samples", 0, 0, {"sample": [0], "prompt": ["a"]})
        log.write("eval", 0, {"loss": 0.7})
    RunLog.create(tmp_path, {**HEADER, "name": "again"}).close()
    assert [line["kind"] for line in lines(tmp_path)] == ["header"]
    assert lines(tmp_path)[0]["name"] == "again"
    assert read_pairs(tmp_path, "samples").num_rows == 0


def test_joining_a_run_writes_no_line(tmp_path: Path) -> None:
    RunLog.create(tmp_path, HEADER).close()
    with RunLog(tmp_path) as other_rank:
        other_rank.write_pairs("train", 1, 1, {"pair": [7]}, rank=3)
    assert len(lines(tmp_path)) == 1
    assert (tmp_path / "pairs" / "train-00000001-00000001-rank3.parquet").is_file()


def test_resuming_drops_the_rows_of_the_abandoned_branch(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, HEADER) as log:
        for step in range(1, 9):
            log.write("train", step, {"loss": 1.0})
        log.write("eval", 8, {"loss": 1.0})
        log.write("end", 8, {"status": "failed"})
    with RunLog.resume(tmp_path, 5, {"versions": {"torch": "3"}}) as log:
        log.write("train", 6, {"loss": 2.0})
    contents = read_log(tmp_path)
    assert [(row["step"], row["loss"]) for row in contents.train][-2:] == [(5, 1.0), (6, 2.0)]
    assert (contents.evals, contents.end) == ([], None)
    assert [(r["step"], r["versions"]) for r in contents.resumes] == [(5, {"torch": "3"})]


def test_resuming_drops_pair_records_after_the_step_and_trims_the_part_around_it(
    tmp_path: Path,
) -> None:
    with RunLog.create(tmp_path, HEADER) as log:
        for step in (0, 4, 8):
            log.write_pairs("samples", step, step, {"sample": [0], "prompt": ["a"]})
        for first in (1, 5):
            columns = {"step": range(first, first + 4), "pair": [0] * 4, "loss": [1.0] * 4}
            log.write_pairs("train", first, first + 3, columns)
            log.write_pairs("train", first, first + 3, columns, rank=1)
    (tmp_path / "pairs" / ".train-00000009-00000012.parquet.tmp").write_bytes(b"half")
    RunLog.resume(tmp_path, 6).close()
    assert read_pairs(tmp_path, "samples")["step"].to_pylist() == [0, 4]
    assert sorted(set(read_pairs(tmp_path, "train")["step"].to_pylist())) == [1, 2, 3, 4, 5, 6]
    assert read_pairs(tmp_path, "train").num_rows == 12
    assert not list((tmp_path / "pairs").glob(".*"))


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LogWriteError, match=r"run\.jsonl: does not exist.*start a new run"):
        RunLog.resume(tmp_path, 5)
    assert not list(tmp_path.iterdir())


def test_resuming_ends_a_torn_line_first(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, HEADER) as log:
        log.write("train", 1, {"loss": 1.0})
    with (tmp_path / "run.jsonl").open("ab") as stream:
        stream.write(b'{"kind":"train","st')
    with RunLog.resume(tmp_path, 1) as log:
        log.write("train", 2, {"loss": 1.0})
    contents = read_log(tmp_path)
    assert [row["step"] for row in contents.train] == [1, 2]
    assert (contents.torn_lines, len(contents.resumes)) == (1, 1)


# -- Killed at any byte --------------------------------------------------------------------------


def test_a_log_cut_at_any_byte_reads_and_resumes_without_losing_a_finished_line(
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole"
    with RunLog.create(whole, {"name": "ü", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": math.nan, "rewards/chosen": -0.5, "time": 1.0})
        log.write("eval", 1, {"loss": 0.5, "time": 1.0})
        log.write("train", 2, {"loss": 0.25, "time": 2.0})
    with RunLog.resume(whole, 1) as log:
        log.write("train", 2, {"loss": 0.125, "time": 3.0})
        log.write("end", 2, {"status": "completed", "time": 4.0})
    content = (whole / "run.jsonl").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    for size in range(len(content) + 1):
        (cut / "run.jsonl").write_bytes(content[:size])
        contents = read_log(cut)
        # A record is there once its last brace is, before its line end.
        finished = content[: size + 1].count(b"}\n")
        rest = content[:size].rpartition(b"\n")[2]
        assert contents.torn_lines == (rest != b"" and not rest.endswith(b"}"))
        kinds = [json.loads(line)["kind"] for line in content.splitlines()[:finished]]
        expected = [1, 2] if kinds.count("train") > 1 and kinds[-1] != "resume" else [1]
        assert [row["step"] for row in contents.train] == (expected if "train" in kinds else [])
        assert (contents.end is not None) == ("end" in kinds)
        with RunLog.resume(cut, 1) as log:
            log.write("train", 2, {"loss": 9.0})
        resumed = read_log(cut)
        assert resumed.train[-1]["loss"] == 9.0
        assert len(resumed.train) == 1 + ("train" in kinds)


ENDLESS_WRITER = """
import itertools, sys
from diagnostics.runlog import RunLog
folder, start = sys.argv[1], int(sys.argv[2])
log = RunLog.resume(folder, start) if start else RunLog.create(folder, {"name": "killed"})
for step in itertools.count(start + 1):
    log.write("train", step, {"loss": 1 / step, "grad_norm": float("nan")})
    if step % 5 == 0:
        rows = range(step - 4, step + 1)
        log.write_pairs("train", step - 4, step, {"step": rows, "pair": rows, "loss": [1.0] * 5})
    if step % 50 == 0:
        log.flush()
        print(step, flush=True)
"""


def test_a_writer_killed_again_and_again_loses_nothing_that_was_flushed(
    tmp_path: Path, start_python: StartPython
) -> None:
    start = 0
    for reports in (1, 3, 2):
        with start_python(ENDLESS_WRITER, tmp_path, start) as writer:
            assert writer.stdout is not None
            flushed = [int(writer.stdout.readline()) for _ in range(reports)][-1]
            writer.kill()
        assert writer.returncode == -9
        contents = read_log(tmp_path)
        written = [row["step"] for row in contents.train]
        assert written == list(range(1, len(written) + 1))
        assert written[-1] >= flushed
        pairs = read_pairs(tmp_path, "train")["step"].to_pylist()
        assert pairs == list(range(1, len(pairs) + 1))
        assert len(pairs) >= flushed
        start = flushed - 7


def test_a_growing_log_can_be_followed_while_it_is_written(tmp_path: Path) -> None:
    offset, seen = 0, []
    with RunLog.create(tmp_path, HEADER) as log:
        for step in range(1, 30):
            log.write("train", step, {"loss": 0.5})
            if step % 10 == 0:
                log.flush()
                records, offset = follow(tmp_path, offset)
                seen += [record.get("step") for record in records]
                assert seen == [None, *range(1, step + 1)]
    records, offset = follow(tmp_path, offset)
    assert [record["step"] for record in records] == list(range(21, 30))
    assert follow(tmp_path, offset) == ([], offset)
