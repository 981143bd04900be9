"""Parts of the per-pair tables: whole or not at all, and read whatever lies beside them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagnostics import pairtables
from diagnostics.pairtables import TABLES, part_name, parts, read_pairs, scan_pairs
from diagnostics.runlog import LogWriteError, RunLog

PROBE = {"pair": [0, 1], "split": ["train", "held_out"], "prompt": ["a", "b"]}


def write(folder: Path, table: str, first: int, last: int, rank: int = 0, **columns: Any) -> None:
    with RunLog(folder) as log:
        named = {name.replace("__", "/"): values for name, values in columns.items()}
        log.write_pairs(table, first, last, named, rank=rank)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("probe", 20, 20), "probe-00000020.parquet"),
        (("samples", 0, 0, 2), "samples-00000000-rank2.parquet"),
        (("train", 1, 20), "train-00000001-00000020.parquet"),
        (("train", 1, 123456789, 1), "train-00000001-123456789-rank1.parquet"),
    ],
)
def test_a_part_is_named_for_its_table_steps_and_rank(
    tmp_path: Path, arguments: tuple[Any, ...], name: str
) -> None:
    assert part_name(*arguments) == name
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / name).touch()
    (part,) = parts(tmp_path, arguments[0])
    assert (part.table, part.first, part.last) == arguments[:3]
    assert part.rank == (arguments[3] if len(arguments) > 3 else 0)


def test_what_is_written_is_read_back_in_the_documented_columns(tmp_path: Path) -> None:
    values = {"logps__chosen": [-10.5, math.nan], "logps__rejected": [-math.inf, math.inf]}
    write(tmp_path, "probe", 20, 20, **PROBE, **values)
    rows = read_pairs(tmp_path, "probe")
    assert rows.schema == TABLES["probe"]
    assert rows["step"].to_pylist() == [20, 20]
    assert rows["split"].to_pylist() == ["held_out", "train"]
    assert rows["pair"].to_pylist() == [1, 0]
    rows = rows.sort_by("pair")
    chosen = rows["logps/chosen"].to_pylist()
    assert chosen[0] == -10.5
    assert math.isnan(chosen[1])
    assert rows["logps/rejected"].to_pylist() == [-math.inf, math.inf]
    # Left out when writing.
    assert all(math.isnan(value) for value in rows["entropy/chosen"].to_pylist())


def test_arrays_ranges_and_lists_are_columns_alike(tmp_path: Path) -> None:
    write(tmp_path, "train", 1, 2, step=range(1, 3), pair=np.arange(2), loss=np.array([1.0, 2.0]))
    assert read_pairs(tmp_path, "train")["loss"].to_pylist() == [1.0, 2.0]


def test_rows_come_sorted_by_step_then_pair_whatever_the_parts(tmp_path: Path) -> None:
    write(tmp_path, "train", 3, 4, step=[4, 3], pair=[1, 9])
    write(tmp_path, "train", 1, 2, step=[2, 1], pair=[5, 6])
    write(tmp_path, "train", 1, 2, 1, step=[2, 1], pair=[3, 7])
    rows = read_pairs(tmp_path, "train")
    pairs = list(zip(rows["step"].to_pylist(), rows["pair"].to_pylist(), strict=True))
    assert pairs == [(1, 6), (1, 7), (2, 3), (2, 5), (3, 9), (4, 1)]


def test_a_table_without_parts_is_empty_with_all_its_columns(tmp_path: Path) -> None:
    for table, schema in TABLES.items():
        assert scan_pairs(tmp_path, table).rows.schema == schema
        assert read_pairs(tmp_path / "absent", table).num_rows == 0


def test_a_part_without_rows_is_written_and_read(tmp_path: Path) -> None:
    write(tmp_path, "train", 1, 2, step=[], pair=[])
    assert scan_pairs(tmp_path, "train") == pairtables.PairRows(TABLES["train"].empty_table(), ())


@pytest.mark.parametrize(
    ("table", "first", "last", "columns", "told"),
    [
        ("probes", 1, 1, {}, "no pair table is called 'probes', expected one of probe, samples"),
        ("probe", 1, 2, {}, "cannot hold steps 1 to 2, expected one step"),
        ("train", 2, 1, {}, "cannot hold steps 2 to 1, expected first <= last"),
        ("train", -1, 1, {}, "cannot hold steps -1 to 1"),
        ("train", 1, 1, {"pair": [0], "losss": [1.0]}, "no column 'losss'; did you mean 'loss'"),
        ("train", 1, 1, {"loss": [1.0]}, "the train table needs the column 'pair'"),
        ("train", 1, 2, {"pair": [0]}, "the train table needs the column 'step'"),
        ("train", 1, 1, {"pair": [0], "loss": [1.0, 2.0]}, "differ in length"),
        ("train", 1, 2, {"step": [1, 3], "pair": [0, 1]}, "runs from 1 to 3, expected steps"),
        ("train", 1, 1, {"pair": ["zero"]}, "column 'pair': .*zero"),
        ("train", 1, 1, {"pair": [0.5]}, "column 'pair': Float value 0.5"),
        ("train", 1, 1, {"pair": [2**40]}, "column 'pair': Integer value"),
        ("train", 1, 1, {"pair": [None]}, "column 'pair' has rows without a value"),
        ("train", 1, 1, {"pair": [0], "loss": ["low"]}, "column 'loss': .*low"),
    ],
)
def test_columns_that_the_table_cannot_hold_are_refused_at_the_call(
    tmp_path: Path, table: str, first: int, last: int, columns: dict[str, Any], told: str
) -> None:
    log = RunLog(tmp_path)
    with pytest.raises(LogWriteError, match=told) as raised:
        log.write_pairs(table, first, last, columns)
    assert "\n" not in str(raised.value)
    log.close()
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_part_cut_at_any_byte_is_left_out_and_named(tmp_path: Path) -> None:
    write(tmp_path, "samples", 1, 1, sample=[0], prompt=["a"], logps=[-1.0])
    write(tmp_path, "samples", 2, 2, sample=[0], prompt=["a"], logps=[-2.0])
    second = tmp_path / "pairs" / "samples-00000002.parquet"
    whole = second.read_bytes()
    for size in range(len(whole)):
        second.write_bytes(whole[:size])
        found = scan_pairs(tmp_path, "samples")
        assert found.unreadable == (second.name,)
        assert found.rows["step"].to_pylist() == [1]
    second.write_bytes(whole)
    assert scan_pairs(tmp_path, "samples").rows["step"].to_pylist() == [1, 2]


def test_a_part_that_changes_is_read_anew(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        write(tmp_path, "samples", 1, 1, sample=[0], prompt=["a"], logps=[value])
        assert read_pairs(tmp_path, "samples")["logps"].to_pylist() == [value]


def test_a_flipped_byte_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    values = {"sample": [0, 1], "prompt": ["a", "b"], "logps": [-1.0, -2.0]}
    write(tmp_path, "samples", 1, 1, **values, completion_tokens=[3, 4])
    path = tmp_path / "pairs" / "samples-00000001.parquet"
    whole, rows = path.read_bytes(), read_pairs(tmp_path, "samples")
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        found = scan_pairs(tmp_path, "samples")
        assert found.unreadable or found.rows.equals(rows)


def test_other_files_beside_the_parts_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "samples", 1, 1, sample=[0], prompt=["a"])
    folder = tmp_path / "pairs"
    for name in (".samples-00000002.parquet.tmp", "samples-x.parquet", "samples-1.parquet.bak"):
        (folder / name).write_bytes(b"")
    (folder / "samples-00000003.parquet").mkdir()
    found = scan_pairs(tmp_path, "samples")
    assert found.rows["step"].to_pylist() == [1]
    assert found.unreadable == ("samples-00000003.parquet",)


def test_a_foreign_part_is_brought_to_the_documented_types(tmp_path: Path) -> None:
    foreign = pa.table(
        {
            "step": pa.array([1, None, 1], pa.int64()),
            "sample": pa.array([1.0, 2.0, 0.0]),
            "logps": pa.array([-1.5, -2.5, None], pa.float64()),
            "extra": pa.array([1, 2, 3], pa.int8()),
            "note": pa.array(["x", "y", "z"]),
        }
    )
    (tmp_path / "pairs").mkdir()
    pq.write_table(foreign, tmp_path / "pairs" / "samples-1.parquet")
    write(tmp_path, "samples", 2, 2, sample=[0], prompt=["a"], logps=[-3.0])
    rows = read_pairs(tmp_path, "samples")
    assert rows.schema.names == [*TABLES["samples"].names, "extra"]
    assert rows["sample"].to_pylist() == [0, 1, 0]
    assert math.isnan(rows["logps"].to_pylist()[0])
    assert rows["prompt"].to_pylist() == ["", "", "a"]
    assert rows["extra"].to_pylist() == [3.0, 1.0, None]


def test_a_foreign_part_whose_columns_cannot_be_numbers_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for number, step in enumerate(([[1]], ["one"], [2**40])):
        pq.write_table(
            pa.table({"step": step, "sample": [0]}),
            tmp_path / "pairs" / f"samples-{number}.parquet",
        )
    assert len(scan_pairs(tmp_path, "samples").unreadable) == 3


def test_a_name_used_twice_in_a_foreign_part_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    twice = pa.table([[1], [0], [1.0], [2.0]], names=["step", "sample", "logps", "logps"])
    pq.write_table(twice, tmp_path / "pairs" / "samples-1.parquet")
    assert math.isnan(read_pairs(tmp_path, "samples")["logps"].to_pylist()[0])


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no pair table is called 'sample'"):
        read_pairs(tmp_path, "sample")


def test_a_closed_folder_of_parts_is_named_as_unreadable(
    public_folder: Path, as_somebody_else: Any
) -> None:
    write(public_folder, "samples", 1, 1, sample=[0], prompt=["a"])
    (public_folder / "pairs").chmod(0)
    with as_somebody_else():
        found = scan_pairs(public_folder, "samples")
    os.chmod(public_folder / "pairs", 0o755)
    assert found.unreadable == ("pairs",)
    assert found.rows.num_rows == 0
