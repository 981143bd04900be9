"""Console text in all the forms that trainers print and terminals mangle."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnostics.errors import MalformedLog
from diagnostics.readers import Hints, console, read, read_all, read_text
from diagnostics.readers.console import recognises
from diagnostics.readers.printed import BLOCK, printed_in
from diagnostics.run import Run


def row(step: int, of: int = 100, *, quoted: bool = False, **more: Any) -> str:
    values: dict[str, Any] = {
        "loss": 0.7 - 0.002 * step,
        "rewards/chosen": -0.01 * step,
        "rewards/rejected": -0.02 * step,
        "rewards/margins": 0.01 * step,
        "rewards/accuracies": 0.6,
        "epoch": round(step / of, 4),
        **more,
    }
    if quoted:
        values = {key: f"{value:.4g}" for key, value in values.items()}
    return str(values)


def one(text: str | bytes, **hints: Any) -> Run:
    (run,) = read_text(text, Hints(**hints))
    return run


STEPS = [10, 20, 30, 40]
ENDED = "{'train_runtime': 100.0, 'train_steps_per_second': 0.4, 'train_loss': 0.6, 'epoch': 0.4}"


def lines(*, quoted: bool = False) -> list[str]:
    return [row(step, quoted=quoted) for step in STEPS]


@pytest.mark.parametrize("quoted", [False, True])
def test_dict_lines_become_rows_whose_steps_follow_from_the_end(quoted: bool) -> None:
    run = one("Training\n" + "\n".join([*lines(quoted=quoted), ENDED]))
    assert list(run.train.index) == STEPS
    np.testing.assert_allclose(run.train["rewards/chosen"], [-0.1, -0.2, -0.3, -0.4])
    assert any("no steps" in caveat for caveat in run.caveats)


def test_bars_in_front_of_rows_give_their_steps() -> None:
    bar = "\r 31%|███ | {step}/160 [21:49<53:16, 29.06s/it]"
    text = "".join(bar.format(step=step + 7) + row(step) for step in STEPS)
    assert list(one(text).train.index) == [17, 27, 37, 47]


def test_bars_that_stand_still_give_no_steps() -> None:
    """With standard output buffered all rows come after one bar."""
    text = "\r 31%| | 50/160 [21:49<53:16, 29s/it]" + "\n".join(lines())
    assert list(one(text).train.index) == [1, 2, 3, 4]


def test_ansi_codes_and_carriage_returns_are_passed_over() -> None:
    noise = "\r\x1b[A\x1b[32m  5%|▌ | 3/68 [00:03<01:25]\x1b[0m\x1b[A\r        \r"
    assert len(one(noise.join(["", *lines(), ""])).train) == 4
    coloured = "\n".join(lines()).replace(": 0.6,", ": \x1b[1m0.6\x1b[0m,")
    assert one(coloured).train["rewards/accuracies"].tolist() == [0.6] * 4


def test_hard_wrapped_rows_are_put_together() -> None:
    text = "\n".join(lines())
    wrapped = "\n".join(text[i : i + 60] for i in range(0, len(text), 60))
    plain, found = one(text), one(wrapped)
    assert found.train.equals(plain.train)


def test_bare_and_quoted_nan_are_missing_numbers() -> None:
    text = row(10).replace("-0.1,", "nan,") + "\n" + row(20, loss=float("inf"))
    run = one(text + "\n" + row(30, quoted=True, loss=float("nan")))
    assert run.train["rewards/chosen"].isna().tolist() == [True, False, False]
    np.testing.assert_equal(run.train["loss"].tolist()[1:], [np.inf, np.nan])


def test_a_text_cut_in_the_middle_keeps_its_whole_rows() -> None:
    text = "\n".join(lines())
    assert len(one(text[:-30]).train) == 3
    assert len(one(text[40:]).train) == 3
    torn = "\n".join([*lines()[:1], lines()[1][:50], *lines()[2:]])
    assert one(torn).train["rewards/chosen"].tolist() == [-0.1, -0.3, -0.4]


def test_a_row_that_is_printed_twice_counts_once() -> None:
    text = "\n".join(line for line in lines() for _ in range(2))
    assert len(one(text).train) == 4


def test_rows_between_a_final_row_and_a_new_start_are_runs_of_their_own() -> None:
    text = "\n".join([*lines(), ENDED, *lines()[:2], ENDED])
    runs = read_text(text)
    assert [list(run.train.index) for run in runs] == [[10, 20, 30, 40], [20, 40]]
    assert [run.source.part for run in runs] == ["run 1", "run 2"]
    assert len({run.name for run in runs}) == 2


def test_a_restart_from_nothing_is_another_run_and_a_resume_is_not() -> None:
    again = "\n".join([*lines(), "Traceback: killed", *lines()])
    assert len(read_text(again)) == 2
    resumed = "\n".join([*lines(), "Resuming from checkpoint-20", *lines()[2:], row(50)])
    assert len(read_text(resumed)) == 1


def test_an_evaluation_after_the_end_belongs_to_the_run() -> None:
    after = "{'eval_loss': 0.6, 'eval_rewards/chosen': -0.4, 'epoch': 0.4}"
    run = one("\n".join([*lines(), ENDED, after]))
    assert list(run.evals.index) == [40]


def test_evaluations_are_placed_by_their_epoch() -> None:
    rows = lines()
    rows.insert(2, "{'eval_loss': 0.65, 'eval_rewards/chosen': -0.25, 'epoch': 0.25}")
    assert list(one("\n".join([*rows, ENDED])).evals.index) == [25]


def test_far_too_many_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "MOST_RUNS", 3)
    runs = read_text("".join(f"{row(10, loss=i)}\n{ENDED}\n" for i in range(8)))
    assert len(runs) == 3
    assert any("5 further runs" in caveat for caveat in runs[-1].caveats)


# -- Other trainers' forms ----------------------------------------------------------------------


def test_ms_swift_states_its_steps() -> None:
    text = "\n".join(
        f"{{'loss': 0.5, 'rewards/chosen': -0.{n}, 'rewards/rejected': -0.{n}5, 'memory(GiB)': 7.1,"
        f" 'train_speed(iter/s)': 0.01, 'global_step/max_steps': '{n}0/94', 'percentage': '3.4%'}}"
        for n in (1, 2, 3)
    )
    run = one(text)
    assert (run.source.framework, list(run.train.index)) == ("ms-swift", [10, 20, 30])
    assert not any("no steps" in caveat for caveat in run.caveats)


def test_em_rows_are_put_on_optimizer_steps() -> None:
    train = "".join(
        f"train stats after {32 * n} examples: {{'rewards_train/chosen': '-0.0{n}',"
        f" 'rewards_train/rejected': '-0.1{n}', 'logps_train/chosen': '-120.5', 'loss/train':"
        f" '0.69', 'counters/examples': {32 * n}, 'counters/updates': {n}}}\n"
        for n in (1, 2, 3)
    )
    text = "eval after 0: {'rewards_eval/chosen': '0', 'loss/eval': '0.693'}\n" + train
    run = one(text)
    assert run.source.framework == "eric-mitchell/direct-preference-optimization"
    assert list(run.train.index) == [1, 2, 3]
    assert list(run.evals.index) == [0]
    assert run.train["rewards/chosen"].tolist() == [-0.01, -0.02, -0.03]


def test_halos_rows_are_numbered_by_updates() -> None:
    text = "".join(
        f"train stats after {n} steps: {{'rewards_train/chosen': '0.{n}', 'rewards_train/rejected':"
        f" '-0.{n}', 'rewards_train/KL_estimate': '0.2', 'loss/train': '0.5'}}\n"
        for n in (4, 8)
    )
    run = one(text)
    assert (run.source.framework, run.method) == ("HALOs", "kto")
    assert list(run.train.index) == [4, 8]
    assert run.train["rewards/margins"].tolist() == [0.8, 1.6]
    assert run.train["kl"].tolist() == [0.2, 0.2]


def test_openrlhf_bars_are_rows_of_micro_batches() -> None:
    bar = (
        "\rTrain step of epoch [{epoch}]:  50%|##  | {n}/4 [00:10<00:10, 1.1it/s, loss=0.69,"
        " acc=0.5, chosen_reward=0.0{n}, reject_reward=-0.0{n}, lr=1e-6, loss_mean=0.69]"
    )
    eval_bar = "\rEval stage of steps 4: 100%|##| 8/8 [00:02<00:00, eval_loss=0.6, acc_mean=0.7]"
    text = "".join(bar.format(epoch=0, n=n) * 2 for n in (1, 2, 3, 4)) + eval_bar
    text += "".join(bar.format(epoch=1, n=n) for n in (1, 2))
    run = one(text)
    assert (run.source.framework, list(run.train.index)) == ("OpenRLHF", [1, 2, 3, 4, 5, 6])
    assert list(run.evals.index) == [4]
    assert run.evals.loc[4, "rewards/accuracies"] == 0.7
    assert run.train.loc[2, "rewards/margins"] == pytest.approx(0.04)
    assert any("micro-batches" in caveat for caveat in run.caveats)
    assert any("no margin" in caveat for caveat in run.caveats)


def test_torchtune_lines_name_their_log_probs_otherwise() -> None:
    text = "".join(
        f"Step {n} | loss:0.69 lr:2e-05 rewards/chosen:0.{n} rewards/rejected:-0.{n}"
        f" log_probs/chosen:-60.{n} log_probs/rejected:-70.{n} \n"
        for n in (1, 2)
    )
    run = one("Setting up the model\n" + text)
    assert (run.source.framework, list(run.train.index)) == ("torchtune", [1, 2])
    assert run.train["logps/chosen"].tolist() == [-60.1, -60.2]


def test_mlx_lines_are_train_and_eval_rows() -> None:
    text = (
        "Iter 10: Train loss 0.061, Chosen reward -0.206, Rejected reward -0.227, Accuracy 0.600,"
        " Margin 0.021, Learning Rate 1.000e-05, It/sec 0.5, Peak mem 12.3 GB\n"
        "Iter 10: Val loss 0.052, Val chosen reward -0.3, Val rejected reward -0.4\n"
    )
    run = one(text)
    assert run.source.framework == "MLX"
    assert run.train.loc[10, "rewards/margins"] == 0.021
    assert run.evals.loc[10, "rewards/rejected"] == -0.4
    assert run.meaning is None  # what MLX multiplies is not known


def test_colon_separated_pairs_are_rows() -> None:
    text = "epoch: 0.1, loss: 0.69, rewards/chosen: 0.01, rewards/rejected: -0.01\n"
    run = one("INFO " + text + "INFO " + text.replace("0.69", "0.68"))
    assert run.train["loss"].tolist() == [0.69, 0.68]


def test_settings_that_the_text_echoes_are_used(tmp_path: Path) -> None:
    text = "swift rlhf --rlhf_type dpo --beta 0.2\n" + "\n".join(lines())
    assert (one(text).config["beta"], one(text).meaning.factor) == (0.2, 0.2)  # type: ignore[union-attr]
    (tmp_path / "train.log").write_text("\n".join(lines()))
    (tmp_path / "config.yaml").write_text("beta: 0.5\nloss_type: sigmoid\n")
    run = read(tmp_path / "train.log")
    assert run.meaning is not None
    assert run.meaning.factor == 0.5


# -- What is no console log, and what is too much of one ----------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "just some words\n" * 100,
        '{"loss": 0.5, "rewards/chosen": 1.0, "step": 1}\n',
        "step,loss,rewards/chosen\n1,0.5,0.1\n",
        "{'a python': 'dict'}\n",
        "\0\0{'loss': 0.5}",
        "",
    ],
)
def test_other_texts_are_not_recognised_and_a_paste_of_them_is_refused(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "thing.log").write_text(text)
    assert not recognises(tmp_path / "thing.log")
    if not text.startswith("\0"):
        with pytest.raises(MalformedLog, match=r"expected lines such as .*; paste"):
            read_text(text)


def test_the_first_row_may_come_after_a_long_start(tmp_path: Path) -> None:
    (tmp_path / "slurm.out").write_text("Loading\n" * 100_000 + "\n".join(lines()))
    assert len(read_all(tmp_path / "slurm.out")[0].train) == 4


def test_rows_across_blocks_are_found_with_their_bars() -> None:
    bar = "\r 31%| | {step}/1600 [21:49<53:16, 29.06s/it]"
    padding = "x" * 150 + "\n"
    text = "".join(
        padding * 1000 + bar.format(step=step) + row(step, of=1600) for step in range(10, 1001, 10)
    )
    assert len(text) > 3 * BLOCK
    assert list(one(text).train.index) == list(range(10, 1001, 10))


@pytest.mark.parametrize("filling", [b"x", b"{'", b"{", b"'", b"\r", b"1/2 [", b"{'loss': "])
def test_a_line_without_end_takes_bounded_memory_and_time(filling: bytes) -> None:
    class Endless(io.RawIOBase):
        left = 4

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            return b"" if self.left < 0 else (filling * (size // len(filling) + 1))[:size]

    began = time.process_time()
    assert list(printed_in(Endless())) == []  # type: ignore[arg-type]
    assert time.process_time() - began < 5


HOSTILE = {
    "letters after a bar's mark": b"chosen_reward=" + b"a" * 2_000_000,
    "bars": b"chosen_reward=" + b"1/2 [" * 400_000,
    "bars that never close": b"chosen_reward=" + b"1/2 [0, a=" * 200_000,
    "digits": b"chosen_reward=" + b"1" * 2_000_000,
    "torchtune": b" | loss:" + (b"Step 1 | " + b"a" * 4000 + b"\n") * 500,
    "mlx": (b"Iter 1: Train loss hosen reward " + b"a " * 900 + b"\n") * 400,
    "pairs": b"rewards/chosen: " * 125_000,
    "one pair in letters": b"a" * 1_000_000 + b"rewards/chosen: " + b"a" * 1_000_000,
    "quotes in braces": (b"{'loss': " + b"'" * 15_000 + b"}") * 130,
    "nan in braces": b"{'loss': nan, 'rewards/chosen': nan}\n" * 50_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_makes_a_pattern_start_over_and_over(text: bytes) -> None:
    began = time.process_time()
    rows = list(printed_in(io.BytesIO(text)))
    assert time.process_time() - began < 5
    assert len(rows) <= 125_000
