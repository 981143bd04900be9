"""Train: start a training, watch it, stop it; what runs is `python -m trainer`, nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from diagnostics.methods import METHODS, Method
from diagnostics.windows import safe_settings
from pages.components import jobs, runs, states, verdict
from pages.components.link import navigation, to_run
from pages.components.text import literal, sentence

LOOK_SECONDS = 4
"""Time between two looks at the trainings that this server started."""

# Settings that every method has: the trainer's flag, its label, its default, what it means.
COMMON = (
    ("learning_rate", "Learning rate", "1e-6", "Peak learning rate."),
    ("num_train_epochs", "Epochs", "1", "Passes over the training pairs."),
    ("max_steps", "Steps", "", "Optimizer steps; overrides the epochs when given."),
    ("per_device_train_batch_size", "Batch size", "8", "Pairs of one micro-batch on one device."),
    ("warmup_ratio", "Warm-up", "0.1", "Share of the steps over which the rate rises from 0."),
    ("max_grad_norm", "Largest gradient", "1", "Gradients are clipped to this L2 norm; 0: never."),
    ("max_length", "Longest pair", "1024", "Tokens; prompt plus completion are cut to it."),
    ("lora_r", "LoRA rank", "0", "0 trains all weights."),
    ("seed", "Seed", "0", "Of the data order, the held-out part and the samples."),
)
# The trainer's flag for a setting that the method's facts call otherwise.
FLAGS = {"gamma": "simpo_gamma"}


def settings_of(*, arrived: bool) -> runs.Reading | None:
    """Ask for a run whose settings to begin with; its settings file heads the command."""
    known = {one.key: one for one in runs.entries() if jobs.settings_file(one.path)}
    if arrived and "method" not in st.query_params:
        _take_method(known, st.query_params.get("like"))
    picked = st.selectbox(
        "Begin with the settings of",
        list(known),
        index=None,
        key="like",
        bind="query-params",
        placeholder="The defaults",
        help="Every setting of that run is taken over, except those that are filled in below.",
        disabled=not known,
        on_change=lambda: _take_method(known, st.session_state["like"]),
    )
    return runs.reading(known[picked]) if picked in known else None


def _take_method(known: Mapping[str, runs.Entry], picked: str | None) -> None:
    """Let the form begin with the method of the run that was picked."""
    method = _before(runs.reading(known[picked])).get("method") if picked in known else None
    if method in METHODS:
        st.session_state["method"] = method


def what(like: runs.Reading | None) -> tuple[Method, dict[str, str], str]:
    """Ask for method, model, data and name; all of it stands in the URL."""
    before = _before(like)
    left, right = st.columns(2, gap="large")
    with left:
        name = st.selectbox("Method", list(METHODS), key="method", bind="query-params")
        model = _asked("model", "Model", before, "Qwen/Qwen3-0.6B, a folder, or tiny-qwen3")
    with right:
        data = _asked("data", "Data", before, "pairs.jsonl, a folder or a hub name")
        run = _asked("name", "Name of the run", {}, "dpo-1")
    method = METHODS[name or "dpo"]
    st.caption(literal(f"{method.equation}. {method.remark} ({method.citation})"))
    chosen = {} if before.get("method") == method.name else {"method": method.name}
    return method, chosen | {"model": model, "data": data}, run.strip()


def _before(like: runs.Reading | None) -> Mapping[str, str]:
    """Return the settings of the run to begin with, as text; empty without one."""
    if like is None or like.run is None:
        return {}
    known = {"method": like.run.method or ""} | dict(like.run.config)
    return {name: str(value) for name, value in known.items() if value not in (None, "")}


def _asked(flag: str, label: str, before: Mapping[str, str], example: str) -> str:
    return st.text_input(
        label, placeholder=before.get(flag, example), key=flag, bind="query-params"
    )


def how(method: Method, like: runs.Reading | None) -> tuple[dict[str, str], list[str]]:
    """Ask for the method's own settings and the common ones; empty keeps what stands there.

    Returns what was given, and what is wrong with it.
    """
    before = _before(like)
    measured = safe_settings(like.diagnosis.reading) if like and like.diagnosis else {}
    if before.get("method") != method.name:  # the settings of one loss mean nothing to another
        before = {flag: before[flag] for flag, *_ in COMMON if flag in before}
        measured = {}
    own = [
        (FLAGS.get(one.name, one.name), one.name.replace("_", " "), str(one.default),
         f"{one.symbol} {one.meaning}", one.usual)
        for one in method.hyperparameters
    ]  # fmt: skip
    common = [(*one, method.rates if one[0] == "learning_rate" else "") for one in COMMON]
    given: dict[str, str] = {}
    wrong = []
    for title, asked in (("Loss", own), ("Training", common)):
        st.markdown(f"**{title}**")
        with st.grid("auto", min_column_width=220, gap="medium"):
            for flag, label, default, meaning, usual in asked:
                with st.container(gap="xxsmall"):
                    given[flag] = setting(flag, label, before.get(flag, default), meaning)
                    if not fits(given[flag], default):
                        wrong.append(f"{label} is {given[flag]!r} and should be a number")
                        st.caption(f":red[△ {literal(wrong[-1])}]")
                    if usual:
                        st.caption(literal(f"In use: {usual}"))
                    if flag in measured:
                        st.caption(f"**Measured there:** {literal(measured[flag])}")
    return given, wrong


def setting(flag: str, label: str, default: str, meaning: str) -> str:
    """Ask for one setting of the trainer."""
    return st.text_input(
        label, placeholder=default, help=literal(meaning.strip()), key=flag, bind="query-params"
    )


def fits(given: str, default: str) -> bool:
    """Return whether a setting is empty, or a finite number where its default is one.

    Examples
    --------
    >>> fits("1e-6", "0.1"), fits("", "0.1"), fits("sequence", "token"), fits("1,5", "0.1")
    (True, True, True, False)
    """
    try:
        float(default or "0")
    except ValueError:
        return True
    try:
        return not given.strip() or math.isfinite(float(given))
    except ValueError:
        return False


def begin(settings: Mapping[str, str], name: str, wrong: Sequence[str], file: Path | None) -> None:
    """Show the command, and where this server trains a button that starts it."""
    missing = [] if file else [one for one in ("model", "data") if not settings[one].strip()]
    missing += [] if name else ["name of the run"]
    folder = (runs.roots()[0] / (name or "NAME")).resolve()
    st.code(jobs.shown(jobs.arguments(settings, folder, file)), language="bash", wrap_lines=True)
    if missing:
        st.caption(f"Still to fill in: {', '.join(missing)}.")
    if jobs.closed_because():
        return
    if st.button("Start training", type="primary", disabled=bool(missing or wrong)):
        try:
            jobs.start(settings, name, file)
        except jobs.TrainingRefused as reason:
            st.error(literal(sentence(str(reason))))
        else:
            st.rerun()  # the training appears above


def share_done(reading: runs.Reading) -> float:
    """Return how much of a training is done, from 0 to 1; 0 where the log does not say."""
    total = reading.run.header.get("total_steps") if reading.run else None
    step = reading.run.last_step if reading.run else None
    return min(1.0, (step or 0) / total) if isinstance(total, int) and total > 0 else 0.0


def left_to_do(reading: runs.Reading) -> str:
    """Return how far a training is and when it will be done, in words."""
    run = reading.run
    total = run.header.get("total_steps") if run else None
    if run is None or run.last_step is None or not isinstance(total, int) or not total:
        return "no step yet"
    done = f"step {run.last_step:,} of {total:,}"
    if "time" not in run.train or len(run.train) < 2 or run.last_step >= total:
        return done
    times = run.train["time"]
    seconds = float(times.iloc[-1] - times.iloc[0]) / max(
        1, int(run.train.index[-1] - run.train.index[0])
    )
    ahead = seconds * (total - run.last_step)
    if not 0 < ahead < float("inf"):
        return done
    return f"{done}, about {_duration(ahead)} to go"


def _duration(seconds: float) -> str:
    """Return a time in the unit that a person would use.

    Examples
    --------
    >>> _duration(42), _duration(600), _duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def watch(job: jobs.Job) -> None:
    """Show one training: its state, how far it is, what the diagnosis says so far."""
    entry = next((one for one in runs.entries() if one.path == job.folder), None)
    reading = runs.reading(entry) if entry else None
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if reading and reading.run:
                to_run(reading, "→")
            else:
                st.markdown(f"**{literal(job.name)}**", width="content")
            verdict.status_badge(job.status)
            if reading and reading.verdict:
                verdict.badge(reading.verdict.regime)
            if job.status in ("running", "stopping"):
                label = "Stop" if job.status == "running" else "Stop at once"
                st.button(label, key=f"stop {job.name}", on_click=jobs.stop, args=(job,))
        if reading and reading.verdict:
            st.progress(share_done(reading), literal(left_to_do(reading)))
            st.caption(literal(sentence(reading.verdict.sentence)))
        minutes = _duration(time.time() - job.started)
        st.caption(f"Started {minutes} ago, process {job.process.pid}.")
        if job.last_words:
            st.code(job.last_words, language=None, wrap_lines=True)


@st.fragment(run_every=LOOK_SECONDS)
def started() -> None:
    """Show every training of this server, again every few seconds."""
    for job in jobs.jobs():
        watch(job)


st.set_page_config(page_title="Seesaw: train", layout="wide")
arrived = navigation("train")
if arrived:
    # What a link asks for wins over what the fields held on an earlier visit.
    for asked in st.query_params:
        st.session_state[asked] = st.query_params[asked]
st.title("Train")
closed = jobs.closed_because()
if closed:
    states.no_training(closed)
else:
    st.caption(
        "A training is a process of its own: it goes on when this page or its server is closed. "
        "What runs is the command below, which can be copied to a terminal instead."
    )
    started()
like = settings_of(arrived=arrived)
method, settings, name = what(like)
given, wrong = how(method, like)
begin(settings | given, name, wrong, jobs.settings_file(like.entry.path) if like else None)
