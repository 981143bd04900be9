"""The page of pairs: known pairs in every view, and logs that keep none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from diagnostics import probe_examples
from diagnostics.examples import example, nan_ridden
from diagnostics.pairs import DELTA, GAP, MARGIN, PAIR
from diagnostics.readers.native import write
from diagnostics.run import Run
from diagnostics.runlog import RunLog
from pages.components.pairtable import MOST_ROWS

Page = Callable[..., AppTest]
ATTACK = "<script>alert(1)</script>![x](http://evil.example/a.png)"


def words(app: AppTest) -> str:
    """Return all text of the page's body, one element a line."""
    found = [*app.title, *app.header, *app.subheader, *app.markdown, *app.caption, *app.info]
    found += [*app.error, *app.code]
    return "\n".join(str(element.value) for element in found)


def figures(app: AppTest) -> list[Any]:
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def html(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def with_texts(run: Run, text: str = "Say it again") -> Run:
    """The run with texts of all its pairs, and of the tokens that it scored."""
    keys = run.probes[["split", "pair", "prompt"]].drop_duplicates()
    texts = keys.assign(step=0, prompt_text=f"prompt: {text}")
    texts["text/chosen"] = "chosen " + texts["pair"].astype(str) + f" {text}"
    texts["text/rejected"] = "rejected " + texts["pair"].astype(str)
    tokens = run.tables["tokens"]
    places = tokens[["pair", "position", "split", "side"]].drop_duplicates()
    pieces = places.assign(step=0, text=text)
    return replace(run, tables={**run.tables, "texts": texts, "token_texts": pieces})


def test_without_runs_the_page_says_how_a_first_one_comes_to_be(page: Page, folder: Path) -> None:
    app = page("pairs")
    assert not app.exception
    assert "No runs yet" in words(app)
    assert figures(app) == []


def test_a_log_without_pairs_says_what_is_missing_and_how_to_get_it(
    page: Page, folder: Path, root: Path
) -> None:
    state = root / "tests" / "data" / "trainer_state" / "cleancode" / "trainer_state.json"
    (folder / "trl").mkdir()
    (folder / "trl" / "trainer_state.json").write_bytes(state.read_bytes())
    app = page("pairs")
    assert not app.exception
    assert "No single pairs in this log" in words(app)
    assert "python -m trainer" in words(app)
    assert figures(app) == []
    assert not app.dataframe


def test_a_log_that_cannot_be_read_is_one_sentence(page: Page, folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "run.jsonl").write_text("not a record\n")
    app = page("pairs")
    assert not app.exception
    assert "could not be read" in app.error[0].value


def test_every_pair_is_a_point_and_a_row_the_smallest_margin_first(
    page: Page, folder: Path
) -> None:
    run = probe_examples.flipped()
    write(run, folder / "flipped")
    app = page("pairs")
    assert not app.exception
    plane = figures(app)[0]
    assert sorted(
        int(row[0]) for trace in plane["data"] for row in _decoded(trace["customdata"])
    ) == list(range(64))
    rows = app.dataframe[0].value
    assert rows[MARGIN].is_monotonic_increasing
    assert rows["Marks"].iloc[0] == "against its label"
    assert "a group of their own" in words(app)
    last = run.probes[(run.probes["step"] == 200) & (run.probes["split"] == "train")]
    first = run.probes[(run.probes["step"] == 0) & (run.probes["split"] == "train")]
    change = last.set_index("pair")["logps/chosen"] - first.set_index("pair")["logps/chosen"]
    known = change / last.set_index("pair")["completion_tokens/chosen"]
    assert rows.set_index(PAIR)[DELTA["chosen"]].sort_index().to_numpy() == pytest.approx(
        known.to_numpy(), rel=1e-4
    )


def _decoded(values: Any) -> Any:
    """Return an array of a figure's JSON, which may be packed."""
    if isinstance(values, dict):
        import base64

        flat = np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
        shape = [int(size) for size in values["shape"].split(",")] if "shape" in values else [-1]
        return flat.reshape(shape)
    return values


def test_a_link_opens_the_same_split_step_filter_and_pair(page: Page, folder: Path) -> None:
    write(with_texts(probe_examples.probed()), folder / "probed")
    query = {"pairs_of": "held-out probe", "step": "100", "show": "ranked wrong", "pair": "7"}
    app = page("pairs", run="runs/probed", **query)
    assert not app.exception
    assert "step 100 against step 0" in words(app)
    rows = app.dataframe[0].value
    assert 0 < len(rows) < 64
    assert (rows[GAP] <= 0).all()
    assert app.get_by_key("pair").value == 7
    assert "chosen 7 Say it again" in words(app)
    train = page("pairs", run="runs/probed", pair="3")
    assert "step 200 against step 0" in words(train)
    # The tokens of this train pair were scored: its texts are coloured.
    assert html(train).count(">Say it again<") > 20
    assert "[nats]" in html(train)


@pytest.mark.parametrize(
    "query",
    [
        {"pair": "999", "step": "17", "pairs_of": "nothing", "show": "<script>"},
        {"pair": "x", "step": "x", "ranked": "x", "policy": "x"},
        {"pair": "-1", "step": "-1", "show": ""},
    ],
)
def test_what_the_url_invents_is_ignored(query: dict[str, str], page: Page, folder: Path) -> None:
    write(example("ideal", pairs=20), folder / "ideal")
    app = page("pairs", run="runs/ideal", **query)
    assert not app.exception
    assert figures(app)


def test_script_in_texts_stays_text(page: Page, folder: Path) -> None:
    run = replace(with_texts(probe_examples.probed(), ATTACK), name=ATTACK)
    write(run, folder / "attack")
    app = page("pairs", run="runs/attack", pair="3")
    assert not app.exception
    assert "<script" not in html(app)
    assert "&lt;script&gt;" in html(app)
    for element in (*app.title, *app.header, *app.markdown, *app.caption, *app.info):
        # Escaped, every sign of markup stands behind a backslash.
        assert re.search(r"(?<!\\)(<script|!\[x)", str(element.value)) is None
        assert not getattr(element, "allow_html", False)
    assert any(ATTACK in one.value for one in app.code)


def test_one_evaluation_has_rankings_and_no_history(page: Page, folder: Path) -> None:
    run = example("ideal", pairs=20)
    write(replace(run, probes=run.probes[run.probes["step"] == 0]), folder / "start")
    app = page("pairs")
    assert not app.exception
    assert "step 0 against step 0" in words(app)
    assert not any("stackgroup" in trace for one in figures(app) for trace in one["data"])
    assert "scored 0 times after the start" in words(app)


def test_a_nan_ridden_run_says_that_no_pair_can_be_placed(page: Page, folder: Path) -> None:
    write(nan_ridden(), folder / "nan")
    app = page("pairs")
    assert not app.exception
    assert "No pair has finite log-probs" in words(app)
    early = page("pairs", step="100")
    assert not early.exception
    assert "lack a number on one side" in words(early)


def unpaired() -> Run:
    """A KTO run on single completions: every pair keeps the side that its number names."""
    run = example("ideal", pairs=40, method_name="kto")
    probes = run.probes.copy()
    for parity, side in ((0, "rejected"), (1, "chosen")):
        rows = probes["pair"] % 2 == parity
        for name in probes.columns[probes.columns.str.endswith(f"/{side}")]:
            probes.loc[rows, name] = np.nan
    return replace(run, probes=probes)


def test_single_completions_are_said_to_be_no_pairs(page: Page, folder: Path) -> None:
    write(unpaired(), folder / "kto")
    app = page("pairs", pair="4")
    assert not app.exception
    assert "single completions with a label" in words(app)
    assert len(app.dataframe[0].value) == 40
    assert MARGIN not in app.dataframe[0].value
    assert not any("ranked right" in json.dumps(one) for one in figures(app))


def write_records(folder: Path, count: int, reference: float = -50.0) -> None:
    """Add records of training steps to a run: every pair once, its chosen side a bit likelier."""
    pairs = np.arange(count)
    with RunLog(folder) as log:
        columns: dict[str, Any] = {"step": np.arange(1, count + 1), "pair": pairs}
        for side, by in (("chosen", 1.0), ("rejected", -2.0)):
            columns[f"completion_tokens/{side}"] = np.full(count, 10.0)
            columns[f"ref_logps/{side}"] = reference - pairs
            columns[f"logps/{side}"] = -50.0 - pairs + by
        log.write_pairs("train", 1, count, columns)


def test_many_training_pairs_are_thinned_and_listed_in_part_and_both_is_said(
    page: Page, folder: Path, long_run: str
) -> None:
    write_records(folder / "long", 60_000)
    app = page("pairs", run=long_run, pairs_of="every training pair")
    assert not app.exception
    plane = figures(app)[0]
    drawn = sum(len(_decoded(trace["x"])) for trace in plane["data"])
    assert drawn == 2000
    assert "2,000 of 60,000 pairs drawn" in words(app)
    assert len(app.dataframe[0].value) == MOST_ROWS
    assert "smallest margins are listed" in words(app)
    assert sum(len(element.proto.spec) for element in app.get("plotly_chart")) < 1_000_000


def test_records_without_a_reference_are_said_to_hold_no_change(page: Page, folder: Path) -> None:
    write(example("ideal", pairs=20), folder / "orpo")
    write_records(folder / "orpo", 30, reference=float("nan"))
    app = page("pairs", pairs_of="every training pair")
    assert not app.exception
    assert "without a reference model" in words(app)
    assert "How the pairs were ranked" in words(app)
    assert len(app.dataframe[0].value) == 30


def test_a_filter_that_leaves_a_part_offers_it_as_a_list(page: Page, folder: Path) -> None:
    write(probe_examples.flipped(), folder / "flipped")
    everything = page("pairs")
    assert "--drop_pairs" not in words(everything)
    app = page("pairs", show="marked")
    marked = len(app.dataframe[0].value)
    assert 0 < marked < 64
    assert f"**{marked} pairs**" in words(app)
    assert "--drop_pairs drop-flipped-0.jsonl" in words(app)
    none = page("pairs", show="marked", pairs_of="held-out probe", step="0")
    assert not none.exception


def test_pairs_are_selected_by_the_region_drawn_on_the_plane(page: Page, folder: Path) -> None:
    write(example("ideal", pairs=30), folder / "ideal")
    app = page("pairs")
    rows = app.dataframe[0].value
    low = rows[DELTA["rejected"]].median()
    corners = [(-9.0, -9.0), (float(low), -9.0), (float(low), 9.0), (-9.0, 9.0)]
    app.session_state["region of runs/ideal train"] = [corners]
    app.run()
    assert not app.exception
    shown = app.dataframe[0].value
    assert 0 < len(shown) < 30
    assert (shown[DELTA["rejected"]] <= low).all()
    assert "in the region drawn above" in words(app)
    assert any(one["line"].get("dash") == "dash" for one in figures(app)[0]["layout"]["shapes"])
    app.button(key="whole plane").click().run()
    assert len(app.dataframe[0].value) == 30


def test_tables_without_texts_say_how_texts_are_kept(page: Page, folder: Path) -> None:
    write(probe_examples.probed(), folder / "probed")
    app = page("pairs", pair="3")
    assert not app.exception
    assert "--log_texts" in words(app)
    # The tokens are known by their numbers.
    assert ">[" in html(app)
    assert isinstance(app.dataframe[1].value, pd.DataFrame)
