"""The report of several runs: the sentences, figures and settings of the comparison, all of it."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from diagnostics.diagnosis import diagnose
from diagnostics.examples import example
from diagnostics.figures import embed, style
from diagnostics.report import page
from diagnostics.run import Run
from diagnostics.summary import summarise


@pytest.fixture(autouse=True)
def _without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "get_plotlyjs", lambda: "/* plotly */")


def named(*regimes: str) -> list[Run]:
    return [replace(example(regime), name=regime) for regime in regimes]


def text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<script.*?</script>|<[^>]+>", " ", html, flags=re.S)).split())


@pytest.mark.parametrize("matched", ["step", "margin", "drift"])
def test_the_report_says_every_sentence_of_the_summary(matched: str) -> None:
    runs = named("ideal", "both_fall", "both_rise")
    html = page([diagnose(run) for run in runs], matched=matched)
    said = text(html).replace("−", "-")
    whole = summarise(runs, matched)
    for sentence in (*whole.headlines, *whole.sentences):
        # A name at the beginning keeps its letters, other sentences get a capital.
        assert sentence[1:] in said
    assert "ideal keeps" in said or "both_rise keeps" in said
    assert f"What differs at the same {matched}" in said
    drawn = 3 if matched != "step" else 4
    # The plane and the price; differences and courses; three figures of each run.
    assert html.count('class="plot"') == 2 + 2 * drawn + 3 * len(runs)


def test_refusals_stand_with_their_reason_and_what_can_be_had() -> None:
    one, other = named("ideal", "both_fall")
    other = replace(other, probes=other.probes.assign(prompt="elsewhere"))
    said = text(page([diagnose(one), diagnose(other)]))
    assert "not compared ideal and both_fall are not compared: they were scored on other" in said
    assert "what can be had is the share S" in said
    assert "What differs at the same step" not in said


def test_seeds_are_compared_as_groups() -> None:
    runs = [
        replace(example(regime), name=f"{regime} seed {seed}", config={"beta": beta, "seed": seed})
        for beta, regime in enumerate(("ideal", "both_fall"))
        for seed in range(2)
    ]
    said = text(page([diagnose(run) for run in runs]))
    assert "Seeds of one setting together" in said
    assert "each group of seeds minus ideal, by the spread of the seeds" in said


def test_runs_of_one_name_are_told_apart_and_keep_the_colours_of_the_page() -> None:
    one, other = named("ideal", "both_fall")
    html = page([diagnose(one), diagnose(replace(other, name="ideal"))], places=(4, 7))
    assert "<h2>ideal</h2>" in html
    assert "<h2>ideal #2</h2>" in html
    assert style.run_colour(4) in html
    assert style.run_colour(7) in html
    assert style.run_colour(0) not in html


def test_the_longer_list_of_settings_runs_down() -> None:
    one, other = named("ideal", "both_fall")
    few = text(page([diagnose(one), diagnose(replace(other, config=other.config | {"beta": 9}))]))
    assert "Run beta ideal 0.1 both_fall 9" in few
    config = other.config | {"beta": 9, "max_steps": 7, "seed": 5}
    many = text(page([diagnose(one), diagnose(replace(other, config=config))]))
    assert "Setting ideal both_fall beta 0.1 9 seed 0 5 max_steps 200 7" in many
