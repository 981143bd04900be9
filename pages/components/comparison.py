"""The parts of a comparison: summary, verdicts, differences, courses, seeds and settings.

What was worked out for some runs is kept until one of them is diagnosed anew: a rerun of the page
draws nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import streamlit as st

from diagnostics import comparisontables
from diagnostics.comparison import ComparisonRow
from diagnostics.configurations import all_settings
from diagnostics.courses import course, quantities, units
from diagnostics.diagnosis import Diagnosis
from diagnostics.figures import contrasts as forests
from diagnostics.figures import multiples, style
from diagnostics.figures.plane import Track, plane
from diagnostics.intervals import Interval
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.summary import Summary, summarise
from diagnostics.tables import method_title
from pages.components import figure
from pages.components.text import bounds, literal, percent, plain, sentence, signed
from pages.components.verdict import COLOURS

# With more runs a chart for each reads better than one line for each in the same chart.
MOST_LINES = 8
MOST_CELLS = 60  # of a table that is text; a larger one is a grid that scrolls
NO_BREAK = "\u00a0"
TALLEST_PLANE = 720  # pixels
COLUMNS = 3  # of charts that hold one run each


@dataclass(frozen=True)
class Compared:
    """Runs held against each other at the same `matched`, and the figures made of them so far.

    `places` are the runs' places among all runs, by which they keep their colours.
    """

    diagnoses: tuple[Diagnosis, ...]
    places: tuple[int, ...]
    summary: Summary
    drawn: tuple[multiples.Drawn, ...]
    made: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of the runs, no two alike."""
        return [row.name for row in self.summary.rows]

    @property
    def lines(self) -> int:
        """How many lines tell the runs, where those of one setting are drawn together."""
        together = {name for group in self.summary.groups for name in group.runs}
        return len(self.names) - len(together) + len(self.summary.groups)

    @property
    def looks(self) -> dict[str, forests.Look]:
        """How each run looks in figures, by name."""
        return {
            name: forests.Look(style.run_colour(place), style.run_symbol(place))
            for name, place in zip(self.names, self.places, strict=True)
        }

    def words(self, text: str) -> str:
        """Return a sentence as Markdown: its first name bold and unchanged, no interval torn."""
        named = [name for name in self.names if text.startswith(name)]
        name = max(named, key=len, default="")
        first = f"**{literal(name)}**" if name.strip() else ""
        said = sentence(text) if not first else sentence(f"_{text[len(name) :]}")[1:]
        gap = "" if not first or said[:1] in ",;:" else " "
        return f"{first}{gap}{literal(said)}".replace("95 % ", f"95{NO_BREAK}%{NO_BREAK}")

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, made once for all sessions; it is never changed."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


@st.cache_resource(max_entries=12, show_spinner=False, hash_funcs={Diagnosis: id})
def compared(diagnoses: tuple[Diagnosis, ...], places: tuple[int, ...], matched: str) -> Compared:
    """Return the comparison of these runs. It holds the diagnoses, so their identity lasts."""
    summary = summarise([one.run for one in diagnoses], matched, [one.regime for one in diagnoses])
    names = [row.name for row in summary.rows]
    short = forests.short_names(names)
    drawn = tuple(
        multiples.Drawn(
            multiples.smoothed(course(name, one.reading)),
            style.run_colour(place),
            style.run_symbol(place),
            short[name],
        )
        for name, one, place in zip(names, diagnoses, places, strict=True)
    )
    return Compared(diagnoses, places, summary, drawn)


def mark(place: int) -> str:
    """Return the mark of the run at this place, in its colour, as Markdown."""
    return f':color[{style.run_mark(place)}]{{foreground="{style.run_colour(place)}"}}'


def legend(found: Compared, *, together: bool = False) -> None:
    """Show which mark and colour belongs to which run, or to the seeds of one setting."""
    places = dict(zip(found.names, found.places, strict=True))
    named: dict[str, str] = {}
    for group in found.summary.groups if together else ():
        colour = style.run_colour(places[group.runs[0]])
        named |= dict.fromkeys(group.runs, "")
        seeds = f"{literal(group.label)} ({len(group.runs)} seeds)"
        named[group.runs[0]] = f':color[**━**]{{foreground="{colour}"}} {seeds}'
    for name, place in places.items():
        named.setdefault(name, f"{mark(place)} {literal(name)}")
    shown = [text.replace(" ", NO_BREAK) for text in named.values() if text]
    st.markdown(" \u2003".join(shown))


def short(found: Compared) -> None:
    """Show what the comparison comes to, in a few sentences, and all of it in words below."""
    summary = found.summary
    with st.container(border=True, key="in short"):
        first, *rest = summary.headlines
        st.markdown(f"### {found.words(first)}")
        st.markdown(_bullets(found, rest))
        for text in summary.refused:
            st.markdown(f":orange-badge[not compared] {found.words(text)}")
        said = len(summary.beyond) + len(summary.within)
        if said:
            with st.expander(f"Every difference in words ({said})"):
                _sentences(found, "Beyond noise", summary.beyond)
                _sentences(found, "Within noise, or too small to count", summary.within)


def verdicts(found: Compared) -> None:
    """Show one row a run: its regime and its numbers, each with its 95 % interval."""
    rows = [_row(row, place) for row, place in zip(found.summary.rows, found.places, strict=True)]
    st.table({name: [row[name] for row in rows] for name in rows[0]}, border="horizontal")
    caveats: dict[str, list[str]] = {}
    for row in found.summary.rows:
        for caveat in row.caveats:
            caveats.setdefault(caveat, []).append(row.name)
    for caveat, names in caveats.items():
        st.caption(f"△ {literal(', '.join(names))}: {literal(sentence(caveat))}")


def paths(found: Compared) -> bool:
    """Draw all trajectories in one plane; say whether there was any."""
    tracks = [
        Track(name, one.reading.estimates, look.colour, look.symbol)
        for (name, look), one in zip(found.looks.items(), found.diagnoses, strict=True)
        if one.reading.estimates
    ]
    if not tracks:
        return False
    # As tall as what stands beside it.
    height = min(TALLEST_PLANE, max(520, 60 + 35 * len(found.names)))
    figure.show(
        found.once("plane", lambda: plane(tracks, height=height, legend=False)),
        "plane",
        "Change of chosen against change of rejected, one path a run",
        partial(
            comparisontables.paths,
            [(one.name, one.estimates) for one in tracks],
            NATS_PER_TOKEN,
        ),
    )
    return True


def price(found: Compared) -> None:
    """Draw the margin that each run gained for each nat of drift; say of whom it is not known."""
    summary = found.summary
    if any(one is not None for _, one in summary.efficiency):
        figure.show(
            found.once("price", lambda: forests.efficiency(summary.efficiency, found.looks)),
            "price",
            "Nats of margin for each nat of drift, one row a run",
            partial(comparisontables.efficiency, summary.efficiency, summary.unknown),
        )
    reasons: dict[str, list[str]] = {}
    for name, why in summary.unknown.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        st.caption(f"Not known for {literal(', '.join(names))}: {literal(why)}.")


def differences(found: Compared) -> bool:
    """Draw the differences as forest plots, one a quantity; say whether there was any."""
    summary = found.summary
    panels = forests.panels(summary.contrasts)
    if not panels:
        return False
    against = forests.measure(summary.contrasts)
    if against is not None:
        place = found.places[found.names.index(against)]
        st.markdown(f"Each run minus {mark(place)}\u00a0**{literal(against)}**.")
    with st.grid(min(4, len(panels)), min_column_width=250, gap="small"):
        for quantity, unit in panels:
            with st.container(gap="xxsmall"):
                st.markdown(f"**{multiples.LABELS[quantity]}**")
                key = f"difference {quantity} {unit}"
                figure.show(
                    found.once(
                        key,
                        partial(
                            forests.differences, summary.contrasts, quantity, unit, found.looks
                        ),
                    ),
                    key,
                    f"Difference in {quantity} between runs",
                    partial(comparisontables.differences, summary.contrasts, quantity),
                )
    return True


def courses(found: Compared, split: str, *, seeds: bool) -> None:
    """Draw the courses as small charts of one scale, one a quantity or one a run."""
    several = units([one.course for one in found.drawn])
    for unit in several:
        drawn = [one for one in found.drawn if one.course.unit == unit]
        if found.summary.matched != "step":
            drawn = [one for one in drawn if found.summary.matched in one.course.lines]
        if drawn and len(several) > 1:
            st.markdown(f"**In {literal(unit)}**, which compares among these runs only")
        if drawn and split == "run":
            _by_run(found, drawn, unit)
        elif drawn:
            _by_quantity(found, drawn, unit, seeds=seeds)
    refused: dict[str, list[str]] = {}
    for one in found.drawn:
        if one.course.refusal:
            refused.setdefault(one.course.refusal, []).append(one.course.name)
    for why, names in refused.items():
        st.caption(f"△ Not drawn: {literal(', '.join(names))}. {literal(sentence(why))}")


def groups(found: Compared) -> None:
    """Show runs of one setting together, and groups of them against each other."""
    summary = found.summary
    for text in summary.seeds:
        st.markdown(f"- {found.words(text)}")
    names = [one.quantity for one in summary.between[0].differences] if summary.between else []
    if names:
        first = summary.between[0].first
        st.markdown(f"Each group of seeds minus **{literal(first)}**, by the spread of the seeds.")
    with st.grid(3, min_column_width=270, gap="medium"):
        for quantity in names:
            with st.container(gap="xxsmall"):
                st.markdown(f"**{multiples.LABELS[quantity]}**")
                key = f"groups {quantity}"
                figure.show(
                    found.once(key, partial(forests.between, summary.between, quantity)),
                    key,
                    f"Difference in {quantity} between groups of seeds",
                    partial(comparisontables.between_groups, summary.between),
                )


def settings(found: Compared, *, everything: bool) -> None:
    """Show the settings in which the runs differ, or all of them."""
    runs = [one.run for one in found.diagnoses]
    shown = all_settings(runs) if everything else found.summary.settings
    if not shown:
        st.caption("The settings that the logs state do not differ.")
        return
    table = comparisontables.settings(found.names, shown)
    if table.size <= MOST_CELLS:  # a browser shows text sooner than it loads a grid
        text = table.map(literal).rename(columns=literal)
        st.table(text, border="horizontal", hide_index=True, alt="Settings of the runs")
        return
    st.dataframe(
        table,
        hide_index=True,
        key="settings",
        height="content" if len(table) <= 14 else 520,
        column_config={table.columns[0]: st.column_config.TextColumn(pinned=True)},
        alt="Settings of the runs",
    )


def _by_quantity(
    found: Compared, drawn: Sequence[multiples.Drawn], unit: str, *, seeds: bool
) -> None:
    matched = found.summary.matched
    shown = quantities([one.course for one in drawn], matched)
    bands = found.summary.bands if seeds and unit == NATS_PER_TOKEN else ()
    several = [one.course for one in drawn]
    with st.grid(3 if len(shown) == 3 else 2, min_column_width=330, gap="medium"):
        for quantity in shown:
            key = f"course {quantity} {unit} {bool(bands)}"

            def make(quantity: str = quantity) -> Any:
                span = multiples.spans(drawn, matched, shown)
                return multiples.by_quantity(drawn, quantity, matched, span, bands)

            figure.show(
                found.once(key, make),
                f"course {quantity} {unit}",
                f"{multiples.LABELS[quantity]} of every run by {matched}",
                partial(comparisontables.courses, several, quantity),
            )


def _by_run(found: Compared, drawn: Sequence[multiples.Drawn], unit: str) -> None:
    matched = found.summary.matched
    shown = [one for one in multiples.SIDES if one != matched]
    each = -(-len(drawn) // min(COLUMNS, len(drawn)))
    parts = [drawn[at : at + each] for at in range(0, len(drawn), each)]
    with st.grid(len(parts), min_column_width=300, gap="medium"):
        for number, part in enumerate(parts):
            key = f"runs {number} {unit}"

            def make(part: Sequence[multiples.Drawn] = part) -> Any:
                return multiples.by_run(part, matched, multiples.spans(drawn, matched, shown))

            figure.show(
                found.once(key, make),
                key,
                f"Chosen, rejected and margin of each run by {matched}, part {number + 1}",
                partial(comparisontables.courses, [one.course for one in part]),
            )


def _sentences(found: Compared, title: str, texts: Sequence[str]) -> None:
    if texts:
        st.markdown(f"**{title}** ({len(texts)})")
        st.markdown(_bullets(found, texts))


def _bullets(found: Compared, texts: Sequence[str]) -> str:
    return "\n".join(f"- {found.words(text)}" for text in texts)


def _row(row: ComparisonRow, place: int) -> dict[str, str]:
    moved = row.verdict.movement
    sides = (None, None) if moved is None else (moved.chosen, moved.rejected)
    unit = "" if moved is None or moved.unit == NATS_PER_TOKEN else moved.unit
    label = f"{style.REGIME_ARROWS.get(row.regime, '?')} {row.verdict.label.lower()}"
    return {
        "Run": f"{mark(place)}\u00a0{literal(row.name)}",
        "Method": literal(method_title(row.method)),
        "Regime": f":{COLOURS.get(row.regime, 'gray')}-badge[{literal(label)}]",
        "S": _cell(None if row.share is None else plain(row.share.value), row.share, 2),
        "Δ chosen  \n:gray[:small[nats/token]]": _side(sides[0], unit),
        "Δ rejected  \n:gray[:small[nats/token]]": _side(sides[1], unit),
        "Drift  \n:gray[:small[nats/token]]": _cell(
            None if row.drift is None else plain(row.drift.value), row.drift, 2
        ),
        "Reward acc.": _percent(row.reward_accuracy),
        "Ranking acc.": _percent(row.ranking_accuracy),
    }


def _side(interval: Interval | None, unit: str) -> str:
    value = None if interval is None else signed(interval.value, 2)
    also = f"  \n{_aside(literal(unit))}" if unit else ""
    return f"{_cell(value, interval, 2)}{also}"


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    spread = f"{100 * interval.low:.0f} to {percent(interval.high)}"
    return f"{percent(interval.value)}  \n{_aside(spread)}"


def _cell(value: str | None, interval: Interval | None, digits: int) -> str:
    if value is None or interval is None or interval.value != interval.value:
        return "–"
    return f"{value}  \n{_aside(bounds(interval, digits).removeprefix('95 %: '))}"


def _aside(text: str) -> str:
    """Return what stands below a number, on one line."""
    return f":gray[:small[{text.replace(' ', NO_BREAK)}]]"
