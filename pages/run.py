"""One run: its verdict first, then the curves that the verdict was read from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from diagnostics import runtables, tables
from diagnostics.axis import Choice, View, axes
from diagnostics.diagnosis import Diagnosis
from diagnostics.figures import style
from diagnostics.figures.change import change, share
from diagnostics.figures.curves import FAMILIES, Band, curves, families, reading_aid
from diagnostics.figures.incentives import incentives
from diagnostics.figures.margin import margin
from diagnostics.figures.plane import Track, plane
from diagnostics.figures.small import Chart, groups, not_finite, small
from diagnostics.figures.tokens import tokens
from diagnostics.forecast import Forecast
from diagnostics.methods import METHODS
from diagnostics.run import Run
from diagnostics.schema import metric
from diagnostics.windows import band_in_words
from pages.components import (
    details,
    figure,
    jobs,
    link,
    live,
    report,
    runs,
    states,
    verdict,
    window,
)
from pages.components.drawings import kept
from pages.components.link import navigation
from pages.components.text import literal, sentence

SPLIT_LOOK = {
    "train": ("train pairs", style.CHOSEN, "solid"),
    "held_out": ("held-out pairs", style.RUN_COLOURS[3], "dash"),
}
HOUR = 3600


@dataclass(frozen=True)
class Shown:
    """One run as the page shows it: what is known of it, and along which axis."""

    reading: runs.Reading
    run: Run
    diagnosis: Diagnosis
    choice: Choice
    view: View

    def kept(self, key: object, draw: Callable[[], Any]) -> Any:
        """Return a figure of this view, drawn once."""
        return kept(self.reading, (key, self.view.axis.name, self.view.steps), draw)

    def figure(
        self, key: str, title: str, draw: Callable[[], Any], alt: str, data: Callable[[], Any]
    ) -> None:
        """Show a figure under its title."""
        figure.show(self.kept(key, draw), key, alt, data, title)


def heading(reading: runs.Reading, run: Run, diagnosis: Diagnosis) -> None:
    """Show the run's name, what it trains, and where one can go from here."""
    method = METHODS.get(run.method or "")
    facts = [method.title if method else run.method or "method not known"]
    beta = run.header.get("beta", run.config.get("beta"))
    if beta is not None:
        facts.append(f"β {beta}")
    if run.last_step is not None:
        facts.append(f"step {run.last_step:,}")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(literal(reading.name), width="content")
        st.caption(literal(" · ".join(facts)), width="content")
        st.space("stretch")
        if len(run.probes):
            link.to_pairs(reading.entry.key, "Pairs")
        link.to_compare([reading.entry.key], "Compare with …")
        if jobs.settings_file(reading.entry.path):
            flags = verdict.first_advice(diagnosis, "seesaw")
            link.to_train(
                reading.entry.key, "Train with the advice" if flags else "Train again", flags
            )
        report.button([diagnosis], reading.name)


def note(reading: runs.Reading, run: Run) -> str:
    """Return what the run's status does not tell: how it ended, or since when it is silent."""
    parts = [str(run.header["ended"])] if run.header.get("ended") else []
    if reading.status == "silent":
        hours = (time.time() - reading.updated) / HOUR
        few = f"{hours:.0f} hour{'s' * (round(hours) != 1)}"
        since = few if hours < 48 else f"{hours / 24:,.0f} days"
        parts.append(f"no record for {since}, so its process has most likely ended")
    elif reading.verdict_step is not None:
        parts.append(f"verdict as of step {reading.verdict_step:,}")
    return "; ".join(parts)


def bands(reading: runs.Reading) -> list[Band]:
    """Return the phases to shade; before the second evaluation nobody knows of any regime."""
    return [
        Band(one.start, one.end, "start" if one.is_start else style.regime_label(one.regime))
        for one in reading.phases
    ]


def sides(reading: runs.Reading, run: Run, diagnosis: Diagnosis) -> Shown:
    """Draw chosen, rejected and margin, in the units and along the axis that the reader picks."""
    choice = kept(reading, "axes", lambda: axes(run, reading.track))
    known = kept(reading, "families", lambda: families(run))
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.header("Chosen, rejected and margin", width="content")
        family = shown_as(known)
        view = window.view(reading.entry.key, window.axis(choice))
    shown = Shown(reading, run, diagnosis, choice, view)
    if not family:
        states.not_logged("A reward or log-probability of the two sides")
        return shown
    source, lines = diagnosis.reading.fit or ("", None)
    fit = lines if source == family else None
    drawing = shown.kept(
        ("curves", family),
        lambda: window.draggable(
            curves(
                run,
                family,
                bands(reading),
                view,
                since=diagnosis.regime.since_step,
                fit=fit,
                events=diagnosis.events,
            )
        ),
    )
    window.chart(
        drawing,
        view,
        choice,
        f"{quantity(family)} of chosen and rejected",
        reading_aid(run, family, view, fitted=fit is not None),
        partial(runtables.logged, run, FAMILIES[family], choice),
    )
    return shown


def quantity(family: str) -> str:
    """Return what a family of columns is called."""
    return metric(FAMILIES[family][0]).label.partition(",")[0]


def shown_as(known: Sequence[str]) -> str:
    """Return in which quantity the two sides are drawn, tied to `?shown=`; "" without one."""
    if not known:
        return ""
    names = [quantity(family) for family in known]
    picked = window.pick("Shown as", names, "shown")
    return known[names.index(picked)]


def movement(shown: Shown) -> None:
    """Draw how far both sides have moved: the plane, the changes, what the margin is made of."""
    reading, diagnosis, view = shown.reading, shown.diagnosis, shown.view
    made = diagnosis.parts
    if made is None:
        states.no_probes()
        return
    st.header("How far the same pairs have moved" if reading.tracks else "How far both sides moved")
    with st.grid(2 if reading.tracks else 1, min_column_width=420, gap="medium"):
        if reading.tracks:
            data = partial(tables.trajectories, diagnosis.run, reading.track[0].split)
            with st.container(gap="xxsmall"):
                shown.figure(
                    "plane",
                    "Where it went",
                    lambda: plane(paths(reading), height=430),
                    "Path of this run on the plane",
                    data,
                )
            with st.container(gap="xxsmall"):
                changes(shown, data)
        with st.container(gap="xxsmall"):
            shown.figure(
                "margin",
                "What the margin is made of",
                lambda: margin(made, view),
                "Parts of the margin that chosen and rejected bring",
                partial(runtables.parts, made, shown.choice),
            )
            if made.group > 1:
                st.caption(f"Each bar is the mean of {made.group:,} neighbouring records.")
        if reading.tracks:
            with st.container(gap="xxsmall"):
                shown.figure(
                    "share",
                    "Chosen share of the margin",
                    lambda: share(reading.track, view, height=300),
                    "Chosen share of the margin",
                    data,
                )
    if not reading.tracks:
        states.no_probes()


def paths(reading: runs.Reading) -> list[Track]:
    """Return the paths of both splits of the probe set."""
    return [
        Track(label, reading.tracks[split], colour, dash=dash)
        for split, (label, colour, dash) in SPLIT_LOOK.items()
        if split in reading.tracks
    ]


def changes(shown: Shown, data: Callable[[], Any]) -> None:
    """Draw the change of each side, and say where chosen is going or why nobody can tell."""
    forecast, goes_on = shown.diagnosis.forecast, shown.run.status != "completed"
    ahead = forecast if isinstance(forecast, Forecast) and goes_on else None
    shown.figure(
        "change",
        "How far each side moved",
        lambda: change(shown.reading.track, shown.view, ahead=ahead, height=430),
        "Change per token of each side",
        data,
    )
    if ahead is not None:
        st.caption(literal(sentence(f"where chosen is going: {ahead.sentence}")))
    elif goes_on and not isinstance(forecast, Forecast):
        st.caption(literal(sentence(f"no forecast: {forecast.reason}")))


def gradients(shown: Shown) -> None:
    """Draw what the gradients foretell, and which tokens the margin came from."""
    measured, found = shown.diagnosis.bands, shown.diagnosis.attribution
    if not measured and found is None:
        return
    st.header("What the gradients and the tokens say")
    with st.grid(2 if measured and found else 1, min_column_width=420, gap="medium"):
        if measured:
            with st.container(gap="xxsmall"):
                shown.figure(
                    "band",
                    "Gradient entanglement band",
                    lambda: incentives(measured, shown.view),
                    "Incentive ratio q and the band in which chosen rises and rejected falls",
                    partial(runtables.bands, measured, shown.choice),
                )
                words = kept(shown.reading, "band", lambda: band_in_words(shown.diagnosis.reading))
                if words:
                    st.caption(literal(sentence(words)))
        if found is not None:
            with st.container(gap="xxsmall"):
                shown.figure(
                    "tokens",
                    "Which tokens the margin came from",
                    lambda: tokens(found),
                    "Contribution of each group of tokens to the margin",
                    partial(runtables.tokens, found),
                )
                st.caption(
                    f"{found.n_pairs:,} pairs, from step {found.start:,} to {found.step:,}; the "
                    "percentage behind a group is its share of all tokens."
                )


def gaps(shown: Shown) -> None:
    """Say in one line which quantities are not finite somewhere: the charts have gaps there."""
    broken: dict[str, tuple[int, int]] = kept(shown.reading, "gaps", lambda: not_finite(shown.run))
    found = [
        f"{metric(name).label} ({count:,} of {len(shown.run.train):,}, first at step {first:,})"
        for name, (count, first) in broken.items()
    ]
    if found:
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        st.caption(f"△ Values that are not finite: {literal(', '.join(found[:4]))}{more}.")


def metrics(shown: Shown) -> None:
    """Draw every other quantity of the log as a small chart, a group at a time."""
    found: dict[str, list[Chart]] = kept(shown.reading, "groups", lambda: groups(shown.run))
    if not found:
        return
    st.space("small")
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.header("Other metrics", width="content")
        group = window.pick("Metrics", list(found), "metrics")
    gaps(shown)
    with st.grid(3, min_column_width=300, gap="medium"):
        for chart in found[group]:
            with st.container(gap="xxsmall"):
                shown.figure(
                    f"small {chart.title}",
                    chart.title,
                    partial(small, shown.run, chart.names, shown.view),
                    chart.title,
                    partial(runtables.logged, shown.run, chart.names, shown.choice),
                )


def body(entry: runs.Entry) -> None:
    """Draw everything about one run, again whenever its log has grown."""
    with states.reading([entry]):
        reading = runs.reading(entry)
    run, diagnosis = reading.run, reading.diagnosis
    if run is None or diagnosis is None:
        st.title(literal(entry.key))
        states.unreadable(reading)
        return
    heading(reading, run, diagnosis)
    verdict.card(diagnosis, reading.status, note(reading, run))
    verdict.findings(diagnosis)
    if run.train.empty and run.evals.empty and not reading.tracks:
        states.waiting()
        return
    shown = sides(reading, run, diagnosis)
    movement(shown)
    gradients(shown)
    metrics(shown)
    st.header("Checks, configuration and source")
    verdict.checks(diagnosis)
    details.settings(run)
    details.origin(run)


st.set_page_config(page_title="Seesaw: run", layout="wide")
arrived = navigation("run")
found = runs.entries()
if found:
    picked = runs.pick_run(found, arrived=arrived)
    live.watch([picked])
    body(picked)
else:
    st.title("Run")
    states.no_runs(runs.roots())
