"""Runs in one row of a table: of one method, or of one setting whatever the seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from diagnostics.examples import example
from diagnostics.groups import by_method, by_setting, without_seed
from diagnostics.run import Run

RUN = example("ideal", pairs=8, evaluations=2)


def run(name: str, method: str | None = "dpo", **config: Any) -> Run:
    return replace(RUN, name=name, method=method, config=config, header={})


def members(groups: list[Any]) -> list[tuple[str, tuple[int, ...]]]:
    return [(group.name, group.members) for group in groups]


def test_runs_that_differ_in_seed_and_place_share_a_setting() -> None:
    runs = [
        run("dpo-s0", beta=0.1, seed=0, output_dir="a", data="x/seed0/pairs.jsonl"),
        run("orpo", "orpo", beta=0.1, seed=0),
        run("dpo-s1", beta=0.1, seed=1, output_dir="b", data="x/seed1/pairs.jsonl"),
        run("dpo-s0", beta=0.2, seed=0),
    ]
    groups = by_setting(runs)
    assert members(groups) == [("dpo-s0", (0, 2)), ("orpo", (1,)), ("dpo-s0", (3,))]
    assert groups[0].seeds == ("0", "1")


def test_a_folder_of_weights_named_by_its_digest_is_no_other_setting() -> None:
    runs = [run(f"r seed {n}", model=f"m/tiny-{n}a8ab0a7affcf0c7", seed=n) for n in range(3)]
    assert members(by_setting(runs)) == [("r", (0, 1, 2))]


def test_without_a_configuration_the_names_have_to_say_it() -> None:
    runs = [run("dpo-seed1"), run("dpo-seed2"), run("dpo-long-seed1"), run("dpo-seed1", "kto")]
    assert [group.members for group in by_setting(runs)] == [(0, 1), (2,), (3,)]
    assert by_setting(runs)[0].seeds == ("1", "2")


def test_runs_of_a_method_share_a_row_under_its_title() -> None:
    runs = [run("a"), run("b", None), run("c"), run("d", "house_blend")]
    assert members(by_method(runs)) == [
        ("DPO", (0, 2)),
        ("not known", (1,)),
        ("house_blend", (3,)),
    ]


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("sft-seed-12-long", "sft-long"),
        ("run_s3", "run"),
        ("results", "results"),
        ("loss3", "loss3"),
        ("seed4", "seed4"),
    ],
)
def test_only_a_seed_is_taken_out_of_a_name(name: str, left: str) -> None:
    assert without_seed(name) == left


def test_no_runs_make_no_groups() -> None:
    assert by_method([]) == by_setting([]) == []
