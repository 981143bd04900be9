"""Finding runs in folders, and telling cheaply whether one has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from diagnostics.errors import UnknownFormat
from diagnostics.readers import DEEPEST, find_runs, fingerprint, read
from diagnostics.runlog import RunLog


def make_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.jsonl").touch()
    return folder


def test_runs_are_found_at_any_depth_up_to_the_bound_sorted_by_path(tmp_path: Path) -> None:
    deep = make_run(tmp_path / "b" / Path(*"123456"[: DEEPEST - 1]))
    make_run(tmp_path / "c" / Path(*"123456"[:DEEPEST]))
    flat = make_run(tmp_path / "a")
    assert find_runs(tmp_path) == [flat, deep]
    assert find_runs(tmp_path, deepest=1) == [flat]


def test_a_run_that_is_the_root_itself_is_found_with_the_runs_inside(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").touch()
    inner = make_run(tmp_path / "inner")
    assert find_runs(tmp_path) == [tmp_path, inner]


@pytest.mark.parametrize(
    "name", ["checkpoint-20", "model", "pairs", "wandb", ".hidden", "__pycache__", "node_modules"]
)
def test_folders_that_hold_no_runs_are_not_entered(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "run")
    make_run(run / name / "copy")
    assert find_runs(tmp_path) == [run]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    run = make_run(tmp_path / "group" / "run")
    (run / "again").symlink_to(tmp_path / "group")
    (run / "self").symlink_to("self")
    (tmp_path / "group" / "up").symlink_to("..")
    (tmp_path / "group" / "root").symlink_to("/")
    (tmp_path / "group" / "broken").symlink_to("nowhere")
    assert find_runs(tmp_path) == [run]
    assert find_runs(tmp_path / "group") == [run]


def test_a_linked_run_is_found_once_under_its_own_path_when_that_is_inside(
    tmp_path: Path,
) -> None:
    elsewhere = make_run(tmp_path / "elsewhere" / "run")
    root = tmp_path / "root"
    own = make_run(root / "zebra")
    (root / "alias").symlink_to(own)
    (root / "linked").symlink_to(elsewhere)
    (root / "linked-twice").symlink_to(elsewhere)
    assert find_runs(root) == [root / "linked", own]


def test_a_linked_root_is_followed(tmp_path: Path) -> None:
    make_run(tmp_path / "data" / "run")
    (tmp_path / "runs").symlink_to("data")
    assert find_runs(tmp_path / "runs") == [tmp_path / "runs" / "run"]


def test_a_root_that_is_absent_or_a_file_holds_no_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert find_runs(tmp_path / "absent") == []
    assert find_runs(tmp_path / "file") == []


def test_a_closed_folder_hides_its_own_runs_only(
    public_folder: Path, as_somebody_else: Callable[[], AbstractContextManager[None]]
) -> None:
    seen = make_run(public_folder / "open" / "run")
    make_run(public_folder / "closed" / "run")
    (public_folder / "closed").chmod(0)
    with as_somebody_else():
        found = find_runs(public_folder)
    (public_folder / "closed").chmod(0o755)
    assert found == [seen]


def test_thousands_of_folders_are_searched_without_opening_a_file(tmp_path: Path) -> None:
    made = []
    for group in range(20):
        for number in range(100):
            made.append(make_run(tmp_path / f"group-{group:02}" / f"run-{number:02}"))
            (made[-1] / "checkpoint-10").mkdir()
    # A file that cannot be opened is found all the same: its name is enough.
    (made[0] / "run.jsonl").unlink()
    (made[0] / "run.jsonl").symlink_to("/proc/self/mem")
    assert find_runs(tmp_path) == made


def test_a_part_of_a_run_is_refused_with_the_run_it_belongs_to(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "checkpoint-20").mkdir()
    with pytest.raises(UnknownFormat, match=f"part of a run, expected the whole of it; give {run}"):
        read(run / "checkpoint-20")


def test_a_fingerprint_changes_with_rows_parts_and_sizes_and_not_otherwise(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    seen = [fingerprint(run)]
    with RunLog.create(run, {}) as log:
        seen.append(fingerprint(run))
        log.write("train", 1, {"loss": 0.5})
        log.flush()
        seen.append(fingerprint(run))
        log.write_pairs("train", 1, 1, {"pair": [0]})
        log.flush()
        seen.append(fingerprint(run))
    assert fingerprint(run) == seen[-1]
    os.utime(run / "run.jsonl", ns=(0, 1))
    seen.append(fingerprint(run))
    (run / "pairs" / "train-00000001-00000001.parquet").unlink()
    seen.append(fingerprint(run))
    assert len(set(seen)) == len(seen)
    # Nothing inside checkpoints belongs to the log.
    (run / "model").mkdir()
    before = fingerprint(run)
    (run / "model" / "weights").touch()
    assert fingerprint(run) == before


def test_a_log_file_and_its_folder_both_follow_the_pair_tables(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = fingerprint(run / "run.jsonl"), fingerprint(run)
    with RunLog(run) as log:
        log.write_pairs("train", 1, 1, {"pair": [0]})
    after = fingerprint(run / "run.jsonl"), fingerprint(run)
    assert before[0] != after[0]
    assert before[1] != after[1]
