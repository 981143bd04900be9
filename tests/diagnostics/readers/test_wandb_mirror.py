"""Copies of a W&B project: what is fetched when, and what lies on the disk meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from diagnostics.diagnosis import diagnose
from diagnostics.errors import ReadError, UnknownFormat
from diagnostics.notes import Notes, read_notes, write_notes
from diagnostics.readers import find_runs, fingerprint, native, wandb_mirror, wandb_online
from diagnostics.readers.wandb_mirror import bring_up_to_date, checked, folder_name, mirror_of
from diagnostics.runlog import LOG_NAME
from tests.diagnostics.readers.wandb_client import FakeApi, FakeRun

PROJECT = "wandb:me/project"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEESAW_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder of runs."""
    place = tmp_path / "runs"
    place.mkdir()
    return place


def row(step: int, count: int) -> dict[str, Any]:
    rewards = {"train/rewards/chosen": -0.01 * step, "train/rewards/rejected": -0.03 * step}
    return {
        "train/loss": 0.5,
        **rewards,
        "train/global_step": step,
        "_step": count,
        "_timestamp": 1e9 + count,
    }


@dataclass
class Broken(FakeRun):
    """A run whose rows cannot be had."""

    def scan_history(self, keys: list[str], page_size: int) -> Iterator[dict[str, Any]]:
        raise ValueError("502 Bad Gateway")


def test_the_runs_of_a_project_become_run_folders(root: Path) -> None:
    api = FakeApi([FakeRun(), FakeRun(id="def", name="other", state="running")])
    look = bring_up_to_date(PROJECT, root, api)
    assert (look.runs, look.fetched, list(look.problems), look.is_whole) == (2, 2, [], True)
    place = root / "wandb-mirror" / "me" / "project"
    assert find_runs(root) == [place / "abc", place / "def"]
    runs = [native.read(path) for path in find_runs(root)]
    assert [(run.name, run.status) for run in runs] == [("dpo", "completed"), ("other", "running")]


def test_a_copy_is_diagnosed_as_the_run_itself(root: Path) -> None:
    run = FakeRun(config={"loss_type": ["sigmoid"]})  # without beta: something to warn of
    bring_up_to_date(PROJECT, root, FakeApi([run]))
    copy = native.read(mirror_of(PROJECT, root) / "abc")
    [read] = wandb_online.read(f"{PROJECT}/abc", client=FakeApi([run]))
    assert read.meaning is not None
    assert read.caveats
    assert (copy.meaning, copy.caveats, copy.method) == (read.meaning, read.caveats, read.method)
    assert (copy.config, copy.unrecognised, copy.status) == (
        read.config,
        read.unrecognised,
        read.status,
    )
    assert copy.source.framework == read.source.framework
    assert copy.train.equals(read.train)
    assert copy.evals.equals(read.evals)
    ours, theirs = diagnose(copy), diagnose(read)
    assert ours.verdicts
    assert (ours.verdicts, ours.regime) == (theirs.verdicts, theirs.regime)


def test_without_a_change_nothing_is_fetched_again(root: Path) -> None:
    api = FakeApi([FakeRun(), FakeRun(id="new", rows=[])])
    assert bring_up_to_date(PROJECT, root, api).fetched == 1  # a run without rows has no log yet
    asked, mark = len(api.found[0].asked), fingerprint(mirror_of(PROJECT, root) / "abc")
    assert asked
    for path in Path(os.environ["SEESAW_CACHE"]).rglob("*.json"):
        path.unlink()
    said: list[str] = []
    look = bring_up_to_date(PROJECT, root, api, say=said.append)
    assert (look.runs, look.fetched, said) == (2, 0, [])
    assert len(api.found[0].asked) == asked
    assert fingerprint(mirror_of(PROJECT, root) / "abc") == mark


@pytest.mark.parametrize("how", ["grown", "ended", "renamed"])
def test_a_run_that_has_changed_is_fetched_again(how: str, root: Path) -> None:
    run = FakeRun(state="running")
    api = FakeApi([run, FakeRun(id="still")])
    bring_up_to_date(PROJECT, root, api)
    if how == "grown":
        run.rows.append(row(21, len(run.rows)))
    elif how == "ended":
        run.state = "crashed"
    else:
        run.name = "baseline"
    assert bring_up_to_date(PROJECT, root, api).fetched == 1
    copy = native.read(mirror_of(PROJECT, root) / "abc")
    assert (copy.last_step, copy.status, copy.name) == {
        "grown": (21, "running", "dpo"),
        "ended": (20, "failed", "dpo"),
        "renamed": (20, "running", "baseline"),
    }[how]


def test_what_people_noted_on_a_copy_outlives_its_growth(root: Path) -> None:
    api = FakeApi([FakeRun()])
    bring_up_to_date(PROJECT, root, api)
    write_notes(mirror_of(PROJECT, root) / "abc", Notes(("keep",), "Mine."))
    api.found[0].rows.append(row(21, len(api.found[0].rows)))
    bring_up_to_date(PROJECT, root, api)
    assert read_notes(mirror_of(PROJECT, root) / "abc") == Notes(("keep",), "Mine.")


def test_a_run_that_is_deleted_on_the_server_stays(root: Path) -> None:
    bring_up_to_date(PROJECT, root, FakeApi([FakeRun(), FakeRun(id="def")]))
    bring_up_to_date(PROJECT, root, FakeApi([FakeRun()]))
    assert [path.name for path in find_runs(root)] == ["abc", "def"]


def test_a_copy_is_as_old_as_the_last_record_of_the_run(root: Path) -> None:
    bring_up_to_date(PROJECT, root, FakeApi([FakeRun()]))
    assert (mirror_of(PROJECT, root) / "abc").stat().st_mtime == 1e9 + 23


def test_what_is_half_written_is_never_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi([FakeRun()])
    seen: list[list[tuple[str, int | None]]] = []

    def write_and_look(run: Any, directory: Any) -> None:
        native.write(run, directory)
        # Everything but the last step: the log is whole, and has not taken its place.
        seen.append([(path.name, native.read(path).last_step) for path in find_runs(root)])

    monkeypatch.setattr(wandb_mirror, "write", write_and_look)
    bring_up_to_date(PROJECT, root, api)
    api.found[0].rows.append(row(21, len(api.found[0].rows)))
    bring_up_to_date(PROJECT, root, api)
    assert seen == [[], [("abc", 20)]]
    place = mirror_of(PROJECT, root)
    assert native.read(place / "abc").last_step == 21
    assert sorted(path.name for path in place.iterdir()) == [".mirror.json", "abc"]
    assert [path.name for path in (place / "abc").iterdir()] == [LOG_NAME]


def test_what_a_killed_server_left_half_written_is_removed(root: Path) -> None:
    place = mirror_of(PROJECT, root)
    for name, age in (("old", 7200), ("fresh", 10)):
        left = place / f".partial-{name}"
        left.mkdir(parents=True)
        os.utime(left, (time.time() - age, time.time() - age))
    bring_up_to_date(PROJECT, root, FakeApi([FakeRun()]))
    assert [path.name for path in place.glob(".partial-*")] == [".partial-fresh"]


@pytest.mark.parametrize(
    "name", ["../../../evil", "/etc/passwd", "..", "", "checkpoint-3", "model", ".hidden", "a\x00b"]
)
def test_no_name_leads_out_of_the_mirror_or_hides_a_run(name: str, root: Path) -> None:
    bring_up_to_date(PROJECT, root, FakeApi([FakeRun(id=name, name="<b>x</b>")]))
    [path] = find_runs(root)
    assert path.parent == mirror_of(PROJECT, root)
    assert native.read(path).name == "<b>x</b>"
    assert list(root.parent.glob("**/evil*")) == []


def test_names_that_differ_keep_their_runs_apart() -> None:
    names = ["a-b", "a/b", "a b", "-a-b", "a\ud800b"]
    assert len({folder_name(name) for name in names}) == len(names)


def test_the_names_of_a_project_lead_nowhere_else(root: Path) -> None:
    assert mirror_of("wandb:../..", root).resolve().is_relative_to(root / "wandb-mirror")
    for address in ("wandb:me", "wandb:me/project/abc", "wandb:", "wandb:me/project/sweeps/s1"):
        with pytest.raises(UnknownFormat, match="expected wandb://entity/project"):
            bring_up_to_date(address, root, FakeApi([]))


def test_a_link_that_leads_out_is_not_written_through(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "wandb-mirror").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReadError, match="leads out of"):
        bring_up_to_date(PROJECT, root, FakeApi([FakeRun()]))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_project_that_cannot_be_listed_leaves_the_copies_and_their_age(root: Path) -> None:
    assert checked(mirror_of(PROJECT, root)) is None
    bring_up_to_date(PROJECT, root, FakeApi([FakeRun()]))
    when = checked(mirror_of(PROJECT, root))
    assert when is not None
    with pytest.raises(ReadError, match=r"me/other: cannot be read .*Could not find project"):
        bring_up_to_date("wandb:me/other", root, FakeApi([]))
    assert not mirror_of("wandb:me/other", root).exists()

    class Unplugged(FakeApi):
        def runs(self, path: str, per_page: int, order: str = "+created_at") -> list[FakeRun]:
            raise ConnectionError("network is unreachable")

    with pytest.raises(ReadError, match=r"network is unreachable.*; check .* the connection"):
        bring_up_to_date(PROJECT, root, Unplugged([]))
    assert checked(mirror_of(PROJECT, root)) == when
    assert [path.name for path in find_runs(root)] == ["abc"]


def test_a_run_that_cannot_be_read_does_not_keep_back_the_others(root: Path) -> None:
    api = FakeApi([FakeRun(id="old"), Broken(id="bad"), FakeRun(id="new")])
    look = bring_up_to_date(PROJECT, root, api)
    assert look.is_whole
    [problem] = look.problems
    assert problem.startswith("wandb:me/project/bad: cannot be read from W&B (502 Bad Gateway)")
    assert [path.name for path in find_runs(root)] == ["new", "old"]
    assert checked(mirror_of(PROJECT, root))
    # What has failed is tried again, and nothing else.
    api.found[1] = FakeRun(id="bad")
    assert bring_up_to_date(PROJECT, root, api).fetched == 1


@dataclass
class Counted(Broken):
    """A broken run that says when it was asked."""

    asked_at: list[str] = field(default_factory=list)

    def scan_history(self, keys: list[str], page_size: int) -> Iterator[dict[str, Any]]:
        self.asked_at.append(self.id)
        return super().scan_history(keys, page_size)


def test_a_server_that_fails_again_and_again_is_left_alone(root: Path) -> None:
    asked: list[str] = []
    api = FakeApi([Counted(id=str(number), asked_at=asked) for number in range(9)])
    look = bring_up_to_date(PROJECT, root, api)
    assert (look.is_whole, len(look.problems)) == (False, 3)
    assert set(asked) == {"8", "7", "6"}  # the newest
    assert checked(mirror_of(PROJECT, root)) is None


def test_a_damaged_state_costs_no_more_than_fetching_again(root: Path) -> None:
    api = FakeApi([FakeRun()])
    for damage in (b"{", b"[]", b'{"runs": 3, "checked": "x"}', orjson.dumps({"runs": {"abc": 1}})):
        bring_up_to_date(PROJECT, root, api)
        (mirror_of(PROJECT, root) / ".mirror.json").write_bytes(damage)
        assert checked(mirror_of(PROJECT, root)) is None
        assert bring_up_to_date(PROJECT, root, api).fetched == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(root: Path) -> None:
    (root / "wandb-mirror").write_text("in the way")
    with pytest.raises(ReadError, match=r"cannot be written \(.*\),.*; check its permissions"):
        bring_up_to_date(PROJECT, root, FakeApi([FakeRun()]))


def test_a_server_that_counts_no_rows_is_asked_for_the_last_step(root: Path) -> None:
    class Older(FakeRun):
        @property
        def historyLineCount(self) -> int:
            raise AttributeError

    run = Older()
    assert bring_up_to_date(PROJECT, root, FakeApi([run])).fetched == 1
    assert bring_up_to_date(PROJECT, root, FakeApi([run])).fetched == 0
    run.rows.append(row(21, len(run.rows)))
    assert bring_up_to_date(PROJECT, root, FakeApi([run])).fetched == 1
