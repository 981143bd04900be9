"""Train: start a training, watch it, stop it; what runs is `python -m trainer`, nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping

import streamlit as st

from diagnostics.methods import METHODS, Method
from pages.components import jobs, runs, states, verdict
from pages.components.link import navigation, to_run
from pages.components.text import literal, sentence

# Settings that every method has: the trainer's flag, its label, its default, what it means.
COMMON = (
    ("learning_rate", "Learning rate", "1e-6", "Peak learning rate."),
    ("num_train_epochs", "Epochs", "1", "Passes over the training pairs."),
    ("max_steps", "Steps", "", "Optimizer steps; overrides the epochs when given."),
    ("per_device_train_batch_size", "Batch size", "8", "Pairs of one micro-batch on one device."),
    ("lora_r", "LoRA rank", "0", "0 trains all weights."),
    ("seed", "Seed", "0", "Of the data order, the held-out part and the samples."),
)
# The trainer's flag for a setting that the method's facts call otherwise.
FLAGS = {"gamma": "simpo_gamma"}


def what() -> tuple[Method, dict[str, str], str]:
    """Ask for method, model, data and name; all of it stands in the URL."""
    left, right = st.columns(2, gap="large")
    with left:
        name = st.selectbox(
            "Method",
            list(METHODS),
            key="method",
            bind="query-params",
        )
        model = st.text_input(
            "Model", placeholder="Qwen/Qwen3-0.6B, a folder, or tiny-qwen3", key="model",
            bind="query-params",
        )  # fmt: skip
    with right:
        data = st.text_input(
            "Data", placeholder="pairs.jsonl, a folder or a hub name", key="data",
            bind="query-params",
        )  # fmt: skip
        run = st.text_input(
            "Name of the run", placeholder="dpo-1", key="name", bind="query-params"
        )  # fmt: skip
    method = METHODS[name or "dpo"]
    st.caption(literal(f"{method.equation}. {method.remark} ({method.citation})"))
    return method, {"method": method.name, "model": model, "data": data}, run.strip()


def how(method: Method) -> dict[str, str]:
    """Ask for the method's own settings and the common ones; empty keeps the default."""
    given: dict[str, str] = {}
    st.markdown("**Loss**")
    with st.grid("auto", min_column_width=220, gap="medium"):
        for one in method.hyperparameters:
            flag = FLAGS.get(one.name, one.name)
            label = one.name.replace("_", " ")
            with st.container(gap="xxsmall"):
                given[flag] = setting(flag, label, str(one.default), f"{one.symbol} {one.meaning}")
                if one.usual:
                    st.caption(literal(f"In use: {one.usual}"))
    st.markdown("**Training**")
    with st.grid("auto", min_column_width=220, gap="medium"):
        for flag, label, default, meaning in COMMON:
            with st.container(gap="xxsmall"):
                given[flag] = setting(flag, label, default, meaning)
                if flag == "learning_rate" and method.rates:
                    st.caption(literal(f"In use: {method.rates}"))
    return given


def setting(flag: str, label: str, default: str, meaning: str) -> str:
    """Ask for one setting of the trainer."""
    return st.text_input(
        label, placeholder=default, help=literal(meaning.strip()), key=f"set {flag}"
    )


def begin(settings: Mapping[str, str], name: str) -> None:
    """Show the command, and start it when asked to."""
    missing = [label for label in ("model", "data") if not settings[label].strip()]
    missing += [] if name else ["name of the run"]
    folder = runs.roots()[0] / (name or "NAME")
    st.code(
        jobs.shown(jobs.arguments(settings, folder.resolve())), language="bash", wrap_lines=True
    )
    if missing:
        st.caption(f"Still to fill in: {', '.join(missing)}.")
    if st.button("Start training", type="primary", disabled=bool(missing)):
        try:
            jobs.start(settings, name)
        except jobs.TrainingRefused as reason:
            st.error(literal(sentence(str(reason))))
        else:
            st.rerun()  # the training appears above


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
            st.markdown(literal(left_to_do(reading)))
            st.caption(literal(sentence(reading.verdict.sentence)))
        minutes = _duration(time.time() - job.started)
        st.caption(f"Started {minutes} ago, process {job.process.pid}.")
        if job.last_words:
            st.code(job.last_words, language=None, wrap_lines=True)


@st.fragment(run_every=runs.LIVE_SECONDS)
def started() -> None:
    """Show every training of this server, again every few seconds."""
    for job in jobs.jobs():
        watch(job)


st.set_page_config(page_title="Seesaw: train", layout="wide")
navigation("train")
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
    method, settings, name = what()
    begin(settings | how(method), name)
