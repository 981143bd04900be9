"""Home-made tables: what their columns mean, how rows become steps, and what is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from diagnostics.errors import MalformedLog, ReadError, UnknownFormat
from diagnostics.readers import NO_HINTS, Hints, read, read_all, tables
from diagnostics.readers.aliases import alias, mapping_of, proposed
from diagnostics.readers.tables import preview


def csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("chosen_reward", "rewards/chosen"),
        ("reward_chosen", "rewards/chosen"),
        ("ChosenRewards", "rewards/chosen"),
        ("train/rewards/chosen", "rewards/chosen"),
        ("rejected rewards mean", "rewards/rejected"),
        ("reject_reward", "rewards/rejected"),
        ("chosen_logprobs", "logps/chosen"),
        ("policy_rejected_logps", "logps/rejected"),
        ("reference_chosen_logps", "ref_logps/chosen"),
        ("preference_accuracy", "rewards/accuracies"),
        ("reward_margin", "rewards/margins"),
        ("val_chosen_reward", "eval_rewards/chosen"),
        ("eval/loss", "eval_loss"),
        ("lr", "learning_rate"),
        ("global_step", "step"),
        ("Wall Time", "time"),
        ("chosen_text", None),
        ("logits/chosen", None),
        ("token_accuracy", None),
        ("x" * 500, None),
    ],
)
def test_a_name_means_a_quantity_by_its_words(name: str, meaning: str | None) -> None:
    assert alias(name) == meaning


def test_of_two_columns_of_one_meaning_the_fuller_name_counts() -> None:
    assert proposed(["chosen", "chosen_reward", "rejected_reward", "margin", "reward_margin"]) == {
        "chosen_reward": "rewards/chosen",
        "rejected_reward": "rewards/rejected",
        "reward_margin": "rewards/margins",
    }


def test_the_user_names_columns_that_nobody_could_guess(tmp_path: Path) -> None:
    path = csv(tmp_path / "log.csv", "n,good,bad,note", "1,0.5,-0.5,9", "2,0.7,-0.9,9")
    with pytest.raises(UnknownFormat):
        read(path)
    columns = mapping_of(["chosen=good", "rejected=bad", "step=n"])
    run = read(path, Hints(columns=columns))
    assert run.train["rewards/chosen"].tolist() == [0.5, 0.7]
    assert list(run.train.index) == [1, 2]
    assert run.unrecognised == ("note",)
    shown = preview(path, columns)
    assert shown.is_enough
    assert shown.others == ("note",)
    assert not preview(path).is_enough


def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = csv(tmp_path / "log.csv", "step,good,bad", "1,0.5,-0.5")
    with pytest.raises(MalformedLog, match="did you mean 'good'"):
        read(path, Hints(columns={"god": "rewards/chosen"}))
    with pytest.raises(MalformedLog, match=r"none of its columns .*--map chosen=COLUMN"):
        tables.read(path, NO_HINTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chosen", "has no column name"),
        ("chosn=a", "did you mean 'chosen'"),
        ("=a", "is no metric"),
        ("chosen=", "has no column name"),
    ],
)
def test_a_wrong_assignment_is_refused(text: str, message: str) -> None:
    with pytest.raises(ReadError, match=message):
        mapping_of([text])


def test_a_column_of_splits_and_one_of_runs_part_the_rows(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "log.csv",
        "run_name,split,step,chosen_reward,rejected_reward",
        *(f"{run},train,{step},{step},-{step}" for run in "ab" for step in (1, 2, 3)),
        "b,valid,3,30,-30",
    )
    one, other = read_all(path)
    assert (one.name, other.name) == ("a", "b")
    assert (len(one.train), len(one.evals)) == (3, 0)
    assert other.evals.loc[3, "rewards/chosen"] == 30


def test_eval_columns_beside_train_columns_become_eval_rows(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "log.csv",
        "step,chosen_reward,rejected_reward,eval_chosen_reward,eval_rejected_reward",
        "1,0.1,0,,",
        "2,0.2,0,0.5,-0.5",
        "3,0.3,0,,",
    )
    run = read(path)
    assert list(run.train.index) == [1, 2, 3]
    assert list(run.evals.index) == [2]
    assert run.evals.loc[2, "rewards/rejected"] == -0.5


def test_repeated_steps_of_a_resume_are_undone(tmp_path: Path) -> None:
    rows = [f"{step},{step},0" for step in (1, 2, 3, 4, 3, 4, 5)]
    run = read(csv(tmp_path / "log.csv", "step,chosen_reward,rejected_reward", *rows))
    assert list(run.train.index) == [1, 2, 3, 4, 5]
    assert "resumed once" in run.caveats[0]


def test_rows_without_steps_are_counted_and_marked(tmp_path: Path) -> None:
    run = read(csv(tmp_path / "a.csv", "chosen_reward,rejected_reward", "1,2", "2,3", "3,4"))
    assert list(run.train.index) == [1, 2, 3]
    assert "The log states no steps: they were worked out by counting rows." in run.caveats
    holes = csv(tmp_path / "b.csv", "step,chosen_reward,rejected_reward", "1,2,3", ",3,4", "x,1,1")
    run = read(holes)
    assert list(run.train.index) == [1]


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_other_separators_quotes_and_a_byte_order_mark_are_taken(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    text = f'"step"{mark}"chosen_reward"{mark}"rejected_reward"\r\n1{mark}0.5{mark}NaN\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    run = read(path)
    assert run.train.loc[1, "rewards/chosen"] == 0.5


def test_ragged_rows_twice_named_columns_and_other_encodings_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines = ["step,chosen_reward,rejected_reward,loss,loss", "1,2,3,4,5", "2,3", "3,1,1,1,1"]
    path.write_bytes("\n".join(lines).encode() + b"\n4,1,1,\xe9,1\n")
    run = read(path)
    assert list(run.train.index) == [1, 3, 4]
    assert run.train.loc[1, "loss"] == 4
    said = " ".join(run.caveats)
    assert "stand there twice" in said
    assert "1 rows with too few" in said


def test_a_document_of_lists_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(
        json.dumps({"chosen_reward": [1, 2, 3], "rejected_reward": [0, 0, 0], "name": "x"})
    )
    assert read(path).train["rewards/chosen"].tolist() == [1, 2, 3]
    rows = [{"step": 1, "train": {"chosen_reward": 1.0, "rejected_reward": 0.0}}]
    path.write_text(json.dumps({"raw_log_history": rows, "scalar_series": {}}))
    assert read(path).train.loc[1, "rewards/chosen"] == 1.0


def test_rows_of_jsonl_may_differ_and_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": s, "chosen_reward": s, "rejected_reward": 0}) for s in range(1, 9)]
    lines[3] = (
        '{"step": 4, "chosen_reward": NaN, "rejected_reward": 1, "note": "x", "deep": {"a": 1}}'
    )
    lines[5] = '{"step": 6, "chosen_rew'
    path.write_text("\n".join(lines) + "\n" + '{"step": 9, "chosen')
    run = read(path)
    assert list(run.train.index) == [1, 2, 3, 4, 5, 7, 8]
    assert run.caveats[0] == "1 line of the log could not be read (line 6)."


# -- Hostile ---------------------------------------------------------------------------------------


def test_a_parquet_file_of_billions_of_rows_in_a_few_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    count = 4_000_000
    zeros = pa.array([0.0]).take(pa.array([0] * 1000))
    chunk = pa.chunked_array([zeros] * (count // 1000))
    names = ["chosen_reward", "rejected_reward", *(f"c{number}" for number in range(10))]
    pa.parquet.write_table(pa.table(dict.fromkeys(names, chunk)), path, compression="zstd")
    assert path.stat().st_size < 1_000_000
    with pytest.raises(MalformedLog, match=r"4000000 rows of 12 columns.*million values"):
        read(path)


def test_a_million_names_become_a_bounded_run(tmp_path: Path) -> None:
    path = tmp_path / "names.jsonl"
    with path.open("w") as stream:
        for step in range(1, 1001):
            row = {f"k{step}_{number}": 1 for number in range(1000)}
            sides = {"step": step, "chosen_reward": 1.0, "rejected_reward": 0.0}
            stream.write(json.dumps(sides | row) + "\n")
    run = read(path)
    assert run.train.loc[1000, "rewards/chosen"] == 1.0
    assert len(run.train.columns) < 1100


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"chosen_reward": 1, "rejected_reward": 2, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"chosen_reward": "' + b"x" * 30_000_000,
        b"step,chosen_reward,rejected_reward\n" + b"1" * 20_000_000,
        b"PAR1" + b"\0" * 1000,
        b"SQLite format 3\0" + b"\xff" * 4096,
        b":W&B" + b"\xff" * 40_000,
        b":SWL\0\0\2" + b"\0" * 40_000,
        bytes(range(256)) * 1000,
    ],
    ids=lambda content: repr(content[:12]),
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".log", ".db"])
def test_hostile_content_is_refused_or_read_in_one_sentence(
    content: bytes, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"log{suffix}"
    path.write_bytes(content)
    # Most are refused; a header line without rows may be a run.
    with contextlib.suppress(UnknownFormat):
        said = ""
        try:
            read_all(path)
        except MalformedLog as problem:
            said = str(problem)
        assert "\n" not in said
        assert str(path) in said or not said
