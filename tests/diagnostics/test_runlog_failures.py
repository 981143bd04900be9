"""The writer of the run log when the disk fails it, hangs, or the program ends carelessly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnostics.runlog import LogWriteError, RunLog, read_log

HEADER = {"name": "a run", "method": "dpo"}
StartPython = Callable[..., subprocess.Popen[str]]


def steps(folder: Path) -> list[int]:
    return [row["step"] for row in read_log(folder).train]


# -- Failures surface ----------------------------------------------------------------------------

WRITER_UNDER_A_LIMIT = """
import resource, sys, time
from diagnostics.runlog import LogWriteError, RunLog
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
log = RunLog.create(sys.argv[1], {"name": "large"})
told = []
for step in range(1, 10_000):
    try:
        log.write("train", step, {"loss": 0.5})
    except LogWriteError as error:
        told.append(str(error))
        break
    time.sleep(0.002)  # the disk is written to by another thread, which must come to it
for call in (log.flush, log.close):
    try:
        call()
    except LogWriteError as error:
        told.append(str(error))
log.close()
print(len(told), len(set(told)), told[0])
"""


def test_a_disk_that_fills_up_is_told_at_the_next_call_and_at_every_later_one(
    tmp_path: Path,
    start_python: StartPython,
) -> None:
    with start_python(WRITER_UNDER_A_LIMIT, tmp_path) as writer:
        output, _ = writer.communicate(timeout=60)
    # write, flush and close told the same sentence; the second close did nothing.
    assert output.startswith(f"3 1 {tmp_path}: the run log cannot be written (file too large)")
    assert (tmp_path / "run.jsonl").stat().st_size == 2000
    contents = read_log(tmp_path)
    assert contents.open_line
    assert len(contents.train) > 5
    with RunLog.resume(tmp_path, 5) as log:
        log.write("train", 6, {"loss": 9.0})
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6]


WRITER_OF_ONE_LONG_LINE = """
import resource, sys
from diagnostics.runlog import LogWriteError, RunLog
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
log = RunLog.create(sys.argv[1], {"name": "large"})
log.write("train", 1, {"note": "x" * 3000})
try:
    log.flush()
except LogWriteError as error:
    print(error)
"""


def test_a_line_of_which_only_a_part_fits_is_told(
    tmp_path: Path, start_python: StartPython
) -> None:
    with start_python(WRITER_OF_ONE_LONG_LINE, tmp_path) as writer:
        output, _ = writer.communicate(timeout=60)
    assert (tmp_path / "run.jsonl").stat().st_size == 2000
    assert "cannot be written (file too large)" in output


def test_no_space_left_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").symlink_to("/dev/full")
    log = RunLog(tmp_path)
    log.write("train", 1, {"loss": 0.5})
    with pytest.raises(LogWriteError, match=r"no space left on device.*; fix that") as told:
        log.flush()
    assert "\n" not in str(told.value)
    with pytest.raises(LogWriteError, match="no space left"):
        log.write("train", 2, {"loss": 0.5})
    with pytest.raises(LogWriteError, match="no space left"):
        log.close()


def test_a_folder_deleted_under_the_run_is_told(tmp_path: Path) -> None:
    log = RunLog.create(tmp_path / "run", HEADER)
    shutil.rmtree(tmp_path / "run")
    log.write("train", 1, {"loss": 0.5})
    with pytest.raises(LogWriteError, match="was deleted while the run wrote to it"):
        log.close()


def test_a_failure_of_a_pair_part_is_told(tmp_path: Path) -> None:
    log = RunLog.create(tmp_path, HEADER)
    (tmp_path / "pairs").write_text("no folder")
    log.write_pairs("train", 1, 1, {"pair": [0]})
    with pytest.raises(LogWriteError, match=r"cannot be written \(file exists\)"):
        log.flush()
    with pytest.raises(LogWriteError, match="cannot be written"):
        log.close()


def test_an_output_folder_that_is_a_file_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogWriteError, match="cannot be written"):
        RunLog.create(tmp_path / "file", HEADER)
    (tmp_path / "run.jsonl").mkdir()
    with pytest.raises(LogWriteError, match="is no ordinary file"):
        RunLog.create(tmp_path, HEADER)


def test_the_error_of_the_training_comes_first_and_carries_that_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").symlink_to("/dev/full")

    def train() -> None:
        with RunLog(tmp_path) as log:
            log.write("train", 1, {"loss": 0.5})
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory") as raised:
        train()
    assert "no space left on device" in raised.value.__notes__[0]


def test_nothing_can_be_written_after_closing(tmp_path: Path) -> None:
    log = RunLog.create(tmp_path, HEADER)
    log.close()
    log.close()
    with pytest.raises(LogWriteError, match="the log is closed"):
        log.write("train", 1, {"loss": 0.5})
    with pytest.raises(LogWriteError, match="the log is closed"):
        log.flush()


WRITER_THAT_FORKS = """
import os, sys
from diagnostics.runlog import LogWriteError, RunLog
log = RunLog.create(sys.argv[1], {})
if os.fork() == 0:
    try:
        log.write("train", 1, {})
    except LogWriteError as error:
        print(error, flush=True)
    sys.exit()
os.wait()
log.write("train", 2, {})
"""


def test_a_forked_process_is_told_that_the_writer_was_not_copied(
    tmp_path: Path, start_python: StartPython
) -> None:
    with start_python(WRITER_THAT_FORKS, tmp_path) as writer:
        output, _ = writer.communicate(timeout=60)
    assert "opened by another process" in output
    assert writer.returncode == 0
    assert steps(tmp_path) == [2]


# -- Nobody waits for the disk -------------------------------------------------------------------


def test_writing_returns_while_the_disk_does_not_answer(tmp_path: Path) -> None:
    # A pipe without a reader stands for a disk that hangs: opening it does not return.
    pipe = tmp_path / "run.jsonl"
    os.mkfifo(pipe)
    log = RunLog(tmp_path)
    for step in range(100):
        log.write("train", step, {"loss": 0.5})
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    log.close()
    reader.join()
    assert [json.loads(line)["step"] for line in received[0].splitlines()] == list(range(100))


def test_a_slow_disk_is_waited_for_once_too_much_is_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diagnostics.runlog.QUEUE_LENGTH", 3)
    with RunLog.create(tmp_path, HEADER) as log:
        for step in range(50):
            log.write("train", step, {"loss": 0.5})
            assert log._jobs.qsize() <= 4
    assert steps(tmp_path) == list(range(50))


CARELESS_WRITER = """
import sys
from diagnostics.runlog import RunLog
log = RunLog.create(sys.argv[1], {})
for step in range(500):
    log.write("train", step, {"loss": 0.5})
raise SystemExit(3)
"""


def test_a_program_that_ends_without_closing_the_log_loses_nothing(
    tmp_path: Path, start_python: StartPython
) -> None:
    with start_python(CARELESS_WRITER, tmp_path) as writer:
        writer.communicate(timeout=60)
    assert writer.returncode == 3
    assert steps(tmp_path) == list(range(500))
