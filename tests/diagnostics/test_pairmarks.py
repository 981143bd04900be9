"""Marks: flipped labels, sides that are alike, copies; found where they are and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics import probe_examples
from diagnostics.examples import example
from diagnostics.pairmarks import (
    AGAINST,
    COPY_OF,
    DIFFER_TOKENS,
    DIFFER_WORDS,
    REASONS,
    marked,
    marks,
    training_marks,
)
from diagnostics.pairs import PAIR, training_view, view
from diagnostics.run import Run


def found_in(run: Run, split: str = "train") -> pd.DataFrame:
    pairs = view(run, split)
    assert pairs is not None
    return marked(pairs, marks(run, pairs)).set_index(PAIR)


def texts(rows: list[tuple[int, str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["pair", "prompt_text", "text/chosen", "text/rejected"])
    return frame.assign(split="train", step=0, prompt="p")


def test_flipped_pairs_are_marked_and_the_others_are_not() -> None:
    run = probe_examples.flipped()
    rng = np.random.default_rng(0)
    names = run.probes[["split", "pair"]].drop_duplicates()
    wrong = names.sample(frac=0.2, random_state=rng)
    truth = set(wrong.loc[wrong["split"] == "train", "pair"])
    rows = found_in(run)
    flagged = set(rows.index[rows[REASONS].str.contains(AGAINST)])
    assert len(flagged & truth) >= 0.8 * len(truth)
    assert len(flagged - truth) <= 0.05 * len(rows)
    pairs = view(run, "train")
    assert pairs is not None
    assert "a group of their own" in marks(run, pairs).labels


def test_a_healthy_run_has_no_group_against_its_labels() -> None:
    for run in (example("ideal"), probe_examples.probed()):
        pairs = view(run, "train")
        assert pairs is not None
        labels = marks(run, pairs).labels
        assert "no group" in labels or labels.startswith("0 pairs")


def test_too_few_evaluations_are_said_and_mark_nothing() -> None:
    run = example("unknown")
    pairs = view(run, "train")
    assert pairs is not None
    found = marks(run, pairs)
    assert "times are needed" in found.labels
    assert not found.frame[REASONS].astype(bool).any()


def test_alike_sides_are_found_from_tokens_and_from_texts() -> None:
    rows = found_in(probe_examples.near_duplicate())
    alike = rows[REASONS].str.contains("sides alike")
    assert rows.index[alike].tolist() == list(range(12))
    assert rows.loc[rows[DIFFER_TOKENS].notna()].index.tolist() == list(range(16))
    run = example("ideal", pairs=4)
    words = " ".join(f"w{i}" for i in range(20))
    kept = texts(
        [
            (0, "a", words, words.replace("w3 ", "other ")),
            (1, "b", words, "something else"),
            (2, "c", words, words),
            (3, "d", words, ""),
        ]
    )
    rows = found_in(replace(run, tables={"texts": kept}))
    assert rows[DIFFER_WORDS].tolist()[:3] == pytest.approx([0.05, 1.0, 0.0])
    assert np.isnan(rows[DIFFER_WORDS].iloc[3])
    assert [bool(one) for one in rows[REASONS]] == [True, False, True, False]
    assert DIFFER_TOKENS not in rows


def test_copies_are_told_by_texts_where_there_are_any() -> None:
    run = example("ideal", pairs=4)
    kept = texts([(0, "a", "x", "y"), (1, "a", "x", "z"), (2, "a", "x", "y"), (3, "b", "x", "y")])
    rows = found_in(replace(run, tables={"texts": kept}))
    assert rows[COPY_OF].dropna().to_dict() == {2: 0}
    assert rows.loc[2, REASONS] == "copy of 0"


def test_copies_are_told_by_lengths_and_log_probs_where_there_are_no_texts() -> None:
    run = example("ideal", pairs=8)
    probes = run.probes.copy()
    for name in (one for one in probes if one not in ("step", "split", "pair")):
        rows = probes["split"] == "train"
        source = probes[rows & (probes["pair"] == 2)].set_index("step")[name]
        copy = rows & (probes["pair"] == 6)
        probes.loc[copy, name] = source.reindex(probes.loc[copy, "step"]).to_numpy()
    probes.loc[probes["pair"] == 6, "logps/chosen"] *= 1 + 1e-7  # another order of the sum
    rows = found_in(replace(run, probes=probes))
    assert rows[COPY_OF].dropna().to_dict() == {6: 2}
    assert found_in(example("ideal"))[COPY_OF].isna().all()


def test_training_pairs_are_marked_as_copies_only() -> None:
    table = pd.DataFrame(
        {
            "step": [1, 1, 2, 2],
            "pair": [5, 3, 9, 8],
            "logps/chosen": [-8.0, -7.0, -6.0, -5.0],
            "logps/rejected": -6.0,
            "ref_logps/chosen": [-8.0, -8.5, -8.0, np.nan],
            "ref_logps/rejected": [-6.0, -6.0, -6.0, np.nan],
            "completion_tokens/chosen": 4.0,
            "completion_tokens/rejected": 2.0,
        }
    )
    pairs = training_view(table)
    assert pairs is not None
    found = training_marks(pairs, table)
    assert found.frame[COPY_OF].dropna().to_dict() == {9: 5}
    assert "cannot be told" in found.labels
