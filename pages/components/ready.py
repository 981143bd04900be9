"""What the server makes ready while the first browser is still loading a page.

Two things take about a second each: the import of the libraries that pages need, and the browser's
fetching of what draws charts. Both begin at once instead of when the first page needs them.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHARTS = "static/js/PlotlyChart.*.js"


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Import in the background what pages need, from the start of the server on."""
    threading.Thread(target=_import_all, name="imports", daemon=True).start()
    yield {}


def _import_all() -> None:
    # These bring with them everything that takes time to import.
    import diagnostics.figures.curves  # noqa: F401
    import pages.components.comparison
    import pages.components.report
    import pages.components.verdict  # noqa: F401


class Preload:
    """Tells a browser with the page itself what it will need for the charts on it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        home = Path(st.__file__).parent / "static"
        found = sorted(path.relative_to(home).as_posix() for path in home.glob(CHARTS))
        self._links = ", ".join(f"<{place}>; rel=modulepreload" for place in found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the links added to every HTML page."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if self._links and headers.get("content-type", "").startswith("text/html"):
                    headers.append("link", self._links)
            await send(message)

        await self._app(scope, receive, answer)


MIDDLEWARE = [Middleware(Preload)]
