"""Ten people on one dashboard while trainings grow: errors, waits and memory over `MINUTES`.

Every session is a tab of one headless Chromium that picks runs, changes the x-axis and goes from
page to page, about once in `PAUSE` seconds. `python -m benchmarks dashboard_load` prints a line a
minute and the verdict at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from benchmarks.dashboard import CHROMIUM, p95
from benchmarks.dashboard_data import NAMES, series, write_run_logs
from benchmarks.dashboard_tools import SEESAW_RUN, Server, serve

MINUTES = float(os.environ.get("MINUTES", "10"))
SESSIONS = int(os.environ.get("SESSIONS", "10"))
RUNS, LIVE, ROWS = 6, 2, 5_000
PAUSE = float(os.environ.get("PAUSE", "10"))
"""Seconds between what a person does and the next thing, on average."""

RECORD_SECONDS = 1.0

PATIENCE_MS = 120_000
DONE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
EXCEPTION = '[data-testid="stException"]'
AXES = ("step", "epoch", "time")


@dataclass
class Found:
    """What the sessions met: waits [seconds], errors, and the server's memory [MB] by time."""

    begun: float
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


class Trainings(threading.Thread):
    """Adds a record to the first runs of a folder every second, until told to stop."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.logs = [folder / f"run-{number:02}" / "run.jsonl" for number in range(LIVE)]
        self.over = threading.Event()
        for log in self.logs:
            text = log.read_bytes()
            log.write_bytes(text[: text.rstrip(b"\n").rfind(b"\n") + 1])  # without its end

    def run(self) -> None:
        """Write until it is over."""
        values = series(7, 100_000)
        for step in range(ROWS + 1, len(values)):
            row = dict(zip(NAMES, values[step].tolist(), strict=True))
            for log in self.logs:
                with log.open("a") as stream:
                    record = {"kind": "train", "step": step, "time": time.time(), **row}
                    stream.write(json.dumps(record) + "\n")
            if self.over.wait(RECORD_SECONDS):
                return


async def act(page: Any, draw: random.Random) -> float:
    """Do one thing as a person would, and return how long it took to show [seconds]."""
    begun = time.perf_counter()
    axes = page.locator('[data-testid="stButtonGroup"] button').filter(has_text=draw.choice(AXES))
    if "/run" in page.url and draw.random() < 0.6 and await axes.count():
        await axes.first.click()
    else:
        name = draw.choice(("All runs", "One run", "Compare"))
        await page.get_by_role("link", name=name, exact=True).first.click()
        await page.wait_for_selector("h1")
    await page.wait_for_selector(DONE)
    return time.perf_counter() - begun


async def session(
    number: int, browser: Any, server: Server, found: Found, opened: asyncio.Barrier
) -> None:
    """Act in one tab until the minutes are over; they begin when every tab shows its page."""
    from playwright.async_api import Error

    draw = random.Random(number)
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    try:
        await page.goto(f"{server.address}run?run=live%2Frun-{number % RUNS:02}")
        await page.wait_for_selector(DONE)
    except Error as error:
        found.errors.append(f"opening: {str(error).splitlines()[0]}")
    await opened.wait()
    while time.perf_counter() - found.begun < 60 * MINUTES:
        await asyncio.sleep(draw.uniform(0.5, 1.5) * PAUSE)
        try:
            found.waits.append(await act(page, draw))
        except Error as error:
            found.errors.append(str(error).splitlines()[0])
        if await page.locator(EXCEPTION).count():
            found.errors.append(await page.locator(EXCEPTION).first.inner_text())
    await context.close()


async def note(server: Server, found: Found, opened: asyncio.Barrier) -> None:
    """Note the server's memory every second, and tell how it goes every minute."""
    await opened.wait()
    found.begun, told = time.perf_counter(), 0
    while (passed := time.perf_counter() - found.begun) < 60 * MINUTES:
        found.memory.append((passed, server.megabytes()))
        if passed // 60 > told:
            told = int(passed // 60)
            waits = p95(found.waits)
            held, load = found.memory[-1][1], os.getloadavg()[0]
            line = f"| {told} | {len(found.waits)} | {waits:.2f} s | {held:.0f} MB |"
            print(f"{line} {len(found.errors)} | {load:.1f} |", flush=True)
        await asyncio.sleep(1)


def growth(memory: list[tuple[float, float]]) -> float:
    """Return how much memory grew after the first minute, as a fraction of what it was then.

    Either end is the mean over a tenth of the time, since a collection may come at any moment.
    """
    last = memory[-1][0]
    span = max(5.0, last / 10)
    start = min(60.0, last / 2)
    first = [held for when, held in memory if start <= when <= start + span]
    end = [held for when, held in memory if when >= last - span]
    return sum(end) / len(end) / (sum(first) / len(first)) - 1


async def measure() -> Found:
    """Return what the sessions met."""
    from playwright.async_api import async_playwright

    with tempfile.TemporaryDirectory(dir=os.environ.get("SCRATCH")) as name:
        folder = Path(name) / "live"
        write_run_logs(folder, [series(seed, ROWS) for seed in range(RUNS)])
        trainings = Trainings(folder)
        with serve(SEESAW_RUN, folder) as server:
            trainings.start()
            try:
                async with async_playwright() as playwright:
                    browser = await playwright.chromium.launch(
                        executable_path=CHROMIUM, args=["--no-sandbox"]
                    )
                    found, opened = Found(inf), asyncio.Barrier(SESSIONS + 1)
                    tabs = [
                        session(number, browser, server, found, opened)
                        for number in range(SESSIONS)
                    ]
                    await asyncio.gather(note(server, found, opened), *tabs)
            finally:
                trainings.over.set()
                trainings.join()
    return found


def main() -> None:
    """Print a line a minute and the verdict."""
    print(f"## {SESSIONS} sessions on a live folder, {MINUTES:g} minutes\n")
    print("| minute | actions | p95 | memory | errors | load |\n|---|---|---|---|---|---|")
    found = asyncio.run(measure())
    print(
        f"\nActions: {len(found.waits)}, p95 {p95(found.waits):.2f} s (goal 1 s);"
        f" errors: {len(found.errors)}; memory after the first minute: "
        f"{100 * growth(found.memory):+.1f} % (goal under +5 %);"
        f" load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n"
    )
    for error in found.errors[:5]:
        print(f"- {error}")
