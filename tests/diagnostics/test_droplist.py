"""The list of pairs to leave out: whole, safe, and readable by programs."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd

from diagnostics import probe_examples
from diagnostics.droplist import BY_HAND, drop_list, jsonl
from diagnostics.figures.data import csv
from diagnostics.pairmarks import REASONS, marked, marks
from diagnostics.pairs import MARGIN, PAIR, view
from diagnostics.run import Run

DIGEST = "0f" * 32


def listed(run: Run, split: str, chosen: list[int], texts: pd.DataFrame) -> pd.DataFrame:
    pairs = view(run, split)
    assert pairs is not None
    return drop_list(run, pairs, marked(pairs, marks(run, pairs)), chosen, texts)


def test_a_row_holds_its_pair_its_data_its_reasons_and_its_texts() -> None:
    run = probe_examples.flipped()
    run = replace(run, header={**run.header, "data": {"sha256": DIGEST}})
    pairs = view(run, "train")
    assert pairs is not None
    rows = marked(pairs, marks(run, pairs))
    flagged = int(rows.loc[rows[REASONS].astype(bool), PAIR].iloc[0])
    other = int(rows.loc[~rows[REASONS].astype(bool), PAIR].iloc[0])
    texts = pd.DataFrame(
        {"prompt_text": ["Why?"], "text/chosen": ["=1+1"], "text/rejected": ["no\n"]},
        index=[flagged],
    )
    found = listed(run, "train", [flagged, other], texts).set_index("pair")
    assert sorted(found.index) == sorted([flagged, other])
    assert set(found["data_sha256"]) == {DIGEST}
    assert set(found["split"]) == {"train"}
    assert found.loc[flagged, "reasons"] == "against its label"
    assert found.loc[other, "reasons"] == BY_HAND
    assert found.loc[flagged, "prompt"].startswith("train-prompt-")
    assert found.loc[other, "text/chosen"] == ""
    assert found.loc[flagged, MARGIN] < 0
    exact = [json.loads(line) for line in jsonl(found.reset_index()).splitlines()]
    assert {row["pair"]: row["text/chosen"] for row in exact}[flagged] == "=1+1"
    assert "'=1+1" in csv(found.reset_index()).decode()


def test_held_out_pairs_say_so_and_an_unknown_data_set_is_left_empty() -> None:
    found = listed(probe_examples.probed(), "held_out", [0, 1], pd.DataFrame())
    assert set(found["split"]) == {"held_out"}
    assert set(found["data_sha256"]) == {""}
    assert listed(probe_examples.probed(), "train", [], pd.DataFrame()).empty
