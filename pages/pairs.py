"""The pairs behind the curves: which ones moved how, what they have in common, which to drop."""

from __future__ import annotations

import streamlit as st

from diagnostics.figures import contingency as ranking_figures
from diagnostics.figures.distributions import distributions
from diagnostics.figures.lengths import margin_by_length
from diagnostics.figures.reliability import reliability as reliability_figure
from diagnostics.intervals import Interval
from diagnostics.pairs import (
    DELTA,
    SURPRISE,
    SURPRISE_START,
    TRAINING,
    ches_effect,
    contingency,
    ranking_history,
)
from diagnostics.reliability import reliability
from diagnostics.schema import NATS_PER_TOKEN
from pages.components import figure, live, pair, pairs, pairtable, runs, states
from pages.components.link import navigation, to_key
from pages.components.text import literal, signed

PER_TOKEN, SUMMED = "per token", "summed"


def heading(seen: pairs.Look) -> None:
    """Say in one line what is compared with what."""
    view = seen.pairs
    if view.split == TRAINING:
        words = f"at its last training step up to {view.step:,}, against the reference"
    else:
        words = f"step {view.step:,} against step {view.start:,}"
    st.caption(literal(f"{len(seen.rows):,} pairs · {words} · Δ in {NATS_PER_TOKEN}"))
    if view.split == TRAINING:
        st.caption(
            "△ Each pair is shown as it was when it was trained on: early ones had hardly moved "
            "yet. The probe pairs are all measured at one step."
        )


def ranking(seen: pairs.Look) -> None:
    """Draw how the pairs are ranked, at the start and now, and over training."""
    ranked = st.segmented_control(
        "Ranked by log-prob",
        (PER_TOKEN, SUMMED),
        default=PER_TOKEN,
        required=True,
        key="ranked",
        bind="query-params",
    )
    summed = ranked == SUMMED
    found = contingency(seen.pairs, summed=summed)
    if not found.pairs:
        states.not_logged("How the pairs were ranked both at the start and at this step")
        return
    rows = seen.rows
    figure.show(
        ranking_figures.contingency(found, height=270),
        "ranking",
        f"Pairs ranked right and wrong at the start and now, {ranked}",
        lambda: rows,
    )
    if found.left_out:
        st.caption(f"{found.left_out:,} pairs lack a log-prob.")
    if seen.pairs.split == TRAINING:
        return
    shares = ranking_history(seen.run, seen.pairs.split, summed=summed)
    if len(shares) > 1:
        figure.show(
            ranking_figures.history(shares, height=250),
            "ranking history",
            f"Pairs ranked right and wrong by step, {ranked}",
            lambda: 100 * shares.add_suffix(" [% of pairs]"),
        )


def lengths(seen: pairs.Look) -> None:
    """Draw the margin against the lengths, and state their correlation."""
    st.subheader("Does length decide?")
    effect = seen.effect
    if effect is None:
        states.not_logged("A margin of pairs with two lengths")
        return
    figure.show(
        margin_by_length(effect),
        "margin by length",
        "Margin of every pair by how many tokens longer chosen is",
        lambda: effect.points,
    )
    st.caption(
        f"Rank correlation of the margin per token with ln(chosen length ÷ rejected length): "
        f"{correlation(effect.plain)}; with the lengths' sum held fixed: "
        f"{correlation(effect.partial)}. Far from 0, the policy learns length."
    )


def own_text(seen: pairs.Look) -> None:
    """Draw how likely the policy itself was to write both sides."""
    st.subheader("Would the policy write this?")
    when = st.segmented_control(
        "Under the policy",
        ("at the start", "at this step"),
        default="at the start",
        required=True,
        key="policy",
        bind="query-params",
        label_visibility="collapsed",
    )
    names = SURPRISE_START if when == "at the start" else SURPRISE
    rows = seen.rows
    values = {side: rows[name] for side, name in names.items() if name in rows}
    if not values:
        states.not_logged("How surprising each side is to the policy (`surprise_z`)")
        return
    figure.show(
        distributions(values, "Surprise z [standard deviations]", normal=True),
        "surprise",
        f"Surprise of both sides to the policy {when}",
        lambda: rows,
    )
    st.caption(
        "Text that the policy samples itself lies under the dotted curve; the farther to the "
        "right, the less it would have been written."
    )
    ches = ches_effect(seen.pairs)
    if ches is not None:
        st.caption(
            "CHES per token against Δ chosen, ln(rejected length ÷ chosen length) held fixed: "
            f"{correlation(ches)}. Below 0, pairs with a high score lose their chosen side."
        )


def sureness(seen: pairs.Look) -> None:
    """Draw how often the policy prefers the labelled side, by how sure it is."""
    st.subheader("Is it as right as it is sure?")
    bins = reliability(seen.run, seen.pairs)
    if bins is None:
        states.not_logged("What a reward margin of this run means, or a pair that has one,")
        return
    figure.show(
        reliability_figure(bins),
        "reliability",
        "Pairs preferred as labelled by how sure the policy is",
        lambda: bins,
    )
    known = "held-out" if seen.pairs.split == "held_out" else "train"
    st.caption(
        "Confidence is σ of the reward margin's size. Below the dotted line the policy is surer "
        f"than it is right. These are {known} pairs"
        + ("." if known == "held-out" else ", whose labels it has seen: look at held-out ones too.")
    )


def correlation(found: Interval | None) -> str:
    """Return a correlation with its interval in words."""
    if found is None:
        return "too few pairs to tell"
    return f"{signed(found.value, 2)} (95 %: {signed(found.low, 2)} to {signed(found.high, 2)})"


def unpaired(seen: pairs.Look) -> None:
    """Say what single completions can show, and draw it."""
    st.info(
        "This run trains on single completions with a label: each row below is one completion. "
        "There is no margin and no ranking; chosen stands for desirable, rejected for undesirable."
    )
    values = {side: seen.rows[name] for side, name in DELTA.items()}
    figure.show(
        distributions(values, f"Δ log-prob [{NATS_PER_TOKEN}]"),
        "changes",
        "Change of desirable and undesirable completions",
        lambda: seen.rows,
    )


def body(entry: runs.Entry) -> None:
    """Draw everything about the pairs of one run, again whenever its log has grown."""
    with states.reading([entry]):
        reading = runs.reading(entry)
    if reading.run is None:
        st.title(literal(entry.key))
        states.unreadable(reading)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title(literal(reading.name), width="content")
        to_key(entry.key, "Verdict and curves →")
    seen = pairs.look(reading, reading.run)
    if seen is None:
        states.no_pairs()
        return
    heading(seen)
    if seen.pairs.is_paired:
        left, right = st.columns([3, 2], gap="large")
        with left:
            pairs.plane(seen)
        with right:
            ranking(seen)
    else:
        unpaired(seen)
    pairtable.export(seen, pairtable.table(seen))
    pair.card(seen)
    st.header("What the pairs have in common")
    left, right = st.columns(2, gap="large")
    with left:
        lengths(seen)
    with right:
        own_text(seen)
    left, _ = st.columns(2, gap="large")
    with left:
        if seen.pairs.is_paired:
            sureness(seen)


st.set_page_config(page_title="Seesaw: pairs", layout="wide")
arrived = navigation("pairs")
found = runs.entries()
if found:
    picked = runs.pick_run(found, arrived=arrived)
    live.watch([picked])
    body(picked)
else:
    st.title("Pairs")
    states.no_runs(runs.roots())
