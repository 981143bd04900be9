"""Import: drop a log or paste a console, see what was understood, and keep it as a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from diagnostics.diagnosis import Diagnosis, diagnose
from diagnostics.errors import DiagnosticsError
from diagnostics.meaning import Meaning
from diagnostics.methods import METHODS
from diagnostics.readers import READERS, Hints, fingerprint
from diagnostics.readers.wandb_online import online_address
from diagnostics.run import Run
from diagnostics.schema import METRICS
from pages.components import arrivals, verdict
from pages.components.link import navigation, to_key
from pages.components.runs import ROOTS_VARIABLE
from pages.components.text import literal, sentence

Found = tuple[Diagnosis, ...]
MOST_MEGABYTES = 200  # held in memory while it is looked at
MOST_LOGS = 20  # of a folder that are read at once; a page of more previews is not looked at
MOST_PREVIEWS = 60  # kept of one browser session
PREVIEWS, ASKED = "previews", "times W&B was asked"


def hints() -> Hints:
    """Ask for what a log often does not hold: beta and the method."""
    with st.grid(2, min_column_width=260, gap="medium"):
        beta = st.text_input(
            "β, where the log does not say it",
            placeholder="0.1",
            help="The rewards of most trainers are beta times a log-ratio: without beta they "
            "stay reward units, in which directions can be read and sizes cannot be compared.",
            key="beta",
        )
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


def dropped(known: Hints) -> Found:
    """Ask for files and return the runs in them."""
    files = st.file_uploader(
        f"Drop log files, {MOST_MEGABYTES} MB each at most",
        accept_multiple_files=True,
        max_upload_size=MOST_MEGABYTES,
        help="Any of the formats below. Settings that lie beside a log (args.json, a YAML file, "
        "a model card) can be dropped along: they often hold beta. A larger log is better put "
        "into a folder that this server reads, and named under *Folder*.",
    )
    found: Found = ()
    for name, path in arrivals.kept([(file.name, file.getvalue()) for file in files or ()]):
        found += read(name, path, known)
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


def pasted(known: Hints) -> Found:
    """Ask for a pasted console and return the runs in it."""
    text = st.text_area(
        "Paste console output",
        placeholder="{'loss': 0.6931, 'rewards/chosen': 0.0, 'rewards/rejected': 0.0, …}",
        height=220,
        key="pasted",
    )
    if not text.strip():
        return ()
    name = "the pasted text"
    return attempt(name, (text, known), lambda: arrivals.runs_in_text(text, known))


def pointed(known: Hints) -> Found:
    """Ask for a folder or a file under the roots, and return the runs there."""
    text = st.text_input(
        "A folder or file that this server may read",
        placeholder="runs/sweep, or a path",
        help="Everything below it is looked through. Only the folders of this server's runs are "
        f"open: others are named in {ROOTS_VARIABLE} before it is started.",
        key="folder",
        bind="query-params",
    ).strip()
    if not text:
        return ()
    try:
        place = arrivals.pointed_at(text)
        logs = arrivals.logs_in(place)
    except DiagnosticsError as problem:
        st.error(literal(sentence(str(problem))))
        return ()
    if len(logs) > MOST_LOGS:
        st.caption(f"{len(logs):,} logs lie there; the first {MOST_LOGS} are shown.")
    found: Found = ()
    for log in logs[:MOST_LOGS]:
        name = str(log.relative_to(place)) if log != place else text
        found += read(name, log, known)
    return found


def online(known: Hints) -> Found:
    """Ask for runs on W&B and return them; they are asked for once."""
    text = st.text_input(
        "A run on W&B, or a project for all its runs",
        placeholder="entity/project/run, or the address of its page",
        help="Needs WANDB_API_KEY, or a login, on the machine where this server runs.",
        key="wandb",
        bind="query-params",
    )
    if not text.strip():
        return ()
    address = online_address(text)
    # A run that goes on has more to tell.
    asked = st.session_state.setdefault(ASKED, 0) + st.button("Ask again")
    st.session_state[ASKED] = asked
    with st.status("Asking W&B", expanded=True) as status:
        found = attempt(
            address,
            (asked, known),
            lambda: arrivals.runs_online(
                address, known, lambda text: status.update(label=literal(text))
            ),
        )
        answer = f"{len(found)} run{'s' * (len(found) != 1)} from W&B" if found else "No run"
        status.update(label=answer, state="complete" if found else "error", expanded=not found)
    return found


def read(name: str, path: Path, known: Hints) -> Found:
    """Return the runs of a log, asking for its columns where they are not clear."""
    given = Hints(beta=known.beta, method=known.method, columns=mapping(name, path))
    mark = (path, fingerprint(path), given)
    return attempt(name, mark, lambda: arrivals.runs_in(name, path, given))


def attempt(name: str, mark: object, runs: Callable[[], Sequence[Run]]) -> Found:
    """Return what is diagnosed of something, or show in one sentence why it cannot be read.

    `mark` tells whether it is the same as before: then it is not read anew.
    """
    kept: dict[str, Found] = st.session_state.setdefault(PREVIEWS, {})
    key = f"{name} {mark!r}"
    if key not in kept:
        try:
            kept[key] = tuple(diagnose(run) for run in runs())
        except DiagnosticsError as problem:
            told = str(problem).removeprefix(f"{name}: ")
            st.error(f"**{literal(name)}**: {literal(sentence(told))}")
            return ()
        while len(kept) > MOST_PREVIEWS:
            kept.pop(next(iter(kept)))
    return kept[key]


def recognised(diagnosis: Diagnosis) -> None:
    """Show what was understood of one run: who wrote it, what its numbers are, what it shows."""
    run, source = diagnosis.run, diagnosis.run.source
    writer = " ".join(part for part in (source.framework, source.version) if part)
    method = METHODS.get(run.method or "")
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{literal(run.name)}**", width="content")
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
    "A log that another trainer wrote becomes a run like any other. What you bring stays on the "
    "machine of this server."
)
known = hints()
SOURCES = {"Files": dropped, "Console": pasted, "Folder": pointed, "W&B": online}
found: Found = ()
for tab, bring in zip(
    st.tabs(list(SOURCES), key="source", bind="query-params"), SOURCES.values(), strict=True
):
    with tab:
        found += bring(known)
for one in found:
    recognised(one)
if found and st.button(
    f"Import {len(found)} run{'s' * (len(found) != 1)}", type="primary", key="take in"
):
    try:
        for folder in arrivals.take_in([one.run for one in found]):
            st.success(f"Imported as {literal(folder.name)}.")
            to_key(f"{folder.resolve().parent.name}/{folder.name}", f"Open {folder.name}")
    except DiagnosticsError as reason:
        st.error(literal(sentence(str(reason))))
formats()
