"""Bad input gives one sentence and exit status 2, before anything is trained."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from diagnostics.runlog import read_log
from trainer import cli
from trainer.__main__ import main


def flags(model: Path, pairs: Path, output: Path, /, **given: object) -> list[str]:
    settings = {
        "method": "dpo",
        "model": model,
        "data": pairs,
        "output_dir": output,
        "max_steps": 2,
        "eval_steps": 0,
        "save_steps": 0,
        "probe_pairs": 4,
        "probe_sample_tokens": 4,
        "use_cpu": True,
        **given,
    }
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


PAIR = {"prompt": "the cat", "chosen": " sings", "rejected": " jumps"}
TALK = [{"role": "user", "content": "hi"}]
ANSWER = {"role": "assistant", "content": "yes"}

BAD = {
    "unknown method": ({"method": "dqo"}, [PAIR], "dpo"),
    "unknown setting": ({"bta": 1}, [PAIR], "did you mean --beta"),
    "negative beta": ({"beta": -0.5}, [PAIR], "--beta is -0.5"),
    "word for a number": ({"learning_rate": "fast"}, [PAIR], "learning_rate"),
    "unknown schedule": ({"lr_scheduler_type": "cosin"}, [PAIR], "cosine"),
    "two target margins": (
        {"method": "simpo", "simpo_gamma": 1.0, "gamma_beta_ratio": 0.5},
        [PAIR],
        "same target margin",
    ),
    "a setting of another method": ({"simpo_gamma": 1.0}, [PAIR], "means nothing to dpo"),
    "negative clipping": ({"max_grad_norm": -1}, [PAIR], "--max_grad_norm is -1"),
    "one example a step for KTO": (
        {"method": "kto", "per_device_train_batch_size": 1},
        [{**PAIR, "prompt": f"{n}"} for n in range(9)],
        "at least two examples per step",
    ),
    "evaluation on the training data": (
        {"eval_data": "DATA"},
        [PAIR] * 3,
        "--eval_data is --data itself",
    ),
    "missing column": ({}, [{"prompt": "a", "chosen": "b"}], "rejected"),
    "empty data": ({}, [], "empty|no rows|holds no"),
    "equal sides": ({}, [{**PAIR, "rejected": " sings"}] * 3, "identical|equal|same"),
    "prompt longer than the limit": ({"max_length": 2}, [PAIR] * 3, "max_length"),
    "labels for a paired method": (
        {},
        [{"prompt": "a", "completion": f" {n}", "label": True} for n in range(3)],
        "--method kto",
    ),
    "one row to split": ({}, [PAIR], "held_out"),
    "no such model": ({"model": "no/such-model"}, [PAIR] * 3, "model"),
    "no such data": ({"data": "no/such-data.json"}, [PAIR], "no/such-data"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_status_2(case, tiny_model, tmp_path, capsys):
    given, rows, expected = BAD[case]
    data = write(tmp_path / "data.jsonl", *rows)
    given = {name: data if value == "DATA" else value for name, value in given.items()}
    output = tmp_path / "run"
    status = main(flags(tiny_model, data, output, **given))
    message = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert status == 2
    assert message.startswith("seesaw: ")
    assert re.search(expected, message), message
    assert not (output / "run.jsonl").exists()


def test_conversations_need_a_chat_template(tiny_model, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "chat_template.jinja").unlink()
    other = {"role": "assistant", "content": "no"}
    rows = [{"prompt": TALK, "chosen": [ANSWER], "rejected": [other]}] * 3
    data = write(tmp_path / "data.jsonl", *rows)
    assert main(flags(model, data, tmp_path / "run")) == 2
    assert "chat template" in capsys.readouterr().err


def test_a_yaml_file_with_flags_behind_it_trains(tiny_model, pairs_file, tmp_path, capfd):
    settings = tmp_path / "run.yaml"
    text = "\n".join(
        f"{name}: {value}"
        for name, value in {
            "method": "ipo",
            "model": tiny_model,
            "data": pairs_file,
            "output_dir": tmp_path / "run",
            "max_steps": 9,
            "probe_sample_tokens": 4,
            "use_cpu": True,
        }.items()
    )
    settings.write_text(text, encoding="utf-8")
    assert main([str(settings), "--max_steps", "2", "--beta", "0.5"]) == 0
    log = read_log(tmp_path / "run")
    assert [row["step"] for row in log.train] == [1, 2]
    assert log.header["beta"] == 0.5
    assert log.end["status"] == "completed"
    printed = capfd.readouterr().out
    assert "run" in printed
    assert "cannot tell" in printed  # two steps are too few for a verdict


def test_a_run_that_becomes_nan_stops_and_says_what_to_do(tiny_model, pairs_file, tmp_path, capsys):
    run = tmp_path / "run"
    given = {"learning_rate": 1e30, "max_steps": 20, "max_grad_norm": 0}
    assert main(flags(tiny_model, pairs_file, run, **given)) == 2
    assert "lower --learning_rate" in capsys.readouterr().err
    log = read_log(run)
    assert log.end["status"] == "failed"
    assert log.train, "what was logged before stays"


def test_weights_that_became_nan_are_not_saved(tiny_model, pairs_file, tmp_path, capsys):
    run = tmp_path / "run"
    given = {"learning_rate": 1e30, "max_steps": 20, "max_grad_norm": 0}
    given |= {"save_steps": 4, "logging_steps": 20, "eval_steps": 0}
    assert main(flags(tiny_model, pairs_file, run, **given)) == 2
    assert "step 4: the loss is nan" in capsys.readouterr().err
    assert not list(run.glob("checkpoint-*"))


def test_an_interrupt_is_recorded(tiny_model, pairs_file, tmp_path, monkeypatch, capsys):
    from trainer import train

    def interrupt(run, step):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "optimize", interrupt)
    assert main(flags(tiny_model, pairs_file, tmp_path / "run")) == 130
    assert read_log(tmp_path / "run").end["status"] == "stopped"


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.run(["--help"])
    assert stop.value.code == 0
    assert "--gamma_beta_ratio" in capsys.readouterr().out
