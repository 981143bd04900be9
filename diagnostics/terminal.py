"""Diagnoses and comparisons as plain text for a terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from diagnostics.comparison import ComparisonRow
from diagnostics.diagnosis import Diagnosis
from diagnostics.forecast import Forecast
from diagnostics.intervals import Interval, number
from diagnostics.layout import beside, capital, cut, listed, shortened, wrapped
from diagnostics.naming import Basis, NamedPhase
from diagnostics.pathologies import Pathology
from diagnostics.regimes import Regime
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.summary import Summary
from diagnostics.verdicts import Advice, Evidence, Verdict

WIDTH, WIDEST = 80, 100
HEIGHT = 40  # lines of a card at most
TABLE_WIDTH = 120
CHART_ROWS = 7
CHART_POINTS = 36  # of a log
SMALLEST_ROW = 0.001  # nats per token: the height of a row at least, so that rounding stays flat
CHOSEN, REJECTED, BOTH = "●", "○", "◉"
NOT_KNOWN = "–"
SHOWN_PHASES = 6
SHOWN_CAUSES = 2
DEFAULT_FRAMEWORK = "trl"  # whose words most others use
FALLS = (Regime.BOTH_FALL, Regime.REVERSED)  # judged against the tide where samples were scored

Points = Sequence[tuple[int, float, float]]  # step, change of chosen, change of rejected


@dataclass(frozen=True)
class Screen:
    """How much room a card has."""

    width: int = WIDTH
    height: int = HEIGHT

    @classmethod
    def here(cls) -> Screen:
        """Return the room of the terminal that output goes to; 80 columns where it is a file."""
        if not sys.stdout.isatty():
            return cls()
        columns = shutil.get_terminal_size((WIDTH, HEIGHT)).columns
        return cls(width=min(WIDEST, max(WIDTH, columns)))


DEFAULT_SCREEN = Screen()


def line(diagnosis: Diagnosis, screen: Screen = DEFAULT_SCREEN) -> str:
    """Return a run's verdict in one line, with the names of what else is wrong."""
    others = [
        f"{one.pathology.replace('_', ' ')}{'' if one in diagnosis.present else ' (suspected)'}"
        for one in (*diagnosis.present, *diagnosis.suspected)
        if one.pathology != diagnosis.leading
    ]
    also = f"; also {', '.join(others)}" if others else ""
    return " ".join(f"{diagnosis.run.name}: {diagnosis.regime.sentence}{also}".split())


def card(diagnosis: Diagnosis, screen: Screen = DEFAULT_SCREEN) -> str:
    """Return a diagnosis on one screen.

    Sentence, chart, numbers, phases, what is wrong and what to try, caveats: in this order, and
    what does not fit is counted, the least important first.
    """
    run, verdict, width = diagnosis.run, diagnosis.regime, screen.width
    by_tide = any("tide-corrected" in one.quantity for one in verdict.evidence)
    beyond = " beyond the tide" if by_tide and verdict.regime in FALLS else ""
    severity = f"Severity {verdict.severity}{beyond}. " if verdict.severity else ""
    top = [
        beside(run.name, _facts(diagnosis), width),
        *wrapped(f"{capital(verdict.sentence)}.", width),
        *wrapped(f"{severity}Confidence {verdict.confidence}.", width),
        *chart(points_of(diagnosis), _unit(diagnosis), width),
        *_numbers(verdict.evidence),
        *_phases(verdict.phases, width),
    ]
    last = [f"More: python -m diagnostics explain {name}" for name in _to_explain(diagnosis)[:1]]
    sections = [
        [_finding(one, diagnosis, width) for one in diagnosis.present],
        [_cause(one.sentence, width) for one in diagnosis.causes[:SHOWN_CAUSES]],
        _forecast(diagnosis, width),
        [_hint(one, width) for one in diagnosis.suspected],
        [wrapped(f"Note: {one}", width, "  ") for one in diagnosis.caveats],
    ]
    room = screen.height - len(top) - len(last)
    return "\n".join([*top, *_fitted(sections, room, width), *last])


def points_of(diagnosis: Diagnosis) -> Points:
    """Return what the chart of a diagnosis draws: the probe's changes, or the logged ones."""
    reading = diagnosis.reading
    if reading.estimates:
        return [
            (one.step, one.delta_chosen.value, one.delta_rejected.value)
            for one in reading.estimates
        ]
    logged = reading.changes
    if logged is None:
        return []
    finite = np.isfinite(logged.chosen) & np.isfinite(logged.rejected)
    kept = np.flatnonzero(finite)
    # Means over stretches of the log: a chart of single batches is a cloud.
    blocks = [block for block in np.array_split(kept, CHART_POINTS) if len(block)]
    return [
        (
            int(logged.steps[block[-1]]),
            float(logged.chosen[block].mean()),
            float(logged.rejected[block].mean()),
        )
        for block in blocks
    ]


def chart(points: Points, unit: str = NATS_PER_TOKEN, width: int = WIDTH) -> list[str]:
    """Return the lines of a small chart of both changes over the steps; none without numbers."""
    paths = {
        CHOSEN: [(step, chosen) for step, chosen, _ in points],
        REJECTED: [(step, rejected) for step, _, rejected in points],
    }
    values = [value for path in paths.values() for _, value in path if isfinite(value)]
    first, last = (points[0][0], points[-1][0]) if points else (0, 0)
    if not values or first == last:
        return []
    zero, height = _scale(min(0.0, *values), max(0.0, *values))
    labels = [number((zero - row) * height) if row != zero else "0" for row in range(CHART_ROWS)]
    gutter = max(map(len, labels))
    columns = width - gutter - 2
    grid = [[" "] * columns for _ in range(CHART_ROWS)]
    grid[zero] = ["┈"] * columns
    for mark, path in paths.items():
        for step, value in path:
            if isfinite(value):
                x = round((step - first) / (last - first) * (columns - 1))
                y = zero - round(value / height)
                grid[y][x] = BOTH if grid[y][x] not in (" ", "┈", mark) else mark
    lines = zip(labels, grid, strict=True)
    body = [f"{label:>{gutter}} ┤{''.join(row)}".rstrip() for label, row in lines]
    foot = f"step {first}".ljust(columns - len(str(last))) + str(last)
    short = unit.replace("nats per token", "nats/token").replace("nats per ", "nats/")
    legend = f"Change since the start [{short}]   {CHOSEN} chosen   {REJECTED} rejected"
    return ["", legend, *body, " " * (gutter + 2) + foot, ""]


def _scale(low: float, high: float) -> tuple[int, float]:
    """Return the row of zero and the height of a row, so that `low` to `high` fits the chart."""
    last = CHART_ROWS - 1
    fits = [
        (max(high / row if row else 0.0, -low / (last - row) if row < last else 0.0), row)
        for row in range(CHART_ROWS)
        if (row or high <= 0) and (row < last or low >= 0)
    ]
    unit, zero = min(fits, key=lambda fit: (fit[0], abs(fit[1] - last / 2)))
    return zero, max(unit, SMALLEST_ROW)


def catalogue(pathologies: Sequence[Pathology], regimes: Sequence[Regime]) -> str:
    """Return every name that can be explained, with what it is in a few words."""
    rows = [(one.name, one.text.strip().partition("\n")[0]) for one in pathologies]
    rest = [(one.value, one.label) for one in regimes if one.value not in dict(rows)]
    size = max(len(name) for name, _ in (*rows, *rest))
    shown = [
        entry
        for heading, entries in (("Pathologies", rows), ("Regimes", rest))
        for entry in (heading, *(f"  {name:<{size}}  {text}" for name, text in entries))
    ]
    return "\n".join(cut(entry, WIDEST) for entry in shown)


def comparison(rows: Sequence[ComparisonRow], width: int = TABLE_WIDTH) -> str:
    """Return the rows as an aligned table at most `width` wide, caveats below it."""
    heads = (
        ("run", ""),
        ("method", ""),
        ("regime", ""),
        ("S", "share of margin, 95 %"),
        ("Δ chosen", "nats/token"),
        ("Δ rejected", "nats/token"),
        ("reward", "acc. %"),
        ("ranking", "acc. %"),
        ("drift", "nats/token"),
    )
    table = [list(column) for column in zip(*heads, strict=True)]
    table += [_cells(row) for row in rows]
    widths = [max(len(cells[index]) for cells in table) for index in range(len(heads))]
    # The name is what gives way when the rest is wide.
    widths[0] = min(widths[0], max(8, width - sum(widths[1:]) - 2 * (len(heads) - 1)))
    text = [
        "  ".join(
            (shortened(cell, size).ljust(size) if index < 3 else cell.rjust(size))
            for index, (cell, size) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
    text.insert(2, "─" * (sum(widths) + 2 * (len(heads) - 1)))
    notes = [f"{row.name}: {note}" for row in rows for note in _notes(row)]
    return "\n".join([*text, *([""] if notes else []), *listed("", notes, width)])


def differences(whole: Summary, width: int = TABLE_WIDTH) -> list[str]:
    """Return the lines below a comparison: its sentences, and the settings that differ."""
    settings = [
        f"{name}: " + ", ".join(NOT_KNOWN if value is None else str(value) for value in values)
        for name, values in whole.settings.items()
    ]
    sections = (
        ("In short", list(whole.headlines)),
        ("Differences", list(whole.sentences)),
        ("Settings that differ", settings),
    )
    lines: list[str] = []
    for title, texts in sections:
        if texts:
            lines += ["", title, *listed("- ", texts, width)]
    return lines


def _cells(row: ComparisonRow) -> list[str]:
    return [
        row.name,
        row.method or NOT_KNOWN,
        row.regime.label.lower(),
        _interval(row.share),
        _value(row.delta_chosen, sign=True),
        _value(row.delta_rejected, sign=True),
        _percent(row.reward_accuracy),
        _percent(row.ranking_accuracy),
        _value(row.drift),
    ]


def _notes(row: ComparisonRow) -> Iterable[str]:
    if row.verdict.reason:
        yield row.verdict.sentence
    yield from row.caveats


def _value(interval: Interval | None, *, sign: bool = False) -> str:
    return NOT_KNOWN if interval is None else number(interval.value, sign=sign)


def _percent(interval: Interval | None) -> str:
    return NOT_KNOWN if interval is None else f"{100 * interval.value:.0f}"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return NOT_KNOWN
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


# The parts of a card.


def _facts(diagnosis: Diagnosis) -> str:
    run = diagnosis.run
    last = "no steps" if run.last_step is None else f"step {run.last_step}"
    return f"{run.method or 'method not known'} · {run.status} · {last}"


def _unit(diagnosis: Diagnosis) -> str:
    logged = diagnosis.reading.changes
    if diagnosis.regime.basis is Basis.PROBE or logged is None:
        return NATS_PER_TOKEN
    return logged.unit


def _numbers(evidence: Sequence[Evidence]) -> list[str]:
    """Return the evidence as aligned lines."""
    width = max((len(one.quantity) for one in evidence), default=0)
    lines = []
    for one in evidence:
        value = number(one.value, sign=one.quantity.startswith("Δ"))
        interval = (
            "" if one.low is None or one.high is None else f"{number(one.low)}…{number(one.high)}"
        )
        if one.unit in ("pairs", "records"):
            value = f"{one.value:.0f}"
        lines.append(f"{one.quantity:<{width}}  {value:>8}  {interval:>18}  {one.unit}".rstrip())
    return lines


def _phases(phases: Sequence[NamedPhase], width: int) -> list[str]:
    if len(phases) < 2:
        return []
    named = [f"{one.label} {one.start}…{one.end}" for one in phases]
    shown = named if len(named) <= SHOWN_PHASES else ["…", *named[1 - SHOWN_PHASES :]]
    return wrapped(f"By step: {', '.join(shown)}", width, "  ")


def _finding(verdict: Verdict, diagnosis: Diagnosis, width: int) -> list[str]:
    """Return what is wrong in a few lines: the sentence unless it leads the card, and a remedy."""
    title = capital(verdict.pathology.replace("_", " "))
    severity = f" ({verdict.severity})" if verdict.severity else ""
    leads = verdict.pathology == diagnosis.leading
    said = [] if leads else [f"{title}{severity}: {verdict.sentence}."]
    lines = [part for text in said for part in wrapped(text, width, "  ")]
    against = f"Try against {title.lower()}" if leads else "  Try"
    for one in verdict.advice[:1]:
        remedy = _remedy(one, diagnosis.run.source.framework)
        lines += wrapped(f"{against}: {remedy}", width, "    ")
    return lines


def _remedy(advice: Advice, framework: str) -> str:
    """Return the change in words, and as the run's own framework writes it."""
    plain = framework.lower().replace("-", "")
    name = next((name for name in advice.flags if name in plain), DEFAULT_FRAMEWORK)
    flag = f"; {name}: {advice.flags[name]}" if name in advice.flags else ""
    return f"{advice.action.rstrip('.')} (evidence {advice.strength}{flag})."


def _cause(sentence: str, width: int) -> list[str]:
    return wrapped(f"Cause: {sentence}.", width, "  ")


def _forecast(diagnosis: Diagnosis, width: int) -> list[list[str]]:
    """Return the forecast of a run that still trains; of a finished one it is of no use."""
    found = diagnosis.forecast
    if diagnosis.run.status != "running" or not isinstance(found, Forecast):
        return []
    return [wrapped(f"Forecast: {found.sentence}.", width, "  ")]


def _hint(verdict: Verdict, width: int) -> list[str]:
    title = capital(verdict.pathology.replace("_", " "))
    return wrapped(f"Suspected: {title.lower()}: {verdict.sentence}.", width, "  ")


def _to_explain(diagnosis: Diagnosis) -> list[str]:
    regime = diagnosis.regime.regime
    names = sorted(
        (one.pathology for one in diagnosis.present), key=lambda name: name != diagnosis.leading
    )
    if names or regime in (Regime.IDEAL, Regime.UNKNOWN):
        return names
    return [regime.value]


def _fitted(sections: Sequence[Sequence[list[str]]], room: int, width: int) -> list[str]:
    """Return the sections' blocks in `room` lines; blocks that do not fit are counted.

    Every section keeps its first block before any gets its second.
    """
    order = sorted(
        ((place, index) for index, blocks in enumerate(sections) for place in range(len(blocks)))
    )
    left, kept = room - 1, set()
    for place, index in order:
        size = len(sections[index][place])
        if size <= left:
            kept.add((place, index))
            left -= size
    lines = [
        part
        for index, blocks in enumerate(sections)
        for place, block in enumerate(blocks)
        if (place, index) in kept
        for part in block
    ]
    missing = len(order) - len(kept)
    if missing:
        lines.append(f"… and {missing} more; all with --json, or report --html FILE")
    return lines
