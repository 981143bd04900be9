"""Event files: the same points as TensorBoard's own reader, whatever state the file is in."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnostics.errors import MalformedLog
from diagnostics.readers import (
    event_files,
    event_records,
    find_runs,
    read,
    read_all,
    tensorboard,
)
from diagnostics.readers.event_files import Events, read_events
from diagnostics.readers.event_records import Progress, chunks

TAGS = ("train/rewards/chosen", "train/rewards/rejected", "train/loss", "eval/loss")


@pytest.fixture(scope="module")
def writer_class(need: Any) -> Any:
    """The writer that torch brings and transformers uses."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        need(False, "tensorboard is not installed")
    return SummaryWriter


def events_of(folder: Path) -> Events:
    [file] = folder.glob("*tfevents*")
    with file.open("rb") as stream:
        return read_events(stream)


def written(folder: Path, writer_class: Any, steps: range, **options: Any) -> Path:
    with writer_class(str(folder), **options) as writer:
        for step in steps:
            for number, tag in enumerate(TAGS):
                writer.add_scalar(tag, number - 0.1 * step, step)
    return folder


@pytest.mark.parametrize("new_style", [False, True])
def test_every_point_is_the_one_that_tensorboard_reads(
    new_style: bool, tmp_path: Path, writer_class: Any
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    draw = random.Random(5)
    with writer_class(str(tmp_path)) as writer:
        for step in [*range(300), 2**40, 2**33, 127, 128, 16384, 5, 5]:
            for tag in (*TAGS, "ünï/x", "a" * 200, "one/tag/of/many/words"):
                value = draw.choice((draw.gauss(0, 1), 0.0, float("nan"), float("inf"), 1e-40))
                writer.add_scalar(tag, value, step, new_style=new_style)
            if step % 100 == 0:
                writer.add_text("note", f"at {step}", step)
                writer.add_histogram("weights", np.arange(9.0), step)
                writer.add_scalars("group", {"a": 1.0 * step, "b": 2.0}, step)
    ours = events_of(tmp_path)
    theirs = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    tags = theirs.Tags()["tensors" if new_style else "scalars"]
    assert set(TAGS) <= set(tags)
    for tag in tags:
        if tag in ("note/text_summary", "weights"):
            continue
        points = theirs.Tensors(tag) if new_style else theirs.Scalars(tag)
        values = [p.tensor_proto.float_val[0] for p in points] if new_style else None
        assert ours.scalars[tag].steps.tolist() == [p.step for p in points]
        assert ours.scalars[tag].times.tolist() == [p.wall_time for p in points]
        np.testing.assert_array_equal(
            ours.scalars[tag].numbers, values or [p.value for p in points]
        )
    assert ours.texts["note/text_summary"] == "at 200"
    assert ours.damaged == 0


def test_rows_of_a_layout_are_not_parsed_one_by_one(
    tmp_path: Path, writer_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, writer_class, range(500))
    monkeypatch.setattr(event_files, "_parse_value", lambda *_: pytest.fail("parsed one by one"))
    assert len(events_of(tmp_path).scalars["train/loss"].steps) == 500


def test_small_chunks_give_the_same_points(
    tmp_path: Path, writer_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, writer_class, range(200))
    whole = events_of(tmp_path)
    monkeypatch.setattr(event_records, "CHUNK_BYTES", 1000)
    pieces = events_of(tmp_path)
    for tag in TAGS:
        assert pieces.scalars[tag].numbers.tolist() == whole.scalars[tag].numbers.tolist()
    assert pieces.offset == whole.offset


def test_reading_goes_on_where_it_ended(tmp_path: Path, writer_class: Any) -> None:
    [file] = written(tmp_path, writer_class, range(50)).glob("*")
    data = file.read_bytes()
    whole = events_of(tmp_path)
    for cut in (len(data) // 2, len(data) - 1, len(data) // 3):
        file.write_bytes(data[:cut])
        with file.open("rb") as stream:
            first = read_events(stream)
        assert first.damaged == 0
        assert first.offset <= cut
        file.write_bytes(data)
        with file.open("rb") as stream:
            both = read_events(stream, first.offset, first.collected)
        for tag in TAGS:
            assert both.scalars[tag].steps.tolist() == whole.scalars[tag].steps.tolist()
            assert both.scalars[tag].numbers.tolist() == whole.scalars[tag].numbers.tolist()


@pytest.mark.parametrize("place", ["length", "data", "sum"])
def test_a_damaged_record_is_left_out_and_the_rest_is_read(
    place: str, tmp_path: Path, writer_class: Any
) -> None:
    [file] = written(tmp_path, writer_class, range(100)).glob("*")
    data = bytearray(file.read_bytes())
    with file.open("rb") as stream:
        [(_, starts, lengths)] = chunks(stream, Progress())
    at = {"length": starts[40] - 12, "data": starts[40] + 5, "sum": starts[40] + lengths[40]}
    data[at[place]] ^= 0x55
    file.write_bytes(data)
    found = events_of(tmp_path)
    points = sum(len(tag.steps) for tag in found.scalars.values())
    assert points == 100 * len(TAGS) - 1
    assert found.damaged == 1
    assert "damaged at 1 place;" in read(tmp_path).caveats[0]


def test_a_length_of_gigabytes_ends_the_file_without_filling_the_memory(
    tmp_path: Path, writer_class: Any
) -> None:
    [file] = written(tmp_path, writer_class, range(20)).glob("*")
    length = struct.pack("<Q", 1 << 40)
    crc = event_records._masked_crc(np.frombuffer(length, np.uint8)[None])
    file.write_bytes(file.read_bytes() + length + crc.tobytes() + b"x" * 100)
    assert len(events_of(tmp_path).scalars["train/loss"].steps) == 20


def test_a_file_that_begins_again_is_another_run(tmp_path: Path, writer_class: Any) -> None:
    for number in range(2):
        written(tmp_path, writer_class, range(1, 11 + number), filename_suffix=f".{number}")
    runs = read_all(tmp_path)
    assert [(run.source.part, run.last_step) for run in runs] == [("run 1", 10), ("run 2", 11)]


def test_a_folder_without_scalars_is_refused(tmp_path: Path, writer_class: Any) -> None:
    with writer_class(str(tmp_path)) as writer:
        writer.add_text("note", "nothing")
    with pytest.raises(MalformedLog, match="holds no scalars, expected"):
        read(tmp_path)


def test_event_folders_below_an_output_folder_are_the_same_run(
    tmp_path: Path, writer_class: Any
) -> None:
    written(tmp_path / "alone" / "runs" / "Nov22_host", writer_class, range(1, 5))
    assert find_runs(tmp_path) == [tmp_path / "alone" / "runs" / "Nov22_host"]
    (tmp_path / "alone" / "trainer_state.json").write_text('{\n  "log_history": []\n}')
    assert find_runs(tmp_path) == [tmp_path / "alone"]


def test_a_growing_event_file_is_read_from_where_it_was_left(
    tmp_path: Path, writer_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    plain = tensorboard.read_events

    def watched(stream: Any, offset: int, before: Any) -> Events:
        begun.append(offset)
        return plain(stream, offset, before)

    monkeypatch.setattr(tensorboard, "read_events", watched)
    with writer_class(str(tmp_path)) as writer:
        for step in range(1, 41):
            for tag in TAGS:
                writer.add_scalar(tag, 0.1 * step, step)
            if step % 10 == 0:
                writer.flush()
                assert list(read(tmp_path).train.index) == list(range(1, step + 1))
    assert begun[0] == 0
    assert begun == sorted({*begun})
    # A file that was written anew is read anew.
    [file] = tmp_path.glob("*tfevents*")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    assert read(tmp_path).last_step < 25
    file.write_bytes(data)
    assert read(tmp_path).last_step == 40
