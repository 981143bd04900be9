"""What an attacker may try: text from logs and links, paths, other hosts, uploads, the network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from diagnostics.examples import example
from diagnostics.notes import Notes, write_notes
from diagnostics.readers.native import write
from tests.browser.steps import clean, settle

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = (
    "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
    "[x](javascript:window.pwned=1) ![x](http://evil.example/i.png) <http://evil.example> "
    ":red[r] $x$"
)
# What a file system takes as a name.
NAME = "<img src=x onerror=window.pwned=1> [x](javascript:window.pwned=1) ![x](y)"

Fresh = Callable[[Path], str]
Tab = Callable[..., Any]


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs every text of which is an attack."""
    folder = tmp_path_factory.mktemp("evil") / "runs"
    for number, regime in enumerate(("both_fall", "ideal")):
        run = example(regime, evaluations=6)
        written = dict.fromkeys(("prompt_text", "text/chosen", "text/rejected"), EVIL)
        first = run.probes[run.probes["step"] == 0][["step", "pair", "split", "prompt"]]
        attack = replace(
            run,
            name=f"{EVIL} {number}",
            config={EVIL: EVIL, "beta": EVIL, "seed": number, "model_name_or_path": EVIL},
            header={"model": EVIL, "remarks": [EVIL], "versions": {EVIL: EVIL}, "seed": number},
            source=replace(run.source, framework=EVIL, version=EVIL),
            caveats=(EVIL,),
            train=run.train.assign(**{EVIL: 1.0}),
            unrecognised=(EVIL,),
            tables={**run.tables, "texts": first.assign(**written)},
        )
        write(attack, folder / f"{NAME} {number}")
        write_notes(folder / f"{NAME} {number}", Notes((EVIL[:40],), EVIL))
    broken = folder / f"broken {NAME}"
    broken.mkdir()
    (broken / "run.jsonl").write_text(f"{EVIL}\n")
    return folder


def keys(folder: Path) -> list[str]:
    return [f"runs/{NAME} {number}" for number in range(2)]


def queries(folder: Path) -> dict[str, str]:
    """Return each page with a link that carries the attack too."""
    first, second = keys(folder)
    every = [("runs", first), ("runs", second)]
    return {
        "overview": urlencode([*every, ("find", ""), ("group", "setting")]),
        "overview?": urlencode({"find": EVIL, "method": EVIL, "regime": EVIL, "status": EVIL}),
        "run": urlencode({"run": first}),
        "compare": urlencode(every),
        "pairs": urlencode({"run": first}),
        "import_log": urlencode({"folder": "runs", "source": "Folder", "wandb": EVIL}),
        "import_log?": urlencode({"folder": EVIL, "source": "Folder"}),
        "train": urlencode({"model": EVIL, "data": EVIL, "name": EVIL, "method": EVIL}),
        "reference": urlencode(
            {"pathology": EVIL, "metric": EVIL, "section": EVIL, "method": EVIL}
        ),
    }


def harmless(page: Any) -> bool:
    """Return whether nothing of the attack has become a script, a picture, a link or a fetch."""
    return (
        page.evaluate("window.pwned") is None
        and [
            page.locator(what).count()
            for what in (
                'a[href^="javascript" i]',
                'a[href*="evil.example"]',
                'img[src*="evil.example"]',
                'img[src="x"]',
                'img[src="y"]',
                "[onerror]",
            )
        ]
        == [0] * 6
    )


def test_text_of_logs_notes_and_links_is_shown_as_text_on_every_page(
    fresh: Fresh, evil: Path, tab: Tab
) -> None:
    address = fresh(evil)
    page = tab()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for place, query in queries(evil).items():
        page.goto(f"{address}/{place.rstrip('?')}?{query}")
        settle(page)
        page.evaluate(
            "document.querySelectorAll('details:not([open]) > summary').forEach(one => one.click())"
        )
        settle(page)
        assert harmless(page), place
        assert clean(page), place
        if place in ("overview", "run", "compare"):
            assert page.get_by_text("<script>window.pwned=1</script>").count(), place
    # Fonts, maps and statistics neither.
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()


def test_an_attack_that_is_pasted_or_dropped_stays_text(
    fresh: Fresh, tmp_path: Path, tab: Tab
) -> None:
    runs, log, huge = tmp_path / "runs", tmp_path / f"{NAME}.log", tmp_path / "huge.log"
    runs.mkdir()
    row = f"{{'loss': 0.6, '{EVIL}': 0.1, 'rewards/chosen': 0.1, 'rewards/rejected': 0.0}}\n"
    log.write_text(EVIL + "\n" + row * 9)
    page = tab()
    page.goto(f"{fresh(runs)}/import_log")
    settle(page)
    page.locator("input[type=file]").set_input_files(log)
    page.get_by_role("button", name="Import 1 run").wait_for()
    assert harmless(page)
    with huge.open("wb") as stream:
        stream.truncate(201 * 2**20)
    page.locator("input[type=file]").set_input_files(huge)
    page.get_by_text("200.0MB or smaller").wait_for()
    page.get_by_role("tab", name="Console").click()
    page.get_by_label("Paste console output").fill(EVIL)
    page.get_by_label("Paste console output").press("Control+Enter")
    page.get_by_text("holds no printed row of metrics").wait_for()
    assert harmless(page)
    assert clean(page)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
    ],
)
def test_a_page_from_another_host_is_refused(headers: dict[str, str], dashboard: str) -> None:
    connection = HTTPConnection(dashboard.removeprefix("http://"))
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection.request("GET", "/_stcore/stream", headers=upgrade | headers)
    status = connection.getresponse().status
    connection.close()
    assert status == 403


def listening(port: int) -> set[str]:
    """Return the addresses on which this machine listens at a port, as the system writes them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else ():
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


def test_the_server_listens_on_this_machine_only(dashboard: str) -> None:
    assert listening(int(dashboard.rpartition(":")[2])) == {"0100007F"}


def test_it_does_so_wherever_it_is_started_from(root: Path, tmp_path: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(root / "app.py"), f"--server.port={port}"],
        cwd=tmp_path,
        env={**os.environ, "SEESAW_RUNS": str(tmp_path), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any("URL:" in line for line in process.stdout)
        assert listening(port) == {"0100007F"}
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_no_training_is_started_unless_the_server_allows_it(dashboard: str, tab: Tab) -> None:
    page = tab()
    page.goto(f"{dashboard}/train?model=tiny-qwen3&data=x&name=mine")
    settle(page)
    page.get_by_text("starting trainings is switched off").wait_for()
    assert page.get_by_role("button", name="Start training").count() == 0
