"""The store of readings: roots, keys, and what makes a log be read again."""

from __future__ import annotations

import gc
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from diagnostics.examples import example
from diagnostics.readers.native import write
from diagnostics.runlog import RunLog
from pages.components import runs


def test_without_the_variable_the_roots_are_our_own_folders(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.delenv("SEESAW_RUNS", raising=False)
    assert runs.roots() == [root / "runs", root / "examples"]


def test_the_variable_names_several_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAW_RUNS", os.pathsep.join(["/a", " ", "/b"]))
    assert runs.roots() == [Path("/a"), Path("/b")]


def test_a_key_is_the_root_and_the_path_below_it(folder: Path) -> None:
    write(example("ideal"), folder / "sweep" / "one")
    [entry] = runs.entries()
    assert entry.key == "runs/sweep/one"
    assert entry.path == folder / "sweep" / "one"


def test_two_roots_of_one_name_keep_their_runs_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in ("left", "right"):
        write(example("ideal"), tmp_path / side / "runs" / "dpo")
    both = [str(tmp_path / side / "runs") for side in ("left", "right")]
    monkeypatch.setenv("SEESAW_RUNS", os.pathsep.join(both))
    found = runs.entries()
    assert len({entry.key for entry in found}) == 2
    assert len({entry.path for entry in found}) == 2


def test_a_root_inside_another_lists_its_runs_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(example("ideal"), folder / "sweep" / "one")
    monkeypatch.setenv("SEESAW_RUNS", os.pathsep.join([str(folder), str(folder / "sweep")]))
    assert len(runs.entries()) == 1


def test_a_run_keeps_its_place_when_another_appears_before_it(folder: Path) -> None:
    write(example("ideal"), folder / "middle")
    [before] = runs.entries()
    write(example("ideal"), folder / "early")
    early, middle = runs.entries()
    assert (early.key, middle.key) == ("runs/early", "runs/middle")
    assert middle.index == before.index == 0
    assert early.index == 1


def test_a_link_that_leads_out_of_the_root_is_not_followed(folder: Path, tmp_path: Path) -> None:
    write(example("ideal"), tmp_path / "elsewhere" / "secret")
    (folder / "link").symlink_to(tmp_path / "elsewhere" / "secret")
    assert runs.entries() == []


def test_a_log_is_read_once_until_it_changes(folder: Path) -> None:
    with RunLog.create(folder / "live", {"name": "live", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.7})
        log.flush()
        [entry] = runs.entries()
        first = runs.reading(entry)
        again = runs.reading(entry)
        assert again.run is first.run
        assert again.diagnosis is first.diagnosis
        log.write("train", 2, {"loss": 0.6})
        log.flush()
        second = runs.reading(entry)
    assert second.run is not first.run
    assert second.run is not None
    assert second.run.last_step == 2


def test_sessions_that_ask_at_the_same_time_share_one_reading(folder: Path) -> None:
    write(example("ideal"), folder / "one")
    [entry] = runs.entries()
    with ThreadPoolExecutor(10) as sessions:
        found = list(sessions.map(runs.reading, [entry] * 20))
    assert len({id(reading.run) for reading in found}) == 1
    assert len({id(reading.diagnosis) for reading in found}) == 1


def test_a_growing_run_keeps_its_verdict_until_an_evaluation_comes(folder: Path) -> None:
    with RunLog.create(folder / "live", {"name": "live", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.7})
        log.flush()
        [entry] = runs.entries()
        first = runs.reading(entry)
        log.write("train", 2, {"loss": 0.6})
        log.flush()
        second = runs.reading(entry)
        assert second.diagnosis is first.diagnosis
        assert (first.verdict_step, second.verdict_step) == (None, 1)
        log.write("eval", 2, {"loss": 0.65})
        log.flush()
        third = runs.reading(entry)
    assert third.diagnosis is not first.diagnosis
    assert third.verdict_step is None


def test_what_was_held_of_a_run_that_is_gone_is_freed(folder: Path) -> None:
    write(example("ideal"), folder / "one")
    [entry] = runs.entries()
    held = weakref.ref(runs.reading(entry).run)
    (folder / "one").rename(folder.parent / "elsewhere")
    assert runs.entries() == []
    gc.collect()
    assert held() is None


def test_a_run_that_vanishes_is_a_problem_and_not_an_exception(folder: Path) -> None:
    write(example("ideal"), folder / "gone")
    [entry] = runs.entries()
    for path in sorted((folder / "gone").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "gone").rmdir()
    assert "does not exist" in runs.reading(entry).problem


def test_the_track_is_that_of_the_split_the_verdict_speaks_of(folder: Path) -> None:
    write(example("both_fall"), folder / "fall")
    [entry] = runs.entries()
    reading = runs.reading(entry)
    assert reading.verdict is not None
    assert {point.split for point in reading.track} == {reading.verdict.estimate.split}
    assert set(reading.tracks) == {"train", "held_out"}


def test_a_file_of_several_runs_is_listed_run_by_run(folder: Path) -> None:
    one = "{'loss': 0.69, 'rewards/chosen': 0.0, 'rewards/rejected': 0.0, 'epoch': 0.1}\n"
    two = "{'loss': 0.6, 'rewards/chosen': 0.1, 'rewards/rejected': -0.1, 'epoch': 0.2}\n"
    end = "{'train_runtime': 9.0, 'train_loss': 0.65, 'epoch': 0.2}\n"
    (folder / "both.log").write_text((one + two + end) * 2)
    found = runs.entries()
    assert [entry.key for entry in found] == ["runs/both.log", "runs/both.log#2"]
    first, second = (runs.reading(entry) for entry in found)
    assert first.run is not None
    assert second.run is not None
    assert first.run.source.part != second.run.source.part
    assert runs.reading(found[1]).run is second.run


def test_a_table_that_is_no_log_is_not_listed_beside_the_runs(folder: Path) -> None:
    write(example("ideal"), folder / "one")
    (folder / "notes.json").write_text('{"rows": [{"chosen": [1], "rejected": [2], "reward": []}]}')
    (folder / "README.md").write_text("| Step | Rewards/chosen |\n|---|---|\n")
    assert [entry.key for entry in runs.entries()] == ["runs/one"]
