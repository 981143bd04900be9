"""The overview as a newcomer walks it: filter, tick, compare, open, note, with mouse and keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diagnostics.notes import Notes, read_notes
from diagnostics.runlog import RunLog
from tests.browser.steps import PLOT, clean, settle, widths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SENTENCE = "Both fall since step 10: chosen −0.30 and rejected −0.80 nats/token"
TABLE = '[data-testid="stDataFrame"]'
# Pixels of the table's head and rows, and where its boxes and names stand.
HEAD, ROW, BOX, NAME = 36, 35, 16, 130

Fresh = Callable[[Path], str]
Tab = Callable[..., Any]


def click_row(page: Any, row: int, x: int) -> None:
    """Click into a row of the table, which is one drawing without elements of its own."""
    table = page.locator(TABLE).first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + HEAD + ROW * row + ROW / 2)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_a_first_deep_link_opens_the_view_that_it_names(
    scheme: str, width: int, fresh: Fresh, recorded: Path, tab: Tab
) -> None:
    page = tab(scheme, width)
    page.goto(f"{fresh(recorded)}/overview?regime=both+fall&group=setting&runs=runs%2Fboth_fall")
    page.wait_for_selector(PLOT)
    settle(page)
    assert page.locator("h1").inner_text() == "All runs on one plane"
    assert page.get_by_text(SENTENCE).count() == 1
    assert page.get_by_role("link", name="both_fall-0").count() == 2  # in the list, and picked
    assert page.get_by_role("link", name="ideal-0").count() == 0
    assert page.get_by_role("radio", name="setting").is_checked()
    background = page.evaluate(
        "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}[scheme]
    content, window = widths(page)
    assert content <= window
    assert clean(page)


def test_a_link_to_the_overview_opens_it_when_the_whole_app_has_run_before(
    dashboard: str, tab: Tab
) -> None:
    page = tab()
    page.goto(dashboard)
    settle(page)
    page.goto(f"{dashboard}/overview")
    page.wait_for_selector(PLOT)
    assert page.get_by_role("dialog").count() == 0
    assert clean(page)


def test_runs_are_ticked_compared_found_again_and_opened(dashboard: str, tab: Tab) -> None:
    page = tab()
    page.goto(dashboard)
    page.wait_for_selector(TABLE)
    settle(page)
    click_row(page, 0, BOX)
    page.get_by_text("1 picked").wait_for()
    settle(page)
    click_row(page, 2, BOX)
    page.wait_for_url("**/*runs=runs%2Fboth_fall&runs=runs%2Fideal")
    page.get_by_role("link", name="Compare 2 runs").wait_for()
    page.reload()
    page.get_by_role("link", name="Compare 2 runs").click()
    page.get_by_role("heading", name="Compare").wait_for()
    page.wait_for_url("**/compare?runs=runs%2Fboth_fall&runs=runs%2Fideal*")
    # The browser's way back forgets the query; the page does not.
    page.go_back()
    page.get_by_text("2 picked").wait_for()
    page.wait_for_url("**/*runs=runs%2Fboth_fall&runs=runs%2Fideal")
    settle(page)
    click_row(page, 0, BOX)
    page.get_by_text("1 picked").wait_for()
    page.get_by_role("button", name="Untick all").click()
    page.get_by_text("Tick rows to compare").wait_for()
    page.wait_for_url(lambda url: "runs=" not in url)
    settle(page)
    click_row(page, 1, NAME)
    page.get_by_role("heading", name="both_rise-0").wait_for()
    page.wait_for_url("**/run?run=runs%2Fboth_rise")
    assert clean(page)


def test_filters_stand_in_the_url_and_survive_a_reload(dashboard: str, tab: Tab) -> None:
    page = tab()
    page.goto(dashboard)
    page.wait_for_selector(TABLE)
    page.get_by_label("Find", exact=True).fill("both")
    page.get_by_label("Find", exact=True).press("Enter")
    page.get_by_role("link", name="ideal-0").wait_for(state="detached")
    page.get_by_label("Regime").click()
    page.get_by_role("option", name="both rise").click()
    page.get_by_role("link", name="both_fall-0").wait_for(state="detached")
    page.wait_for_url("**/*find=both&regime=both+rise")
    page.reload()
    page.get_by_role("link", name="both_rise-0").wait_for()
    assert page.get_by_role("link", name="both_fall-0").count() == 0
    assert clean(page)


def test_what_is_typed_as_a_note_outlives_the_live_page_and_lies_beside_the_run(
    fresh: Fresh, recorded: Path, tmp_path: Path, tab: Tab
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(recorded / "ideal", runs / "ideal")
    page = tab()
    page.goto(f"{fresh(runs)}/overview?runs=runs%2Fideal")
    settle(page)
    page.get_by_role("button", name="Tag and note").click()
    page.get_by_label("Tags", exact=True).fill("baseline, <b>bold</b>")
    page.get_by_label("Note", exact=True).fill("Typed while another run trains.")
    with RunLog.create(runs / "live", {"name": "live", "method": "dpo"}) as log:
        log.write("train", 7, {"loss": 0.7})
        log.flush()
        # The page has been drawn again, and what was typed still stands there.
        page.get_by_text("live at step 7").wait_for()
        page.get_by_role("button", name="Keep").click()
        page.get_by_text("Kept.").wait_for()
    wanted = Notes(("baseline", "<b>bold</b>"), "Typed while another run trains.")
    assert read_notes(runs / "ideal") == wanted
    assert page.get_by_label("Note", exact=True).input_value() == wanted.note
    assert clean(page)


def test_everything_is_reached_with_the_tab_key_and_links_show_it(dashboard: str, tab: Tab) -> None:
    page = tab()
    page.goto(f"{dashboard}/overview?runs=runs%2Fideal&runs=runs%2Fboth_fall")
    page.wait_for_selector(TABLE)
    settle(page)
    names, outlines = [], set()
    while len(names) < 80:
        page.keyboard.press("Tab")
        tag, name, outline = page.evaluate(
            """() => {
              const here = document.activeElement;
              const name = here.getAttribute("aria-label") || here.innerText;
              return [here.tagName, name.trim(), getComputedStyle(here).outlineStyle];
            }"""
        )
        if tag == "CANVAS":
            break
        names.append(name)
        if tag == "A":
            outlines.add(outline)
    wanted = ("All runs", "One run", "Import", "Find", "Method", "Regime", "Status")
    wanted += ("Compare 2 runs →", "Report", "Tag and note", "Untick all")
    # A button may carry the name of its icon behind its own.
    places = [next(k for k, one in enumerate(names) if one.startswith(name)) for name in wanted]
    assert places == sorted(places)
    assert outlines == {"solid"}
    assert clean(page)
