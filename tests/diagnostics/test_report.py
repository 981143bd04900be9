"""The HTML report: whole, self-contained, and deaf to whatever a run's texts try."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from diagnostics.diagnosis import diagnose
from diagnostics.examples import example, nan_ridden
from diagnostics.figures import embed
from diagnostics.intervals import number
from diagnostics.regimes import Regime
from diagnostics.report import page, write
from diagnostics.run import Run
from diagnostics.verdicts import Advice
from tests.diagnostics.logged_runs import NOT_KNOWN, logged_run, noisy

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;{{7*7}}"
INK = {"light": "rgb(29, 35, 43)", "dark": "rgb(232, 235, 239)"}
RUNS = [example(Regime.BOTH_FALL), nan_ridden(), logged_run(*noisy((-0.4, -0.9)))]


class Outline(HTMLParser):
    """What a browser would see: tags with their attributes, texts, and contents of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag == "script" and (not self.scripts or self.scripts[-1][0] is not attributes):
            self.scripts.append((attributes, data))
        elif tag == "script":
            self.scripts[-1] = (attributes, self.scripts[-1][1] + data)
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(autouse=True)
def without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave plotly's five megabytes out; that they are embedded has a test of its own."""
    monkeypatch.setattr(embed, "get_plotlyjs", lambda: "/* plotly */")


def seen(*runs: Run) -> Outline:
    return Outline(page([diagnose(run) for run in runs]))


def test_the_whole_library_is_part_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    html = page([diagnose(RUNS[0])])
    assert len(html) > 3_000_000
    assert "Plotly.newPlot" in html


def test_the_report_says_verdict_finding_advice_numbers_and_caveats() -> None:
    run = example(Regime.BOTH_FALL)
    found, text = diagnose(run), seen(run).text
    assert "Both fall since step 10: chosen −0.30 and rejected −0.80 nats/token" in text
    (fall, *_) = found.present
    for advice in fall.advice:
        assert advice.action[1:20] in text
        assert all(flag in text for flag in advice.flags.values())
    for one in found.regime.evidence:
        assert one.quantity in text
        assert one.unit in text
    assert number(found.regime.evidence[0].value, sign=True).replace("-", "−") in text
    for caveat in found.caveats:
        assert caveat[1:30] in text
    assert f"All {len(found.verdicts)} checks" in text


def test_the_phases_are_a_table_and_the_first_is_the_start() -> None:
    text = seen(example(Regime.BOTH_FALL)).text
    assert "0 10 start flat flat flat 10 200 ↓↓ both fall down down up" in text


def test_a_log_without_probes_is_reported_with_its_unit() -> None:
    text = seen(logged_run(*noisy((-0.4, -0.9)), meaning=NOT_KNOWN)).text
    assert "reward units from the reference" in text
    assert "read from the logged rewards" in text


def test_several_runs_get_one_table_one_plane_and_their_differences() -> None:
    first, second = example(Regime.BOTH_FALL), example(Regime.IDEAL, name="other")
    outline = seen(first, replace(second, config={**second.config, "beta": 0.5}))
    assert "Where the configurations differ" in outline.text
    assert re.search(r"Run beta both_fall-0 0\.1 other 0\.5", outline.text)
    links = [attrs["href"] for tag, attrs in outline.tags if tag == "a"]
    assert links == ["#run-0", "#run-1"]
    ids = [attrs.get("id") for tag, attrs in outline.tags if tag == "section"]
    assert ids == ["run-0", "run-1"]


def test_equal_configurations_are_said_to_be_equal() -> None:
    run = example(Regime.IDEAL)
    assert "do not differ" in seen(run, replace(run, name="again")).text


def test_what_was_not_read_is_said() -> None:
    html = page([diagnose(RUNS[0])], [f"{ATTACK}: does not exist"])
    assert f"Not read: {ATTACK}: does not exist" in Outline(html).text


def hostile(run: Run) -> Run:
    """Return the run with an attack in every text that a log may carry."""
    return replace(
        run,
        name=ATTACK,
        method=ATTACK,
        status=ATTACK,
        config={ATTACK: ATTACK, "nested": {"a": ATTACK}},
        caveats=(ATTACK,),
        unrecognised=(ATTACK,),
        source=replace(run.source, path=ATTACK, framework=ATTACK, version=ATTACK, part=ATTACK),
        probes=run.probes.assign(prompt=ATTACK + run.probes["prompt"].astype(str))
        if len(run.probes)
        else run.probes,
        train=run.train.rename(columns={"grad_norm": ATTACK}),
    )


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
@pytest.mark.parametrize("count", [1, 2])
def test_no_text_of_a_run_becomes_markup_or_script(run: Run, count: int) -> None:
    outline, plain = seen(*[hostile(run)] * count), seen(*[run] * count)
    tags = [tag for tag, _ in outline.tags]
    assert "img" not in tags
    assert tags.count("script") == plain_scripts(plain)
    assert not any(name.startswith("on") for _, attrs in outline.tags for name in attrs)
    assert ATTACK in outline.text
    for attributes, body in outline.scripts:
        if attributes.get("type") == "application/json":
            assert "<" not in body
            json.loads(body)


def plain_scripts(outline: Outline) -> int:
    return sum(tag == "script" for tag, _ in outline.tags)


def test_names_reach_figures_as_text_only() -> None:
    outline = seen(hostile(RUNS[0]), hostile(RUNS[0]))
    drawings = [
        json.loads(body) for a, body in outline.scripts if a.get("type") == "application/json"
    ]
    assert drawings
    # The group of a legend entry is a key that is never shown.
    shown = re.sub(r'"legendgroup": "(\\.|[^"\\])*"', "", json.dumps(drawings))
    assert not re.search(r"<(script|img)", shown)


def test_the_page_may_load_nothing() -> None:
    outline = seen(RUNS[0])
    (policy,) = [
        attrs["content"]
        for tag, attrs in outline.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert not any({"src", "srcset"} & set(attrs) for _, attrs in outline.tags)
    assert not any(tag in ("link", "iframe", "object") for tag, _ in outline.tags)


def test_every_figure_is_described_for_those_who_cannot_see_it() -> None:
    plots = [a for tag, a in seen(RUNS[0]).tags if tag == "div" and a.get("class") == "plot"]
    assert len(plots) == 3
    assert all(plot["aria-label"] and plot["role"] == "img" for plot in plots)


def test_a_report_of_nothing_readable_in_a_run_still_opens() -> None:
    empty = logged_run([], [])
    assert "Cannot tell" in seen(empty).text
    assert "Cannot tell" in seen(logged_run(np.full(9, np.nan), np.full(9, np.nan))).text


def test_the_file_is_written_with_its_folder(tmp_path) -> None:
    path = tmp_path / "a" / "b.html"
    write([diagnose(RUNS[0])], path)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.browser
def test_the_report_draws_offline_in_a_browser_light_and_dark_wide_and_narrow(
    tmp_path, chromium: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    sync_api = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "report.html"
    write([diagnose(hostile(RUNS[0])), diagnose(RUNS[2])], path)
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme, width in itertools.product(INK, (1280, 390)):
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True
            )
            tab = context.new_page()
            tab.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
            tab.on("pageerror", lambda error: problems.append(str(error)))
            tab.on("dialog", lambda dialog: problems.append(dialog.message))
            tab.goto(path.as_uri())
            tab.wait_for_selector("div.plot.drawn")
            tab.wait_for_selector("div.plot:not(.drawn)", state="detached")
            ink = tab.evaluate("getComputedStyle(document.querySelector('.plot text')).fill")
            assert ink == INK[scheme]
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            context.close()
        browser.close()
    assert problems == []


def test_json_cannot_end_its_script_whoever_wrote_it() -> None:
    told = embed._inside_script(json.dumps({"a": "</script>\u2028"}, ensure_ascii=False))
    assert "<" not in told
    assert json.loads(told) == {"a": "</script>\u2028"}


def test_the_safe_window_of_a_learning_rate_keeps_its_digits() -> None:
    found = diagnose(example("both_fall"))
    advised = Advice(
        "lower it", "A", "less", "slow", "a source", "learning_rate", (0.0, 7.4e-05), {}
    )
    alarm = replace(found.present[0], advice=(advised,))
    text = page([replace(found, verdicts=(alarm,))])
    assert "learning_rate 0 to 7.4e-05" in text
