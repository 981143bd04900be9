"""The reader of run.jsonl: whatever state the file is in."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from diagnostics import logcontents
from diagnostics.errors import ReadError
from diagnostics.logcontents import follow, read_log

HEADER = b'{"kind":"header","format":"seesaw-run-log","version":1,"name":"a"}\n'


def row(step: int, kind: str = "train", **values: object) -> bytes:
    return json.dumps({"kind": kind, "step": step, **values}).encode() + b"\n"


def log(folder: Path, *lines: bytes) -> Path:
    (folder / "run.jsonl").write_bytes(b"".join(lines))
    return folder


def test_each_step_is_kept_once_and_the_last_record_wins(tmp_path: Path) -> None:
    log(tmp_path, HEADER, row(1, loss=1.0, kl=2.0), row(2, loss=2.0), row(2, loss=3.0))
    contents = read_log(tmp_path)
    assert [(r["step"], r["loss"]) for r in contents.train] == [(1, 1.0), (2, 3.0)]
    assert contents.backward == 0


def test_rows_come_in_order_of_steps_and_going_back_is_counted(tmp_path: Path) -> None:
    log(tmp_path, HEADER, row(1), row(2), row(5), row(3), row(4), row(2, loss=9.0))
    contents = read_log(tmp_path)
    assert [r["step"] for r in contents.train] == [1, 2, 3, 4, 5]
    assert contents.train[1]["loss"] == 9.0
    assert contents.backward == 2
    again = log(tmp_path, HEADER, *(row(step) for step in (1, 2, 3, 4, 2, 3, 4, 5)))
    assert read_log(again).backward == 1


def test_a_resume_marker_drops_later_rows_even_when_steps_went_back(tmp_path: Path) -> None:
    resume = row(3, kind="resume")
    log(tmp_path, HEADER, row(1), row(9), row(2), row(3), row(9, kind="eval"), resume, row(4))
    contents = read_log(tmp_path)
    assert [r["step"] for r in contents.train] == [1, 2, 3, 4]
    assert contents.evals == []


def test_a_run_resumed_twice_keeps_the_last_branch_only(tmp_path: Path) -> None:
    log(
        tmp_path,
        HEADER,
        *(row(step, loss=1.0) for step in (1, 2, 3, 4)),
        row(3, kind="resume"),
        *(row(step, loss=2.0) for step in (4, 5)),
        row(2, kind="resume"),
        row(3, loss=3.0),
    )
    contents = read_log(tmp_path)
    assert [(r["step"], r["loss"]) for r in contents.train] == [(1, 1.0), (2, 1.0), (3, 3.0)]
    assert [r["step"] for r in contents.resumes] == [3, 2]


def test_a_row_after_the_end_says_that_the_run_goes_on(tmp_path: Path) -> None:
    end = row(2, kind="end", status="completed")
    assert read_log(log(tmp_path, HEADER, row(2), end)).end is not None
    assert read_log(log(tmp_path, HEADER, row(2), end, row(2, kind="eval"))).end is not None
    assert read_log(log(tmp_path, HEADER, row(2), end, row(3))).end is None


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00garbage",
        b"[1, 2]",
        b"17",
        b'"text"',
        b"{}",
        b'{"kind": 5, "step": 1}',
        b'{"kind": "train"}',
        b'{"kind": "train", "step": -1}',
        b'{"kind": "train", "step": true}',
        b'{"kind": "train", "step": "1"}',
        b'{"kind": "train", "step": 1.5}',
        b'{"kind": "train", "step": 1e30}',
        b'{"kind": "train", "step": 9999999999999999999999}',
        b'{"kind": "train", "step": 1, "loss": "\\ud800"}',
        b'{"kind": "train", "step": 1, "\\ud800": 1}',
        b'{"kind": "train", "step": 1, "loss": ' + b"[" * 60 + b"]" * 60 + b"}",
        b'{"kind": "train", "step": 1, "loss": ' + b'{"a":' * 9000 + b"1" + b"}" * 9001,
        b'{"kind": "train", "step": 1, "loss": ' + b"[" * 200000,
        b'{"kind": "train", "step": 1, "loss": 0.5',
        b'{"kind": "train", "step": 1} {"kind": "train", "step": 2}',
    ],
)
def test_a_line_that_is_no_record_is_counted_and_the_rest_is_read(
    tmp_path: Path, line: bytes
) -> None:
    contents = read_log(log(tmp_path, HEADER, row(3), line + b"\n", row(4)))
    assert [r["step"] for r in contents.train] == [3, 4]
    assert (contents.torn_lines, contents.open_line) == (1, False)


def test_blank_lines_and_zero_bytes_around_a_record_are_passed_over(tmp_path: Path) -> None:
    contents = read_log(log(tmp_path, HEADER, b"\n", b" \r\n", b"\0" * 100, row(1), b"\0\0"))
    assert [r["step"] for r in contents.train] == [1]
    assert contents.torn_lines == 0


def test_bare_nan_and_numbers_too_large_for_a_float_are_understood(tmp_path: Path) -> None:
    line = b'{"kind":"train","step":1,"a":NaN,"b":-Infinity,"c":1e400,"d":-1e400}\n'
    (read,) = read_log(log(tmp_path, HEADER, line)).train
    assert math.isnan(read["a"])
    assert (read["b"], read["c"], read["d"]) == (-math.inf, math.inf, -math.inf)


def test_absurd_values_are_kept(tmp_path: Path) -> None:
    (read,) = read_log(log(tmp_path, HEADER, row(1, loss=-1e300, entropy=1e-320))).train
    assert (read["loss"], read["entropy"]) == (-1e300, 1e-320)


def test_records_of_unknown_kinds_are_counted_by_kind(tmp_path: Path) -> None:
    contents = read_log(log(tmp_path, HEADER, row(1, kind="note"), row(2, kind="note"), row(3)))
    assert contents.unknown_kinds == {"note": 2}
    assert (len(contents.train), contents.torn_lines) == (1, 0)


def test_a_line_too_long_to_be_a_record_is_passed_over_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logcontents, "LONGEST_LINE", 100)
    for size in (99, 100, 101, 1000):
        # Cut at the bound, it would be a record.
        long = row(7).strip().ljust(size, b" ") + b"x\n"
        contents = read_log(log(tmp_path, HEADER, long, row(1)))
        assert (len(contents.train), contents.torn_lines) == (1, 1)
        assert contents.offset == len(HEADER) + len(long) + len(row(1))
        assert [r.get("step") for r in follow(tmp_path, 0)[0]] == [None, 1]


def test_the_offset_is_where_following_continues(tmp_path: Path) -> None:
    log(tmp_path, HEADER, row(1), b'{"kind":"train","step":2,')
    contents = read_log(tmp_path)
    assert contents.open_line
    with (tmp_path / "run.jsonl").open("ab") as stream:
        stream.write(b'"loss":"NaN"}\n')
    ((record,), offset) = follow(tmp_path, contents.offset)
    assert math.isnan(record["loss"])
    assert offset == (tmp_path / "run.jsonl").stat().st_size


def test_following_byte_by_byte_gives_each_record_once(tmp_path: Path) -> None:
    content = HEADER + row(1, loss=0.5) + b"garbage\n" + row(2) + row(2, kind="end")
    path = tmp_path / "run.jsonl"
    seen, offset = [], 0
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        records, after = follow(path, offset)
        assert after >= offset
        offset = after
        seen += [(record["kind"], record.get("step")) for record in records]
    assert seen == [("header", None), ("train", 1), ("train", 2), ("end", 2)]
    assert offset == len(content)


def test_following_a_log_that_was_started_afresh_begins_again(tmp_path: Path) -> None:
    log(tmp_path, HEADER, *(row(step) for step in range(20)))
    _, offset = follow(tmp_path, 0)
    log(tmp_path, HEADER, row(1))
    records, after = follow(tmp_path, offset)
    assert [record["kind"] for record in records] == ["header", "train"]
    assert after < offset


def test_following_a_long_log_comes_in_bounded_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logcontents, "FOLLOW_BYTES", 200)
    log(tmp_path, *(row(step) for step in range(50)))
    offset, seen = 0, []
    while (piece := follow(tmp_path, offset))[1] > offset:
        records, offset = piece
        assert len(records) < 10
        seen += [record["step"] for record in records]
    assert seen == list(range(50))


def test_what_is_no_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("absent", "pipe", "loop", "\0", "a" * 5000):
        for read in (read_log, lambda path: follow(path, 0)):
            with pytest.raises(ReadError, match=r"expected the log of a run; ") as told:
                read(tmp_path / name)
            assert "\n" not in str(told.value)
