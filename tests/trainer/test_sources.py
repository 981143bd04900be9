"""Files, folders, described data sets and hub names → rows with their places."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from trainer.errors import DataError
from trainer.sources import RawData, read_source

ROW = {"prompt": "a", "chosen": "b", "rejected": "c"}


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def samples(root: Path) -> Path:
    return root / "tests" / "data" / "pairs"


def test_a_file_is_identified_by_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROW)

    assert read_source(str(path)).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_is_read_in_the_order_of_its_names_and_knows_every_place(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", {"n": 2}, {"n": 3})
    write(tmp_path / "a.jsonl", {"n": 0}, {"n": 1})
    write(tmp_path / "sub" / "c.jsonl", {"n": 4})

    data = read_source(str(tmp_path))

    assert [row["n"] for row in data.rows] == [0, 1, 2, 3, 4]
    assert [data.place(i).removeprefix(str(tmp_path)) for i in (0, 1, 2, 4)] == [
        "/a.jsonl, row 1",
        "/a.jsonl, row 2",
        "/b.jsonl, row 1",
        "/sub/c.jsonl, row 1",
    ]


@pytest.mark.parametrize(
    ("split", "expected"), [(None, ["train"]), ("train", ["train"]), ("test", ["test", "test2"])]
)
def test_where_names_tell_splits_apart_only_the_wanted_one_is_read(
    tmp_path: Path, split: str | None, expected: list[str]
) -> None:
    write(tmp_path / "data" / "train-00000-of-00001.jsonl", {"of": "train"})
    write(tmp_path / "data" / "test-00000-of-00001.jsonl", {"of": "test"})
    write(tmp_path / "test" / "constrained.jsonl", {"of": "test2"})

    assert [row["of"] for row in read_source(str(tmp_path), split=split).rows] == expected


def test_a_split_is_a_whole_word_of_the_name(tmp_path: Path) -> None:
    for other in ("constrained", "pretrain", "trainee"):
        write(tmp_path / f"{other}.jsonl", {"of": "other"})
    write(tmp_path / "train.jsonl", {"of": "train"})

    assert [row["of"] for row in read_source(str(tmp_path)).rows] == ["train"]


def test_an_unknown_split_lists_the_files(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROW)

    with pytest.raises(DataError, match=r"no files of split 'dev'; it holds train\.jsonl\."):
        read_source(str(tmp_path), split="dev")


def test_a_data_set_saved_by_datasets_is_read(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    splits = {"train": Dataset.from_list([ROW, ROW]), "test": Dataset.from_list([ROW])}
    DatasetDict(splits).save_to_disk(tmp_path / "both")
    splits["train"].save_to_disk(tmp_path / "one")
    # What `map` leaves beside the data.
    (tmp_path / "one" / "cache-1234.arrow").write_bytes(
        (tmp_path / "one" / "data-00000-of-00001.arrow").read_bytes()
    )

    assert read_source(str(tmp_path / "both")).rows == [ROW, ROW]
    assert read_source(str(tmp_path / "both"), split="test").rows == [ROW]
    assert read_source(str(tmp_path / "one")).rows == [ROW, ROW]


def test_a_file_is_described_by_the_description_beside_it(samples: Path) -> None:
    data = read_source(str(samples / "sharegpt.json"))

    assert data.description is not None
    assert data.description["columns"]["messages"] == "dialogue"
    assert read_source(str(samples / "text.jsonl")).description is None


@pytest.mark.parametrize("by_path", [True, False])
def test_a_described_data_set_is_found_by_its_name(samples: Path, by_path: bool) -> None:
    if by_path:
        data = read_source(str(samples / "sharegpt_pairs"))
    else:
        data = read_source(str(samples), subset="sharegpt_pairs")

    assert data.files[0][0] == str(samples / "sharegpt.json")
    assert data.description is not None


def test_of_two_descriptions_of_one_file_the_one_of_preferences_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROW)
    entries = {
        "sft": {"file_name": "a.jsonl"},
        "pairs": {"file_name": "a.jsonl", "ranking": True},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(entries))

    assert read_source(str(path)).description == entries["pairs"]


def test_a_description_may_name_a_data_set_that_the_hub_library_loads(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "train.jsonl", ROW, ROW)
    # "json" is a loader that `datasets` brings along, so no network is needed.
    entry = {"hf_hub_url": "json", "folder": str(tmp_path / "elsewhere"), "ranking": True}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"far": entry}))

    first, again = (read_source(str(tmp_path / "far")) for _ in range(2))

    assert first.rows == [ROW, ROW]
    assert first.description == entry
    assert first.place(1) == "json, row 2"
    assert first.sha256 == again.sha256 != ""


def test_a_description_may_choose_the_split(tmp_path: Path) -> None:
    for name in ("train", "preferences", "test"):
        write(tmp_path / "sets" / f"{name}.jsonl", {"of": name})
    entry = {"file_name": "sets", "ranking": True, "split": "preferences"}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"pairs": entry}))

    found = [
        read_source(str(tmp_path / "pairs"), split=split).rows for split in (None, "train", "test")
    ]

    assert found == [[{"of": "preferences"}], [{"of": "preferences"}], [{"of": "test"}]]


def test_one_file_has_no_split(samples: Path) -> None:
    assert read_source(str(samples / "text.jsonl"), split="train").rows
    for name in ("text.jsonl", "labels"):
        with pytest.raises(DataError, match=r"is one file and has no split 'test'; give the file"):
            read_source(str(samples / name), split="test")


def test_a_hub_name_that_cannot_be_reached_is_told_in_one_sentence() -> None:
    with pytest.raises(
        DataError, match=r"'nobody/nothing' is no file or folder here, and the hub .* check"
    ) as caught:
        read_source("nobody/nothing")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("pears.jsonl", r"'.*pears\.jsonl' does not exist \(did you mean 'pairs\.jsonl'\?\);"),
        ("nosuchfolder/of/things", r"'.*things' does not exist; give a file, a folder or a hub"),
        ("empty", r"empty holds no data files; expected \.json, "),
        ("empty.jsonl", r"empty\.jsonl holds no rows; expected at least one"),
        ("unsuited.txt", r"unsuited\.txt has the unknown suffix '\.txt'"),
        ("broken", r"dataset_info\.json, line 1, column 1: not JSON"),
    ],
)
def test_data_that_is_not_there_is_told_in_one_sentence(
    tmp_path: Path, data: str, said: str
) -> None:
    write(tmp_path / "pairs.jsonl", ROW)
    write(tmp_path / "empty.jsonl")
    write(tmp_path / "unsuited.txt", ROW)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "dataset_info.json").write_text("no")

    with pytest.raises(DataError, match=said):
        read_source(str(tmp_path / data))


def test_a_folder_of_described_data_sets_asks_which(samples: Path) -> None:
    with pytest.raises(DataError, match=r"describes 4 data sets; name one, for example '.*alpaca"):
        read_source(str(samples))
    with pytest.raises(DataError, match=r"no data set 'label' \(did you mean 'labels'\?\); it des"):
        read_source(str(samples), subset="label")
    with pytest.raises(DataError, match=r"the file 'absent\.json' of data set 'absent' does not"):
        read_source(str(samples / "absent"))


def test_the_only_data_set_of_a_folder_need_not_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ROW)
    (tmp_path / "dataset_info.json").write_text('{"pairs": {"file_name": "a.jsonl"}}')

    assert read_source(str(tmp_path)).description == {"file_name": "a.jsonl"}


def test_csv_is_not_typed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,label\nx,true\n")

    assert not read_source(str(tmp_path / "a.csv")).typed
    assert RawData("a", [], "").typed
