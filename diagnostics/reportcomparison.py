"""The part of the HTML report that holds several runs against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from diagnostics.comparison import ComparisonRow
from diagnostics.courses import course, quantities, units
from diagnostics.diagnosis import Diagnosis
from diagnostics.figures import contrasts as forests
from diagnostics.figures import embed, multiples, style
from diagnostics.figures.plane import Track, plane
from diagnostics.intervals import Interval
from diagnostics.markup import (
    NOT_KNOWN,
    escaped,
    folded,
    sentence,
    shortened,
    span,
    table,
    value_of,
)
from diagnostics.pathologies import PATHOLOGIES
from diagnostics.regimes import Regime
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.summary import Summary
from diagnostics.tables import method_title

COLOURS = {
    Regime.IDEAL: "good",
    Regime.BOTH_RISE: "warn",
    Regime.BOTH_FALL: "warn",
    Regime.REVERSED: "bad",
    Regime.MARGIN_LOSS: "bad",
}
PER_TOKEN = "[nats/token]"
TITLES = {one.name: one.title for one in PATHOLOGIES}


def comparison(found: Sequence[Diagnosis], whole: Summary, places: Sequence[int]) -> str:
    """Return what several runs come to: words, verdicts, figures, differences and settings.

    `places` give each run its colour and its mark.
    """
    looks = {
        row.name: forests.Look(style.run_colour(place), style.run_symbol(place))
        for row, place in zip(whole.rows, places, strict=True)
    }
    marks = [
        f'<span style="color:{look.colour}">{style.run_mark(place)}</span>'
        for look, place in zip(looks.values(), places, strict=True)
    ]
    parts = [
        _short(whole),
        _verdicts(found, whole, marks),
        _legend(whole, marks),
        _moved(found, whole, looks),
        _differences(whole, looks),
        _courses(found, whole, looks),
        _words(whole),
        _settings(whole),
    ]
    return "\n".join(part for part in parts if part)


def badge(regime: Regime) -> str:
    """Return a regime as arrows and words; colour only repeats them."""
    label = style.regime_label(regime.value)
    return f'<span class="badge {COLOURS.get(regime, "calm")}">{escaped(label)}</span>'


def _short(whole: Summary) -> str:
    first, *rest = whole.headlines
    refused = "".join(
        f'<p><span class="badge warn">not compared</span> {_said(whole, text)}</p>'
        for text in whole.refused
    )
    return (
        f'<div class="card"><p class="lead">{_said(whole, first)}</p>{_items(whole, rest)}'
        f"{refused}</div>"
    )


def _verdicts(found: Sequence[Diagnosis], whole: Summary, marks: Sequence[str]) -> str:
    """Return one row a run with its intervals, and what keeps it from comparing."""
    heads = (
        *("Run", "Method", "Regime", "S", f"Δ chosen {PER_TOKEN}", f"Δ rejected {PER_TOKEN}"),
        *(f"Drift {PER_TOKEN}", "Reward acc. [%]", "Ranking acc. [%]", "Present"),
    )
    rows = [
        _row(row, diagnosis, f"#run-{index}", marks[index])
        for index, (row, diagnosis) in enumerate(zip(whole.rows, found, strict=True))
    ]
    caveats = "".join(
        f'<p class="muted">{escaped(row.name)}: {sentence(caveat)}</p>'
        for row in whole.rows
        for caveat in row.caveats
    )
    return f"<h3>The runs</h3>{table(heads, rows, numbers=range(3, 9))}{caveats}"


def _row(row: ComparisonRow, diagnosis: Diagnosis, anchor: str, mark: str) -> list[str]:
    moved = row.verdict.movement
    unit = "" if moved is None or moved.unit == NATS_PER_TOKEN else moved.unit
    names = ", ".join(TITLES.get(one.pathology, one.pathology) for one in diagnosis.present)
    return [
        f'<span class="name">{mark}&nbsp;<a href="{anchor}">{escaped(row.name)}</a></span>',
        escaped(method_title(row.method)),
        badge(row.regime),
        _cell(row.share),
        _cell(moved.chosen if moved else None, unit, sign=True),
        _cell(moved.rejected if moved else None, unit, sign=True),
        _cell(row.drift),
        _percent(row.reward_accuracy),
        _percent(row.ranking_accuracy),
        escaped(names or NOT_KNOWN),
    ]


def _legend(whole: Summary, marks: Sequence[str]) -> str:
    """Return which mark and colour belongs to which run."""
    named = zip(marks, whole.rows, strict=True)
    return f"<p>{' &emsp; '.join(f'{mark}&nbsp;{escaped(row.name)}' for mark, row in named)}</p>"


def _moved(found: Sequence[Diagnosis], whole: Summary, looks: Mapping[str, forests.Look]) -> str:
    """Return all paths on one plane, and the margin that each run gained for its drift."""
    tracks = [
        Track(name, diagnosis.reading.estimates, look.colour, look.symbol)
        for (name, look), diagnosis in zip(looks.items(), found, strict=True)
        if diagnosis.reading.estimates
    ]
    drawn = []
    if tracks:
        drawn.append(
            embed.figure(
                plane(tracks, legend=False),
                "Change of chosen against change of rejected, one path a run",
                "Each path starts at the origin and ends at its mark, with its 95 % interval. "
                "Above the dotted line the margin has grown.",
            )
        )
    if any(one is not None for _, one in whole.efficiency):
        drawn.append(
            embed.figure(
                forests.efficiency(whole.efficiency, looks),
                "Nats of margin for each nat of drift, one row a run",
                "Nats of margin for each nat of drift at the last evaluation, with 95 % intervals.",
            )
        )
    return f'<div class="grid">{"".join(drawn)}</div>' if drawn else ""


def _differences(whole: Summary, looks: Mapping[str, forests.Look]) -> str:
    """Return the differences between runs, and between groups of seeds, as forest plots."""
    against = forests.measure(whole.contrasts)
    than = "the second run minus the first" if against is None else f"each run minus {against}"
    drawn = [
        embed.figure(
            forests.differences(whole.contrasts, quantity, unit, looks),
            f"Difference in {quantity} between runs",
            f"{multiples.LABELS[quantity]}: {than}, with 95 % intervals; a filled mark is beyond "
            "noise.",
        )
        for quantity, unit in forests.panels(whole.contrasts)
    ]
    shown = f'<div class="grid">{"".join(drawn)}</div>' if drawn else ""
    title = f"<h3>What differs at the same {escaped(whole.matched)}</h3>{shown}" if shown else ""
    if not whole.between:
        return title
    seeds = "".join(
        embed.figure(
            forests.between(whole.between, one.quantity),
            f"Difference in {one.quantity} between groups of seeds",
            f"{multiples.LABELS[one.quantity]}: each group of seeds minus "
            f"{whole.between[0].first}, by the spread of the seeds.",
        )
        for one in whole.between[0].differences
    )
    return f'{title}<h3>Seeds of one setting together</h3><div class="grid">{seeds}</div>'


def _courses(found: Sequence[Diagnosis], whole: Summary, looks: Mapping[str, forests.Look]) -> str:
    """Return the courses, one chart a quantity, all of one unit on one scale."""
    every = [
        multiples.Drawn(
            multiples.smoothed(course(name, diagnosis.reading)), look.colour, look.symbol
        )
        for (name, look), diagnosis in zip(looks.items(), found, strict=True)
    ]
    charts = []
    for unit in units([one.course for one in every]):
        drawn = [
            one
            for one in every
            if one.course.unit == unit and one.course.along(whole.matched) is not None
        ]
        shown = quantities([one.course for one in drawn], whole.matched)
        bands = whole.bands if unit == NATS_PER_TOKEN else ()
        draw = partial(
            multiples.by_quantity,
            matched=whole.matched,
            span=multiples.spans(drawn, whole.matched, shown),
            bands=bands,
        )
        charts += [
            embed.figure(
                draw(drawn, quantity),
                f"{multiples.LABELS[quantity]} of every run by {whole.matched}",
            )
            for quantity in shown
        ]
    return f'<h3>The way there</h3><div class="grid">{"".join(charts)}</div>' if charts else ""


def _words(whole: Summary) -> str:
    return folded("Everything in words", _items(whole, whole.sentences))


def _settings(whole: Summary) -> str:
    """Return the settings in which the runs differ, the longer list down."""
    if not whole.settings:
        return '<p class="muted">The settings that the logs state do not differ.</p>'
    names = [row.name for row in whole.rows]
    values = {
        setting: [NOT_KNOWN if one is None else shortened(str(one)) for one in column]
        for setting, column in whole.settings.items()
    }
    title = "<h3>Where the configurations differ</h3>"
    if len(values) >= len(names):
        rows = [
            [f"<code>{escaped(setting)}</code>", *map(escaped, column)]
            for setting, column in values.items()
        ]
        return title + table(("Setting", *names), rows)
    rows = [
        [escaped(name), *(escaped(column[index]) for column in values.values())]
        for index, name in enumerate(names)
    ]
    return title + table(("Run", *values), rows)


def _items(whole: Summary, texts: Sequence[str]) -> str:
    items = "".join(f"<li>{_said(whole, text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def _said(whole: Summary, text: str) -> str:
    """Return a sentence as HTML; a name at its beginning keeps its letters."""
    return sentence(text, capital=not text.startswith(tuple(row.name for row in whole.rows)))


def _cell(interval: Interval | None, unit: str = "", *, sign: bool = False) -> str:
    if interval is None:
        return NOT_KNOWN
    spread = f"{span(interval.low, interval.high)} {escaped(unit)}".strip()
    return f'{value_of(interval, sign=sign)}<br><span class="muted">{spread}</span>'


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return NOT_KNOWN
    low, value, high = (f"{100 * one:.0f}" for one in (interval.low, interval.value, interval.high))
    return f'{value}<br><span class="muted">{low} to {high}</span>'
