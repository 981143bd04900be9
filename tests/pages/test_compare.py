"""The page that compares: any number of runs, any kind of log, and no text becomes markup."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.examples import example, nan_ridden
from diagnostics.figures import style
from diagnostics.phases import name_regime
from diagnostics.readers import read
from diagnostics.readers.native import write
from diagnostics.run import Run
from diagnostics.runlog import RunLog
from diagnostics.summary import summarise
from pages.components import comparison
from pages.components.report import file_name
from pages.components.text import literal, sentence

Page = Callable[..., AppTest]
QUANTITIES = ("Δ chosen", "Δ rejected", "Margin", "Drift")


def words(app: AppTest) -> str:
    found = [*app.title, *app.header, *app.markdown, *app.caption, *app.info, *app.error]
    return "\n".join(str(element.value) for element in found)


def figures(app: AppTest) -> list[dict[str, object]]:
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def small(regime: str) -> Run:
    """Return a run that is quick to read."""
    return replace(example(regime, evaluations=8, pairs=24), name=regime)


def put(folder: Path, *regimes: str) -> list[Run]:
    """Write one run a regime, all scored on the same pairs, and return them as they are read."""
    runs = [small(regime) for regime in regimes]
    for run in runs:
        write(run, folder / run.name)
    return [read(folder / run.name) for run in runs]


def compare(page: Page, names: Sequence[str] = (), **query: str) -> AppTest:
    """Open the page with these runs in its link."""
    return page("compare", runs=[f"runs/{name}" for name in names], **query)


def jittered(run: Run, seed: int) -> Run:
    """Return a run as another seed would have left it: every pair has moved a little more."""
    probes, rng = run.probes.copy(), np.random.default_rng(seed)
    moved = probes["step"] / probes["step"].max() * rng.normal(0, 0.3)
    for side in ("chosen", "rejected"):
        probes[f"logps/{side}"] += moved + rng.normal(0, 0.01, len(probes)) * (probes["step"] > 0)
    return replace(run, probes=probes, config=run.config | {"seed": seed})


def test_without_runs_the_page_says_how_to_start(page: Page, folder: Path) -> None:
    app = compare(page)
    assert not app.exception
    assert literal(folder) in words(app)
    assert figures(app) == []


def test_one_run_is_told_that_it_takes_two(page: Page, folder: Path) -> None:
    put(folder, "ideal", "both_fall")
    app = compare(page, ["ideal"])
    assert not app.exception
    assert app.info[0].value.startswith("A comparison takes two runs")
    assert figures(app) == []


@pytest.mark.parametrize("matched", ["step", "margin", "drift"])
def test_the_page_says_what_the_command_line_says(matched: str, page: Page, folder: Path) -> None:
    runs = put(folder, "ideal", "both_fall", "both_rise")
    app = compare(page, ["ideal", "both_fall", "both_rise"], at=matched)
    assert not app.exception
    found, text = summarise(runs, matched), words(app).replace("\u00a0", " ").replace("**", "")
    assert found.headlines
    assert found.beyond
    for said in (*found.headlines, *found.beyond, *found.within):
        # A name at the beginning keeps its letters, other sentences get a capital.
        assert literal(sentence(said))[1:] in text
    drawn = [one for one in QUANTITIES if one.lower().removeprefix("δ ") != matched]
    for quantity in drawn:
        assert words(app).count(f"**{quantity}**") == 1
    # The plane, the price, and each quantity as differences and as courses.
    assert len(figures(app)) == 2 + 2 * len(drawn)


def test_runs_come_in_the_order_of_the_link_and_keep_their_colours(
    page: Page, folder: Path
) -> None:
    put(folder, "both_fall", "both_rise", "ideal")
    app = compare(page, ["ideal", "both_fall"])
    rows = app.table[0].value["Run"]
    assert [row.rpartition("\u00a0")[2] for row in rows] == ["ideal", "both\\_fall"]
    # Among all runs both_fall is the first and ideal the third.
    assert style.run_colour(2) in rows.iloc[0]
    assert style.run_colour(0) in rows.iloc[1]
    lines = [t for t in figures(app)[0]["data"] if t["mode"] == "lines+markers"]  # type: ignore[attr-defined]
    assert [line["line"]["color"] for line in lines] == [style.run_colour(2), style.run_colour(0)]


def test_verdicts_stand_in_one_table_with_intervals(page: Page, folder: Path) -> None:
    fall = put(folder, "ideal", "both_fall")[1]
    table = compare(page).table[0].value
    row = table[table["Run"].str.contains("fall")].iloc[0]
    assert ":orange-badge[↓↓ both fall]" in row["Regime"]
    (chosen,) = [head for head in table if head.startswith("Δ chosen")]
    assert "nats/token" in chosen
    assert row[chosen].startswith("−0.30  \n:gray[:small[−0.3")
    accuracy = name_regime(fall).estimate.reward_accuracy
    assert accuracy is not None
    low, value, high = (f"{100 * x:.0f}" for x in (accuracy.low, accuracy.value, accuracy.high))
    assert row["Reward acc."] == (f"{value} %  \n:gray[:small[{low}\u00a0to\u00a0{high}\u00a0%]]")


def test_no_more_runs_are_compared_than_can_be_told_apart(page: Page, folder: Path) -> None:
    base = example("ideal", evaluations=5, pairs=8)
    for number in range(22):
        write(replace(jittered(base, number), name=f"run {number:02d}"), folder / f"r{number:02d}")
    app = compare(page)
    assert not app.exception
    text = words(app)
    assert "22 runs are more than can be told apart: these are the first 20" in text
    assert len(app.table[0].value) == 20
    marks = set(app.table[0].value["Run"].str.partition("\u00a0")[0])
    assert len(marks) == 20
    assert "Each run minus" in text
    assert len(figures(app)) <= 12
    assert sum(len(element.proto.spec) for element in app.get("plotly_chart")) < 1_000_000


def test_more_runs_than_lines_get_a_chart_each(page: Page, folder: Path) -> None:
    base = example("ideal", evaluations=5, pairs=8)
    for number in range(9):
        other = replace(jittered(base, number), name=f"r{number}")
        write(replace(other, config={"learning_rate": number}), folder / f"r{number}")
    app = compare(page)
    assert not app.exception
    charts = [drawn for drawn in figures(app) if "xaxis3" in drawn["layout"]]  # type: ignore[operator]
    notes = [n["text"] for one in charts for n in one["layout"]["annotations"]]  # type: ignore[index]
    assert notes == [f"<b>r{number}</b>" for number in range(9)]
    assert not any("yaxis10" in str(one["layout"]) for one in charts)
    ranges = {tuple(one["layout"]["yaxis"]["range"]) for one in charts}  # type: ignore[index]
    assert len(ranges) == 1


def test_seeds_of_one_setting_are_drawn_together_with_their_number(
    page: Page, folder: Path
) -> None:
    for rate, regime in enumerate(("ideal", "both_fall")):
        for seed in range(3):
            run = replace(jittered(small(regime), seed), name=f"{regime} seed {seed}")
            config = {"learning_rate": rate, "seed": seed}
            write(replace(run, config=config), folder / f"{regime}-{seed}")
    app = compare(page)
    assert not app.exception
    text = words(app)
    assert "Seeds of one setting together" in text
    assert "both\\_fall (3 seeds)" in text.replace("\u00a0", " ")
    names = [trace["name"] for one in figures(app) for trace in one["data"]]  # type: ignore[attr-defined]
    assert "ideal, 3 seeds, median" in names
    app.toggle(key="seeds").set_value(False).run()
    names = [trace["name"] for one in figures(app) for trace in one["data"]]  # type: ignore[attr-defined]
    assert "ideal, 3 seeds, median" not in names


def test_only_settings_that_differ_are_shown_unless_all_are_asked_for(
    page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small("ideal")
    for name, beta in (("one", 0.1), ("two", 0.5)):
        config = run.config | {"beta": beta, "output_dir": name}
        write(replace(run, name=name, config=config), folder / name)
    app = compare(page)
    assert list(app.table[-1].value.columns) == ["Run", "beta"]
    app.toggle(key="all_settings").set_value(True).run()
    shown = app.table[-1].value
    known = {"method", "beta", "output_dir", "max_steps"}
    assert set(shown["Setting"]) >= {literal(name) for name in known}
    assert list(shown.columns) == ["Setting", "one", "two"]
    monkeypatch.setattr(comparison, "MOST_CELLS", 0)
    app.run()
    assert set(app.dataframe[0].value["Setting"]) >= known  # a long one, as a grid


def test_logs_without_probes_are_compared_as_far_as_their_units_allow(
    page: Page, folder: Path
) -> None:
    for regime in ("ideal", "both_fall"):
        run = example(regime)
        bare = replace(run, name=regime, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0])
        write(bare, folder / regime)
    app = compare(page, ["ideal", "both_fall"])
    assert not app.exception
    text = words(app).replace("\u00a0", " ")
    assert literal("of the logs: chosen") in text
    assert "no probe set" in text
    assert "the same model on the same data" in text
    assert "**Δ chosen**" in text
    matched = compare(page, ["ideal", "both_fall"], at="margin")
    assert not matched.exception
    assert "needs the same probe pairs in both" in words(matched)
    assert "None of these runs can be held against another here" in words(matched)


def test_logs_of_other_frameworks_open_beside_a_native_run(
    page: Page, folder: Path, root: Path
) -> None:
    put(folder, "ideal")
    for name in ("trainer_state", "llamafactory", "swift"):
        shutil.copytree(root / "tests/data" / name, folder / name)
    for matched in ("step", "drift"):
        app = compare(page, at=matched)
        assert not app.exception
        text = words(app)
        assert ":orange-badge[not compared]" in text
        assert "nan" not in text.replace("miniguanaco\\_nan", "").replace("nanochat", "")


@pytest.mark.parametrize("matched", ["step", "margin"])
def test_awkward_logs_do_not_take_the_others_with_them(
    matched: str, page: Page, folder: Path
) -> None:
    put(folder, "ideal", "flat")
    write(nan_ridden(), folder / "nan")
    with RunLog.create(folder / "one", {"name": "one", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.69, "rewards/chosen": 0.1, "rewards/rejected": 0.0})
    with RunLog.create(folder / "begun", {"name": "begun", "method": "kto"}):
        pass
    (folder / "broken").mkdir()
    (folder / "broken" / "run.jsonl").write_text("not a record\nneither\n")
    app = compare(page, at=matched)
    assert not app.exception
    assert "runs/broken" in app.error[0].value
    assert len(app.table[0].value) == 5
    assert "nan" not in words(app).replace("nan\\-ridden", "")


def test_a_long_run_is_compared_without_growing_the_page(
    page: Page, folder: Path, long_run: str
) -> None:
    put(folder, "both_fall")
    app = compare(page)
    assert not app.exception
    assert len(app.table[0].value) == 2
    assert max(len(element.proto.spec) for element in app.get("plotly_chart")) < 200_000


@pytest.mark.parametrize("value", ["no/such/run", "runs/../../etc/passwd"])
def test_runs_that_the_link_invents_are_ignored(value: str, page: Page, folder: Path) -> None:
    put(folder, "ideal", "both_fall")
    app = page("compare", runs=value, at=value)
    assert not app.exception
    assert len(app.table[0].value) == 2


def test_texts_from_logs_stay_texts(page: Page, folder: Path) -> None:
    evil = "<script>alert(1)</script> ![i](http://evil.example/i.png) :red[q] **b** | $x$"
    for number, regime in enumerate(("ideal", "both_fall")):
        run = small(regime)
        config = run.config | {evil: evil, "beta": number}
        write(replace(run, name=f"{evil} {number}", config=config), folder / regime)
    app = compare(page)
    assert not app.exception
    text = words(app) + "\n".join(app.table[0].value["Run"])
    for markup in ("<script>", "![i]", ":red[q", "**b**", "http://evil"):
        assert markup not in text
    for one in figures(app):
        for trace in one["data"]:  # type: ignore[attr-defined]
            trace.pop("legendgroup", None)  # is never shown
        assert "<script>" not in json.dumps(one)


def test_a_rerun_works_nothing_out_again(
    page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "ideal", "both_fall")
    app = compare(page)
    made = figures(app)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("worked out twice")

    monkeypatch.setattr("diagnostics.tracks.tracks_of", refuse)
    monkeypatch.setattr("diagnostics.summary.tracks_of", refuse)
    app.run()
    assert not app.exception
    assert figures(app) == made


def test_the_report_is_named_after_what_it_shows_whatever_the_name() -> None:
    assert file_name("comparison") == "comparison"
    assert file_name("../../etc/passwd") == "etc-passwd"
    assert file_name('a"<b>\n') == "a-b"
