"""The page of one run: its verdict first, curves along any axis, states in between."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from diagnostics import synthetic_logs
from diagnostics.diagnosis import diagnose
from diagnostics.examples import TRUTH, example, gaussian_tilt, nan_ridden
from diagnostics.figures.style import regime_label
from diagnostics.figures.thinning import MAX_POINTS
from diagnostics.phases import name_regime
from diagnostics.readers import read
from diagnostics.readers.native import write
from diagnostics.regimes import Regime
from diagnostics.runlog import RunLog
from pages.components.text import literal, sentence

Page = Callable[..., AppTest]


def words(app: AppTest) -> str:
    """Return all text of the page's body, one element a line."""
    found = [*app.title, *app.header, *app.markdown, *app.caption, *app.info, *app.error, *app.code]
    return "\n".join(str(element.value) for element in found)


def figures(app: AppTest) -> list[dict[str, object]]:
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def axes(app: AppTest) -> set[str]:
    """Return what the curves by step are drawn along."""
    titles = {figure["layout"]["xaxis"]["title"]["text"] for figure in figures(app)}  # type: ignore[index]
    return {title for title in titles if not title.startswith(("Δ", "Contribution"))}


def traces(app: AppTest, name: str) -> list[dict[str, object]]:
    return [trace for one in figures(app) for trace in one["data"] if trace.get("name") == name]  # type: ignore[attr-defined]


def numbers(values: object) -> np.ndarray:
    """Return a series of a figure's JSON, which is a list or a typed array in base64."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
    return np.array(values, dtype=float)


@pytest.fixture
def recorded(root: Path, folder: Path) -> str:
    """The key of a training that was recorded with gradients and tokens."""
    shutil.copytree(root / "examples" / "demo-dpo", folder / "dpo")
    return "runs/dpo"


# The verdict.


@pytest.mark.parametrize("regime", list(TRUTH))
def test_the_verdict_of_each_regime_stands_first(regime: Regime, page: Page, folder: Path) -> None:
    run = example(regime)
    write(run, folder / regime)
    app = page("run", run=f"runs/{regime}")
    assert not app.exception
    text = words(app)
    assert text.count(literal(sentence(name_regime(run).sentence))) == 1
    assert regime_label(regime) in text
    assert app.title[0].value == literal(run.name)
    assert len(figures(app)) >= 6


def test_what_leads_is_told_in_the_card_with_one_remedy_and_the_rest_behind_one_line(
    page: Page, recorded: str, folder: Path
) -> None:
    found = diagnose(read(folder / "dpo"))
    leading, other = found.present[0], found.suspected[0]
    app = page("run", run=recorded, more="true", **{other.pathology: "true"})
    assert not app.exception
    text = words(app)
    first = f"**Try first** {literal(sentence(leading.advice[0].action))}"
    assert f"{first} `{leading.advice[0].flags['seesaw']}`" in text
    for advice in (*leading.advice[1:], *other.advice[1:]):
        assert f"**Try first** {literal(sentence(advice.action))}" not in text
        assert f"{literal(sentence(advice.action))}**" in text  # in the expander
    assert [one.label for one in app.expander][:2] == [
        "What to try · Why · The numbers · What it means",
        f"How, and {len(other.advice) - 1} more to try",
    ]


def test_causes_are_ranked_with_what_speaks_for_them_and_what_would_settle_them(
    page: Page, recorded: str, folder: Path
) -> None:
    app = page("run", run=recorded, more="true")
    causes = diagnose(read(folder / "dpo")).causes
    assert len(causes) > 1
    text = words(app)
    assert f"**Why** {literal(sentence(causes[0].sentence))} :gray[{causes[0].strength}]" in text
    for cause in causes:
        assert f"To settle it: {literal(sentence(cause.settle))}" in text
    tables = [list(table.value["Quantity"]) for table in app.dataframe if "Quantity" in table.value]
    for cause in causes:
        assert [row.quantity for row in cause.evidence] in tables


def test_nothing_is_said_twice(page: Page, folder: Path) -> None:
    write(example("both_fall"), folder / "fall")
    app = page("run", run="runs/fall")
    (fall, *_) = diagnose(read(folder / "fall")).present
    rest = fall.sentence.partition("; ")[2]
    assert "against the tide" in rest
    text = words(app)
    assert literal(sentence(rest)) not in text  # the caveat tells it with its interval
    [caveat] = [one for one in name_regime(read(folder / "fall")).caveats if "tide" in one]
    assert text.count(literal(sentence(caveat))) == 1


def test_a_healthy_run_says_how_many_checks_found_nothing(page: Page, folder: Path) -> None:
    write(example("ideal"), folder / "ideal")
    app = page("run", checks="true")
    found = diagnose(read(folder / "ideal"))
    assert found.healthy
    assert f"None of {len(found.verdicts)} checks found anything wrong" in words(app)
    [table] = [one.value for one in app.dataframe if "Check" in one.value]
    assert list(table["Result"]) == [one.status.value for one in found.verdicts]


def test_a_log_without_probes_shows_its_numbers_and_what_its_margin_is_made_of(
    page: Page, folder: Path
) -> None:
    run = example("both_fall")
    bare = replace(run, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0])
    write(bare, folder / "log")
    app = page("run", run="runs/log")
    assert not app.exception
    found = diagnose(read(folder / "log"))
    text = words(app)
    assert literal(sentence(found.regime.sentence)) in text
    assert "From the logged rewards, in nats per token" in text
    shown = {metric.label: metric.value for metric in app.metric}
    assert float(shown["Δ chosen"].replace("−", "-")) == pytest.approx(-0.30, abs=0.03)
    [chosen], [rejected] = traces(app, "Δ chosen"), traces(app, "−Δ rejected")
    assert numbers(chosen["y"])[-1] == pytest.approx(-0.30, abs=0.05)
    assert numbers(rejected["y"])[-1] == pytest.approx(0.80, abs=0.05)


# The curves.


def test_the_curves_name_the_phases_and_since_when(page: Page, folder: Path) -> None:
    write(example("both_fall", evaluations=6), folder / "fall")
    app = page("run")
    layout = figures(app)[0]["layout"]
    notes = [note["text"] for note in layout["annotations"]]  # type: ignore[index]
    assert notes == ["start", "↓↓ both fall", "since step 10"]


ALONG = {
    "epoch": ("Epoch [passes over the data]", 4 / 3),
    "tokens": ("Tokens", 42_127),
    "time": ("Time since the first record [s]", 13.14),
    "drift": ("Drift [nats per token]", 0.366),
}


def test_every_curve_follows_the_axis_in_the_url(page: Page, recorded: str) -> None:
    for along, (title, end) in ALONG.items():
        app = page("run", run=recorded, x=along)
        assert not app.exception
        assert axes(app) == {title}
        for name in ("chosen", "Δ chosen", "q"):
            x = numbers(traces(app, name)[0]["x"])
            assert x[-1] == pytest.approx(end, rel=1e-2)
        start, after, _ = figures(app)[0]["layout"]["shapes"]  # type: ignore[index]
        marks = numbers(traces(app, "margin, held-out")[0]["x"])
        assert [start["x1"], after["x0"]] == pytest.approx([marks[1]] * 2)


def test_only_axes_that_the_log_supports_are_offered(page: Page, folder: Path) -> None:
    write(example("ideal"), folder / "ideal")
    app = page("run", x="time")
    assert not app.exception
    assert axes(app) == {"Optimizer step"}
    [control] = [one for one in app.get("button_group") if one.key == "x"]
    assert control.options == ["step", "epoch", "tokens", "drift"]


def test_a_stretch_in_the_url_is_what_every_curve_shows(page: Page, recorded: str) -> None:
    app = page("run", run=recorded, zoom="10-40", x="tokens")
    assert not app.exception
    assert "Steps 10 to 40" in words(app)
    loss = numbers(traces(app, "Loss")[0]["x"])
    whole = numbers(traces(page("run", run=recorded, x="tokens"), "Loss")[0]["x"])
    assert len(loss) == 31
    assert set(loss) < set(whole)
    ranges = [figure["layout"]["xaxis"].get("range") for figure in figures(app)]  # type: ignore[index]
    assert [loss[0], loss[-1]] in ranges


def test_a_stretch_that_the_url_invents_is_ignored(page: Page, recorded: str) -> None:
    for zoom in ("40-10", "a-b", "-5-9", "1e9-2e9", "5-5", "<b>", "10-40-50"):
        app = page("run", run=recorded, zoom=zoom)
        assert not app.exception
        assert len(numbers(traces(app, "Loss")[0]["x"])) == 48


def test_another_quantity_and_group_come_from_the_url(page: Page, recorded: str) -> None:
    app = page("run", run=recorded, shown="Log-prob per token", metrics="Machine")
    assert not app.exception
    assert "nats per token" in figures(app)[0]["layout"]["yaxis"]["title"]["text"]  # type: ignore[index]
    assert traces(app, "Token rate")
    assert not traces(app, "Loss")


def test_trends_that_decided_are_drawn_with_their_band(page: Page, folder: Path) -> None:
    write(synthetic_logs.logged_run(-0.4, -1.0, steps=400, every=5), folder / "log")
    app = page("run")
    assert diagnose(read(folder / "log")).reading.fit is not None
    for side in ("chosen", "rejected"):
        [line] = traces(app, f"{side}, trend")
        [band] = traces(app, f"{side}, 95 % band of the trend")
        middle, edges = numbers(line["y"]), numbers(band["y"])
        assert (edges[: len(middle)] > middle).all()
        assert (edges[len(middle) :][::-1] < middle).all()


def test_events_stand_in_a_rail_below_the_curves(page: Page, folder: Path) -> None:
    write(synthetic_logs.bursting(0), folder / "log")
    app = page("run")
    [main, *others] = figures(app)
    assert main["layout"]["yaxis2"]["ticktext"] == ["loss", "gradient"]  # type: ignore[index]
    [spikes] = traces(app, "event: loss")
    assert len(numbers(spikes["x"])) == 8
    assert all("yaxis2" not in one["layout"] for one in others)  # type: ignore[operator]


def test_no_figure_carries_two_units(page: Page, recorded: str) -> None:
    found = figures(page("run", run=recorded))
    assert len(found) > 10
    for figure in found:
        assert "yaxis2" not in figure["layout"]  # type: ignore[operator]
        title = figure["layout"]["yaxis"].get("title", {}).get("text")  # type: ignore[index]
        assert title or "nats per pair" in figure["layout"]["xaxis"]["title"]["text"]  # type: ignore[index]


# Gradients, tokens, forecast.


def test_the_band_and_the_tokens_are_shown_where_they_were_measured(
    page: Page, recorded: str
) -> None:
    app = page("run", run=recorded)
    [q] = traces(app, "q")
    assert numbers(q["y"]) == pytest.approx(np.ones(5))
    assert "lies above the band of 0\\.70 to 0\\.94" in words(app)
    [margin] = traces(app, "margin")[-1:]
    assert margin["orientation"] == "h"
    assert len(margin["error_x"]["array"]) == 6 or "bdata" in margin["error_x"]["array"]  # type: ignore[index]


def going_on(folder: Path) -> None:
    """Write a training in its middle whose chosen side will peak and come down."""
    run = gaussian_tilt((1.0, 0.0), (-1.0, 0.2), range(0, 120, 10))
    config = {**run.config, "max_steps": 260, "lr_scheduler_type": "constant"}
    write(replace(run, status="running", config=config), folder / "run")


def test_the_forecast_of_a_run_that_goes_on_is_drawn_with_its_peak(
    page: Page, folder: Path
) -> None:
    going_on(folder)
    app = page("run")
    assert not app.exception
    [path], [peak] = traces(app, "forecast of chosen"), traces(app, "peak of chosen")
    assert numbers(path["x"])[-1] == 260
    assert numbers(peak["y"])[0] == pytest.approx(0.5, abs=0.01)
    assert "Where chosen is going" in words(app)


def test_a_refused_forecast_says_why_in_one_line(page: Page, folder: Path) -> None:
    write(replace(example("margin_loss"), status="running"), folder / "run")
    app = page("run")
    assert not traces(app, "forecast of chosen")
    assert "No forecast\\: the margin of the probe pairs has not grown" in words(app)


# States.


def test_a_nan_ridden_run_shows_where_its_numbers_are_missing(page: Page, folder: Path) -> None:
    write(nan_ridden(), folder / "nan")
    app = page("run")
    assert not app.exception
    assert "not finite" in words(app)
    assert traces(app, "event: no number")


def test_a_run_of_one_record_is_drawn_and_its_verdict_says_what_is_missing(
    page: Page, folder: Path
) -> None:
    with RunLog.create(folder / "one", {"name": "one", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.69, "rewards/chosen": 0.1, "rewards/rejected": 0.0})
    app = page("run")
    assert not app.exception
    assert "Cannot tell" in words(app)
    assert "no probe set" in words(app)
    assert numbers(traces(app, "chosen")[0]["y"]) == pytest.approx([0.1])


def test_a_run_without_a_record_waits(page: Page, folder: Path) -> None:
    with RunLog.create(folder / "begun", {"name": "begun", "method": "kto"}):
        pass
    app = page("run")
    assert not app.exception
    assert "has not written a training record yet" in words(app)
    assert figures(app) == []


def test_a_failed_run_says_how_it_ended(page: Page, folder: Path) -> None:
    with RunLog.create(folder / "run", {"name": "run", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.69})
        log.write("end", 1, {"status": "failed", "message": "RuntimeError: **out** of memory"})
    app = page("run")
    assert not app.exception
    text = words(app)
    assert "✕ failed" in text
    assert "RuntimeError\\: \\*\\*out\\*\\* of memory" in text


def test_a_run_that_fell_silent_is_not_called_training(page: Page, folder: Path) -> None:
    with RunLog.create(folder / "killed", {"name": "killed", "method": "dpo"}) as log:
        log.write("train", 1, {"loss": 0.7, "time": 1_000_000.0})
    text = words(page("run"))
    assert "◌ silent" in text
    assert "No record for" in text


def test_a_run_of_a_hundred_thousand_steps_is_thinned_with_its_spike(
    page: Page, long_run: str
) -> None:
    app = page("run", run=long_run)
    assert not app.exception
    drawn = [element.proto.spec for element in app.get("plotly_chart")]
    assert max(len(spec) for spec in drawn) < 200_000
    assert [spec for spec in drawn if largest(json.loads(spec)) == 9.0]
    assert traces(app, "event: loss")  # the same spike, in the rail


def largest(figure: dict[str, object]) -> float:
    """Return the largest y of a figure, whose series all keep to the bound."""
    series = [numbers(trace["y"]) for trace in figure["data"]]  # type: ignore[attr-defined]
    assert all(len(values) <= MAX_POINTS + 1 for values in series)
    return max(float(np.nanmax(values)) for values in series)


def test_text_from_a_log_cannot_become_markup(page: Page, folder: Path) -> None:
    name = "<script>x</script> ![i](http://evil.example/i.png) :red[q] **b** $x$"
    header = {"name": name, "method": name, "config": {name: name}}
    with RunLog.create(folder / "run", header) as log:
        log.write("train", 1, {"loss": 0.7, "rewards/chosen": 0.1, "rewards/rejected": 0.0})
    app = page("run")
    assert not app.exception
    text = words(app)
    for harm in ("http://evil", "![i]", "**b**", ":red[", "<script>"):
        assert harm not in text
