"""The page of one run as a newcomer walks it: fresh server, deep link, real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.steps import PLOT, clean, drag_over, settle, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Fresh = Callable[[Path], str]
Tab = Callable[..., Any]

SENTENCE = "Both fall since step 10: chosen −0.30 and rejected −0.80 nats/token"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_link_opens_on_the_verdict(scheme: str, width: int, dashboard: str, tab: Tab) -> None:
    page = tab(scheme, width)
    page.goto(f"{dashboard}/run?run=runs%2Fboth_fall")
    page.get_by_text(SENTENCE).wait_for()
    page.wait_for_selector(PLOT)
    settle(page)
    assert page.locator("h1").inner_text() == "both_fall-0"
    assert page.locator(PLOT).count() >= 6
    assert clean(page)
    content, window = widths(page)
    assert content <= window


@pytest.fixture(scope="module")
def probed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a training that was recorded with gradients, tokens and times."""
    folder = tmp_path_factory.mktemp("probed") / "runs"
    shutil.copytree(root / "examples" / "demo-dpo", folder / "dpo")
    return folder


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 390)])
def test_a_newcomer_finds_what_to_try_looks_closer_and_takes_the_numbers_along(
    scheme: str, width: int, fresh: Fresh, probed: Path, tab: Tab
) -> None:
    page = tab(scheme, width, 1180)
    page.goto(f"{fresh(probed)}/run?run=runs%2Fdpo")
    page.wait_for_selector(PLOT)
    settle(page)
    if width == 1280:
        # Verdict, findings and the top of the curves stand on the first screen.
        assert top_of(page, ".st-key-curves") < 1180 - 150
    assert page.get_by_text("Try first", exact=True).count() == 2
    opened_advice(page)
    along(page, "epoch", "Epoch [passes over the data]")
    closer(page)
    along(page, "drift", "Drift [nats per token]")
    assert "zoom=" in page.url  # another axis shows the same stretch
    page.reload()
    page.get_by_role("button", name="Whole run").wait_for()
    settle(page)
    assert page.get_by_text(re.compile("^2. Double beta")).is_visible()  # what was opened stays so
    assert title_of_x(page) == "Drift [nats per token]"
    page.get_by_role("button", name="Whole run").click()
    page.get_by_role("button", name="Whole run").wait_for(state="detached")
    page.wait_for_url(lambda url: "zoom=" not in url)
    assert taken(page).startswith("Optimizer step,Epoch [passes over the data],Tokens,")
    assert clean(page)
    content, window = widths(page)
    assert content <= window


def top_of(page: Any, selector: str) -> float:
    return page.locator(selector).first.bounding_box()["y"]


def opened_advice(page: Any) -> None:
    """Open the remedies of the second finding, which are behind one line."""
    second = page.get_by_text(re.compile("^2. Double beta"))
    assert not second.is_visible()
    page.get_by_text("How, and 4 more to try").click()
    second.wait_for(state="visible")
    settle(page)


def title_of_x(page: Any) -> str:
    return str(page.locator(".st-key-curves .xtitle").text_content())


def along(page: Any, name: str, title: str) -> None:
    """Pick an axis, and wait until the main chart is drawn along it."""
    page.get_by_role("radio", name=name, exact=True).click()
    page.wait_for_function(
        "title => document.querySelector('.st-key-curves .xtitle')?.textContent === title",
        arg=title,
    )
    page.wait_for_url(lambda url: f"x={name}" in url)


def closer(page: Any) -> None:
    """Drag over the second quarter of the main chart."""
    drag_over(page, 0.25, 0.5)
    page.get_by_text(re.compile(r"Steps 1\d to 2\d$")).wait_for()


def taken(page: Any) -> str:
    """Download the numbers of the main chart."""
    page.locator(".st-key-take-curves button").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Data as CSV").first.click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_picking_another_run_shows_all_of_it_and_changes_the_url(dashboard: str, tab: Tab) -> None:
    page = tab()
    page.goto(f"{dashboard}/run?run=runs%2Fboth_rise&zoom=50-90")
    page.get_by_role("button", name="Whole run").wait_for()
    page.locator('[data-testid="stSelectbox"] input').click()
    page.get_by_role("option", name="runs/ideal").click()
    page.get_by_role("heading", name="ideal-0").wait_for()
    page.wait_for_url(lambda url: "ideal" in url and "zoom" not in url)
    page.get_by_role("button", name="Whole run").wait_for(state="detached")
    assert clean(page)


def test_the_way_back_to_a_run_finds_it_as_it_was_left(dashboard: str, tab: Tab) -> None:
    page = tab()
    page.goto(f"{dashboard}/run?run=runs%2Fboth_fall")
    page.wait_for_selector(PLOT)
    settle(page)
    page.get_by_text(re.compile("^Configuration: ")).click()
    page.wait_for_url("**/*settings=true*")
    settle(page)
    page.get_by_role("link", name="Reference").click()
    page.get_by_role("heading", name="Reference", exact=True).wait_for()
    settle(page)
    page.go_back()
    page.get_by_role("heading", name="both_fall-0").wait_for()
    page.wait_for_url(lambda url: "both_fall" in url and "settings=true" in url)
    # Sooner than the clock alone draws the page again, which is a minute.
    page.locator('details[open] [data-testid="stDataFrame"]').wait_for(timeout=20_000)
    assert clean(page)
