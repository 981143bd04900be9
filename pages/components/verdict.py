"""The verdict of a run: its regime as a badge, and the card that stands first on its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from diagnostics.diagnosis import Diagnosis
from diagnostics.figures.style import regime_label
from diagnostics.intervals import Interval
from diagnostics.pathologies import PATHOLOGIES, explanation
from diagnostics.phases import Movement, RegimeVerdict
from diagnostics.regimes import Regime
from diagnostics.report import FRAMEWORKS, STRENGTHS
from diagnostics.verdicts import CONFIGURED, INDICATED, MEASURED, Evidence, Status, Verdict
from pages.components.explanation import explain
from pages.components.text import bounds, literal, percent, plain, sentence, signed

COLOURS = {
    Regime.IDEAL: "green",
    Regime.BOTH_RISE: "orange",
    Regime.BOTH_FALL: "orange",
    Regime.REVERSED: "red",
    Regime.MARGIN_LOSS: "red",
}

SUPPORT = {
    MEASURED: "measured, a measurement predicts the movement",
    INDICATED: "indicated, a property of the pairs makes it likely",
    CONFIGURED: "configured, a setting does it by design",
}

# The caveat tells the tide with its interval; the pathology's clause on it would say it again.
TIDE_CAVEAT, TIDE_CLAUSE = "tide-corrected", "against the tide"

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


def card(diagnosis: Diagnosis, status: str, note: str = "") -> None:
    """Show the verdict: one sentence, its numbers, how sure, why, and what to try first.

    `note` says what the status does not: why a run failed, or since when it has been silent.
    """
    verdict = diagnosis.regime
    leading = _leading(diagnosis)
    with st.container(border=True, key="verdict", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            badge(verdict.regime)
            status_badge(status)
            if verdict.severity:
                st.badge(verdict.severity, color="gray", help="By the change in nats per token.")
            if verdict.benign:
                st.badge("within the tide", color="green", help="No more than any typical text.")
            if note:
                st.caption(literal(sentence(note)), width="content")
        st.markdown(f"### {literal(sentence(verdict.sentence))}")
        if verdict.estimate.n_pairs:
            _numbers(verdict)
        elif verdict.movement is not None:
            _logged(verdict, verdict.movement)
        small_print = _small_print(verdict)
        if small_print:
            st.caption("  \n".join(small_print))
        _reasons(diagnosis, leading)
        _more(diagnosis, leading)


def first_advice(diagnosis: Diagnosis, framework: str) -> str:
    """Return what to write in a framework to try the first remedy; empty where there is none."""
    leading = _leading(diagnosis)
    found = [leading] if leading else [*diagnosis.present, *diagnosis.suspected]
    first = next((one.advice[0] for one in found if one.advice), None)
    return first.flags.get(framework, "") if first else ""


def _leading(diagnosis: Diagnosis) -> Verdict | None:
    """Return the alarm that says the same as the regime, None where there is none."""
    found = (*diagnosis.present, *diagnosis.suspected)
    return next((one for one in found if one.pathology == diagnosis.leading), None)


def _small_print(verdict: RegimeVerdict) -> list[str]:
    """Return how sure the verdict is, what its numbers are, and its caveats, a line each."""
    known = verdict.reason is None  # the sentence above says why nobody can tell
    lines = [literal(sentence(f"confidence {verdict.confidence}")) if known else ""]
    if verdict.estimate.n_pairs:
        split = verdict.estimate.split.replace("_", "-").capitalize()
        lines[0] += f" {split} probe pairs at step {verdict.estimate.step:,}; Δ in nats per token."
    elif verdict.movement is not None:
        unit = literal(verdict.movement.unit)
        lines[0] += f" From the logged rewards, in {unit}: the log has no probe set."
    return [one for one in lines if one] + [
        f"△ {literal(sentence(one))}" for one in verdict.caveats
    ]


def _reasons(diagnosis: Diagnosis, leading: Verdict | None) -> None:
    """Show the best supported cause and the first thing to try, one line each."""
    lines = []
    beyond = _beyond(diagnosis.regime, leading) if leading else ""
    if beyond:
        lines.append(literal(sentence(beyond)))
    if diagnosis.causes:
        first = diagnosis.causes[0]
        lines.append(f"**Why** {literal(sentence(first.sentence))} :gray[{first.strength}]")
    elif diagnosis.unexplained:
        lines.append(f"**Why** {literal(sentence(diagnosis.unexplained))}")
    if leading and leading.advice:
        lines.append(_first(diagnosis, leading))
    if lines:
        st.markdown("\n\n".join(lines))


def _beyond(verdict: RegimeVerdict, leading: Verdict) -> str:
    """Return what the pathology says beyond the verdict's own sentence and caveats."""
    rest = leading.sentence.removeprefix(verdict.sentence).lstrip("; ")
    told = any(TIDE_CAVEAT in one for one in verdict.caveats)
    return "; ".join(one for one in rest.split("; ") if not (told and one.endswith(TIDE_CLAUSE)))


def _first(diagnosis: Diagnosis, found: Verdict) -> str:
    """Return the first thing to try, with what to write in the run's own framework."""
    advice = found.advice[0]
    flag = advice.flags.get(diagnosis.run.source.framework, "")
    code = f" `{flag}`" if flag and not set(flag) & {"`", "\n"} else ""
    return f"**Try first** {literal(sentence(advice.action))}{code}"


def _more(diagnosis: Diagnosis, leading: Verdict | None) -> None:
    """Show the rest of the verdict behind one line: remedies, causes, numbers, meaning."""
    verdict = diagnosis.regime
    parts: dict[str, Callable[[], None]] = {}
    if leading and leading.advice:
        parts["What to try"] = partial(_remedies, leading)
    if diagnosis.causes:
        parts["Why"] = partial(_causes, diagnosis)
    if verdict.evidence:
        parts["The numbers"] = partial(_evidence, verdict.evidence)
    parts["What it means"] = partial(explain, explanation(verdict.regime))
    # Its name grows while a run goes on; with a key it stays open.
    with st.expander(" · ".join(parts), key="more", bind="query-params") as fold:
        if not fold.open:
            return
        for tab, show in zip(st.tabs(list(parts)), parts.values(), strict=True):
            with tab:
                show()


def findings(diagnosis: Diagnosis) -> None:
    """Show what else is wrong with a run, each with its sentence and what to try first."""
    leading = _leading(diagnosis)
    others = [one for one in (*diagnosis.present, *diagnosis.suspected) if one is not leading]
    if others:
        with st.grid(min(2, len(others)), min_column_width=380, gap="small"):
            for one in others:
                _finding(diagnosis, one)
    elif leading is None:
        counts = Counter(one.status for one in diagnosis.verdicts)
        unknown = counts[Status.UNKNOWN]
        rest = f"; {unknown} cannot tell from this log" if unknown else ""
        st.caption(f"None of {len(diagnosis.verdicts)} checks found anything wrong{rest}.")


def _finding(diagnosis: Diagnosis, found: Verdict) -> None:
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{literal(_title(found))}**", width="content")
            colour = "red" if found.status is Status.PRESENT else "orange"
            st.badge(found.status.value, color=colour)
            if found.severity:
                st.badge(found.severity, color="gray")
            if found.since is not None:
                st.badge(f"since step {found.since:,}", color="gray")
        lines = [literal(sentence(found.sentence))]
        if found.advice:
            lines.append(_first(diagnosis, found))
        st.markdown("\n\n".join(lines))
        more = len(found.advice) - 1
        label = "How" + (f", and {more} more to try" if more > 0 else "")
        label = label if found.advice else "The numbers, and what it means"
        with st.expander(label, key=found.pathology, bind="query-params") as fold:
            if not fold.open:
                return
            _remedies(found)
            if found.evidence:
                _evidence(found.evidence)
            if not found.advice:
                explain(explanation(found.pathology))


def checks(diagnosis: Diagnosis) -> None:
    """Show what every check said, the clear ones and those that could not tell among them."""
    counts = Counter(one.status for one in diagnosis.verdicts)
    told = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status])
    with st.expander(f"Every check: {told}", key="checks", bind="query-params") as fold:
        if not fold.open:
            return
        st.dataframe(
            {
                "Check": [_title(one) for one in diagnosis.verdicts],
                "Result": [one.status.value for one in diagnosis.verdicts],
                "What was seen": [sentence(one.sentence) for one in diagnosis.verdicts],
                "What was not": [" ".join(map(sentence, one.unseen)) for one in diagnosis.verdicts],
            },
            hide_index=True,
            column_config={"What was seen": st.column_config.TextColumn(width="large")},
        )


def _title(found: Verdict) -> str:
    return TITLES.get(found.pathology, found.pathology)


def _remedies(found: Verdict) -> None:
    """Show everything to try, each with what it should do, what it may cost and who says so."""
    for number, advice in enumerate(found.advice, start=1):
        st.markdown(f"**{_numbered(number, advice.action)}**")
        st.markdown(
            f"Expected: {literal(sentence(advice.expected))}  \n"
            f"Risk: {literal(sentence(advice.risk))}  \n"
            f"Evidence: {STRENGTHS.get(advice.strength, advice.strength)}; "
            f"{literal(advice.source.rstrip('.'))}."
        )
        if advice.flags:
            with st.grid(len(advice.flags), min_column_width=260, gap="small"):
                for framework, flag in advice.flags.items():
                    with st.container(gap="xxsmall"):
                        st.caption(FRAMEWORKS.get(framework, framework))
                        st.code(flag, language=None, wrap_lines=True)
    for unseen in found.unseen:
        st.caption(f"△ {literal(sentence(unseen))}")


def _numbered(number: int, text: str) -> str:
    """Return a point of a list whose first one stands above it already."""
    return f"{number}. " + ("As said above." if number == 1 else literal(sentence(text)))


def _causes(diagnosis: Diagnosis) -> None:
    """Show why both sides moved so: each cause with its numbers, how sure, what would settle it."""
    for number, cause in enumerate(diagnosis.causes, start=1):
        st.markdown(f"**{_numbered(number, cause.sentence)}**")
        st.markdown(
            f"How sure: {SUPPORT.get(cause.strength, cause.strength)}.  \n"
            f"To settle it: {literal(sentence(cause.settle))}"
        )
        _evidence(cause.evidence)


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


def _evidence(rows: Sequence[Evidence]) -> None:
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


def _rounded(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{_rounded(low)} to {_rounded(high)}"
