"""Every page as a complete script: with no runs, each regime, and logs in awkward states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.examples import TRUTH, example, nan_ridden
from diagnostics.figures.style import regime_label
from diagnostics.readers.native import write
from diagnostics.runlog import RunLog
from pages.components.text import literal

Page = Callable[..., AppTest]
PAGES = ("overview", "run")


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


def test_the_overview_draws_one_path_a_run_and_lists_every_verdict(
    page: Page, folder: Path
) -> None:
    for regime in TRUTH:
        write(example(regime), folder / regime)
    app = page("overview")
    assert fine(app)
    [plane] = figures(app)
    ends = [trace for trace in plane["data"] if trace["mode"] == "markers"]  # type: ignore[attr-defined]
    assert len(ends) == len(TRUTH)
    text = words(app)
    for regime in TRUTH:
        assert regime_label(regime) in text
    [table] = app.dataframe
    assert list(table.value["Run"]) == [f"{regime}-0" for regime in sorted(TRUTH)]
    both_fall = table.value[table.value["Run"] == "both_fall-0"].iloc[0]
    assert both_fall["Δ chosen"] == pytest.approx(-0.3, abs=1e-3)
    assert both_fall["Δ rejected"] == pytest.approx(-0.8, abs=1e-3)
    assert both_fall["S"] == pytest.approx(-0.6, abs=1e-2)


def test_the_overview_compares_only_the_runs_named_in_the_url(page: Page, folder: Path) -> None:
    for regime in ("ideal", "both_rise", "both_fall"):
        write(example(regime), folder / regime)
    app = page("overview", runs="runs/ideal")
    assert fine(app)
    assert list(app.dataframe[0].value["Run"]) == ["ideal-0"]


def test_a_run_keeps_its_colour_when_others_are_hidden(page: Page, folder: Path) -> None:
    for regime in ("ideal", "both_rise", "both_fall"):
        write(example(regime), folder / regime)

    def colours(app: AppTest) -> dict[str, str]:
        traces = figures(app)[0]["data"]
        return {t["name"]: t["line"]["color"] for t in traces if "line" in t}  # type: ignore[attr-defined]

    among_all = colours(page("overview"))
    assert len(set(among_all.values())) == 3
    assert colours(page("overview", runs="runs/ideal")) == {"ideal-0": among_all["ideal-0"]}


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


def test_an_unreadable_run_does_not_take_the_others_with_it(page: Page, folder: Path) -> None:
    write(example("ideal"), folder / "ideal")
    (folder / "broken").mkdir()
    (folder / "broken" / "run.jsonl").write_text("not a record\n")
    app = page("overview")
    assert fine(app)
    assert len(app.error) == 1
    assert list(app.dataframe[0].value["Run"]) == ["ideal-0"]


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


def test_a_growing_run_is_read_again_and_a_finished_one_says_so(page: Page, folder: Path) -> None:
    log = RunLog.create(folder / "live", {"name": "live", "method": "dpo"})
    log.write("train", 1, {"loss": 0.7})
    log.flush()
    app = page("overview")
    assert "live at step 1" in words(app)
    log.write("train", 2, {"loss": 0.6})
    log.flush()
    assert "live at step 2" in words(app.run())
    log.write("end", 2, {"status": "completed"})
    log.close()
    assert "Training now" not in words(app.run())


def test_a_run_that_fell_silent_is_not_called_training(page: Page, folder: Path) -> None:
    with RunLog.create(folder / "killed", {"name": "killed", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.7, "time": 1_000_000.0})
    assert "Training now" not in words(page("overview"))


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


def test_the_whole_app_opens_on_the_overview(root: Path, folder: Path) -> None:
    write(example("ideal"), folder / "ideal")
    app = AppTest.from_file(str(root / "app.py"), default_timeout=120).run()
    assert fine(app)
    assert app.title[0].value == "All runs on one plane"
    app.switch_page("pages/run.py").run()
    assert fine(app)
    assert app.title[0].value == "ideal\\-0"
