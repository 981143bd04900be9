"""Every page as a complete script: with no runs, each regime, and logs in awkward states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.examples import example, nan_ridden
from diagnostics.readers.native import write
from diagnostics.runlog import RunLog
from pages.components.text import literal

Page = Callable[..., AppTest]
PAGES = ("run",)


def words(app: AppTest) -> str:
    """Return all text of the page's body, one element a line."""
    found = [*app.title, *app.header, *app.markdown, *app.caption, *app.info, *app.error, *app.code]
    return "\n".join(str(element.value) for element in found)


def figures(app: AppTest) -> list[dict[str, object]]:
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def fine(app: AppTest) -> bool:
    return not app.exception


@pytest.mark.parametrize("name", PAGES)
def test_without_runs_a_page_says_where_it_looked_and_how_to_start(
    name: str, page: Page, folder: Path
) -> None:
    app = page(name)
    assert fine(app)
    assert literal(folder) in words(app)
    assert "python -m trainer" in words(app)
    assert figures(app) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_folder_that_does_not_exist_is_like_an_empty_one(
    name: str, page: Page, folder: Path
) -> None:
    folder.rmdir()
    app = page(name)
    assert fine(app)
    assert "No runs yet" in words(app)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("value", ["no/such/run", "../../etc", "runs/../../etc/passwd", ""])
def test_a_run_that_the_url_invents_is_ignored(
    name: str, value: str, page: Page, folder: Path
) -> None:
    write(example("ideal"), folder / "ideal")
    app = page(name, run=value, runs=value)
    assert fine(app)
    assert "ideal" in words(app)


@pytest.mark.parametrize("name", PAGES)
def test_a_log_that_cannot_be_read_is_one_sentence_and_no_exception(
    name: str, page: Page, folder: Path
) -> None:
    broken = folder / "broken"
    broken.mkdir()
    (broken / "run.jsonl").write_text("not a record\nneither\n")
    app = page(name)
    assert fine(app)
    assert "runs/broken" in app.error[0].value
    assert "could not be read" in app.error[0].value


@pytest.mark.parametrize("name", PAGES)
def test_a_nan_ridden_run_opens_and_says_so(name: str, page: Page, folder: Path) -> None:
    write(nan_ridden(), folder / "nan")
    app = page(name)
    assert fine(app)
    assert figures(app)
    if name == "run":
        assert "not finite" in words(app)


@pytest.mark.parametrize("name", PAGES)
def test_a_run_of_one_record_opens(name: str, page: Page, folder: Path) -> None:
    with RunLog.create(folder / "one", {"name": "one", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.69, "rewards/chosen": 0.1, "rewards/rejected": 0.0})
    app = page(name)
    assert fine(app)
    assert "Cannot tell" in words(app)
    assert "no probe set" in words(app)


@pytest.mark.parametrize("name", PAGES)
def test_a_run_without_a_record_yet_opens(name: str, page: Page, folder: Path) -> None:
    with RunLog.create(folder / "begun", {"name": "begun", "method": "kto"}):
        pass
    app = page(name)
    assert fine(app)
    assert "● training" in words(app) or "Training now" in words(app)


def test_a_run_that_fell_silent_is_not_called_training(page: Page, folder: Path) -> None:
    with RunLog.create(folder / "killed", {"name": "killed", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.7, "time": 1_000_000.0})


def test_a_name_from_a_log_cannot_become_markup(page: Page, folder: Path) -> None:
    name = "<script>x</script> ![i](http://evil.example/i.png) :red[q] **b** $x$"
    with RunLog.create(folder / "run", {"name": name, "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.7})
    for page_name in PAGES:
        app = page(page_name)
        assert fine(app)
        text = words(app)
        assert "http://evil" not in text
        assert "![i]" not in text
        assert "**b**" not in text
        assert ":red[" not in text
    assert app.title[0].value.startswith("\\<script\\>")
