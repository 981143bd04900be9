"""trainer_state.json in a file, a checkpoint or an output folder, and the settings beside it."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from diagnostics.errors import MalformedLog
from diagnostics.readers import read
from diagnostics.readers.sidecars import LARGEST, MOST_ENTRIES, card_settings, configuration_beside
from diagnostics.readers.sidecars import plain as kept


def state(steps: int, loss: float = 0.6) -> dict[str, Any]:
    history = [
        {"loss": loss, "rewards/chosen": 0.1 * s, "rewards/rejected": -0.1 * s, "step": s}
        for s in range(10, steps + 1, 10)
    ]
    return {"global_step": steps, "log_history": history, "max_steps": 100}


def write(folder: Path, content: dict[str, Any] | str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "trainer_state.json").write_text(text)
    return folder / "trainer_state.json"


def test_the_latest_checkpoint_of_a_folder_counts_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (20, 100, 90):
        write(tmp_path / "out" / f"checkpoint-{step}", state(step))
    run = read(tmp_path / "out")
    assert (run.last_step, run.name, run.status) == (100, "out", "completed")
    assert run.source.path == str(tmp_path / "out")


def test_the_output_folders_own_file_goes_before_older_checkpoints(tmp_path: Path) -> None:
    write(tmp_path / "checkpoint-50", state(50))
    write(tmp_path, state(60))
    assert read(tmp_path).last_step == 60
    write(tmp_path / "checkpoint-80", state(80))
    assert read(tmp_path).last_step == 80


def test_a_broken_latest_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    write(tmp_path / "checkpoint-20", state(20))
    write(tmp_path / "checkpoint-30", '{"log_history": [')
    assert read(tmp_path).last_step == 20


def test_a_checkpoint_is_named_after_its_run(tmp_path: Path) -> None:
    write(tmp_path / "mine" / "checkpoint-20", state(20))
    assert read(tmp_path / "mine" / "checkpoint-20").name == "mine"


def test_a_file_cut_short_keeps_its_whole_rows(tmp_path: Path) -> None:
    text = json.dumps(state(50))
    run = read(write(tmp_path, text[: text.rindex('"step": 50') - 5]))
    assert run.last_step == 40
    assert any("cut short: 4 rows" in caveat for caveat in run.caveats)


def test_bare_nan_and_infinity_are_read(tmp_path: Path) -> None:
    text = json.dumps(state(30)).replace('"rewards/chosen": 2.0', '"rewards/chosen": NaN')
    run = read(write(tmp_path, text.replace('"loss": 0.6', '"loss": -Infinity', 1)))
    assert run.train["rewards/chosen"].isna().tolist() == [False, True, False]
    assert run.train["loss"].tolist()[0] == -float("inf")
    assert not any("cut short" in caveat for caveat in run.caveats)


def test_an_empty_history_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MalformedLog, match="empty log_history, expected logged steps; give"):
        read(write(tmp_path, {"log_history": []}))


def test_keys_of_the_first_kto_versions_are_known(tmp_path: Path) -> None:
    rows = [
        {"loss": 0.5, "train/rewards/chosen": 0.1 * s, "train/rewards/rejected": 0.0, "step": s}
        for s in (1, 2)
    ]
    rows.append({"eval_loss": 0.4, "eval/rewards/chosen": 0.5, "step": 2})  # type: ignore[dict-item]
    run = read(write(tmp_path, {"log_history": rows}))
    assert (run.method, run.source.framework) == ("kto", "TRL")
    assert run.evals.loc[2, "rewards/chosen"] == 0.5


def test_keys_of_llava_type_trainers_are_read_and_their_meaning_is_left_open(
    tmp_path: Path,
) -> None:
    rows: list[dict[str, Any]] = [
        {"rewards_train/chosen": 0.1, "rewards_train/rejected": 0.0, "step": 1},
        {"loss": 0.6, "step": 1},
        {"rewards_train/chosen": 0.2, "rewards_train/rejected": 0.1, "step": 1},
        {"rewards_train/chosen": 0.3, "rewards_train/rejected": 0.1, "step": 2},
    ]
    run = read(write(tmp_path, {"log_history": rows}))
    assert run.train["rewards/chosen"].tolist() == [0.2, 0.3]
    assert run.train.loc[1, "loss"] == 0.6
    assert run.meaning is None


# -- Settings beside ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "beta"),
    [
        ("training_args.yaml", "pref_beta: 0.2\npref_loss: sigmoid\nstage: dpo\n", 0.2),
        ("args.json", '{"rlhf_type": "dpo", "beta": 0.3, "swift_version": "3.1.0"}', 0.3),
        ("config.yaml", "beta: 0.4\nloss_type: sigmoid\n", 0.4),
        ("qwen_dpo.yaml", "stage: dpo\npref_beta: 0.5\n", 0.5),
        ("axolotl.yml", "rl: dpo\nrl_beta: 0.6\n", 0.6),
        ("other.yaml", "learning_rate: 1\nbetas: 7\n", None),
    ],
)
def test_beta_is_read_from_the_file_beside(
    tmp_path: Path, name: str, text: str, beta: float | None
) -> None:
    write(tmp_path / "checkpoint-30", state(30))
    (tmp_path / name).write_text(text)
    meaning = read(tmp_path / "checkpoint-30").meaning
    assert meaning is not None
    assert meaning.factor == beta


def test_a_model_card_tells_framework_method_settings_and_versions() -> None:
    card = (
        "---\ntags:\n- llama-factory\n- trl\n---\n# x\nThis model was trained with KTO, a method\n"
        "- num_devices: 4\n- learning_rate: 5e-06\n- TRL: 0.12.1\n- Transformers 4.46.3\n"
    )
    found = card_settings(card.encode())
    assert (found["framework"], found["method"]) == ("LLaMA-Factory", "kto")
    assert (found["num_devices"], found["learning_rate"]) == (4, 5e-06)
    assert (found["trl_version"], found["transformers_version"]) == ("0.12.1", "4.46.3")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(Bomb.marker),)

    marker: Path


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    Bomb.marker = tmp_path / "exploded"
    (tmp_path / "training_args.bin").write_bytes(pickle.dumps(Bomb()))
    run = read(write(tmp_path, state(30)))
    assert not Bomb.marker.exists()
    assert any("training_args.bin, which is never opened" in caveat for caveat in run.caveats)
    pickle.loads((tmp_path / "training_args.bin").read_bytes())  # the trap does work
    assert Bomb.marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\nbeta: 0.1\n",
        "beta: 0.1\nwhen: 2024-01-01\nx: {y: {z: {w: 1}}}\n",
        "beta: 0.1\nrun: !!python/object/apply:os.system ['touch exploded']\n",
        "[" * 5000,
        "beta: 0.1\n" + "x" * LARGEST,
        "\0\1\2",
        "just text",
        "? [1, 2]\n: 3\nbeta: 0.1\n",
    ],
)
def test_hostile_settings_do_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    found = configuration_beside(write(tmp_path, state(30)))
    assert json.dumps(found)
    assert not (tmp_path / "exploded").exists()
    assert read(tmp_path).last_step == 30


def test_what_is_kept_of_settings_is_bounded() -> None:
    many = kept({f"key {i}": i for i in range(10_000)})
    assert len(many) == MOST_ENTRIES
    found = kept({"long": "x" * 9999, "list": list(range(99)), "deep": {"a": {"b": 1}}, 3: 4})
    assert {key: len(value) for key, value in found.items()} == {"long": 500, "list": 20, "deep": 0}
