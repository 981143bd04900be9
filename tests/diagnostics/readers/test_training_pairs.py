"""The large tables beside a run log, read only where they belong to it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from diagnostics.readers import read
from diagnostics.readers.training_pairs import (
    has_training_records,
    training_records,
    training_texts,
)
from diagnostics.runlog import RunLog


def make_run(folder: Path) -> Path:
    with RunLog.create(folder, {"name": "one", "method": "dpo", "beta": 0.1}) as log:
        for step in (1, 2):
            log.write("train", step, {"loss": 0.6})
            log.write_pairs("train", step, step, {"step": [step], "pair": [4], "loss": [0.6]})
        log.write_pairs(
            "train_texts",
            0,
            0,
            {
                **{"pair": [4, 9], "prompt": ["a", "b"], "prompt_text": ["Why?", "How?"]},
                **{"text/chosen": ["so", "thus"], "text/rejected": ["", "no"]},
            },
        )
    return folder


def test_records_and_texts_of_a_run_are_read_when_asked_for(tmp_path: Path) -> None:
    for path in (make_run(tmp_path / "run"), tmp_path / "run" / "run.jsonl"):
        run = read(path)
        assert has_training_records(run)
        assert training_records(run)["step"].tolist() == [1, 2]
        assert training_texts(run, [9, 77])["text/chosen"].to_dict() == {9: "thus"}
        assert dict(run.tables) == {}


def test_nothing_is_read_for_a_log_that_was_copied_elsewhere_or_is_not_ours(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    shutil.copy(tmp_path / "run" / "run.jsonl", tmp_path / "run" / "copy.jsonl")
    copied = read(tmp_path / "run" / "copy.jsonl")
    foreign = replace(copied, source=replace(copied.source, path=str(tmp_path / "run"), reader="x"))
    nowhere = replace(copied, source=replace(copied.source, path=str(tmp_path / "absent")))
    for run in (copied, foreign, nowhere):
        assert not has_training_records(run)
        assert training_records(run).empty
        assert training_texts(run, [4]).empty


def test_a_damaged_part_leaves_the_others(tmp_path: Path) -> None:
    run = read(make_run(tmp_path / "run"))
    (tmp_path / "run" / "pairs" / "train-00000001-00000001.parquet").write_bytes(b"PAR1 torn")
    (tmp_path / "run" / "pairs" / "train_texts-00000000.parquet").write_bytes(b"")
    assert training_records(run)["step"].tolist() == [2]
    assert training_texts(run, [4]).empty
