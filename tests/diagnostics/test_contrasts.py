"""Two runs at one step, margin or drift: differences, what is noise, refusals, seeds."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import isfinite

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from diagnostics.contrasts import MATCHES, contrasts, margin_per_drift
from diagnostics.examples import DRIFT, example
from diagnostics.meaning import Base, Meaning, Scope
from diagnostics.regimes import Regime
from diagnostics.run import Run, Source
from diagnostics.schema import NATS, NATS_PER_TOKEN
from diagnostics.series import FLOORS, changes
from diagnostics.tracks import tracks_of
from diagnostics.trends import pair_trends
from tests.diagnostics.probe_runs import any_run, table

IDEAL, FALL = example(Regime.IDEAL), example(Regime.BOTH_FALL, method_name="orpo")


def probe_run(name: str, deltas: np.ndarray, **how: object) -> Run:
    """Return a run whose probe pairs change by `deltas` (T, 2, P) from a common start."""
    start = np.random.default_rng(0).normal(-50, 5, deltas.shape[1:])
    source = Source(path=name, reader="native", framework="synthetic")
    return Run(name=name, method="dpo", probes=table(start + deltas, **how), source=source)


def test_the_same_step_compares_the_last_step_that_both_have() -> None:
    longer = example(Regime.BOTH_FALL, evaluations=30)
    (found,) = contrasts([IDEAL, longer])
    assert (found.at, found.steps, found.paired) == (200.0, (200.0, 200.0), True)
    chosen = next(one for one in found.differences if one.quantity == "chosen")
    halfway = longer.probes[longer.probes["step"] == 200].set_index(["split", "pair"]).loc["train"]
    start = longer.probes[longer.probes["step"] == 0].set_index(["split", "pair"]).loc["train"]
    moved = (halfway["logps/chosen"] - start["logps/chosen"]) / start["completion_tokens/chosen"]
    assert chosen.interval.value == pytest.approx(moved.mean() - 0.25, abs=1e-9)
    assert chosen.beyond_noise


def test_the_same_margin_is_found_along_the_path_of_each_run() -> None:
    (found,) = contrasts([IDEAL, FALL], "margin")
    assert found.at == pytest.approx(0.5)
    early, late = found.steps
    assert early < late == 200
    sides = {one.quantity: one.interval.value for one in found.differences}
    assert "margin" not in sides
    # At the same margin chosen and rejected differ by the same amount.
    assert sides["chosen"] == pytest.approx(sides["rejected"], abs=1e-9)
    assert sides["chosen"] == pytest.approx(-0.30 - 0.25 * 0.5 / 0.6, abs=0.01)


def test_the_same_drift_leaves_the_drift_out_and_names_the_unit() -> None:
    (found,) = contrasts([IDEAL, FALL], "drift")
    assert found.at == pytest.approx(DRIFT)
    assert [one.quantity for one in found.differences] == ["chosen", "rejected", "margin"]
    assert "at a drift of 0.050 nats per token" in found.sentences[0]
    assert found.sentences[0].endswith("beyond noise")


def test_what_all_pairs_do_alike_cancels_pair_by_pair() -> None:
    rng = np.random.default_rng(1)
    luck = rng.normal(0, 1, (1, 2, 40))  # how far each pair moves in any run
    ramp = np.linspace(0, 1, 5)[:, None, None]
    first = probe_run("first", ramp * luck)
    second = probe_run("second", ramp * (luck + 0.05 + rng.normal(0, 0.01, luck.shape)))
    (found,) = contrasts([first, second])
    chosen = found.differences[0]
    assert chosen.interval.value == pytest.approx(0.05, abs=0.01)
    assert chosen.interval.high - chosen.interval.low < 0.02  # 0.6 if pairs were not matched
    assert chosen.beyond_noise


@pytest.mark.parametrize("matched", ["step", "margin"])
def test_runs_that_differ_by_chance_alone_are_within_noise(matched: str) -> None:
    covered, beyond, runs = 0, 0, 150
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        ramp = np.linspace(0, 1, 5)[:, None, None]
        mean = np.array([0.3, -0.5])[None, :, None]
        pair = [probe_run(name, ramp * (mean + rng.normal(0, 0.3, (1, 2, 40)))) for name in "ab"]
        (found,) = contrasts(pair, matched)
        chosen = found.differences[0]
        covered += chosen.interval.low <= 0 <= chosen.interval.high
        beyond += any(one.beyond_noise for one in found.differences)
    assert 0.89 < covered / runs < 0.99
    assert beyond / runs < 0.11


def test_pairs_of_one_prompt_are_one_observation() -> None:
    rng = np.random.default_rng(2)
    ramp = np.linspace(0, 1, 5)[:, None, None]
    moved = np.repeat(rng.normal(0.3, 0.3, (1, 2, 10)), 8, axis=2)
    prompts = [f"prompt {pair // 8}" for pair in range(80)]
    alone = [
        probe_run(name, ramp * moved * sign, prompts=range(80))
        for name, sign in (("a", 0), ("b", 1))
    ]
    alike = [
        probe_run(name, ramp * moved * sign, prompts=prompts) for name, sign in (("a", 0), ("b", 1))
    ]
    widths = []
    for runs in (alone, alike):
        (found,) = contrasts(runs)
        interval = found.differences[0].interval
        widths.append(interval.high - interval.low)
    assert widths[1] > 2.5 * widths[0]


def test_a_margin_for_a_drift_is_a_ratio_with_its_interval() -> None:
    ratio = margin_per_drift(*tracks_of([IDEAL]))
    assert ratio is not None
    assert ratio.value == pytest.approx(0.6 / DRIFT)
    assert ratio.low < ratio.value < ratio.high
    assert margin_per_drift(*tracks_of([replace(IDEAL, samples=IDEAL.samples.iloc[:0])])) is None


# What cannot be compared.


def refused(first: Run, second: Run, matched: str = "step") -> str:
    (found,) = contrasts([first, second], matched)
    assert found.differences == ()
    assert found.reason is not None
    assert found.reason in found.sentences[0]
    return found.reason


def test_other_pairs_lengths_and_starts_are_refused_one_pair_of_runs_at_a_time() -> None:
    few = example(Regime.IDEAL, pairs=32, name="few")
    assert "other probe pairs" in refused(IDEAL, few)
    longer = IDEAL.probes.assign(
        **{"completion_tokens/chosen": IDEAL.probes["completion_tokens/chosen"] + 1}
    )
    assert "other lengths" in refused(IDEAL, replace(IDEAL, probes=longer))
    moved = IDEAL.probes.assign(**{"logps/chosen": IDEAL.probes["logps/chosen"] - 30})
    assert "other policies" in refused(IDEAL, replace(IDEAL, probes=moved))
    table = contrasts([IDEAL, few, FALL])
    assert [one.reason is None for one in table] == [False, True, False]


def test_a_drift_without_samples_is_refused_and_a_margin_offered() -> None:
    blind = replace(FALL, samples=FALL.samples.iloc[:0])
    assert "no reference samples" in refused(IDEAL, blind, "drift")
    assert contrasts([IDEAL, blind], "drift")[0].instead == "a matched margin"


def test_a_run_that_gains_no_margin_has_no_matched_margin() -> None:
    assert "gains no margin" in refused(IDEAL, example(Regime.REVERSED), "margin")


# Logs alone.


def log_run(name: str, values: dict[str, np.ndarray], meaning: Meaning | None) -> Run:
    train = pd.DataFrame(values, index=pd.Index(np.arange(1, 101), name="step"))
    source = Source(path=name, reader="trainer_state", framework="TRL")
    return Run(name=name, method="dpo", train=train, source=source, meaning=meaning)


def noisy(seed: int, size: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.linspace(0, size, 100) + 0.02 * abs(size) * rng.standard_normal(100)


def test_two_logs_in_one_unit_are_compared_and_in_unknown_scales_refused() -> None:
    known = Meaning(Base.LOGRATIO_SUM, 0.1, Scope.WINDOW)
    unknown = Meaning(Base.LOGRATIO_SUM, None, Scope.WINDOW, "beta is not in the log")
    sides = [
        {"rewards/chosen": noisy(seed, size), "rewards/rejected": noisy(seed + 9, -size)}
        for seed, size in ((0, 1.0), (1, 0.5))
    ]
    first, second = (log_run(f"run {i}", one, known) for i, one in enumerate(sides))
    (found,) = contrasts([first, second])
    assert [one.unit for one in found.differences] == [NATS] * 3
    assert found.differences[0].interval.value == pytest.approx(-5, abs=0.3)
    assert found.differences[0].beyond_noise
    assert not found.paired
    scaleless = replace(second, meaning=unknown)
    assert "in nats per completion and in reward units" in refused(first, scaleless)
    assert contrasts([first, scaleless])[0].instead is not None
    twice = refused(replace(first, meaning=unknown), scaleless)
    assert twice == "their rewards have a scale that the logs do not tell"
    assert "needs the same probe pairs" in refused(first, second, "margin")


TOKENS = {"chosen": 40.0, "rejected": 25.0}
DELTA = {"chosen": 0.3, "rejected": -0.2}  # nats per token

# What each method in each framework logs as the reward of a change Delta [nats per completion].
MEANINGS = {
    "TRL DPO": Meaning(Base.LOGRATIO_SUM, 0.1),
    "TRL IPO": Meaning(Base.LOGRATIO_MEAN, 0.05),
    "TRL KTO": Meaning(Base.LOGRATIO_SUM, 0.2),
    "LLaMA-Factory ORPO": Meaning(Base.LOGPS_MEAN, 0.1),
    "TRL SimPO": Meaning(Base.LOGPS_MEAN, 2.0),
    "TRL CPO": Meaning(Base.LOGPS_SUM, 0.1),
    "LLaMA-Factory DPO, beta 0.5": Meaning(Base.LOGRATIO_SUM, 0.5),
}


@pytest.mark.parametrize(("one", "other"), list(combinations(MEANINGS, 2)))
def test_logs_of_one_true_change_land_on_one_point_of_the_plane(one: str, other: str) -> None:
    runs = [log_run(name, rewards(MEANINGS[name]), MEANINGS[name]) for name in (one, other)]
    for run in runs:
        found = changes(run)
        assert found is not None
        assert found.unit == NATS_PER_TOKEN
        seen = pair_trends(found.steps, found.chosen, found.rejected, floor=FLOORS[found.unit])
        for side, delta in DELTA.items():
            assert getattr(seen, side).change.value == pytest.approx(delta, abs=0.005)
    (contrast,) = contrasts(runs)
    assert not any(difference.beyond_noise for difference in contrast.differences)


def rewards(meaning: Meaning) -> dict[str, np.ndarray]:
    """Return what a log of the true change holds, in the unit of the method's reward."""
    columns: dict[str, np.ndarray] = {}
    for seed, (side, delta) in enumerate(DELTA.items()):
        rng = np.random.default_rng(seed)
        moved = np.linspace(0, delta, 100) + 0.004 * rng.standard_normal(100)
        # Without a reference the log-prob itself is the reward.
        level = 0.0 if meaning.base.has_reference else -1.5
        scale = 1.0 if meaning.base.per_token else TOKENS[side]
        columns[f"rewards/{side}"] = meaning.factor * (moved + level) * scale
        columns[f"completion_tokens/{side}"] = np.full(100, TOKENS[side])
    return columns


# Seeds and settings.


def test_logs_with_too_few_records_in_common_are_refused_and_no_difference_is_nan() -> None:
    long, early = (
        replace(run, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0])
        for run in (IDEAL, example(Regime.BOTH_FALL))
    )
    late = replace(long, train=long.train[long.train.index > early.train.index[2]])
    early = replace(early, train=early.train.iloc[:8])
    assert "says too little up to step" in refused(late, early)


@settings(max_examples=30, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(any_run(), max_size=3), st.sampled_from(MATCHES))
def test_contrasting_never_raises(runs: list[Run], matched: str) -> None:
    found = contrasts(runs, matched)
    assert len(found) == len(runs) * (len(runs) - 1) // 2
    assert all(one.sentences or one.differences == () for one in found)
    assert all(isfinite(one.at) for one in found if one.reason is None)
    for track in tracks_of(runs):
        margin_per_drift(track)
