"""A step's gradient and its logged numbers do not depend on micro-batches."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from diagnostics.runlog import read_log, read_pairs
from trainer.losses import LOSSES
from trainer.train import train

# What a clock or the machine decides.
NOT_COMPARED = {"time", "tokens_per_second", "examples_per_second", "memory"}


def rows(config, kind: str = "train") -> list[dict[str, float]]:
    log = read_log(config.output_dir)
    return [
        {k: v for k, v in row.items() if k not in NOT_COMPARED and not isinstance(v, str)}
        for row in getattr(log, kind)
    ]


def assert_same_rows(first, second, relative: float) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            close = math.isclose(value, other[name], rel_tol=relative, abs_tol=relative)
            assert close, f"step {one['step']}: {name} is {value} and {other[name]}"


@pytest.mark.parametrize("method", [loss.name for loss in LOSSES])
def test_eight_examples_at_once_equal_one_example_eight_times(method, settings, tmp_path):
    extra = {"sft_weight": 0.5, "sft_scope": "prompt_and_completion"} if method == "orpo" else {}
    if method in ("exo_pair", "robust"):
        extra["label_smoothing"] = 0.1
    runs = [
        settings(
            method=method,
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
            output_dir=str(tmp_path / str(accumulation)),
            max_steps=3,
            beta=0.1,  # sigmoid_norm's default of 5 would enlarge the rounding of log-probs
            learning_rate=1e-4,  # Adam turns the sign of a vanishing gradient into a full step
            **extra,
        )
        for accumulation in (1, 8)
    ]
    for run in runs:
        train(run)
    assert_same_rows(rows(runs[0]), rows(runs[1]), 1e-5)


def test_a_window_is_the_mean_of_its_steps(settings, tmp_path):
    every, third = (
        settings(logging_steps=n, max_steps=6, output_dir=str(tmp_path / str(n))) for n in (1, 3)
    )
    train(every)
    train(third)
    single, window = rows(every), rows(third)
    assert [row["step"] for row in window] == [3, 6]
    for name in ("loss", "rewards/margins", "logps/chosen", "entropy/rejected", "grad_norm"):
        if name == "entropy/rejected":
            weights = [row["completion_tokens/rejected"] for row in single[:3]]
        else:
            weights = [1.0] * 3
        mean = sum(w * row[name] for w, row in zip(weights, single[:3], strict=True)) / sum(weights)
        assert window[0][name] == pytest.approx(mean, rel=1e-6)


def test_the_first_record_is_the_methods_start_value_and_each_pair_is_recorded(settings):
    config = settings(method="dpo", max_steps=2)
    train(config)
    first = rows(config)[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert first["saturated"] == 0
    assert first["logps/chosen"] == pytest.approx(first["ref_logps/chosen"])
    table = read_pairs(config.output_dir, "train")
    assert table["step"].to_pylist() == [1] * 8 + [2] * 8
    mean = sum(table["logps/chosen"].to_pylist()[:8]) / 8
    assert mean == pytest.approx(first["logps/chosen"], rel=1e-5)


def test_kto_reads_paired_and_unpaired_data(settings, labels_file, tmp_path):
    paired = settings(method="kto", output_dir=str(tmp_path / "paired"))
    single = settings(method="kto", data=str(labels_file), output_dir=str(tmp_path / "single"))
    for config in (paired, single):
        train(config)
        first = rows(config)[0]
        assert first["loss"] == pytest.approx(0.5, abs=1e-6)
        assert first["kl"] >= 0
        assert "rewards/accuracies" not in first
    last = rows(single)[-1]
    assert last["rewards/margins"] == pytest.approx(
        last["rewards/chosen"] - last["rewards/rejected"]
    )


def test_lora_trains_the_adapter_and_measures_against_the_model_without_it(settings):
    config = settings(lora_r=4, learning_rate=1e-2, save_model=True)
    train(config)
    log = rows(config)
    assert log[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert log[-1]["rewards/margins"] > log[0]["rewards/margins"] + 1e-3
    assert (Path(config.output_dir) / "model" / "adapter_config.json").is_file()


def test_gradient_checkpointing_changes_nothing(settings, tmp_path):
    plain = settings(output_dir=str(tmp_path / "plain"))
    saving = settings(output_dir=str(tmp_path / "saving"), gradient_checkpointing=True)
    train(plain)
    train(saving)
    assert_same_rows(rows(plain), rows(saving), 1e-5)


def test_a_run_is_evaluated_ten_times_unless_told_otherwise(settings):
    config = settings(max_steps=20, eval_steps=-1)
    train(config)
    steps = [row["step"] for row in rows(config, "evals")]
    assert steps == list(range(0, 21, 2))


def test_a_learning_rate_of_zero_leaves_the_probe_where_it_was(settings):
    config = settings(learning_rate=0.0, max_steps=3)
    train(config)
    table = read_pairs(config.output_dir, "probe").to_pandas()
    first, last = (table[table.step == step].reset_index(drop=True) for step in (0, 3))
    assert len(first) == 8  # four pairs of the training data, four held out
    assert (first["logps/chosen"] == last["logps/chosen"]).all()
