"""A fresh dashboard server and a headless browser on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from diagnostics.examples import example
from diagnostics.readers.native import write

# A busy machine loads 7 MB of scripts slowly; waiting ends as soon as the page is there.
PATIENCE_MS = 90_000
REGIMES = ("ideal", "both_rise", "both_fall")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run of each of three regimes."""
    folder = tmp_path_factory.mktemp("recorded") / "runs"
    for regime in REGIMES:
        write(example(regime), folder / regime)
    return folder


@contextmanager
def server(root: Path, runs: Path, home: Path) -> Iterator[str]:
    """Start a dashboard of its own on a free port and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}"],
        cwd=root,
        env={**os.environ, "SEESAW_RUNS": str(runs), "HOME": str(home), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "URL:" in line:
                break
        else:
            pytest.fail(f"the dashboard did not start: {''.join(said)}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def fresh(root: Path, tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """`fresh(runs)` starts a server that nobody has visited yet."""
    with ExitStack() as stack:
        yield lambda runs: stack.enter_context(server(root, runs, tmp_path))


@pytest.fixture(scope="module")
def dashboard(
    root: Path, recorded: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of one server for the tests of a module."""
    with server(root, recorded, tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Any]]:
    """`tab(scheme, width, height)` opens an empty page that remembers its console errors.

    Fetches from other machines are refused, as on a machine without a network.
    """
    contexts = []

    def open_tab(scheme: str = "light", width: int = 1280, height: int = 900) -> Any:
        window = {"width": width, "height": height}
        context = browser.new_context(color_scheme=scheme, viewport=window)
        contexts.append(context)
        context.route(lambda url: "127.0.0.1" not in url, lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda message: _remember(page, message))
        return page

    yield open_tab
    for context in contexts:
        context.close()


def _remember(page: Any, message: Any) -> None:
    # Resources that did not load are told by their own address, and the outside ones are refused.
    if message.type == "error" and "Failed to load resource" not in message.text:
        page.problems.append(message.text)
