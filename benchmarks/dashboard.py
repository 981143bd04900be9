"""How long people wait for curves: Seesaw beside TensorBoard and trackio, on the same numbers.

A headless Chromium opens each dashboard and tells when its charts hold ink and when they stop
changing after a click. `python -m benchmarks dashboard` prints the tables as Markdown. `PEERS`
names the interpreter of an environment with `benchmarks/requirements.txt`; what it lacks is left
out. Every page is opened `REPEATS` times and clicked on `CLICKS` times.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dashboard_data import (
    NAMES,
    SPIKE,
    series,
    write_events,
    write_run_logs,
    write_trackio,
)
from benchmarks.dashboard_tools import PEERS, SEESAW_RUN, TOOLS, Server, Tool, is_installed, serve

RUNS = int(os.environ.get("RUNS", "20"))
STEPS = int(os.environ.get("STEPS", "20000"))
LONG = int(os.environ.get("LONG", "1000000"))
REPEATS = int(os.environ.get("REPEATS", "3"))
CLICKS = int(os.environ.get("CLICKS", "20"))
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PATIENCE_MS = 300_000
LEAST_INK = 500
"""Pixels, or thousands of signs of a path, from which on a chart holds curves."""

# What the charts show, as one number for each, and how much ink there is in all of them. Canvases
# that a worker draws on can be copied but not read.
WATCH = """
(selector) => {
  const copy = document.createElement("canvas");
  const canvas = (one) => {
    if (!one.width || !one.height) return [0, 0];
    copy.width = one.width; copy.height = one.height;
    const brush = copy.getContext("2d", { willReadFrequently: true });
    brush.drawImage(one, 0, 0);
    const pixels = brush.getImageData(0, 0, copy.width, copy.height).data;
    let sum = 0, ink = 0;
    for (let at = 0; at < pixels.length; at += 4) {
      const [r, g, b] = [pixels[at], pixels[at + 1], pixels[at + 2]];
      sum = (sum * 31 + r + 7 * g + 13 * b) % 1000003;
      ink += pixels[at + 3] > 0 && Math.max(r, g, b) - Math.min(r, g, b) > 40;
    }
    return [sum, ink];
  };
  const drawn = (one) => {
    const paths = [...one.querySelectorAll("path.js-line, .bars path")];
    const text = paths.map((path) => path.getAttribute("d")).join("") +
      [...one.querySelectorAll(".xtick, .xtitle")].map((tick) => tick.textContent).join("");
    let sum = 0;
    for (let at = 0; at < text.length; at += 7) sum = (sum * 31 + text.charCodeAt(at)) % 1000003;
    return [sum, text.length];
  };
  window.charts = () => [...document.querySelectorAll(selector)]
    .map((one) => one.tagName === "CANVAS" ? canvas(one) : drawn(one));
  window.ink = () => window.charts().reduce((all, [, ink]) => Math.max(all, ink), 0);
  window.redrawn = (click) => new Promise((done) => {
    const before = JSON.stringify(window.charts());
    const begun = performance.now();
    let last = before, changed = 0;
    click();
    const look = () => {
      const now = performance.now(), seen = JSON.stringify(window.charts());
      if (seen !== last) { last = seen; changed = now; }
      if (changed ? now - changed > 600 : now - begun > 60000) done(changed ? changed - begun : -1);
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}
"""

SPIKED = f"""
() => [...document.querySelectorAll(".js-plotly-plot")].some((one) =>
  one._fullData.some((line) => line.y
    && Array.from(line.y).some((y) => Math.abs(y - {SPIKE}) < 1e-3)))
"""
"""Whether some chart shows the spike of one step."""


@dataclass(frozen=True)
class Waits:
    """What one dashboard asks of people and of its server.

    Seconds until curves are visible after a start (`cold`) and a visit (`warm`), and until the
    charts are redrawn after a click (`clicks`); CPU seconds of the server for each click; what
    came over the socket for a first visit, and what the server holds [MB]. `runs` are those on the
    screen when the first curves were, where that may be fewer than there are.
    """

    cold: float
    warm: float
    clicks: Sequence[float]
    cpu: Sequence[float]
    payload: float
    held: float
    spike: bool
    runs: int | None = None


@contextmanager
def chromium() -> Iterator[Any]:
    """Give a headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def visitor(browser: Any) -> Iterator[Any]:
    """Give an empty tab with an empty cache; it counts what web sockets bring it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.route(lambda url: "127.0.0.1" not in url, lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.received = 0
    page.on("websocket", lambda socket: socket.on("framereceived", lambda f: _count(page, f)))
    yield page
    context.close()


def _count(page: Any, frame: Any) -> None:
    page.received += len(frame)


def visit(page: Any, server: Server, tool: Tool) -> None:
    """Open the page and wait until a chart holds curves."""
    page.goto("about:blank")
    page.goto(server.address + tool.place, wait_until="commit")
    page.evaluate(WATCH, tool.charts)
    page.wait_for_function(f"window.ink && window.ink() > {LEAST_INK}")


def settled(page: Any, tool: Tool) -> None:
    """Wait until the charts stop changing."""
    page.evaluate(WATCH, tool.charts)
    before = None
    while (now := page.evaluate("JSON.stringify(window.charts())")) != before:
        before = now
        page.wait_for_timeout(1500)


def waits(browser: Any, tool: Tool, data: Path) -> Waits:
    """Measure one dashboard: cold as the median of fresh servers, the others on the last one."""
    cold = []
    for repeat in range(REPEATS):
        with serve(tool, data) as server, visitor(browser) as page:
            visit(page, server, tool)
            cold.append(time.perf_counter() - server.begun)
            runs = page.evaluate(tool.runs) if tool.runs else None
            if repeat < REPEATS - 1:
                continue
            settled(page, tool)
            payload = page.received / 1e6
            warm = []
            for _ in range(REPEATS):
                begun = time.perf_counter()
                visit(page, server, tool)
                warm.append(time.perf_counter() - begun)
                settled(page, tool)
            clicks, cpu = [], []
            for _ in range(CLICKS):
                spent = server.cpu_seconds()
                took = page.evaluate(f"window.redrawn(() => {tool.switch})") / 1000
                clicks.append(took if took >= 0 else float("nan"))
                cpu.append(server.cpu_seconds() - spent)
            held, spike = server.megabytes(), page.evaluate(SPIKED)
    return Waits(
        statistics.median(cold), statistics.median(warm), clicks, cpu, payload, held, spike, runs
    )


def p95(values: Sequence[float]) -> float:
    """Return the value that one in twenty exceeds."""
    return float(np.percentile(values, 95)) if values else float("nan")


def write(folder: Path, tool: Tool, runs: Sequence[np.ndarray]) -> Path:
    """Write the numbers in the format of a tool and return where they are."""
    place = folder / tool.data
    if place.exists():
        return place
    if tool.data == "seesaw":
        write_run_logs(place, runs)
    elif tool.data == "tensorboard":
        write_events(place, runs)
    else:
        write_trackio(place, runs, PEERS)
    return place


def lines(browser: Any, folder: Path, title: str, runs: Sequence[np.ndarray]) -> Iterator[str]:
    """Yield one table: the waits of every tool on these runs."""
    yield f"\n### {title}\n"
    yield "| dashboard | cold | warm | click p95 | CPU of a click p95 | payload | memory | spike |"
    yield "|---|---|---|---|---|---|---|---|"
    notes = []
    for tool in TOOLS:
        if not is_installed(tool):
            yield f"| {tool.name} | not installed | | | | | | |"
            continue
        found = waits(browser, tool, write(folder, tool, runs))
        ours = tool.data == "seesaw"
        yield (
            f"| {tool.name} | {found.cold:.1f} s | {found.warm:.1f} s | {p95(found.clicks):.2f} s |"
            f" {p95(found.cpu):.2f} s | {f'{found.payload:.2f} MB' if ours else ''} |"
            f" {found.held:.0f} MB | {('kept' if found.spike else 'LOST') if ours else ''} |"
        )
        partly = f"; cold, with the first {found.runs} runs" if found.runs is not None else ""
        notes.append(f"- {tool.name}: {tool.shown}{partly}.")
    yield "\n" + "\n".join(notes)


def live(browser: Any, folder: Path, rows: int) -> Iterator[str]:
    """Yield what watching a growing run costs, and how late its records are."""
    values = series(0, rows + 200)
    write_run_logs(folder / "grown", [values[:rows]])
    log = folder / "grown" / "run-00" / "run.jsonl"
    text = log.read_bytes()
    log.write_bytes(text[: text.rstrip(b"\n").rfind(b"\n") + 1])  # without its end
    tool = SEESAW_RUN
    with serve(tool, folder / "grown") as server, visitor(browser) as page:
        page.goto(server.address + "run?run=grown%2Frun-00")
        page.evaluate(WATCH, tool.charts)
        page.wait_for_function(f"window.ink() > {LEAST_INK}")
        settled(page, tool)
        idle = _rate(server, page, 20)
        yield f"| {rows:,} rows, nothing new | {idle[0]:.3f} s a second | {idle[1]:.0f} B | |"
        for what, names in (("a record", NAMES), ("a record of the loss only", ("loss",))):
            late, cpu, sent = [], [], []
            for _ in range(8):
                rows += 1
                row = dict(zip(NAMES, values[rows - 1].tolist(), strict=True))
                record = {"kind": "train", "step": rows, "time": time.time()}
                spent, before, begun = server.cpu_seconds(), page.received, time.perf_counter()
                with log.open("a") as stream:
                    stream.write(json.dumps(record | {name: row[name] for name in names}) + "\n")
                page.get_by_text(re.compile(rf"step {rows:,}\b")).first.wait_for()
                late.append(time.perf_counter() - begun)
                page.wait_for_timeout(1500)
                passed = time.perf_counter() - begun
                cpu.append(server.cpu_seconds() - spent - idle[0] * passed)
                sent.append(page.received - before)
            yield (
                f"| {rows:,} rows, {what} | {statistics.median(cpu):.3f} s |"
                f" {statistics.median(sent) / 1e3:.0f} kB | {p95(late):.1f} s |"
            )


def _rate(server: Server, page: Any, seconds: float) -> tuple[float, float]:
    """Return CPU seconds and bytes a second while nothing happens."""
    spent, before = server.cpu_seconds(), page.received
    page.wait_for_timeout(1000 * seconds)
    return (server.cpu_seconds() - spent) / seconds, (page.received - before) / seconds


def main() -> None:
    """Print the tables."""
    print("## Waiting for the dashboard\n")
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start.")
    print(f"Medians of {REPEATS} starts and visits; {CLICKS} clicks.")
    with tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH")) as name, chromium() as browser:
        title = f"{RUNS} runs of {STEPS:,} steps"
        runs = [series(seed, STEPS) for seed in range(RUNS)]
        for line in lines(browser, Path(name) / "many", title, runs):
            print(line, flush=True)
        if LONG:
            title = f"One run of {LONG:,} steps"
            for line in lines(browser, Path(name) / "long", title, [series(RUNS, LONG)]):
                print(line, flush=True)
        print("\n### A training that is watched\n")
        print("| what comes | server CPU | sent | on the screen after (p95) |\n|---|---|---|---|")
        for rows in (STEPS, LONG) if LONG else (STEPS,):
            for line in live(browser, Path(name) / f"live-{rows}", rows):
                print(line, flush=True)
    print(f"\nLoad average {os.getloadavg()[0]:.1f} at the end.\n")
