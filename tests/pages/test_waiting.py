"""What a new visitor sees and what the server does while the first page is on its way."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from diagnostics.examples import example
from diagnostics.readers.native import write
from pages.components import ready, states

Page = Callable[..., AppTest]

LOADED = """
import sys
from pages.components import ready
assert "pandas" not in sys.modules, "the server waits for pandas"
ready._import_all()
print(*sys.modules)
"""


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sentences that pages showed with an empty chart while they read logs."""
    said: list[str] = []
    monkeypatch.setattr(states.st, "plotly_chart", lambda *_, **__: said.append("chart"))
    caption = st.caption

    def listen(text: str, **more: Any) -> Any:
        if text.startswith("Reading"):
            said.append(text)
        return caption(text, **more)

    monkeypatch.setattr(states.st, "caption", listen)
    return said


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("run", "Reading the log…"),
        ("compare", "Reading 2 logs…"),
        ("overview", "Reading 2 logs…"),
        ("pairs", "Reading the log…"),
    ],
)
def test_a_new_visitor_reads_what_is_waited_for_and_nobody_else_does(
    name: str, sentence: str, page: Page, folder: Path, waiting: list[str]
) -> None:
    for kind in ("ideal", "both_fall"):
        write(example(kind), folder / kind)
    app = page(name)
    assert not app.exception
    assert waiting[:2] == [sentence, "chart"]
    assert not [one for one in app.caption if one.value.startswith("Reading")]  # and it goes again
    waiting.clear()
    write(example("both_rise"), folder / "another")
    app.run()
    assert not [one for one in waiting if one.startswith("Reading")]
    page(name)  # another visitor, when everything but one log may be known
    assert "Reading 2 logs…" not in waiting


def test_the_libraries_are_imported_beside_the_start_of_the_server(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=root, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert {"pandas", "scipy.special", "plotly.graph_objects", "diagnostics.trends"} <= loaded
    assert "torch" not in loaded


def headers_of(kind: bytes) -> dict[bytes, bytes]:
    """Return the headers of an answer of this content type."""
    sent: list[dict[str, Any]] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def keep(message: Any) -> None:
        sent.append(message)

    asyncio.run(ready.Preload(answer)({"type": "http"}, None, keep))  # type: ignore[arg-type]
    return dict(sent[0]["headers"])


def test_a_page_tells_the_browser_at_once_what_draws_its_charts() -> None:
    link = headers_of(b"text/html; charset=utf-8")[b"link"].decode()
    [place] = re.findall(r"<(static/js/PlotlyChart\.[^>]+\.js)>; rel=modulepreload", link)
    assert (Path(st.__file__).parent / "static" / place).is_file()
    assert b"link" not in headers_of(b"text/javascript")
