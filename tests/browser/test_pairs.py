"""The page of pairs in a browser: from a deep link to a list of pairs to leave out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from diagnostics.readers import read
from diagnostics.readers.native import write
from diagnostics.run import Run
from tests.browser.conftest import server
from tests.browser.steps import PLOT, clean, settle, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLANE = ".st-key-plane-of-runs-dpo-train"
TABLE = '[data-testid="stDataFrame"]'
ROW = 35  # height of a row of a table in pixels
SCORED = "10"
"""A pair of the recorded demo whose single tokens were scored."""


@pytest.fixture(scope="module")
def pairs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard on one recorded run with texts, one of them an attack."""
    run = read(root / "examples" / "demo-dpo")
    texts = run.tables["texts"].copy()
    texts.loc[texts["pair"] == int(SCORED), "prompt_text"] = ATTACK
    pieces = run.tables["token_texts"].copy()
    pieces.loc[(pieces["pair"] == int(SCORED)) & (pieces["position"] == 0), "text"] = ATTACK
    attacked: Run = replace(run, tables={**run.tables, "texts": texts, "token_texts": pieces})
    folder = tmp_path_factory.mktemp("pairs") / "runs"
    write(attacked, folder / "dpo")
    with server(root, folder, tmp_path_factory.mktemp("home")) as address:
        yield address


ATTACK = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def link(address: str, **query: str) -> str:
    return f"{address}/pairs?{urlencode({'run': 'runs/dpo', **query})}"


def drag(page: Any, across: tuple[float, float], down: tuple[float, float]) -> None:
    """Drag a box over the plane; the ends are fractions of its width and height."""
    box = page.locator(f"{PLANE} .nsewdrag").first.bounding_box()
    xs = [box["x"] + part * box["width"] for part in across]
    ys = [box["y"] + part * box["height"] for part in down]
    page.mouse.move(xs[0], ys[0])
    page.mouse.down()
    page.mouse.move(xs[1], ys[1], steps=8)
    page.mouse.up()


def test_a_newcomer_goes_from_a_link_to_a_list_of_pairs_to_leave_out(
    pairs: str, tab: Callable[..., Any]
) -> None:
    page = tab()
    page.goto(link(pairs))
    settle(page)
    page.wait_for_selector(f"{PLANE} .scatterlayer .point")
    page.get_by_text("64 pairs", exact=True).wait_for()
    # A region drawn on the plane is what the table lists.
    drag(page, (0.3, 0.97), (0.6, 0.97))
    page.get_by_text("in the region drawn above").wait_for()
    settle(page)
    # A click on a cell opens its pair, and the URL says which.
    table = page.locator(TABLE).first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 2 * ROW)
    page.mouse.click(box["x"] + 305, box["y"] + 1.5 * ROW)
    page.wait_for_url(lambda url: "pair=275" in url)
    page.get_by_text("Marked: against its label").wait_for()
    settle(page)
    # The figure is drawn anew with the pair in a ring, and the region stays.
    page.wait_for_selector(f"{PLANE} .shapelayer path")
    page.get_by_text("in the region drawn above").wait_for()
    # A tick takes the pair along.
    page.mouse.click(box["x"] + 18, box["y"] + 1.5 * ROW)
    page.get_by_text("1 pair", exact=True).wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="List as JSONL").click()
    (row,) = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert row["pair"] == 275
    assert row["reasons"] == "against its label"
    assert row["text/chosen"]
    assert download.value.suggested_filename == "drop-recorded-dpo.jsonl"
    page.get_by_role("button", name="Whole plane").click()
    page.get_by_text("64 pairs", exact=True).wait_for()
    assert clean(page)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_pair_is_read_with_its_tokens_and_no_text_of_it_is_run(
    scheme: str, width: int, pairs: str, tab: Callable[..., Any]
) -> None:
    page = tab(scheme, width, 2600)
    page.goto(link(pairs, pair=SCORED, step="24", ranked="summed"))
    settle(page)
    page.wait_for_selector(PLOT)
    page.get_by_text("step 24 against step 0").wait_for()
    shown = page.locator('[data-testid="stHtml"] span[title$="nats"]')
    shown.first.wait_for()
    assert shown.count() > 80
    assert ATTACK.strip() in shown.first.inner_text()
    assert page.locator('[data-testid="stHtml"] img').count() == 0
    page.get_by_text("onerror").first.wait_for()
    assert page.title() != "taken"
    content, window = widths(page)
    assert content <= window
    assert clean(page)
