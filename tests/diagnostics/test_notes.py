"""Tags and notes: kept beside the log, whole, by several at once, and never trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.examples import example
from diagnostics.notes import (
    LONGEST_NOTE,
    LONGEST_TAG,
    MOST_BYTES,
    MOST_TAGS,
    NOTES_NAME,
    Notes,
    NotesRefused,
    notes_file,
    read_notes,
    tags_in,
    write_notes,
)
from diagnostics.readers import find_runs, fingerprint, read
from diagnostics.readers.native import write

MINE = Notes(("baseline", "to publish"), "Before the filter.\nSecond line.")


def test_what_was_noted_is_read_back(tmp_path: Path) -> None:
    write_notes(tmp_path, MINE)
    assert read_notes(tmp_path) == MINE
    assert [path.name for path in tmp_path.iterdir()] == [NOTES_NAME]


def test_the_runs_of_one_log_have_notes_of_their_own(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("x")
    write_notes(log, MINE)
    write_notes(log, Notes(("second",)), part=1)
    assert read_notes(log) == MINE
    assert read_notes(log, 1) == Notes(("second",))
    assert notes_file(log).parent == tmp_path


def test_the_file_goes_with_the_last_note(tmp_path: Path) -> None:
    write_notes(tmp_path, MINE)
    write_notes(tmp_path, MINE, part=1)
    write_notes(tmp_path, Notes())
    assert read_notes(tmp_path, 1) == MINE
    write_notes(tmp_path, Notes(), part=1)
    assert list(tmp_path.iterdir()) == []


def test_notes_are_no_logs_and_do_not_make_a_log_be_read_again(tmp_path: Path) -> None:
    write(example("ideal"), tmp_path / "run")
    table = tmp_path / "own.csv"
    table.write_text("step,rewards/chosen,rewards/rejected\n1,0.1,0.0\n2,0.2,0.0\n")
    logs = [tmp_path / "run", table]
    before = read(logs[0])
    marks = [fingerprint(log) for log in logs]
    for log in logs:
        # A text that would be a log if it were read as one.
        write_notes(log, Notes((), "{'loss': 0.6, 'rewards/chosen': 0.1, 'rewards/rejected': 0}"))
    assert find_runs(tmp_path) == sorted(logs)
    assert [fingerprint(log) for log in logs] == marks
    assert read(logs[0]) == before


def test_a_change_that_the_writer_has_not_seen_is_not_overwritten(tmp_path: Path) -> None:
    write_notes(tmp_path, MINE)
    with pytest.raises(NotesRefused, match="somebody else has changed"):
        write_notes(tmp_path, Notes(("mine",)), before=Notes())
    assert read_notes(tmp_path) == MINE
    write_notes(tmp_path, Notes(("mine",)), before=MINE)
    assert read_notes(tmp_path).tags == ("mine",)


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path, root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from diagnostics.notes import *\n"
        "for n in range(25): write_notes(Path(sys.argv[1]), Notes((f'{sys.argv[2]}-{n}',)),"
        " part=25 * int(sys.argv[2]) + n)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(one)], cwd=root)
        for one in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    for one in range(4):
        for n in range(25):
            assert read_notes(tmp_path, 25 * one + n) == Notes((f"{one}-{n}",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"runs": {"0": {"tags": ["a"], "note": "b"}}}',
        b"[" * 100_000,
        b" " * (MOST_BYTES + 1),
    ],
)
def test_a_file_of_somebody_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    file = notes_file(tmp_path)
    file.write_bytes(content)
    assert read_notes(tmp_path) == Notes()
    with pytest.raises(NotesRefused, match="no file of notes"):
        write_notes(tmp_path, MINE)
    assert file.read_bytes() == content


@pytest.mark.parametrize("runs", [[], {"0": 3}, {"0": {"tags": "abc", "note": 7}}])
def test_entries_of_another_shape_are_none(runs: object, tmp_path: Path) -> None:
    notes_file(tmp_path).write_text(json.dumps({"format": "seesaw-notes", "runs": runs}))
    assert read_notes(tmp_path) == Notes()


def test_what_was_written_by_hand_is_cut_to_what_is_shown(tmp_path: Path) -> None:
    entry = {"tags": ["t" * 99, "", 5, "a\x1b[31m"] * 9, "note": "n" * 5000}
    notes_file(tmp_path).write_text(json.dumps({"format": "seesaw-notes", "runs": {"0": entry}}))
    found = read_notes(tmp_path)
    assert found.tags == ("t" * LONGEST_TAG, "a [31m")
    assert len(found.note) == LONGEST_NOTE


def test_a_link_is_followed_neither_for_reading_nor_for_writing(tmp_path: Path) -> None:
    inside, outside = tmp_path / "run", tmp_path / "secret.json"
    inside.mkdir()
    outside.write_text(json.dumps({"format": "seesaw-notes", "runs": {"0": {"note": "secret"}}}))
    notes_file(inside).symlink_to(outside)
    told = outside.read_text()
    assert read_notes(inside) == Notes()
    with pytest.raises(NotesRefused, match="cannot be kept"):
        write_notes(inside, MINE)
    assert outside.read_text() == told


def test_a_pipe_of_that_name_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(notes_file(tmp_path))
    assert read_notes(tmp_path) == Notes()


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotesRefused, match=r"cannot be kept beside it \(.+\); make .+ writable"):
        write_notes(tmp_path / "gone" / "train.log", MINE)


def test_lengths_are_limited_in_words() -> None:
    with pytest.raises(NotesRefused, match=f"has {LONGEST_TAG + 1} signs"):
        tags_in("t" * (LONGEST_TAG + 1))
    with pytest.raises(NotesRefused, match=f"{MOST_TAGS + 1} tags"):
        tags_in(",".join(f"tag{n}" for n in range(MOST_TAGS + 1)))
    with pytest.raises(NotesRefused, match="2,001 signs"):
        write_notes(Path("nowhere"), Notes((), "n" * (LONGEST_NOTE + 1)))
