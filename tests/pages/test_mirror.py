"""Projects of W&B among the roots: what All runs shows of them, and when the server is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.readers import wandb_online
from pages.components import arrivals, jobs, mirror, runs
from tests.diagnostics.readers.wandb_client import FakeApi, FakeRun

Page = Callable[..., AppTest]


class Server(FakeApi):
    """A W&B that counts the questions for a project's runs, and can be unplugged."""

    def __init__(self, found: list[FakeRun]) -> None:
        super().__init__(found)
        self.asked = 0
        self.is_plugged = True
        self.gate = threading.Event()
        self.gate.set()

    def runs(self, path: str, per_page: int, order: str = "+created_at") -> list[FakeRun]:
        self.asked += 1
        assert self.gate.wait(60)
        if not self.is_plugged:
            raise ConnectionError("network is unreachable, see [x](http://evil)")
        return super().runs(path, per_page, order)


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A W&B with two runs in the project that the dashboard is pointed at."""
    found = Server([FakeRun(), FakeRun(id="def", name="[x](http://evil)<b>", state="running")])
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(Api=lambda timeout: found))
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("SEESAW_CACHE", str(tmp_path / "cache"))
    point_at(monkeypatch, folder, "wandb://me/project")
    yield found
    found.gate.set()
    finish()


def point_at(monkeypatch: pytest.MonkeyPatch, *places: object) -> None:
    monkeypatch.setenv("SEESAW_RUNS", os.pathsep.join(map(str, places)))


def finish() -> None:
    """Wait until nobody asks W&B."""
    for thread in threading.enumerate():
        if thread.name == mirror.THREAD:
            thread.join(60)


def words(app: AppTest) -> str:
    assert not app.exception
    found = [*app.markdown, *app.caption, *app.warning, *app.error]
    return "\n".join(str(element.value) for element in found)


def names(app: AppTest) -> list[str]:
    assert not app.exception
    return sorted(app.dataframe[0].value["Run"]) if app.dataframe else []


@pytest.mark.parametrize(
    ("text", "folders", "projects"),
    [
        ("runs:wandb://me/dpo", ["runs"], ["wandb:me/dpo"]),
        ("wandb://me/dpo/:a: wandb://me/kto ", ["a"], ["wandb:me/dpo", "wandb:me/kto"]),
        ("a:https://wandb.ai/me/dpo/workspace?nw=x:b", ["a", "b"], ["wandb:me/dpo"]),
        ("http://10.0.0.7:8080/me/dpo:b", ["b"], ["wandb:me/dpo"]),
        ("wandb://me/dpo:https://wandb.ai/me/dpo:b", ["b"], ["wandb:me/dpo"]),
        ("wandb:offline", ["wandb", "offline"], []),
        ("a://b:xwandb", ["a", "//b", "xwandb"], []),
    ],
)
def test_a_project_stands_between_folders(
    text: str, folders: list[str], projects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEESAW_RUNS", text)
    assert [str(root) for root in runs.roots()] == folders
    assert runs.projects() == projects


def test_where_only_projects_are_named_copies_and_new_runs_go_into_our_own_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEESAW_RUNS", "wandb://me/dpo")
    assert runs.roots() == [root / "runs"]
    assert jobs.folder_of("new-run-of-a-test") == root / "runs" / "new-run-of-a-test"


def test_all_runs_shows_the_runs_of_a_project_once_they_are_copied(
    page: Page, server: Server, folder: Path
) -> None:
    server.gate.clear()
    app = page("overview")  # waits for nothing
    assert "W&B me/project" in words(app)
    assert "nothing was copied yet" in words(app)
    assert names(app) == []
    server.gate.set()
    finish()
    app.run()
    assert names(app) == ["[x](http://evil)<b>", "dpo"]
    assert "2 runs, as of less than a minute ago" in words(app)
    keys = [entry.key for entry in runs.entries()]
    assert keys == ["runs/wandb-mirror/me/project/abc", "runs/wandb-mirror/me/project/def"]
    # What a run is called on W&B is no markup here.
    shown = words(app)
    assert "<b>" not in shown.replace("\\<b\\>", "")
    assert "[x](" not in shown


def test_how_far_a_long_run_is_fetched_is_told_without_markup(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, released = threading.Event(), threading.Event()

    class Long(FakeRun):
        def scan_history(self, keys: list[str], page_size: int) -> Iterator[dict[str, Any]]:
            yield from super().scan_history(keys, page_size)
            if "train/rewards/chosen" in keys:  # twenty rows
                reached.set()
                assert released.wait(60)

    monkeypatch.setattr(wandb_online, "PAGE_ROWS", 2)
    server.found[:] = [Long(name="[x](http://evil)")]
    app = page("overview")
    assert reached.wait(60)
    app.run()
    assert "20 rows" in words(app)
    assert "[x](" not in words(app)
    released.set()
    finish()


def test_a_copy_opens_like_any_run(page: Page, server: Server) -> None:
    page("overview")
    finish()
    app = page("run", run="runs/wandb-mirror/me/project/abc")
    assert not app.exception
    assert "TRL or a trainer with its keys" in words(app)


def test_the_server_is_asked_at_most_once_an_interval(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page("overview")
    finish()
    for _ in range(3):
        app.run()
        finish()
    assert server.asked == 1
    monkeypatch.setattr(mirror, "INTERVAL", 0.0)
    app.run()
    finish()
    assert server.asked == 2


def test_two_looks_never_run_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "INTERVAL", 0.0)
    server.gate.clear()
    for _ in range(5):
        mirror.look()
    assert sum(thread.name == mirror.THREAD for thread in threading.enumerate()) == 1
    server.gate.set()
    finish()
    assert server.asked == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_look_that_breaks_off_is_not_begun_again_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def break_off(address: str, *_: object, **__: object) -> None:
        begun.append(address)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(mirror, "bring_up_to_date", break_off)
    for _ in range(3):
        mirror.look()
        finish()
    assert begun == ["wandb:me/project"]


def test_a_failure_is_one_sentence_and_leaves_what_was_copied(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page("overview")
    finish()
    server.is_plugged = False
    monkeypatch.setattr(mirror, "INTERVAL", 0.0)
    app.run()
    finish()
    monkeypatch.setattr(mirror, "INTERVAL", 60.0)
    app.run()
    [warning] = [one.value for one in app.warning]
    assert "network is unreachable" in warning
    assert "check the address, the key and the connection" in warning
    assert "[x](" not in warning  # nor is what the server says
    assert "What was copied before is shown, as of less than a minute ago" in warning
    assert names(app) == ["[x](http://evil)<b>", "dpo"]


@pytest.mark.parametrize(
    ("client", "told"),
    [
        (None, ("wandb is not installed", "pip install wandb")),
        (SimpleNamespace(Api=lambda timeout: [][0]), ("WANDB\\_API\\_KEY", "wandb login")),
        (SimpleNamespace(Api=lambda timeout: FakeApi([])), ("Could not find project", "address")),
    ],
)
def test_without_a_client_a_key_or_a_project_the_page_says_what_to_do(
    client: Any,
    told: tuple[str, str],
    page: Page,
    server: Server,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point_at(monkeypatch, folder, "wandb://me/nowhere")
    monkeypatch.setitem(sys.modules, "wandb", client)
    app = page("overview")
    finish()
    app.run()
    [warning] = [one.value for one in app.warning]
    for words_ in told:
        assert words_ in warning
    assert "Nothing was copied yet" in warning
    assert "No runs yet" in words(app)


def test_what_is_no_project_is_said_and_not_asked_for(
    page: Page, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(monkeypatch, folder, "wandb://me/project/abc")
    app = page("overview")
    finish()
    app.run()
    [warning] = [one.value for one in app.warning]
    assert "expected wandb" in warning
    assert server.asked == 0


def test_runs_that_cannot_be_copied_are_told_beside_the_others(page: Page, server: Server) -> None:
    class Broken(FakeRun):
        def scan_history(self, keys: list[str], page_size: int) -> Iterator[dict[str, Any]]:
            raise ValueError("502 Bad Gateway")

    server.found[1:] = [Broken(id="bad"), FakeRun(id="good", name="good")]
    app = page("overview")
    finish()
    app.run()
    [warning] = [one.value for one in app.warning]
    assert "bad" in warning
    assert "502 Bad Gateway" in warning
    assert names(app) == ["dpo", "good"]


def test_without_a_project_no_thread_is_begun_and_wandb_is_not_imported(
    root: Path, tmp_path: Path
) -> None:
    code = """
import sys, threading
from streamlit.testing.v1 import AppTest
begun, start = [], threading.Thread.start
def record(thread):
    begun.append(thread.name)
    start(thread)
threading.Thread.start = record
app = AppTest.from_file(sys.argv[1], default_timeout=120).run()
assert not app.exception, app.exception
assert begun, "not even the page's own"
print("wandb" in sys.modules, [name for name in begun if "mirror" in name])
"""
    command = [sys.executable, "-c", code, str(root / "pages" / "overview.py")]
    env = {**os.environ, "SEESAW_RUNS": str(tmp_path), "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[-2] == "False []", done.stderr


def test_imports_go_beside_the_copies(server: Server, folder: Path) -> None:
    from diagnostics.examples import example

    assert arrivals.take_in([example("ideal")]) == [folder / "ideal-0"]
