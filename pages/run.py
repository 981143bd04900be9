"""One run: its verdict first, then the curves that the verdict was read from."""

from __future__ import annotations

import streamlit as st

from diagnostics.figures import style
from diagnostics.figures.change import change, share
from diagnostics.figures.curves import FAMILIES, Band, curves, families, reading_aid
from diagnostics.figures.plane import Track, plane
from diagnostics.figures.small import charts, not_finite, small
from diagnostics.methods import METHODS
from diagnostics.run import Run
from diagnostics.schema import metric
from pages.components import details, figure, runs, states, verdict, window
from pages.components.link import navigation
from pages.components.text import literal

SPLIT_LOOK = {
    "train": ("train pairs", style.CHOSEN, "solid"),
    "held_out": ("held-out pairs", style.RUN_COLOURS[3], "dash"),
}


def heading(reading: runs.Reading, run: Run) -> None:
    """Show the run's name and what it trains, in one line."""
    st.title(literal(reading.name))
    method = METHODS.get(run.method or "")
    facts = [method.title if method else run.method or "method not known"]
    beta = run.header.get("beta", run.config.get("beta"))
    if beta is not None:
        facts.append(f"β {beta}")
    if run.last_step is not None:
        facts.append(f"step {run.last_step:,}")
    st.caption(literal(" · ".join(facts)))


def bands(reading: runs.Reading) -> list[Band]:
    """Return the phases to shade; before the second evaluation nobody knows of any regime."""
    return [
        Band(one.start, one.end, "start" if one.is_start else style.regime_label(one.regime))
        for one in reading.phases
    ]


def sides(reading: runs.Reading, run: Run) -> None:
    """Draw chosen, rejected and margin, in the units that the reader picks."""
    st.header("Chosen, rejected and margin")
    known = families(run)
    if not known:
        states.not_logged("A reward or log-probability of the two sides")
        return
    titles = {name: metric(FAMILIES[name][0]).label.partition(",")[0] for name in known}
    picked = known[0]
    if len(known) > 1:
        picked = (
            st.segmented_control(
                "Shown as",
                known,
                default=known[0],
                required=True,
                format_func=lambda name: titles[name],
                key="curves_as",
                label_visibility="collapsed",
            )
            or known[0]
        )
    steps = window.steps(reading.entry.key)
    drawing = curves(run, picked, bands(reading), steps)
    alt = f"{titles[picked]} of chosen and rejected by step"
    window.chart(drawing, reading.entry.key, alt, reading_aid(run, picked, steps))


def movement(reading: runs.Reading) -> None:
    """Draw how far the probe pairs have moved: the plane, the changes by step, the share."""
    st.header("How far the same pairs have moved")
    if not reading.tracks:
        states.no_probes()
        return
    left, right = st.columns(2, gap="large")
    with left:
        paths = [
            Track(label, reading.tracks[split], colour, dash=dash)
            for split, (label, colour, dash) in SPLIT_LOOK.items()
            if split in reading.tracks
        ]
        figure.show(plane(paths, height=520), "plane", "Path of this run on the plane")
    with right:
        figure.show(change(reading.track), "change", "Change per token of each side by step")
        figure.show(share(reading.track), "share", "Chosen share of the margin by step")


def gaps(run: Run) -> None:
    """Say in one line which quantities are not finite somewhere: the charts have gaps there."""
    found = [
        f"{metric(name).label} ({count:,} of {len(run.train):,}, first at step {first:,})"
        for name, (count, first) in not_finite(run).items()
    ]
    if found:
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        st.caption(f"△ Values that are not finite: {literal(', '.join(found[:4]))}{more}.")


def metrics(reading: runs.Reading, run: Run) -> None:
    """Draw every other quantity of the log as a small chart, one unit a chart."""
    found = charts(run)
    if not found:
        return
    st.header("Other metrics")
    gaps(run)
    with st.grid(3, min_column_width=300, gap="medium"):
        for chart in found:
            with st.container(gap="xxsmall"):
                st.markdown(f"**{chart.title}**")
                drawing = small(run, chart.names, window.steps(reading.entry.key))
                figure.show(drawing, f"small {chart.title}", f"{chart.title} by step")


def body(entry: runs.Entry) -> None:
    """Draw everything about one run, again whenever its log has grown."""
    reading = runs.reading(entry)
    if reading.run is None or reading.diagnosis is None:
        st.title(literal(entry.key))
        states.unreadable(reading)
        return
    heading(reading, reading.run)
    verdict.card(reading.diagnosis.regime, reading.status)
    verdict.pathologies(reading.diagnosis)
    if reading.run.train.empty and not reading.tracks:
        states.waiting()
        return
    sides(reading, reading.run)
    movement(reading)
    metrics(reading, reading.run)
    st.header("Configuration and source")
    details.settings(reading.run)
    details.origin(reading.run)


st.set_page_config(page_title="Seesaw: run", layout="wide")
arrived = navigation("run")
found = runs.entries()
if found:
    picked = runs.pick_run(found, arrived=arrived)
    # A finished log does not change: only a growing one is looked at again and again.
    live = runs.LIVE_SECONDS if runs.reading(picked).status == "running" else None
    st.fragment(body, run_every=live)(picked)
else:
    st.title("Run")
    states.no_runs(runs.roots())
