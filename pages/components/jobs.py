"""Trainings that this server started: whether it may, with what command, watching, stopping.

A training is a process of `python -m trainer` that writes an ordinary run folder; the page reads
its log like anybody's. It goes on when the server ends, and only its own server can stop it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from diagnostics.errors import DiagnosticsError
from diagnostics.runlog import LOG_NAME
from pages.components.runs import HOME, roots

VARIABLE = "SEESAW_TRAIN"
LOCAL = ("127.0.0.1", "localhost", "::1")
AT_ONCE = 1  # trainings of one server; more would share one device
MIN_DISK, MIN_MEMORY = 2.0, 1.0  # free [GiB]
TAIL_BYTES = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class TrainingRefused(DiagnosticsError):
    """A training that cannot be started, in one sentence."""


@dataclass
class Job:
    """One training: `process` is ours, `folder` is where its run log appears."""

    name: str
    folder: Path
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    console: Path
    started: float
    stopping: bool = False

    @property
    def status(self) -> str:
        """Whether it is "running", "stopping", "completed", "stopped" or "failed"."""
        code = self.process.poll()
        if code is None:
            return "stopping" if self.stopping else "running"
        if code == 0:
            return "completed"
        return "stopped" if self.stopping else "failed"

    @property
    def last_words(self) -> str:
        """The last lines of what the process printed; of a progress bar only its newest state."""
        try:
            with self.console.open("rb") as stream:
                stream.seek(max(0, self.console.stat().st_size - TAIL_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = (
            line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")
        )
        return "\n".join([line for line in lines if line][-4:])


def closed_because() -> str | None:
    """Return why this server starts no trainings, or None when it does."""
    if os.environ.get(VARIABLE) != "1":
        return f"starting trainings is switched off; `{VARIABLE}=1 make run` switches it on"
    address = st.get_option("server.address")
    if address not in LOCAL and not getattr(st.user, "is_logged_in", False):
        return (
            f"this server listens on {address or 'every address'}, and whoever reaches it could "
            "start programs; serve on 127.0.0.1, or let people log in"
        )
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed; `pip install -r requirements.txt` installs the trainer"
    return None


def jobs() -> list[Job]:
    """Return the trainings of this server, the newest first."""
    kept, lock = _store()
    with lock:
        return sorted(kept.values(), key=lambda job: -job.started)


def settings_file(folder: Path) -> Path | None:
    """Return the file of settings that a training of ours left in its folder, None without one."""
    path = folder / "config.json"
    return path if (folder / LOG_NAME).is_file() and path.is_file() else None


def arguments(
    settings: Mapping[str, str], folder: Path, file: Path | None = None
) -> tuple[str, ...]:
    """Return the command of a training; settings left empty keep what `file` says, or the default.

    `file` holds the settings of another run.
    """
    # One word each: a value that begins with dashes stays a value.
    given = [f"--{name}={value.strip()}" for name, value in settings.items() if value.strip()]
    if file is None:
        return ("-m", "trainer", *given, "--output_dir", str(folder))
    # The other run's name and its being resumed are not taken over.
    own = ["--name", folder.name, "--resume", "false", "--output_dir", str(folder)]
    return ("-m", "trainer", str(file), *given, *own)


def shown(command: Sequence[str]) -> str:
    """Return a command as a person would type it in the folder of the project."""
    inside = f"{HOME}{os.sep}"
    return shlex.join(["python", *(part.removeprefix(inside) for part in command)])


def folder_of(name: str) -> Path:
    """Return the run folder of a name, under the first root.

    Raises
    ------
    TrainingRefused
        For a name that is no plain file name, or is taken.
    """
    if not _NAME.fullmatch(name):
        raise TrainingRefused(
            f"the name {name!r} cannot be a folder's: use letters, digits, dots, dashes and "
            "underscores, at most 64, the first one a letter or digit"
        )
    folder = roots()[0].resolve() / name
    if folder.exists():
        raise TrainingRefused(f"a run named {name} exists already: choose another name")
    return folder


def start(settings: Mapping[str, str], name: str, file: Path | None = None) -> Job:
    """Start a training and return it; `settings` go before those in `file`.

    Raises
    ------
    TrainingRefused
        When this server starts none, a resource is short, or the name cannot be used.
    """
    reason = closed_because()
    if reason:
        raise TrainingRefused(reason)
    folder = folder_of(name)
    kept, lock = _store()
    with lock:
        busy = [job.name for job in kept.values() if job.process.poll() is None]
        if len(busy) >= AT_ONCE:
            raise TrainingRefused(f"{busy[0]} is still training: stop it first, or wait for it")
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_resources(folder.parent)
        command = arguments(settings, folder, file)
        console = folder.parent / f".{name}.console"
        with console.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=HOME,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        kept[name] = Job(name, folder, command, process, console, time.time())
        return kept[name]


def stop(job: Job) -> None:
    """Ask a training to end after its step; asked a second time, end it at once."""
    if job.process.poll() is not None:
        return
    if job.stopping:
        job.process.kill()
    else:
        job.stopping = True
        job.process.terminate()


def _check_resources(place: Path) -> None:
    disk = shutil.disk_usage(place).free / 2**30
    if disk < MIN_DISK:
        raise TrainingRefused(
            f"{place} has {disk:.1f} GiB free, and a run needs {MIN_DISK:g}: free some space"
        )
    memory = _free_memory()
    if memory is not None and memory < MIN_MEMORY:
        raise TrainingRefused(
            f"{memory:.1f} GiB of memory are free, and a training needs {MIN_MEMORY:g} at least: "
            "close other programs"
        )


def _free_memory() -> float | None:
    """Return the memory that programs can still get [GiB]; None where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 2**20 if found else None


@st.cache_resource
def _store() -> tuple[dict[str, Job], threading.Lock]:
    return {}, threading.Lock()
