"""The further tables of a run folder, and its remarks: read, written back, and trimmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnostics.logcontents import read_log
from diagnostics.pairtables import LARGE, TABLES
from diagnostics.readers import native, read
from diagnostics.runlog import RunLog, read_pairs

NAMES = [name for name in TABLES if name not in ("probe", "samples", *LARGE)]
ROWS = {
    "entanglement": {"pair": [4], "split": ["train"], "prompt": ["a"], "cosine": [0.5]},
    "tokens": {
        **{"pair": [4, 4], "position": [1, 0], "token": [9, 8], "split": ["train"] * 2},
        **{"side": ["chosen"] * 2, "group": ["unique", "eos"], "logps": [-1.0, -2.0]},
    },
    "families": {
        **{"pair": [4, 4], "family": ["rejected", "chosen"], "prompt": ["a"] * 2},
        "logps": [-1.0, -2.0],
    },
    "texts": {
        **{"pair": [4], "split": ["train"], "prompt": ["a"], "prompt_text": ["Why?"]},
        **{"text/chosen": ["Because."], "text/rejected": [""]},
    },
    "token_texts": {
        **{"pair": [4, 4], "position": [1, 0], "split": ["train"] * 2, "side": ["chosen"] * 2},
        "text": [".", "Because"],
    },
}


def written(folder: Path, steps: tuple[int, ...] = (0, 20)) -> Path:
    with RunLog.create(folder, {"name": "a run", "method": "dpo", "beta": 0.1}) as log:
        log.write("train", 1, {"loss": 0.7})
        for step in steps:
            log.write("remark", step, {"text": f"said at {step}"})
            for table, columns in ROWS.items():
                log.write_pairs(table, step, step, columns)
    return folder


def test_every_further_table_is_read_in_a_fixed_order_and_written_back(tmp_path: Path) -> None:
    assert sorted(ROWS) == sorted(NAMES)
    run = read(written(tmp_path / "run"))
    assert sorted(run.tables) == sorted(NAMES)
    tokens, families = run.tables["tokens"], run.tables["families"]
    assert tokens["position"].tolist() == [0, 1, 0, 1]
    assert tokens["logps"].tolist() == [-2.0, -1.0] * 2
    assert tokens["argmax_logps"].isna().all()
    assert families["family"].tolist() == ["chosen", "rejected"] * 2
    assert run.tables["entanglement"]["cosine"].tolist() == [0.5, 0.5]
    assert run.caveats == ()
    native.write(run, tmp_path / "again")
    again = read(tmp_path / "again")
    for name in NAMES:
        assert again.tables[name].equals(run.tables[name])
    assert again.header["remarks"] == run.header["remarks"]


def test_a_run_without_them_has_no_such_table_and_no_remark(tmp_path: Path) -> None:
    RunLog.create(tmp_path, {"name": "a run"}).close()
    run = read(tmp_path)
    assert dict(run.tables) == {}
    assert "remarks" not in run.header


def test_a_half_written_table_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / "pairs" / "tokens-00000020.parquet"
    path.write_bytes(path.read_bytes()[:50])
    run = read(tmp_path)
    assert set(run.tables["tokens"]["step"]) == {0}
    assert run.caveats == ("1 part of the pair tables could not be read: tokens-00000020.parquet.",)


@pytest.mark.parametrize(("step", "kept"), [(0, {0}), (10, {0}), (20, {0, 20})])
def test_resuming_trims_tables_and_remarks(tmp_path: Path, step: int, kept: set[int]) -> None:
    written(tmp_path)
    with RunLog.resume(tmp_path, step):
        pass
    for table in NAMES:
        assert set(read_pairs(tmp_path, table)["step"].to_pylist()) == kept
    assert [one["text"] for one in read_log(tmp_path).remarks] == [f"said at {s}" for s in kept]
