"""The overview as a script: filters, groups, picks and notes; with no runs and with hundreds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.examples import TRUTH, example, nan_ridden
from diagnostics.figures.style import REFERENCE, regime_label
from diagnostics.notes import Notes, read_notes, write_notes
from diagnostics.readers.native import write
from diagnostics.runlog import RunLog
from pages.components.text import literal

Page = Callable[..., AppTest]
THREE = ("both_fall", "both_rise", "ideal")


def words(app: AppTest) -> str:
    """Return all text of the page's body, one element a line."""
    found = [*app.title, *app.header, *app.markdown, *app.caption, *app.info, *app.error, *app.code]
    return "\n".join(str(element.value) for element in found)


def figures(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def listed(app: AppTest, column: str = "Run") -> list[Any]:
    assert not app.exception
    return list(app.dataframe[0].value[column]) if app.dataframe else []


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run of each of three regimes, one of them with notes."""
    place = tmp_path_factory.mktemp("kept") / "runs"
    for regime in THREE:
        write(example(regime, evaluations=6), place / regime)
    write_notes(place / "ideal", Notes(("to publish",), "Prompts are too long."))
    return place


@pytest.fixture
def read_only(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder for tests that leave it as it is; what was read of it stays read."""
    monkeypatch.setenv("SEESAW_RUNS", str(kept))
    return kept


@pytest.fixture
def three(kept: Path, folder: Path) -> Path:
    """A copy of it without notes, for tests that change something."""
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    write_notes(folder / "ideal", Notes())
    return folder


def seeds(folder: Path, *, settings: bool = True) -> None:
    """Write three seeds of DPO and two of ORPO, with or without their configuration."""
    for method, count in (("dpo", 3), ("orpo", 2)):
        for seed in range(count):
            run = example("both_fall", seed=seed, method_name=method, evaluations=6)
            config = {"beta": 0.1, "seed": seed, "output_dir": f"o/{seed}"} if settings else {}
            name = f"{method}-seed{seed}"
            write(replace(run, name=name, config=config, header={}), folder / name)


def test_without_runs_the_page_says_where_it_looked_and_how_to_start(
    page: Page, folder: Path
) -> None:
    app = page("overview")
    assert not app.exception
    assert literal(folder) in words(app)
    assert "python -m trainer" in words(app)
    assert figures(app) == []
    folder.rmdir()
    assert "No runs yet" in words(page("overview"))


def test_every_run_has_a_path_a_verdict_and_a_row(page: Page, folder: Path) -> None:
    for regime in TRUTH:
        write(example(regime, evaluations=6), folder / regime)
    app = page("overview")
    assert listed(app) == [f"{regime}-0" for regime in sorted(TRUTH)]
    [plane] = figures(app)
    ends = [trace for trace in plane["data"] if trace["mode"] == "markers"]
    assert len(ends) == len(TRUTH)
    text = words(app)
    for regime in TRUTH:
        assert regime_label(regime) in text
    table = app.dataframe[0].value
    fall = table[table["Run"] == "both_fall-0"].iloc[0]
    assert fall["Δ chosen"] == pytest.approx(-0.3, abs=1e-3)
    assert fall["Δ rejected"] == pytest.approx(-0.8, abs=1e-3)
    assert fall["S"] == pytest.approx(-0.6, abs=1e-2)
    assert fall["Method"] == "dpo"
    assert "nats per token" in text


def test_what_is_worst_is_listed_first_and_the_healthy_last(page: Page, read_only: Path) -> None:
    app = page("overview")
    text = words(app)
    names = [literal(f"{regime}-0") for regime in ("both_fall", "both_rise", "ideal")]
    places = [text.index(f" {name}") for name in names]
    assert places[2] == max(places)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"find": "BOTH fall"}, ["both_fall-0"]),
        ({"find": "runs/both"}, ["both_fall-0", "both_rise-0"]),
        ({"find": "publish"}, ["ideal-0"]),
        ({"find": "too long"}, ["ideal-0"]),
        ({"method": "dpo"}, ["both_fall-0", "both_rise-0", "ideal-0"]),
        ({"method": "house_blend"}, ["both_fall-0", "both_rise-0", "ideal-0"]),
        ({"regime": "both fall"}, ["both_fall-0"]),
        ({"status": "completed", "regime": "ideal"}, ["ideal-0"]),
        ({"status": "failed"}, []),
        ({"find": "../../etc"}, []),
    ],
)
def test_a_filter_in_the_url_decides_what_is_shown(
    query: dict[str, str], found: list[str], page: Page, read_only: Path
) -> None:
    app = page("overview", **query)
    assert listed(app) == found
    [summary] = [one.value for one in app.markdown if one.value.startswith("3 runs")]
    assert "both\u00a0rise\u00a01" in summary


def test_filters_that_let_nothing_through_can_be_taken_back(page: Page, read_only: Path) -> None:
    app = page("overview", find="nothing is called so", regime="ideal")
    assert "None of the 3 runs" in words(app)
    next(one for one in app.button if one.label == "Show all runs").click().run()
    assert len(listed(app)) == 3


def test_picked_runs_come_from_the_url_and_the_others_step_back(
    page: Page, read_only: Path
) -> None:
    app = page("overview", runs="runs/ideal")
    assert len(listed(app)) == 3
    traces = figures(app)[0]["data"]
    faint = [trace for trace in traces if trace["name"] == "ends"]
    assert [set(trace["marker"]["color"]) for trace in faint] == [{REFERENCE}]
    assert {trace["name"] for trace in traces} == {"ideal-0", "ends"}
    text = words(app)
    assert "**1 picked**" in text
    assert literal("Both fall since") not in text


def test_two_picked_runs_are_offered_for_comparison_and_report(page: Page, read_only: Path) -> None:
    app = AppTest.from_file(str(Path(__file__).parents[2] / "app.py"), default_timeout=120)
    app.query_params["runs"] = ["runs/ideal", "runs/both_fall"]
    app.run()
    links = {link.proto.label: link.proto for link in app.get("page_link")}
    assert "**Compare 2 runs →**" in links
    asked = links["**Compare 2 runs →**"].query_string
    assert asked == "runs=runs%2Fideal&runs=runs%2Fboth_fall"
    assert [button.proto.label for button in app.get("download_button")].count("Report") == 1


def test_a_run_keeps_its_colour_when_others_are_hidden(page: Page, read_only: Path) -> None:
    def colours(app: AppTest) -> dict[str, str]:
        return {t["name"]: t["line"]["color"] for t in figures(app)[0]["data"] if "line" in t}

    among_all = colours(page("overview"))
    assert len(set(among_all.values())) == 3
    assert colours(page("overview", find="ideal")) == {"ideal-0": among_all["ideal-0"]}


@pytest.mark.parametrize("settings", [True, False])
def test_seeds_of_one_setting_share_a_row_with_their_range(
    settings: bool, page: Page, folder: Path
) -> None:
    seeds(folder, settings=settings)
    app = page("overview", group="setting")
    assert listed(app, "Group") == ["dpo", "orpo"]
    assert listed(app, "Runs") == [3, 2]
    assert listed(app, "Seeds") == ["0, 1, 2", "0, 1"]
    row = app.dataframe[0].value.iloc[0]
    assert row["Δ chosen, from"] <= row["Δ chosen"] <= row["Δ chosen, to"]
    assert row["S"] == pytest.approx(row["Δ chosen"] / (row["Δ chosen"] - row["Δ rejected"]))
    assert row["Regimes"] == f"{regime_label('both_fall')} 3"


def test_runs_of_one_method_share_a_row(page: Page, folder: Path) -> None:
    seeds(folder)
    app = page("overview", group="method", find="seed1")
    assert listed(app, "Group") == ["DPO", "ORPO"]
    assert listed(app, "Runs") == [1, 1]


@pytest.mark.parametrize("value", ["no/such/run", "../../etc", "runs/../../etc/passwd", ""])
def test_a_run_that_the_url_invents_is_ignored(value: str, page: Page, read_only: Path) -> None:
    app = page("overview", runs=value, group=value, regime=value)
    assert listed(app) == ["both_fall-0", "both_rise-0", "ideal-0"]
    assert "picked**" not in words(app)


def test_tags_and_a_note_are_kept_beside_the_run(page: Page, three: Path) -> None:
    app = page("overview", runs="runs/ideal")
    form = "notes on runs/ideal"
    app.text_input(key=f"{form} tags").input("baseline, to publish")
    app.text_area(key=f"{form} note").input("Before the filter.")
    press(app, "Keep")
    assert read_notes(three / "ideal") == Notes(("baseline", "to publish"), "Before the filter.")
    assert list(listed(app, "Tags")[2]) == ["baseline", "to publish"]
    assert listed(app, "Note")[2] == "Before the filter."


def test_several_picked_runs_get_a_tag_and_keep_their_own(page: Page, three: Path) -> None:
    write_notes(three / "ideal", Notes(("mine",), "Own note."))
    app = page("overview", runs=["runs/ideal", "runs/both_fall"])
    app.text_input(key="notes on runs/both_fall runs/ideal tags").input("sweep 3")
    press(app, "Add")
    assert read_notes(three / "ideal") == Notes(("mine", "sweep 3"), "Own note.")
    assert read_notes(three / "both_fall") == Notes(("sweep 3",))


def test_notes_that_cannot_be_kept_say_why_and_stay_in_the_form(page: Page, three: Path) -> None:
    app = page("overview", runs="runs/ideal")
    tags = app.text_input(key="notes on runs/ideal tags")
    tags.input("t" * 50)
    press(app, "Keep")
    assert "has 50 signs" in app.error[0].value
    assert app.text_input(key="notes on runs/ideal tags").value == "t" * 50
    assert read_notes(three / "ideal") == Notes()


def test_what_somebody_else_noted_meanwhile_is_not_overwritten(page: Page, three: Path) -> None:
    app = page("overview", runs="runs/ideal")
    write_notes(three / "ideal", Notes(("theirs",)))
    app.text_input(key="notes on runs/ideal tags").input("mine")
    press(app, "Keep")
    assert "Somebody else has changed the notes" in app.error[0].value
    assert read_notes(three / "ideal").tags == ("theirs",)
    press(app, "Show what is kept now")
    app.text_input(key="notes on runs/ideal tags").input("theirs, mine")
    press(app, "Keep")
    assert read_notes(three / "ideal").tags == ("theirs", "mine")


def press(app: AppTest, label: str) -> None:
    next(one for one in app.button if one.label == label).click().run()
    assert not app.exception


def test_a_log_that_cannot_be_read_has_a_row_that_says_why(page: Page, three: Path) -> None:
    (three / "broken").mkdir()
    (three / "broken" / "run.jsonl").write_text("not a record\n")
    app = page("overview")
    [problem] = app.error
    assert "runs/broken" in problem.value
    assert "could not be read" in problem.value
    assert listed(app) == ["both_fall-0", "both_rise-0", "runs/broken", "ideal-0"]
    row = app.dataframe[0].value.iloc[2]
    assert row["Regime"] == "✕ cannot be read"
    assert "broken" in row["Remarks"]
    assert listed(page("overview", regime="cannot be read")) == ["runs/broken"]


def test_many_unreadable_logs_are_folded_away(page: Page, folder: Path) -> None:
    write(example("ideal"), folder / "ideal")
    for number in range(5):
        (folder / f"broken{number}").mkdir()
        (folder / f"broken{number}" / "run.jsonl").write_text("not a record\n")
    app = page("overview")
    assert len(listed(app)) == 6
    assert len(app.error) == 0
    assert [one.label for one in app.expander] == ["✕ 5 logs could not be read"]


def test_a_nan_ridden_run_opens(page: Page, folder: Path) -> None:
    write(nan_ridden(), folder / "nan")
    app = page("overview", runs="runs/nan")
    assert len(listed(app)) == 1


def test_runs_of_one_record_and_of_none_open_without_a_plane(page: Page, folder: Path) -> None:
    with RunLog.create(folder / "begun", {"name": "begun", "method": "kto"}):
        pass
    with RunLog.create(folder / "one", {"name": "one", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.69, "rewards/chosen": 0.1, "rewards/rejected": 0.0})
    app = page("overview")
    assert listed(app) == ["begun", "one"]
    assert "Cannot tell" in words(app)
    assert "no probe set" in words(app)
    assert figures(app) == []


def test_a_run_of_a_hundred_thousand_steps_is_a_row_like_any_other(
    page: Page, long_run: str
) -> None:
    app = page("overview", runs=long_run)
    assert listed(app, "Last step") == [100_000]
    assert all(len(path) <= 40 for path in listed(app, "Chosen"))


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
    app = page("overview")
    assert "Training now" not in words(app)
    assert listed(app, "Status") == ["◌ silent"]


def test_of_many_runs_the_plane_shows_ends_and_the_list_the_worst(page: Page, folder: Path) -> None:
    run = example("both_fall", pairs=8, evaluations=2)
    for number in range(30):
        write(replace(run, name=f"run-{number:02}"), folder / f"{number:02}")
    app = page("overview")
    while "of 30 runs read" in "".join(one.proto.text for one in app.get("progress")):
        app.run()
    assert len(listed(app)) == 30
    [ends] = figures(app)[0]["data"]
    assert len(ends["text"]) == 30
    assert not figures(app)[0]["layout"]["showlegend"]
    assert "And 6 more, none of them worse, in the table" in words(app)


def test_the_whole_app_opens_on_the_overview(root: Path, read_only: Path) -> None:
    app = AppTest.from_file(str(root / "app.py"), default_timeout=120).run()
    assert not app.exception
    assert app.title[0].value == "All runs on one plane"
    app.switch_page("pages/run.py").run()
    assert not app.exception
    assert literal("-0") in app.title[0].value


def test_what_people_and_logs_write_is_shown_as_text(page: Page, folder: Path) -> None:
    evil = "<script>x</script> ![i](http://evil.example/i.png) :red[q] **b** $x$"
    run = replace(example("both_fall"), name=evil, method=evil, header={"model": evil})
    write(run, folder / "run")
    write_notes(folder / "run", Notes((evil[:40],), evil))
    for group in ("run", "method", "setting"):
        app = page("overview", runs="runs/run", group=group, find="")
        assert not app.exception
        text = words(app)
        for markup in ("http://evil", "![i]", "**b**", ":red["):
            assert markup not in text
    assert literal(evil) in text
