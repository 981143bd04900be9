"""Verdicts and comparisons as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from math import isfinite

from diagnostics.comparison import ComparisonRow
from diagnostics.intervals import Interval, number
from diagnostics.phases import RegimeVerdict, name_regime, regime_path
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.share import ShareEstimate, trajectory

WIDTH = 80
TABLE_WIDTH = 120
CHART_ROWS = 7
SMALLEST_ROW = 0.001  # nats per token: the height of a row at least, so that rounding stays flat
CHOSEN, REJECTED, BOTH = "●", "○", "◉"
NOT_KNOWN = "–"
LONGEST_NAME = 24


def line(run: Run) -> str:
    """Return a run's verdict in one line."""
    return " ".join(f"{run.name}: {name_regime(run).sentence}".split())


def card(run: Run) -> str:
    """Return a run's verdict on one screen: sentence, chart, numbers and caveats."""
    verdict = name_regime(run)
    estimates = trajectory(run, verdict.estimate.split)
    last = "no steps" if run.last_step is None else f"step {run.last_step}"
    facts = f"{run.method or 'method not known'} · {run.status} · {last}"
    severity = f"Severity {verdict.severity}. " if verdict.severity else ""
    parts = [
        _beside(run.name, facts),
        *_wrapped(f"{_capital(verdict.sentence)}."),
        *_wrapped(f"{severity}Confidence {verdict.confidence}."),
        *chart(estimates),
        *_numbers(verdict),
        *_path(run, verdict),
        *_list("Note: ", (*verdict.caveats, *run.caveats)),
    ]
    if verdict.regime not in (Regime.IDEAL, Regime.UNKNOWN):
        parts.append(f"More: python -m diagnostics explain {verdict.regime.value}")
    return "\n".join(parts)


def chart(estimates: Sequence[ShareEstimate], width: int = WIDTH) -> list[str]:
    """Return the lines of a small chart of both changes over the steps; none without numbers."""
    paths = {
        CHOSEN: [(one.step, one.delta_chosen.value) for one in estimates],
        REJECTED: [(one.step, one.delta_rejected.value) for one in estimates],
    }
    values = [value for path in paths.values() for _, value in path if isfinite(value)]
    first, last = (estimates[0].step, estimates[-1].step) if estimates else (0, 0)
    if not values or first == last:
        return []
    zero, unit = _scale(min(0.0, *values), max(0.0, *values))
    labels = [number((zero - row) * unit) if row != zero else "0" for row in range(CHART_ROWS)]
    gutter = max(map(len, labels))
    columns = width - gutter - 2
    grid = [[" "] * columns for _ in range(CHART_ROWS)]
    grid[zero] = ["┈"] * columns
    for mark, path in paths.items():
        for step, value in path:
            if isfinite(value):
                x = round((step - first) / (last - first) * (columns - 1))
                y = zero - round(value / unit)
                grid[y][x] = BOTH if grid[y][x] not in (" ", "┈", mark) else mark
    lines = zip(labels, grid, strict=True)
    body = [f"{label:>{gutter}} ┤{''.join(row)}".rstrip() for label, row in lines]
    foot = f"step {first}".ljust(columns - len(str(last))) + str(last)
    legend = f"Change since the start [nats/token]   {CHOSEN} chosen   {REJECTED} rejected"
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
            (_shortened(cell, size).ljust(size) if index < 3 else cell.rjust(size))
            for index, (cell, size) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
    text.insert(2, "─" * (sum(widths) + 2 * (len(heads) - 1)))
    notes = [f"{row.name}: {note}" for row in rows for note in _notes(row)]
    return "\n".join([*text, *([""] if notes else []), *_list("", notes, width)])


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


def _numbers(verdict: RegimeVerdict) -> list[str]:
    """Return the evidence as aligned lines."""
    width = max((len(one.quantity) for one in verdict.evidence), default=0)
    lines = []
    for one in verdict.evidence:
        value = number(one.value, sign=one.quantity.startswith("Δ"))
        interval = (
            "" if one.low is None or one.high is None else f"{number(one.low)}…{number(one.high)}"
        )
        if one.unit == "pairs":
            value = f"{one.value:.0f}"
        lines.append(f"{one.quantity:<{width}}  {value:>8}  {interval:>18}  {one.unit}".rstrip())
    return lines


def _path(run: Run, verdict: RegimeVerdict) -> list[str]:
    spans = regime_path(run, verdict.estimate.split)
    if len(spans) < 2:
        return []
    named = [f"{regime.label.lower()} {start}…{end}" for start, end, regime in spans]
    shown = named if len(named) <= 6 else ["…", *named[-5:]]
    return _wrapped(f"By step: {', '.join(shown)}")


def _beside(left: str, right: str) -> str:
    """Return two texts at the two ends of a line, the left one shortened to fit."""
    room = max(8, WIDTH - len(right) - 2)
    return f"{_shortened(left, room):<{room}}  {right}"


def _shortened(text: str, width: int) -> str:
    """Return the text with its middle left out where it is wider than `width`.

    Both ends of a run's name tell: the project at its front, the seed at its end.
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrapped(text: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _list(prefix: str, items: Iterable[str], width: int = WIDTH) -> list[str]:
    return [
        part
        for item in items
        for part in textwrap.wrap(
            f"{prefix}{item}", width, subsequent_indent="  ", break_on_hyphens=False
        )
    ]
