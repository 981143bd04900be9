"""The pictures of the documentation: each page in light and dark, taken from a real server.

They are written to the folder named in SEESAW_PICTURES (`make pictures` names docs/images), else
to a temporary one, so that every run of the tests takes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import server
from tests.browser.steps import DONE, PLOT, clean

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FALLING = "examples/demo-dpo"
COMPARED = ("examples/demo-dpo", "examples/demo-kto", "examples/demo-orpo")
# Name of the picture, page, its query, window; the narrow ones are what a phone shows.
PICTURES = (
    ("overview", "overview", {}, (1280, 1180)),
    ("run", "run", {"run": FALLING}, (1280, 1180)),
    ("run-curves", "run", {"run": FALLING}, (1280, 2300)),
    ("compare", "compare", {"runs": COMPARED, "at": "drift"}, (1280, 1700)),
    ("pairs", "pairs", {"run": FALLING, "pair": "10"}, (1280, 2400)),
    ("overview-narrow", "overview", {}, (390, 844)),
    ("import", "import_log", {}, (1280, 900)),
    ("train", "train", {}, (1280, 1180)),
    ("reference", "reference", {}, (1280, 1180)),
)
DRAWS = {"overview", "run", "compare", "pairs"}
"""Pages whose picture waits for a chart."""

FEWEST_BYTES = 15_000
"""A picture of an empty page is smaller."""


@pytest.fixture(scope="module")
def examples(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard on the recorded examples."""
    with server(root, root / "examples", tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pictures are written to."""
    named = os.environ.get("SEESAW_PICTURES")
    return Path(named).resolve() if named else tmp_path_factory.mktemp("pictures")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "place", "query", "window"), PICTURES, ids=[name for name, *_ in PICTURES]
)
def test_a_picture_of_the_page_is_taken(
    name: str,
    place: str,
    query: dict[str, str | tuple[str, ...]],
    window: tuple[int, int],
    scheme: str,
    examples: str,
    album: Path,
    tab: Callable[..., Any],
) -> None:
    page = tab(scheme, *window)
    page.goto(f"{examples}/{place}?{urlencode(query, doseq=True)}")
    page.wait_for_selector(PLOT if place in DRAWS else "h1")
    page.wait_for_selector(DONE)
    page.wait_for_load_state("networkidle")
    picture = album / f"{name}-{scheme}.png"
    page.screenshot(path=picture, animations="disabled")
    assert clean(page)
    assert picture.stat().st_size > FEWEST_BYTES
