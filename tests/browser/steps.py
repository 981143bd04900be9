"""What browser tests wait for and look at, on every page."""

from __future__ import annotations

from typing import Any

PLOT = '[data-testid="stPlotlyChart"] svg.main-svg'
EXCEPTION = '[data-testid="stException"]'
DONE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def settle(page: Any) -> None:
    """Wait until the page's title stands and its script has ended."""
    page.wait_for_selector("h1")
    page.wait_for_selector(DONE)


def clean(page: Any) -> bool:
    """Return whether the page shows no exception and its console no error of ours."""
    return page.locator(EXCEPTION).count() == 0 and page.problems == []


def widths(page: Any) -> tuple[int, int]:
    """Return how wide the content is and how wide the window."""
    return (
        page.evaluate("document.scrollingElement.scrollWidth"),
        page.evaluate("window.innerWidth"),
    )


def drag_over(page: Any, first: float, last: float) -> None:
    """Drag over a part of the main chart, in shares of its width, and wait for the closer look."""
    area = page.locator(".st-key-curves .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + first * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + last * box["width"], y, steps=8)
    page.mouse.up()
    page.get_by_role("button", name="Whole run").wait_for()
