"""One HTML file with the diagnosis of one or several runs; it opens offline, anywhere.

Everything that comes from a run (names, settings, sentences) is text: it is escaped, and the
page's own policy forbids it to load anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from diagnostics import tables
from diagnostics.diagnosis import Diagnosis
from diagnostics.figures import embed, style
from diagnostics.figures.change import change
from diagnostics.figures.curves import Band, curves, families, reading_aid
from diagnostics.figures.plane import Track, plane
from diagnostics.forecast import Forecast
from diagnostics.markup import (
    counted,
    escaped,
    folded,
    sentence,
    shortened,
    span,
    table,
    threshold,
)
from diagnostics.naming import Basis, NamedPhase
from diagnostics.pathologies import PATHOLOGIES
from diagnostics.reportcomparison import badge, comparison
from diagnostics.stylesheet import CSS
from diagnostics.summary import summarise
from diagnostics.verdicts import Advice, Evidence, Status, Verdict

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
TITLES = {one.name: one.title for one in PATHOLOGIES}
FRAMEWORKS = {"trl": "TRL", "llamafactory": "LLaMA-Factory", "seesaw": "Seesaw"}
STRENGTHS = {
    "A": "A, several studies",
    "B": "B, one careful study",
    "C": "C, practitioners",
    "D": "D, derived only",
}


def write(
    found: Sequence[Diagnosis], path: Path, problems: Sequence[str] = (), matched: str = "step"
) -> None:
    """Write the report of at least one run to a file, its folder included; else as `page`.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(found, problems, matched), encoding="utf-8")


def page(
    found: Sequence[Diagnosis],
    problems: Sequence[str] = (),
    matched: str = "step",
    places: Sequence[int] | None = None,
) -> str:
    """Return the report as HTML; `problems` says what could not be read.

    Several runs are held against each other at the same `matched`: "step", "margin" or "drift".
    `places` are those by which the runs have their colours elsewhere.
    """
    one = len(found) == 1
    title = f"Seesaw: {found[0].run.name}" if one else f"Seesaw: {len(found)} runs"
    made = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    facts = f"{_facts(found[0])} · " if one else ""
    parts = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="muted">{escaped(facts)}report of {made}</p>',
    ]
    parts += [f'<p class="bad">Not read: {escaped(problem)}</p>' for problem in problems]
    whole = summarise([one.run for one in found], matched, [one.regime for one in found])
    names = [row.name for row in whole.rows]
    if not one:
        parts.append(comparison(found, whole, range(len(found)) if places is None else places))
    parts += [
        _run(diagnosis, name, index, alone=one)
        for index, (diagnosis, name) in enumerate(zip(found, names, strict=True))
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escaped(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n</main>\n{embed.scripts()}\n</body>\n</html>\n"
    )


# One run.


def _run(diagnosis: Diagnosis, name: str, index: int, *, alone: bool) -> str:
    heading = f'<h2>{escaped(name)}</h2>\n<p class="muted">{escaped(_facts(diagnosis))}</p>'
    unwell = [*diagnosis.present, *diagnosis.suspected]
    heard = "What is wrong" if diagnosis.present else "What may be wrong"
    parts = [
        "" if alone else heading,
        _verdict(diagnosis),
        *([f"<h3>{heard}</h3>{''.join(map(_finding, unwell))}"] if unwell else []),
        _causes(diagnosis),
        _forecast(diagnosis),
        _figures(diagnosis),
        _phases(diagnosis.regime.phases),
        _numbers("The numbers behind the regime", diagnosis.regime.evidence),
        _caveats(diagnosis),
        _checks(diagnosis.verdicts),
        _configuration(diagnosis),
    ]
    body = "\n".join(part for part in parts if part)
    return f'<section class="run" id="run-{index}">\n{body}\n</section>'


def _facts(diagnosis: Diagnosis) -> str:
    run = diagnosis.run
    last = "no steps" if run.last_step is None else f"step {run.last_step:,}"
    writer = f"{run.source.framework} {run.source.version or ''}".strip()
    return f"{tables.method_title(run.method)} · {run.status} · {last} · written by {writer}"


def _verdict(diagnosis: Diagnosis) -> str:
    verdict = diagnosis.regime
    severity = f'<span class="badge bad">{escaped(verdict.severity)}</span>' * bool(
        verdict.severity
    )
    benign = '<span class="badge good">within the tide</span>' * verdict.benign
    basis = {
        Basis.PROBE: "read from the probe set",
        Basis.REWARDS: "read from the logged rewards",
        Basis.NONE: "nothing to read it from",
    }[verdict.basis]
    return (
        f'<div class="card"><div class="badges">{badge(verdict.regime)}{severity}{benign}'
        f'<span class="muted">{basis}</span></div>'
        f'<p class="lead">{sentence(verdict.sentence)}</p>'
        f'<p class="muted">Confidence {escaped(verdict.confidence)}.</p></div>'
    )


def _finding(verdict: Verdict) -> str:
    colour = "bad" if verdict.status is Status.PRESENT else "warn"
    badges = [verdict.status.value, verdict.severity]
    badges += [f"since step {verdict.since:,}" if verdict.since is not None else None]
    shown = "".join(f'<span class="badge">{escaped(one)}</span>' for one in badges if one)
    title = TITLES.get(verdict.pathology, verdict.pathology)
    unseen = "".join(f"<li>{sentence(one)}</li>" for one in verdict.unseen)
    return (
        f'<div class="card finding {colour}"><h4>{escaped(title)}</h4>'
        f'<div class="badges">{shown}</div><p>{sentence(verdict.sentence)}</p>'
        + "".join(map(_advice, verdict.advice[:1]))
        + folded("More to try", "".join(map(_advice, verdict.advice[1:])))
        + folded("What could not be seen", f"<ul>{unseen}</ul>" if unseen else "")
        + "</div>"
    )


def _causes(diagnosis: Diagnosis) -> str:
    items = "".join(
        f"<li>{sentence(one.sentence)} "
        f'<span class="muted">{sentence(f"{one.strength}; to settle it: {one.settle}")}</span>'
        "</li>"
        for one in diagnosis.causes
    )
    if items:
        return f"<h3>Why</h3><ol>{items}</ol>"
    missing = diagnosis.unexplained
    return f'<h3>Why</h3><p class="muted">{sentence(missing)}</p>' if missing else ""


def _forecast(diagnosis: Diagnosis) -> str:
    found = diagnosis.forecast
    if diagnosis.run.status != "running" or not isinstance(found, Forecast):
        return ""
    return f"<h3>Where chosen is going</h3><p>{sentence(found.sentence)}</p>"


def _advice(advice: Advice) -> str:
    flags = [
        (FRAMEWORKS.get(name, name), f"<code>{escaped(flag)}</code>")
        for name, flag in advice.flags.items()
    ]
    if advice.window is not None:
        low, high = (f"{end:.3g}" for end in advice.window)  # a learning rate is no 0.000
        flags.insert(0, ("Safe window", escaped(f"{advice.setting or ''} {low} to {high}".strip())))
    rows = [
        *flags,
        ("Expected", sentence(advice.expected)),
        ("Risk", sentence(advice.risk)),
        (
            "Evidence",
            escaped(f"{STRENGTHS.get(advice.strength, advice.strength)}: {advice.source}"),
        ),
    ]
    facts = "".join(f"<dt>{escaped(name)}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<div class="try"><b>Try:</b> {sentence(advice.action)}<dl>{facts}</dl></div>'


def _figures(diagnosis: Diagnosis) -> str:
    run, estimates = diagnosis.run, diagnosis.reading.estimates
    drawn = []
    if estimates:
        track = Track(run.name, estimates, style.CHOSEN)
        drawn = [
            embed.figure(
                plane([track], height=430, legend=False),
                "Change of chosen against change of rejected",
                "The path of the probe pairs from the origin; above the dotted line the margin "
                "has grown.",
            ),
            embed.figure(
                change(estimates, height=430),
                "Change of each side by step",
                "The same pairs at every evaluation, with 95 % intervals.",
            ),
        ]
    grid = f'<div class="grid">{"".join(drawn)}</div>' if drawn else ""
    known = families(run)
    if not known:
        return grid
    phases = diagnosis.regime.phases or diagnosis.regime.logged_phases
    bands = [
        Band(
            one.start,
            one.end,
            one.label if one.is_start else style.regime_label(one.regime.value),
        )
        for one in phases
    ]
    return grid + embed.figure(
        curves(run, known[0], bands),
        "Chosen, rejected and margin by step",
        reading_aid(run, known[0]),
    )


def _phases(phases: Sequence[NamedPhase]) -> str:
    if len(phases) < 2:
        return ""
    what = (
        "Regime and directions of the change since the start, as the evaluations show it."
        if phases[0].basis is Basis.PROBE
        else "Regime and directions of the change within each stretch."
    )
    rows = [
        [
            f"{one.start:,}",
            f"{one.end:,}",
            "start" if one.is_start else badge(one.regime),
            *(escaped(side) for side in (one.directions.chosen, one.directions.rejected)),
            escaped(one.directions.margin),
        ]
        for one in phases
    ]
    heads = ("From step", "To step", "Regime", "Chosen", "Rejected", "Margin")
    return f'<h3>Phases</h3><p class="muted">{what}</p>{table(heads, rows, numbers=(0, 1))}'


def _numbers(title: str, evidence: Sequence[Evidence]) -> str:
    if not evidence:
        return ""
    rows = [
        [
            escaped(one.quantity),
            escaped(counted(one)),
            span(one.low, one.high),
            threshold(one),
            escaped(one.unit),
        ]
        for one in evidence
    ]
    heads = ("Quantity", "Value", "95 % interval", "Held against", "Unit")
    return f"<h3>{escaped(title)}</h3>{table(heads, rows, numbers=(1, 2, 3))}"


def _caveats(diagnosis: Diagnosis) -> str:
    items = "".join(f"<li>{sentence(one)}</li>" for one in diagnosis.caveats)
    return f"<h3>What to know beside the numbers</h3><ul>{items}</ul>" if items else ""


def _checks(verdicts: Sequence[Verdict]) -> str:
    """Return every check with what it found, folded away."""
    rows = [
        [
            escaped(TITLES.get(one.pathology, one.pathology)),
            escaped(one.status.value),
            sentence(one.sentence),
        ]
        for one in verdicts
    ]
    if not rows:
        return ""
    shown = table(("Check", "Status", "What it found"), rows, texts=(2,))
    return folded(f"All {len(rows)} checks", shown)


def _configuration(diagnosis: Diagnosis) -> str:
    settings = tables.settings(diagnosis.run)
    rows = [
        [f"<code>{escaped(name)}</code>", escaped(shortened(value))] for name, value in settings
    ]
    source = f'<p class="muted">Read from <code>{escaped(diagnosis.run.source.path)}</code></p>'
    shown = table(("Setting", "Value"), rows, texts=(1,)) if rows else ""
    return folded("Configuration and source", source + shown)
