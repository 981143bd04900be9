"""The dashboards that are measured: how each is started, and where its charts and a switch are."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(os.environ.get("PEERS", sys.executable)).parent / Path(sys.executable).name
"""The interpreter of the environment that holds tensorboard and trackio."""

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Tool:
    """One dashboard, or one of its pages.

    `charts` selects what its curves are drawn in, `switch` is the JavaScript of a click that
    draws them anew; an even and an odd click undo each other.
    """

    name: str
    shown: str
    data: str
    command: Callable[[Path, int], list[str]]
    place: str
    charts: str
    switch: str
    runs: str = ""
    """JavaScript that counts the runs on the screen, where they may be fewer than there are."""
    environment: Callable[[Path, int], Mapping[str, str]] = field(default=lambda data, port: {})


def _seesaw(data: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"]


def _pressed(*labels: str) -> str:
    """Return a click on the label of a segmented control that is not chosen now."""
    wanted = ", ".join(f'"{label}"' for label in labels)
    return (
        "[...document.querySelectorAll('[data-testid=stButtonGroup] button')].find(one =>"
        f" [{wanted}].includes(one.innerText.trim())"
        " && !['true'].includes(one.getAttribute('aria-checked')"
        " || one.getAttribute('aria-pressed') || '')"
        " && !(one.dataset.testid || '').endsWith('Active')).click()"
    )


PLOTLY = "[data-testid=stPlotlyChart] .js-plotly-plot"
SEESAW_RUN = Tool(
    "Seesaw, a run",
    "the series of one run; click: another x-axis",
    "seesaw",
    _seesaw,
    "run?run=seesaw%2Frun-00",
    PLOTLY,
    _pressed("step", "epoch"),
    environment=lambda data, port: {"SEESAW_RUNS": str(data)},
)
SEESAW_COMPARE = Tool(
    "Seesaw, a comparison",
    "all runs in common units; click: at the same margin, or step",
    "seesaw",
    _seesaw,
    "compare",
    PLOTLY,
    _pressed("step", "margin"),
    environment=lambda data, port: {"SEESAW_RUNS": str(data)},
)
TENSORBOARD = Tool(
    "TensorBoard",
    "all runs, the charts in view, 1,000 points a series; click: outliers left out, or not",
    "tensorboard",
    lambda data, port: [
        *(str(PEERS), "-m", "tensorboard.main", "--logdir", str(data), "--host", "127.0.0.1"),
        *("--port", str(port)),
    ],
    "#timeseries",
    "line-chart canvas",
    "[...document.querySelectorAll('mat-checkbox')]"
    ".find(one => /outliers/.test(one.innerText)).querySelector('input').click()",
    runs="document.querySelectorAll('runs-data-table tb-data-table-content-row').length",
)
TRACKIO = Tool(
    "trackio",
    "all runs, about 2,500 points a series; click: a run left out, or back",
    "trackio",
    lambda data, port: [
        *(str(PEERS), "-c", "from trackio.cli import main; main()", "show", "--project", "bench"),
    ],
    "?project=bench",
    "canvas",
    "[...document.querySelectorAll('input[type=checkbox]')]"
    ".filter(one => /run-/.test(one.parentElement.innerText))[3].click()",
    environment=lambda data, port: {"TRACKIO_DIR": str(data), "GRADIO_SERVER_PORT": str(port)},
)
TOOLS = (SEESAW_RUN, SEESAW_COMPARE, TENSORBOARD, TRACKIO)


@dataclass(frozen=True)
class Server:
    """A server that runs: its address, when it was started [seconds], its process."""

    address: str
    begun: float
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server and the processes it started [seconds]."""
        return sum(_cpu_seconds(process) for process in _family(self.process.pid))

    def megabytes(self) -> float:
        """Return the memory that the server holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def serve(tool: Tool, data: Path, **environment: str) -> Iterator[Server]:
    """Start a server on the data and stop it in the end; what it says goes nowhere."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.perf_counter()
    process = subprocess.Popen(
        tool.command(data, port),
        cwd=ROOT,
        env={**os.environ, **tool.environment(data, port), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}/"
        _wait(address, process)
        yield Server(address, begun, process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_installed(tool: Tool) -> bool:
    """Return whether the tool can be started."""
    if tool.data == "seesaw":
        return True
    done = subprocess.run([PEERS, "-c", f"import {tool.data}"], capture_output=True, check=False)
    return done.returncode == 0


def _wait(address: str, process: subprocess.Popen[bytes], patience: float = 180) -> None:
    until = time.perf_counter() + patience
    while time.perf_counter() < until:
        try:
            with urlopen(address, timeout=patience):
                return
        except (URLError, ConnectionError):
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with {process.returncode}") from None
            time.sleep(0.02)
    raise RuntimeError(f"{process.args} did not answer")


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _family(session: int) -> Iterator[int]:
    """Yield the processes of a session."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if int(_stat(int(place.name))[3]) == session:
                    yield int(place.name)
            except OSError:
                continue


def _cpu_seconds(process: int) -> float:
    try:
        parts: list[Any] = _stat(process)
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / TICK
