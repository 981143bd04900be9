"""Plain text that fits its screen and holds the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from diagnostics import terminal
from diagnostics.comparison import compare
from diagnostics.diagnosis import diagnose
from diagnostics.examples import example, nan_ridden
from diagnostics.intervals import Interval
from diagnostics.layout import display_width, wrapped
from diagnostics.pathologies import frozen_weights
from diagnostics.regimes import Regime
from diagnostics.run import Run
from tests.diagnostics.probe_runs import any_run, probe_run

RUNS = [*(example(regime) for regime in Regime), nan_ridden()]


def card(run: Run, screen: terminal.Screen = terminal.DEFAULT_SCREEN) -> str:
    return terminal.card(diagnose(run), screen)


def points(run: Run) -> terminal.Points:
    return terminal.points_of(diagnose(run))


def without_probes(run: Run, **changes: object) -> Run:
    return replace(run, probes=run.probes.iloc[:0], **changes)


LOGS = [without_probes(run) for run in RUNS]


@pytest.mark.parametrize("run", [*RUNS, *LOGS])
def test_a_card_fits_a_screen(run: Run) -> None:
    found = diagnose(run)
    for width in (80, 100):
        lines = terminal.card(found, terminal.Screen(width=width)).splitlines()
        assert max(map(display_width, lines)) <= width
        assert len(lines) <= terminal.HEIGHT
        assert all(line == line.rstrip() for line in lines)


def test_a_card_says_who_what_since_when_how_badly_and_in_which_unit() -> None:
    text = card(example(Regime.BOTH_FALL))
    assert text.startswith("both_fall-0 ")
    assert "dpo · completed · step 200" in text
    assert "Both fall since step 10: chosen -0.30 and rejected -0.80 nats/token" in text
    assert "Severity moderate beyond the tide. Confidence high: 64 pairs" in " ".join(text.split())
    assert "By step: start 0…10, both fall 10…200" in text
    assert "margin                        0.50           0.45…0.55  nats per token" in text
    assert "Try against both fall: " in text
    assert text.endswith("More: python -m diagnostics explain both_fall")


def test_a_card_of_a_log_draws_its_rewards_and_says_what_they_are() -> None:
    run = without_probes(example(Regime.BOTH_FALL), caveats=("one line was lost",))
    text = card(run)
    assert "from the reference, by the rewards of 200 logged training batches" in " ".join(
        text.split()
    )
    assert "Change since the start [nats/token]" in text
    assert "logged points                  200" in text
    drawn = points(run)
    assert len(drawn) == terminal.CHART_POINTS
    assert drawn[-1][1:] == pytest.approx((-0.30, -0.80), abs=0.03)
    wide = card(run, terminal.Screen(height=60))
    assert "Note: one line was lost" in wide


def test_a_card_without_any_rewards_draws_nothing_and_says_what_to_log() -> None:
    run = without_probes(example(Regime.IDEAL))
    text = card(replace(run, train=run.train[["loss"]], evals=run.evals.iloc[:0]))
    assert "log rewards/chosen and rewards/rejected" in " ".join(text.split())
    assert terminal.CHOSEN not in text


def test_a_card_cuts_what_is_least_important_and_counts_it() -> None:
    run = replace(example(Regime.BOTH_FALL), caveats=tuple(f"caveat {n}" for n in range(50)))
    lines = card(run).splitlines()
    assert len(lines) <= terminal.HEIGHT
    assert any(line.startswith("… and ") and "more" in line for line in lines)
    assert any(line.startswith("Try against both fall") for line in lines)


def test_a_remedy_is_written_as_the_runs_own_framework_writes_it() -> None:
    run = example(Regime.BOTH_FALL)
    for framework, name in (
        ("TRL", "trl"),
        ("LLaMA-Factory", "llamafactory"),
        ("seesaw", "seesaw"),
    ):
        text = " ".join(card(replace(run, source=replace(run.source, framework=framework))).split())
        assert re.search(rf"\(evidence [A-D]; {name}: \S", text)


def test_a_long_name_gives_way_in_its_middle() -> None:
    name = "project-" + "x" * 100 + "-seed-7"
    first = card(replace(example(Regime.IDEAL), name=name)).splitlines()[0]
    assert len(first) <= 80
    assert first.startswith("project-")
    assert "-seed-7 " in first


def test_a_name_in_wide_characters_takes_the_columns_it_takes() -> None:
    name = "偏好优化实验" * 20
    run = replace(example(Regime.IDEAL), name=name, caveats=("模型" * 100,))
    assert max(map(display_width, card(run).splitlines())) <= 80


def rows_of(mark: str, lines: list[str]) -> list[int]:
    return [row for row, line in enumerate(lines) if mark in line]


def test_the_chart_draws_each_side_where_it_belongs() -> None:
    run = probe_run(np.array([[0.3] * 9, [-0.6] * 9]))
    _, legend, *body, foot, _ = terminal.chart(points(run), width=40)
    assert legend == "Change since the start [nats/token]   ● chosen   ○ rejected"
    assert len(body) == terminal.CHART_ROWS
    assert [line.split()[0] for line in body] == [
        *("0.30", "0.15", "0"),
        *("-0.15", "-0.30", "-0.45", "-0.60"),
    ]
    # Both start at 0 on the left; at the end chosen stands in the first row, rejected in the last.
    assert body[2].split("┤")[1].startswith("◉")
    assert body[0].endswith("●")
    assert body[-1].endswith("○")
    assert len(body[0]) == len(body[-1]) == len(foot) == 40
    assert foot.split() == ["step", "0", "40"]


def test_a_chart_of_nothing_but_rounding_is_a_flat_line() -> None:
    run = probe_run(np.array([[1e-9] * 9, [-1e-9] * 9]))
    body = terminal.chart(points(run))[2:-2]
    assert rows_of("◉", body) == rows_of("┈", body)
    assert not rows_of("●", body)


def test_a_chart_of_nothing_has_its_line_in_the_middle() -> None:
    body = terminal.chart(points(probe_run(np.zeros((2, 9)))))[2:-2]
    assert rows_of("◉", body) == [terminal.CHART_ROWS // 2]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_chart_of_one_direction_keeps_zero_at_its_edge(sign: float) -> None:
    run = probe_run(sign * np.array([[0.3] * 9, [0.6] * 9]))
    body = terminal.chart(points(run))[2:-2]
    assert rows_of("┈", body) == [terminal.CHART_ROWS - 1 if sign > 0 else 0]


def test_one_evaluation_makes_no_chart() -> None:
    run = probe_run(np.ones((2, 9)))
    assert terminal.chart(points(run)[:1]) == []
    assert terminal.chart([]) == []


def test_a_line_is_one_line_whatever_the_name() -> None:
    run = replace(example(Regime.IDEAL), name="two\nlines")
    line = terminal.line(diagnose(run))
    assert line.startswith("two lines: ideal since step 10: chosen +0.25")
    assert "\n" not in line


def test_a_line_names_what_else_is_wrong() -> None:
    run = frozen_weights.PATHOLOGY.example(0)
    assert terminal.line(diagnose(run)).endswith("; also frozen weights")


def test_the_comparison_is_aligned_and_at_most_120_wide() -> None:
    long = replace(RUNS[0], name="a-very-long-name-of-a-run-" * 4, method="aot_unpaired")
    wide = replace(
        compare([long])[0],
        share=Interval(-123.45, -1234.56, -100.0),
        delta_chosen=Interval(-123.4, -130.0, -110.0),
    )
    text = terminal.comparison([*compare(RUNS), wide])
    lines = text.split("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= 120
    assert len(lines) == 3 + len(RUNS) + 1
    assert all(line == line.rstrip() for line in lines)
    ends = [line.rstrip("–0123456789.+-ab") for line in lines[3:]]
    assert all(line.endswith((" ", "n")) for line in ends)
    assert lines[0].split() == [
        *("run", "method", "regime", "S", "Δ", "chosen", "Δ", "rejected"),
        *("reward", "ranking", "drift"),
    ]
    right = lines[0].index("rejected") + len("rejected")
    assert {line[right - 1 : right + 1] for line in lines[3:]} <= {"0 ", "5 ", "– "}


def test_the_comparison_says_the_numbers_and_their_units() -> None:
    _, units, _, row = terminal.comparison(compare([example(Regime.BOTH_FALL)])).splitlines()
    assert units.split() == [
        *("share", "of", "margin,", "95", "%", "nats/token", "nats/token"),
        *("acc.", "%", "acc.", "%", "nats/token"),
    ]
    assert row.split() == [
        *("both_fall-0", "dpo", "both", "fall", "-0.60", "[-0.76,", "-0.47]"),
        *("-0.30", "-0.80", "86", "58", "0.050"),
    ]


def test_the_comparison_says_why_a_run_is_not_told_or_not_comparable() -> None:
    text = terminal.comparison(compare([RUNS[0], example(Regime.UNKNOWN, pairs=32, name="other")]))
    notes = text.split("\n\n")[1]
    assert "other: cannot tell: the probe set was scored 2 times after the start" in notes
    assert "other: scored on other probe pairs than ideal-0" in notes


@settings(max_examples=40)
@given(any_run(stepped=True))
def test_no_run_breaks_the_text(run: Run) -> None:
    assert max(map(display_width, card(run).splitlines())) <= 80
    assert terminal.line(diagnose(run))
    assert terminal.comparison(compare([run, run]))


def test_a_word_wider_than_the_line_is_broken_and_nothing_is_lost() -> None:
    path = "/a/" + "very-long-part/" * 12
    lines = wrapped(f"Note: {path} is it", 60, "  ")
    assert max(map(len, lines)) <= 60
    assert "".join(line.strip() for line in lines).replace(" ", "") == f"Note:{path}isit"
