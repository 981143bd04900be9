"""Settings of several runs: which differ, which nobody can compare, and which say nothing."""

from __future__ import annotations

from dataclasses import replace

from diagnostics.configurations import all_settings, configuration_differences
from diagnostics.examples import example

IDEAL, FALL = example("ideal"), example("both_fall", method_name="orpo")


def test_only_settings_that_differ_are_listed() -> None:
    first = replace(IDEAL, config={"beta": 0.1, "seed": 1, "output_dir": "a", "only": 3})
    second = replace(FALL, config={"beta": 0.1, "seed": 2, "output_dir": "b"})
    assert configuration_differences([first, second]) == {
        "method": ("dpo", "orpo"),
        "seed": (1, 2),
    }


def test_nested_settings_are_compared_one_by_one() -> None:
    first = replace(IDEAL, config={"lora": {"r": 8, "alpha": 16, "output_dir": "a"}})
    second = replace(IDEAL, config={"lora": {"r": 32, "alpha": 16, "output_dir": "b"}})
    assert configuration_differences([first, second]) == {"lora.r": (8, 32)}


def test_one_number_written_in_two_ways_is_no_difference() -> None:
    first = replace(IDEAL, config={"epochs": 1, "bf16": True})
    second = replace(IDEAL, config={"epochs": 1.0, "bf16": 1})
    assert configuration_differences([first, second]) == {"bf16": (True, 1)}


def test_all_settings_hold_the_noise_and_what_one_log_alone_states() -> None:
    first = replace(IDEAL, config={"output_dir": "a", "only": 3})
    second = replace(IDEAL, config={"output_dir": "a"})
    assert all_settings([first, second]) == {
        "method": ("dpo", "dpo"),
        "output_dir": ("a", "a"),
        "only": (3, None),
    }
