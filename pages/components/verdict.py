"""The verdict of a run: its regime as a badge, and the card that stands first on its page."""

from __future__ import annotations

import streamlit as st

from diagnostics.diagnosis import Diagnosis
from diagnostics.figures.style import regime_label
from diagnostics.intervals import Interval
from diagnostics.pathologies import PATHOLOGIES, explanation
from diagnostics.phases import Movement, RegimeVerdict
from diagnostics.regimes import Regime
from diagnostics.verdicts import Advice, Status
from pages.components.explanation import explain
from pages.components.text import bounds, literal, percent, plain, sentence, signed

COLOURS = {
    Regime.IDEAL: "green",
    Regime.BOTH_RISE: "orange",
    Regime.BOTH_FALL: "orange",
    Regime.REVERSED: "red",
    Regime.MARGIN_LOSS: "red",
}

TITLES = {one.name: one.title for one in PATHOLOGIES}

STATUS = {
    "running": ("● training", "blue"),
    "silent": ("◌ silent", "gray"),
    "completed": ("✓ completed", "gray"),
    "failed": ("✕ failed", "red"),
    "stopping": ("■ stopping", "gray"),
    "stopped": ("■ stopped", "gray"),
}


def badge(regime: Regime) -> None:
    """Show a regime as arrows and words; colour only repeats them."""
    st.badge(regime_label(regime), color=COLOURS.get(regime, "gray"))


def status_badge(status: str) -> None:
    """Show whether the run is training, completed, failed or stopped."""
    label, colour = STATUS.get(status, (status, "gray"))
    st.badge(label, color=colour)


def card(verdict: RegimeVerdict, status: str) -> None:
    """Show the verdict: regime, one sentence, its numbers with intervals, its caveats."""
    with st.container(border=True, key="verdict"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            badge(verdict.regime)
            status_badge(status)
            if verdict.severity:
                st.badge(verdict.severity, color="gray", help="By the change in nats per token.")
            if verdict.benign:
                st.badge("within the tide", color="green", help="No more than any typical text.")
        st.markdown(f"### {literal(sentence(verdict.sentence))}")
        if verdict.estimate.n_pairs:
            _numbers(verdict)
        elif verdict.movement is not None:
            _logged(verdict, verdict.movement)
        for caveat in verdict.caveats:
            st.caption(f"△ {literal(sentence(caveat))}")
        if verdict.evidence:
            with st.expander("What this rests on"):
                _evidence(verdict)
        with st.expander("What this means, and what to try"):
            explain(explanation(verdict.regime))


def pathologies(diagnosis: Diagnosis) -> None:
    """Show what is wrong with a run, each with its sentence and what to try; nothing if nothing."""
    for one in (*diagnosis.present, *diagnosis.suspected):
        title = TITLES.get(one.pathology, one.pathology)
        colour = "red" if one.status is Status.PRESENT else "orange"
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{literal(title)}**")
                st.badge(one.status.value, color=colour)
                if one.severity:
                    st.badge(one.severity, color="gray")
            # The pathology of the regime begins with what the card above says already.
            rest = one.sentence.removeprefix(diagnosis.regime.sentence).lstrip("; ")
            if rest:
                st.markdown(literal(sentence(rest)))
            for advice in one.advice:
                _advice(advice)
            for unseen in one.unseen:
                st.caption(f"△ {literal(sentence(unseen))}")


def _advice(advice: Advice) -> None:
    with st.expander(f"Try: {literal(sentence(advice.action))}"):
        for name, text in (
            ("Expected", advice.expected),
            ("Risk", advice.risk),
            (f"Evidence {advice.strength}", advice.source),
        ):
            st.markdown(f"{name}: {literal(sentence(text))}")
        for framework, flag in advice.flags.items():
            st.code(f"{framework}: {flag}", language=None, wrap_lines=True)


def _logged(verdict: RegimeVerdict, moved: Movement) -> None:
    """Show the changes of the logged rewards as a row of figures, each with its 95 % interval."""
    with st.grid("auto", min_column_width=150, gap="small"):
        _change("Δ chosen", moved.chosen, f"In {moved.unit}.")
        _change("Δ rejected", moved.rejected, f"In {moved.unit}.")
        _change("Margin", moved.margin, f"Chosen less rejected, in {moved.unit}.")
        if verdict.share is not None:
            _metric(
                "Chosen share S",
                plain(verdict.share.value),
                bounds(verdict.share, 2),
                "Part of the margin's growth that the chosen side carried.",
            )
    st.caption(f"From the logged rewards, in {literal(moved.unit)}: the log has no probe set.")


def _numbers(verdict: RegimeVerdict) -> None:
    """Show the estimate as a row of figures, each with its 95 % interval."""
    estimate = verdict.estimate
    unit = "Nats per token, mean over the probe pairs since the start of the run."
    with st.grid("auto", min_column_width=150, gap="small"):
        _change("Δ chosen", estimate.delta_chosen, unit)
        _change("Δ rejected", estimate.delta_rejected, unit)
        _change("Margin", estimate.margin, "Δ chosen − Δ rejected, nats per token.")
        _metric(
            "Chosen share S",
            "–" if estimate.share is None else plain(estimate.share.value),
            "margin within noise" if estimate.share is None else bounds(estimate.share, 2),
            "Part of the margin's growth that the chosen side carried: above 1 both rise, "
            "below 0 both fall.",
        )
        _accuracy("Reward accuracy", estimate.reward_accuracy, "Margin above 0 since the start.")
        if estimate.drift is not None:
            _metric(
                "Drift",
                plain(estimate.drift.value, 3),
                bounds(estimate.drift),
                "Forward KL from the initial policy, nats per token: how far its own samples "
                "have fallen.",
            )
    st.caption(
        f"{estimate.n_pairs:,} {estimate.split.replace('_', '-')} probe pairs at step "
        f"{estimate.step:,}; Δ in nats per token."
    )


def _change(label: str, interval: Interval, text: str) -> None:
    _metric(label, signed(interval.value), bounds(interval), text)


def _accuracy(label: str, interval: Interval | None, text: str) -> None:
    if interval is not None:
        spread = f"95 %: {percent(interval.low)} to {percent(interval.high)}"
        _metric(label, percent(interval.value), spread, f"Share of probe pairs. {text}")


def _metric(label: str, value: str, spread: str, text: str) -> None:
    with st.container(gap="xxsmall"):
        st.metric(label, value, help=text)
        st.caption(spread)


def _evidence(verdict: RegimeVerdict) -> None:
    rows = verdict.evidence
    st.dataframe(
        {
            "Quantity": [row.quantity for row in rows],
            "Value": [_rounded(row.value) for row in rows],
            "95 % interval": [_range(row.low, row.high) for row in rows],
            "Held against": [_rounded(row.threshold) for row in rows],
            "Unit": [row.unit for row in rows],
        },
        hide_index=True,
    )
    st.caption(f"Confidence: {literal(verdict.confidence)}.")


def _rounded(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{_rounded(low)} to {_rounded(high)}"
