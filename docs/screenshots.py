"""Take the pictures of the dashboard that the documentation shows, in light and dark.

    python docs/screenshots.py [FOLDER_OF_RUNS]

Starts a dashboard of its own on the recorded examples and writes docs/images/*.png. Needs
playwright (requirements-dev.txt) and a Chromium on the path.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCHEMES = ("light", "dark")
# Name of the picture, page, window; the narrow ones are what a phone shows.
PICTURES = (
    ("overview", "overview", (1280, 1180)),
    ("run", "run", (1280, 1180)),
    ("run-curves", "run", (1280, 2300)),
    ("overview-narrow", "overview", (390, 844)),
)
PATIENCE_MS = 120_000


@contextmanager
def dashboard(runs: Path) -> Iterator[str]:
    """Start a dashboard on a free port and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"],
        cwd=ROOT,
        env={**os.environ, "SEESAW_RUNS": str(runs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        if not any("URL:" in line for line in process.stdout or ()):
            raise SystemExit("the dashboard did not start; run `make run` to see why")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def telling_run(runs: Path) -> str:
    """Return the key of the run to show: the first whose chosen side falls, else the first."""
    sys.path.insert(0, str(ROOT))
    from diagnostics.phases import name_regime
    from diagnostics.readers import find_runs, read

    found = find_runs(runs)
    if not found:
        raise SystemExit(f"{runs} holds no runs; record the examples first")
    falling = (path for path in found if name_regime(read(path)).regime == "both_fall")
    path = next(falling, found[0])
    return "/".join((runs.name, *path.relative_to(runs).parts))


def take(browser: Any, address: str, run: str) -> None:
    """Save every picture in every colour scheme."""
    for scheme in SCHEMES:
        for name, page_name, (width, height) in PICTURES:
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": height}
            )
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            query = f"?{urlencode({'run': run})}" if page_name == "run" else ""
            page.goto(f"{address}/{page_name}{query}")
            page.wait_for_selector('[data-testid="stPlotlyChart"] svg.main-svg')
            page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
            page.wait_for_load_state("networkidle")
            page.screenshot(path=IMAGES / f"{name}-{scheme}.png", animations="disabled")
            context.close()


def main() -> None:
    """Take all pictures."""
    from playwright.sync_api import sync_playwright

    runs = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "examples").resolve()
    chromium = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if chromium is None:
        raise SystemExit("no Chromium was found on the path")
    IMAGES.mkdir(parents=True, exist_ok=True)
    run = telling_run(runs)
    with dashboard(runs) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        take(browser, address, run)
        browser.close()


if __name__ == "__main__":
    main()
