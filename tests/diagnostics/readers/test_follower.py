"""A log that is followed while it grows is at every moment the run that a reading of it gives."""

from __future__ import annotations

import io
import json
import random
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnostics.errors import DiagnosticsError
from diagnostics.readers import Follower, bulk, lineblocks, native, read_all
from diagnostics.readers import printed as printed_rows
from diagnostics.readers.jsonlines import JsonColumns
from diagnostics.readers.printed import PrintedRows, printed_in
from diagnostics.run import Run

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLES = [
    *sorted((DATA / "native").glob("*/run.jsonl")),
    *sorted((DATA / "swift").rglob("*.jsonl")),
    *sorted((DATA / "llamafactory").rglob("trainer_log.jsonl")),
    *sorted((DATA / "torchtune").rglob("*.txt")),
    *sorted((DATA / "table").glob("*.jsonl")),
    *sorted((DATA / "console").glob("*")),
]


def told(read: Any) -> tuple[Run, ...] | str:
    """Return what is read, or why nothing is."""
    try:
        return tuple(read())
    except DiagnosticsError as problem:
        return str(problem)


def places(draw: random.Random, data: bytes, count: int) -> list[int]:
    """Return where a text is cut: anywhere, and just around the ends of its lines."""
    ends = [at for at, byte in enumerate(data) if byte in b"\r\n"] or [0]
    near = [draw.choice(ends) + draw.randint(-1, 2) for _ in range(count)]
    anywhere = [draw.randint(0, len(data)) for _ in range(count // 2)]
    return sorted({max(0, min(at, len(data))) for at in (*near, *anywhere, len(data))})


def grow(file: Path, root: Path, data: bytes, cuts: Sequence[int]) -> list[tuple[Run, ...] | str]:
    """Write a log piece by piece, and check after each that following and reading agree."""
    follower = Follower(root)
    found = []
    before = 0
    file.write_bytes(b"")
    for cut in cuts:
        with file.open("ab") as stream:
            stream.write(data[before:cut])
        before = cut
        followed, whole = told(follower.read), told(lambda: read_all(root))
        assert followed == whole, f"cut at {cut}: {data[max(0, cut - 60) : cut]!r}"
        found.append(followed)
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: "-".join(path.parts[-2:]))
def test_a_log_that_grows_is_the_run_of_a_whole_reading(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / sample.parent.name
    shutil.copytree(sample.parent, folder)
    root = folder if sample.name == "run.jsonl" else folder / sample.name
    data = sample.read_bytes()
    for seed in range(2):
        cuts = places(random.Random(f"{sample.name} {seed}"), data, 8)
        assert not isinstance(grow(folder / sample.name, root, data, cuts)[-1], str)


HEADER = {"kind": "header", "format": "seesaw-run-log", "version": 1, "method": "dpo"}


def native_lines(draw: random.Random) -> list[str]:
    """Return a log of everything that may happen to one, in a random order."""
    lines = [json.dumps(HEADER)] if draw.random() < 0.9 else []
    step = 0
    for _ in range(draw.randint(20, 60)):
        event = draw.random()
        step += 1
        row = {"loss": draw.choice([draw.random(), "NaN", None, 1]), "rewards/chosen": step}
        if event < 0.05:
            step = draw.randint(0, step)
            lines.append(json.dumps({"kind": "resume", "step": step}))
        elif event < 0.08:
            lines.append(json.dumps({"kind": "end", "step": step, "status": "stopped"}))
        elif event < 0.12:
            lines.append(
                draw.choice(['{"kind":"tra', "", "[1]", "\0\0", '{"kind":"odd","step":1}'])
            )
        elif event < 0.15:
            lines.append(json.dumps({"kind": "remark", "step": step, "text": f"at {step}"}))
        elif event < 0.19:
            step = max(0, step - draw.randint(1, 5))
        elif event < 0.24:
            lines.append(json.dumps({"kind": "train", "step": step, "note": draw.choice("ab1")}))
        else:
            kind = "eval" if step % 5 == 0 else "train"
            late = {"own": step} if step > 30 else {}
            lines.append(json.dumps({"kind": kind, "step": step, **row, **late}))
    return lines


@pytest.mark.parametrize("seed", range(16))
def test_whatever_happens_to_a_run_log_following_it_reads_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    # Some of the pieces go through Arrow.
    monkeypatch.setattr(bulk, "SMALLEST_BLOCK", draw.choice([200, 1 << 15]))
    monkeypatch.setattr(lineblocks, "BLOCK_BYTES", draw.choice([700, 1 << 22]))
    data = "\n".join(native_lines(draw)).encode() + draw.choice([b"", b"\n"])
    file = tmp_path / "run" / "run.jsonl"
    file.parent.mkdir()
    grow(file, file.parent, data, places(draw, data, 12))


def table_lines(draw: random.Random) -> list[str]:
    lines = []
    for step in range(draw.randint(5, 60)):
        row: dict[str, Any] = {"step": step, "chosen_reward": draw.random(), "rejected_reward": 0}
        if draw.random() < 0.1:
            row |= draw.choice([{"note": "12"}, {"note": "a"}, {"note": 3}, {"loss": float("nan")}])
        if step > 20:
            row["late"] = step
        lines.append("{}" if draw.random() < 0.03 else json.dumps(row))
    return lines


@pytest.mark.parametrize("seed", range(10))
def test_whatever_stands_in_a_table_following_it_reads_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(lineblocks, "BLOCK_BYTES", draw.choice([700, 1 << 22]))
    monkeypatch.setattr("diagnostics.readers.jsonlines.SMALLEST_BLOCK", draw.choice([200, 1 << 15]))
    data = "\n".join(table_lines(draw)).encode() + draw.choice([b"", b"\n"])
    grow(tmp_path / "t.jsonl", tmp_path / "t.jsonl", data, places(draw, data, 10))


def console_text(draw: random.Random) -> str:
    """Return a console text with everything that terminals and trainers do to one."""
    pieces = []
    for step in range(1, draw.randint(6, 40)):
        row = {"loss": draw.random(), "rewards/chosen": 0.1, "rewards/rejected": 0.0, "epoch": step}
        bar = f"\r {step}%|█ | {step}/50 [00:01<00:49, 1.00s/it]"
        text = str(row) if draw.random() < 0.9 else str(row).replace(", ", ",\n", 2)
        pieces.append(draw.choice([bar, bar + "\x1b[A\n", "", "noise } here\n"]) + text + "\n")
        if draw.random() < 0.1:
            pieces.append(
                draw.choice(["\x1b[32mgreen\x1b[0m\n", f"{row}\n", "Step 3 | loss:0.5\n"])
            )
        if draw.random() < 0.03:
            pieces.append("{'train_runtime': 10.0, 'train_loss': 0.6, 'epoch': 1.0}\n")
    return "".join(pieces)


def openrlhf_text(draw: random.Random) -> str:
    """Return bars that are drawn again and again."""
    pieces = []
    for step in range(1, draw.randint(6, 30)):
        for _ in range(draw.randint(1, 3)):
            values = f"loss={draw.random():.3f}, chosen_reward=0.1, reject_reward=0.0"
            bar = f"{step}%|█ | {step}/50 [00:01<00:49, 1.0s/it, {values}]"
            pieces.append(f"\rTrain step of epoch [1]: {bar}")
    return "".join(pieces)


def mixed_text(draw: random.Random) -> str:
    """Return bars, and later rows of dicts, which are what counts then."""
    return openrlhf_text(draw) + "\n" + console_text(draw)


@pytest.mark.parametrize("seed", range(10))
def test_printed_rows_are_the_same_in_however_many_pieces_they_came(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    for form in (console_text, openrlhf_text, mixed_text):
        data = form(draw).encode()
        followed = PrintedRows()
        for cut in places(draw, data, 10):
            text = io.BytesIO(data[:cut])
            text.seek(followed.offset)
            followed.read_on(text)
            assert list(followed) == list(printed_in(io.BytesIO(data[:cut])))
        monkeypatch.setattr(printed_rows, "BLOCK", 900)
        assert list(followed) == list(printed_in(io.BytesIO(data)))
        monkeypatch.undo()


@pytest.mark.parametrize("form", [console_text, openrlhf_text])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_console_prints_following_it_reads_it(
    form: Any, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(printed_rows, "BLOCK", draw.choice([900, 1 << 22]))
    data = form(draw).encode()
    grow(tmp_path / "train.log", tmp_path / "train.log", data, places(draw, data, 10))


# -- What following keeps, and gives up ------------------------------------------------------------


def rows(first: int, last: int, **more: Any) -> str:
    values = {"kind": "train", "loss": 0.5, **more}
    return "".join(json.dumps({**values, "step": step}) + "\n" for step in range(first, last))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a run log of 100 steps."""
    path = tmp_path / "run" / "run.jsonl"
    path.parent.mkdir()
    path.write_text(json.dumps(HEADER) + "\n" + rows(1, 101))
    return path


def append(path: Path, text: str) -> None:
    with path.open("a") as stream:
        stream.write(text)


def test_nothing_new_is_the_same_tuple_and_new_rows_do_not_change_earlier_runs(log: Path) -> None:
    follower = Follower(log.parent)
    first = follower.read()
    assert not follower.appended
    assert follower.read() is first
    append(log, rows(101, 111))
    second = follower.read()
    assert follower.appended
    assert len(first[0].train) == 100
    assert len(second[0].train) == 110
    # The rows are not copied: this is what makes a look at a long log cheap.
    assert np.shares_memory(first[0].train["loss"].to_numpy(), second[0].train["loss"].to_numpy())
    with pytest.raises(ValueError, match="read-only"):
        second[0].train["loss"].to_numpy()[0] = 7


def test_only_what_was_appended_is_parsed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(log.parent)
    follower.read()
    seen: list[bytes] = []
    parse = bulk.record_of
    monkeypatch.setattr(bulk, "record_of", lambda line: seen.append(line) or parse(line))
    append(log, rows(101, 104))
    assert len(follower.read()[0].train) == 103
    assert len([line for line in seen if line]) == 3


@pytest.mark.parametrize("change", ["cut", "anew", "replaced"])
def test_a_log_that_does_not_go_on_is_read_afresh(change: str, log: Path, tmp_path: Path) -> None:
    follower = Follower(log.parent)
    follower.read()
    text = json.dumps(HEADER) + "\n"
    if change == "cut":
        log.write_text(text + rows(1, 51))
    elif change == "anew":
        log.write_text(text + rows(1, 201, loss=0.25))
    else:
        (tmp_path / "other").write_text(log.read_text() + rows(101, 121, loss=0.25))
        (tmp_path / "other").replace(log)
    assert follower.read() == read_all(log.parent)
    assert not follower.appended


def test_a_resumed_run_loses_its_abandoned_steps_and_is_followed_on(log: Path) -> None:
    follower = Follower(log.parent)
    follower.read()
    append(log, json.dumps({"kind": "resume", "step": 50}) + "\n" + rows(51, 61))
    (run,) = follower.read()
    assert not follower.appended
    assert len(run.train) == 60
    append(log, rows(61, 71))
    assert follower.read() == read_all(log.parent)
    assert follower.appended
    append(log, json.dumps({"kind": "resume", "step": 55}) + "\n")
    assert len(follower.read()[0].train) == 55
    append(log, rows(56, 58))
    assert len(follower.read()[0].train) == 57
    assert follower.appended


def test_a_run_that_goes_on_after_its_end_is_running_again(log: Path) -> None:
    follower = Follower(log.parent)
    end = json.dumps({"kind": "end", "step": 60, "status": "stopped"}) + "\n"
    append(log, json.dumps({"kind": "resume", "step": 50}) + "\n" + rows(51, 61) + end)
    assert follower.read()[0].status == "stopped"
    append(log, rows(61, 63))
    assert follower.read()[0].status == "running"


def test_what_stands_beside_the_log_is_read_again_when_it_changes(log: Path) -> None:
    follower = Follower(log.parent)
    assert follower.read()[0].config == {}
    (log.parent / "config.json").write_text('{"beta": 0.5}')
    assert follower.read()[0].config == {"beta": 0.5}


def test_after_an_error_the_next_reading_starts_afresh(log: Path) -> None:
    follower = Follower(log.parent)
    follower.read()
    text = log.read_text()
    log.unlink()
    with pytest.raises(DiagnosticsError):
        follower.read()
    log.write_text(text + rows(101, 121))
    assert len(follower.read()[0].train) == 120


def test_many_threads_get_one_reading(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(log.parent)
    counted: list[int] = []
    read = native.NativeLog.read
    monkeypatch.setattr(native.NativeLog, "read", lambda self: counted.append(1) or read(self))
    found: list[tuple[Run, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(follower.read())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 1
    assert all(one is found[0] for one in found)


def test_a_look_at_a_long_table_copies_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"step": n, "loss": n / 7}) + "\n" for n in range(5000)))
    read = JsonColumns()
    with path.open("rb") as stream:
        read.read_on(stream)
        first = read.columns()["loss"]
        append(path, json.dumps({"step": 5000, "loss": 1.0}) + "\n")
        stream.seek(read.offset)
        read.read_on(stream)
    second = read.columns()["loss"]
    assert (len(first), len(second)) == (5000, 5001)
    assert np.shares_memory(first, second)
