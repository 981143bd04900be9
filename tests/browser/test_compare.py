"""The comparison as a person meets it: from a link to other runs, another matching, a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import PATIENCE_MS
from tests.browser.steps import PLOT, clean, settle, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINK = "compare?runs=runs%2Fboth_fall&runs=runs%2Fideal&at=margin"
Tab = Callable[..., Any]


def plots(page: Any, count: int) -> None:
    """Wait until so many charts are drawn, no more and no fewer."""
    page.wait_for_function(
        "([plot, count]) => document.querySelectorAll(plot.replace(' svg.main-svg', ''))"
        ".length === count && [...document.querySelectorAll(plot.replace(' svg.main-svg', ''))]"
        ".every(one => one.querySelector('svg.main-svg'))",
        arg=[PLOT, count],
        timeout=PATIENCE_MS,
    )


def query(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_from_a_link_to_another_matching_more_runs_and_a_report_that_opens_offline(
    dashboard: str, browser: Any, tab: Tab, tmp_path: Path
) -> None:
    page = tab()
    page.goto(f"{dashboard}/{LINK}")
    page.get_by_role("heading", name="What differs at the same margin").wait_for()
    # The plane and the price; three quantities as differences and as courses.
    plots(page, 8)
    settle(page)
    assert query(page) == {"runs": ["runs/both_fall", "runs/ideal"], "at": ["margin"]}
    assert page.get_by_text("ideal-0 keeps chosen highest").count() == 1

    page.get_by_role("radio", name="step").or_(
        page.get_by_role("button", name="step")
    ).first.click()
    page.get_by_role("heading", name="What differs at the same step").wait_for()
    plots(page, 10)
    # The usual matching needs no word in the link.
    page.wait_for_function("!location.search.includes('at=margin')")

    page.get_by_role("combobox", name="Runs").click()
    page.get_by_role("option", name="runs/both_rise").click()
    page.keyboard.press("Escape")
    page.get_by_text("both_rise-0 keeps chosen highest").wait_for()
    page.wait_for_function("location.search.includes('both_rise')")
    assert query(page)["runs"] == ["runs/both_fall", "runs/ideal", "runs/both_rise"]
    settle(page)
    assert clean(page)

    with page.expect_download() as waiting:
        page.get_by_role("button", name="Report").click()
    report = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(report)
    assert report.name == "comparison.html"
    alone = browser.new_context(offline=True)
    file, problems = alone.new_page(), []
    file.on("pageerror", lambda error: problems.append(str(error)))
    file.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    file.goto(report.as_uri())
    file.wait_for_selector("div.plot.drawn")
    file.wait_for_selector("div.plot:not(.drawn)", state="detached")
    assert file.get_by_text("both_rise-0 keeps chosen highest").first.is_visible()
    assert file.get_by_role("heading", name="What differs at the same step").count() == 1
    alone.close()
    assert problems == []


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 390), ("dark", 390)])
def test_the_comparison_fits_the_window(scheme: str, width: int, dashboard: str, tab: Tab) -> None:
    page = tab(scheme, width)
    page.goto(f"{dashboard}/{LINK}")
    plots(page, 8)
    settle(page)
    content, window = widths(page)
    assert content <= window
    assert clean(page)
