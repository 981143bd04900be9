"""The reference page: every pathology, metric and method, each with a link of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from diagnostics.methods import METHODS
from diagnostics.pathologies import EXPLAINED
from diagnostics.schema import METRICS
from pages.components.text import literal

Page = Callable[..., AppTest]


def text(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(str(one.value) for one in [*app.title, *app.header, *app.markdown])


def test_every_pathology_and_regime_has_its_page(page: Page) -> None:
    app = page("reference")
    seen = {}
    for name in EXPLAINED:
        app.selectbox(key="pathology").select(name).run()
        seen[name] = text(app)
        assert "**What it is**" in seen[name]
        assert "**References**" in seen[name]
    assert len(set(seen.values())) == len(EXPLAINED)


def test_a_link_opens_the_page_of_one_pathology(page: Page) -> None:
    assert "displacement" in text(page("reference", pathology="both_fall"))


def test_every_metric_is_listed_with_unit_and_definition(page: Page) -> None:
    shown = text(page("reference", section="Metrics"))
    for one in METRICS.values():
        assert f"`{one.name}` [{literal(one.unit)}]  \n{literal(one.definition)}" in shown


@pytest.mark.parametrize("name", ["dpo", "kto", "orpo", "sft"])
def test_a_method_s_card_says_what_its_settings_are_called_elsewhere(name: str, page: Page) -> None:
    shown = text(page("reference", section="Methods", method=name))
    assert literal(METHODS[name].citation) in shown
    for one in METHODS[name].hyperparameters:
        assert f"| `{one.name}` | {literal(one.default)} |" in shown
        assert literal(one.llamafactory or "–") in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"method": "simpo"}, "SimPO"),
        ({"metric": "kl"}, "`kl` ["),
        ({"metric": "chosen share"}, "**S**"),
        ({"metric": "no such thing"}, ""),
        ({"method": "../../etc"}, "DPO"),
        ({"section": "<b>", "pathology": "<script>"}, "What it is"),
    ],
)
def test_a_link_to_one_thing_opens_its_section(
    query: dict[str, str], found: str, page: Page
) -> None:
    app = page("reference", **query)
    assert found in text(app)
    assert ("No quantity" in "".join(one.value for one in app.info)) == (not found)


def test_quantities_that_are_not_asked_for_are_left_out(page: Page) -> None:
    shown = text(page("reference", metric="odds ratio"))
    assert "log_odds_ratio" in shown
    assert "`rewards/chosen`" not in shown
