"""Import: drop a log or paste a console, see what was understood, and keep it as a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from diagnostics.diagnosis import diagnose
from diagnostics.errors import DiagnosticsError
from diagnostics.meaning import Meaning
from diagnostics.methods import METHODS
from diagnostics.readers import READERS, Hints
from diagnostics.run import Run
from diagnostics.schema import METRICS
from pages.components import arrivals, verdict
from pages.components.link import navigation, to_key
from pages.components.text import literal, sentence

Runs = tuple[Run, ...]


def hints() -> Hints:
    """Ask for what a log often does not hold: beta and the method."""
    left, right = st.columns(2, gap="large")
    with left:
        beta = st.text_input(
            "β, where the log does not say it",
            placeholder="0.1",
            help="The rewards of most trainers are beta times a log-ratio: without beta they "
            "stay reward units, in which directions can be read and sizes cannot be compared.",
            key="beta",
        )
    with right:
        method = st.selectbox(
            "Method, where the log does not say it", list(METHODS), index=None, key="of_method"
        )
    try:
        given = float(beta) if beta.strip() else None
    except ValueError:
        given = None
    if beta.strip() and not (given and 0 < given < float("inf")):
        st.error(literal(f"β is {beta.strip()!r}, expected a number above 0, such as 0.1."))
        given = None
    return Hints(beta=given, method=method)


def dropped(known: Hints) -> Runs:
    """Ask for files and return the runs in them."""
    files = st.file_uploader(
        "Drop log files",
        accept_multiple_files=True,
        help="Any of the formats below. Settings that lie beside a log (args.json, a YAML file, "
        "a model card) can be dropped along: they often hold beta.",
    )
    found: Runs = ()
    for name, path in arrivals.kept([(file.name, file.getvalue()) for file in files or ()]):
        given = Hints(beta=known.beta, method=known.method, columns=mapping(name, path))
        found += attempt(name, partial(arrivals.runs_in, path, given))
    return found


def mapping(name: str, path: Path) -> dict[str, str]:
    """Ask which columns of a home-made table hold the two sides, where that is not clear."""
    names = arrivals.unclear_columns(path)
    if not names:
        return {}
    st.markdown(f"Which columns of **{literal(name)}** are the two sides?")
    given: dict[str, str] = {}
    for meaning in ("rewards/chosen", "rewards/rejected"):
        picked = st.selectbox(
            METRICS[meaning].label, names, index=None, key=f"map {name} {meaning}"
        )
        if picked:
            given[picked] = meaning
    return given


def pasted(known: Hints) -> Runs:
    """Ask for a pasted console and return the runs in it."""
    text = st.text_area(
        "Paste console output",
        placeholder="{'loss': 0.6931, 'rewards/chosen': 0.0, 'rewards/rejected': 0.0, …}",
        height=220,
        key="pasted",
    )
    if not text.strip():
        return ()
    return attempt("the pasted text", lambda: arrivals.runs_in_text(text, known))


def attempt(name: str, read: Callable[[], Runs]) -> Runs:
    """Return what a reader makes of something, or show in one sentence why it cannot."""
    try:
        return read()
    except DiagnosticsError as problem:
        st.error(f"**{literal(name)}**: {literal(sentence(str(problem)))}")
        return ()


def recognised(run: Run) -> None:
    """Show what was understood of one run: who wrote it, what its numbers are, what it shows."""
    source = run.source
    writer = " ".join(part for part in (source.framework, source.version) if part)
    method = METHODS.get(run.method or "")
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{literal(run.name)}**", width="content")
            diagnosis = diagnose(run)
            verdict.badge(diagnosis.regime.regime)
        st.markdown(literal(sentence(diagnosis.regime.sentence)))
        facts = (
            f"Written by {writer}, read as {source.reader}",
            f"method {method.title if method else 'not known'}",
            f"{len(run.train):,} training and {len(run.evals):,} evaluation rows",
        )
        st.caption(literal(", ".join(facts)) + ".")
        if run.meaning is not None:
            st.caption(_meaning(run.meaning))
        for caveat in run.caveats:
            st.caption(f"△ {literal(sentence(caveat))}")
        if run.unrecognised:
            st.caption(literal(f"Kept without a meaning: {', '.join(run.unrecognised)}."))


def _meaning(meaning: Meaning) -> str:
    """Return what the rewards are, in words."""
    factor = "an unknown factor" if meaning.factor is None else f"{meaning.factor:g}"
    why = sentence(meaning.why) if meaning.why else ""
    return literal(f"The rewards are {factor} times the {meaning.base.value}. {why}")


def formats() -> None:
    """List what can be read, and how to get it from each framework."""
    with st.expander("What can be read"):
        for reader in READERS:
            st.markdown(f"**{literal(reader.title)}**  \n{literal(reader.export_hint)}")


st.set_page_config(page_title="Seesaw: import", layout="wide")
navigation("import_log")
st.title("Import")
st.caption(
    "A log that another trainer wrote becomes a run like any other. Nothing leaves this machine."
)
known = hints()
files, console = st.tabs(["Files", "Console"])
with files:
    found = dropped(known)
with console:
    found += pasted(known)
for one in found:
    recognised(one)
if found and st.button(
    f"Import {len(found)} run{'s' * (len(found) != 1)}", type="primary", key="take in"
):
    try:
        for folder in arrivals.take_in(found):
            st.success(f"Imported as {literal(folder.name)}.")
            to_key(f"{folder.resolve().parent.name}/{folder.name}", f"Open {folder.name}")
    except DiagnosticsError as reason:
        st.error(literal(sentence(str(reason))))
formats()
