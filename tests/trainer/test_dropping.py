"""Listed pairs are left out of the training, and of nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from diagnostics.droplist import drop_list, jsonl
from diagnostics.figures.data import csv
from diagnostics.pairmarks import marked, marks
from diagnostics.pairs import view
from diagnostics.probe_examples import flipped
from trainer import setup
from trainer.config import TrainConfig
from trainer.data import Example, PreferenceData
from trainer.dropping import without_listed
from trainer.errors import DataError

DIGEST = "ab" * 32


def preference_data(count: int = 6) -> PreferenceData:
    examples = tuple(
        Example([index], ((1,), (2,)), (True, False), index, f"prompt {index}", ("a", "b"))
        for index in range(count)
    )
    return PreferenceData(examples, True, {"source": "data", "sha256": DIGEST}, None)


def listed(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def test_a_list_as_csv_and_as_jsonl_drop_the_same_pairs(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"pair": 1, "split": "train", "data_sha256": DIGEST, "reasons": "against its label, twice"},
        {"pair": 2, "split": "held_out", "data_sha256": DIGEST, "reasons": ""},
        {"pair": 4, "split": "train", "data_sha256": DIGEST, "reasons": ""},
    ]
    table = tmp_path / "drop.csv"
    table.write_text(
        "\ufeffpair,split,data_sha256,reasons\r\n"
        + "".join(f'{row["pair"]},{row["split"]},{DIGEST},"{row["reasons"]}"\r\n' for row in rows),
        encoding="utf-8",
    )
    for path in (listed(tmp_path / "drop.jsonl", rows), str(table)):
        kept = without_listed(preference_data(), path)
        assert [one.index for one in kept.examples] == [0, 2, 3, 5]
        assert kept.identity["dropped_by_list"] == 2
        assert len(kept.identity["drop_list_sha256"]) == 64
        assert kept.identity["sha256"] == DIGEST


def test_a_pair_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    kept = without_listed(preference_data(3), listed(tmp_path / "drop.jsonl", [{"pair": 99}]))
    assert [one.index for one in kept.examples] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"pair": 1, "data_sha256": "cd"}', "was made for other data"),
        ('{"pair": "x"}', "row 1: the column 'pair' holds 'x'"),
        ('{"pair": -1}', "expected a row number"),
        ('{"pair": true}', "expected a row number"),
        ('{"pair": 1}\n{"pair": ', "line 2: is no JSON object"),
        ("number\n1\n", "the column 'pair' holds None"),
        ("\n".join(f'{{"pair": {i}}}' for i in range(6)), "lists every training pair"),
    ],
)
def test_a_list_that_cannot_be_followed_is_refused_in_one_sentence(
    content: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "drop"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=what) as raised:
        without_listed(preference_data(), str(path))
    assert "\n" not in str(raised.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent", tmp_path, binary):
        with pytest.raises(DataError, match="cannot be read"):
            without_listed(preference_data(), str(path))


def test_the_lists_that_the_dashboard_exports_are_followed(tmp_path: Path) -> None:
    run = replace(flipped(), header={"data": {"sha256": DIGEST}})
    pairs = view(run, "train")
    assert pairs is not None
    rows = marked(pairs, marks(run, pairs))
    exported = drop_list(run, pairs, rows, [1, 4], pd.DataFrame())
    for name, content in (("drop.csv", csv(exported)), ("drop.jsonl", jsonl(exported))):
        (tmp_path / name).write_bytes(content)
        kept = without_listed(preference_data(), str(tmp_path / name))
        assert [one.index for one in kept.examples] == [0, 2, 3, 5]


def test_the_held_out_part_stays_what_it_was(
    tmp_path: Path, pairs_file: Path, tiny_tokenizer
) -> None:
    settings = {"model": "m", "data": str(pairs_file), "output_dir": str(tmp_path / "run")}
    whole, held = setup.load_data(TrainConfig(**settings), tiny_tokenizer)
    gone = [whole.examples[0].index, whole.examples[5].index, held[0].index]
    path = listed(tmp_path / "drop.jsonl", [{"pair": index} for index in gone])
    fewer, still_held = setup.load_data(TrainConfig(**settings, drop_pairs=path), tiny_tokenizer)
    assert still_held == held
    kept = [one.index for one in whole.examples if one.index not in gone]
    assert [one.index for one in fewer.examples] == kept
    assert fewer.identity["dropped_by_list"] == 2
