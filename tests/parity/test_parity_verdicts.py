"""One training, logged by TRL and by us, every 1, 5 and 20 steps: one verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from parity_setting import CASES, our_settings
from record_intervals import FOLDER, INTERVALS, LEARNING_RATE, STEPS

from diagnostics.diagnosis import Diagnosis, diagnose
from diagnostics.readers import Hints, read
from diagnostics.regimes import Regime
from trainer.config import TrainConfig
from trainer.train import train

BETA = CASES["dpo-sigmoid"].trl["beta"]
Diagnoses = dict[int, Diagnosis]


@pytest.fixture(scope="module")
def theirs() -> Diagnoses:
    """What is said of TRL's logs, by interval; beta is no part of them."""
    paths = {one: FOLDER / f"every-{one}" / "trainer_state.json" for one in INTERVALS}
    hints = Hints(beta=BETA, method="dpo")
    return {one: diagnose(read(path, hints)) for one, path in paths.items()}


@pytest.fixture(scope="module")
def logged_here(setting: Path, tmp_path_factory: pytest.TempPathFactory) -> Diagnoses:
    """What is said of our logs of the same training, by interval, without the probe set."""

    def trained(interval: int) -> Diagnosis:
        output = tmp_path_factory.mktemp(f"every-{interval}")
        changes = {"max_steps": STEPS, "learning_rate": LEARNING_RATE, "logging_steps": interval}
        config = TrainConfig(**our_settings(CASES["dpo-sigmoid"], setting, output, **changes))
        train(config)
        run = read(config.output_dir)
        return diagnose(replace(run, probes=run.probes.iloc[:0], samples=run.samples.iloc[:0]))

    return {interval: trained(interval) for interval in INTERVALS}


def without_lengths(found: Diagnosis) -> Diagnosis:
    """Return what is said of the same log where it holds no lengths, like TRL's."""
    run = found.run
    lengths = [name for name in run.train if name.startswith("completion_tokens/")]
    assert lengths
    return diagnose(replace(run, train=run.train.drop(columns=lengths)))


def alarms(found: Diagnosis) -> set[tuple[str, str]]:
    return {(one.pathology, one.status.value) for one in (*found.present, *found.suspected)}


def same(first: Diagnosis, second: Diagnosis) -> None:
    assert second.regime.regime is first.regime.regime
    assert second.regime.directions == first.regime.directions
    assert first.regime.share is not None
    assert second.regime.share is not None
    assert second.regime.share.value == pytest.approx(first.regime.share.value, abs=0.03)
    assert alarms(second) == alarms(first)
    advised = [[[a.setting for a in one.advice] for one in d.present] for d in (first, second)]
    assert advised[0] == advised[1]


def test_the_training_is_named(theirs: Diagnoses) -> None:
    assert theirs[1].regime.regime is Regime.IDEAL
    assert [found.reading.changes.points for found in theirs.values()] == [120, 24, 6]


@pytest.mark.parametrize("interval", INTERVALS[1:])
def test_trls_logs_of_every_interval_get_one_verdict(theirs: Diagnoses, interval: int) -> None:
    same(theirs[1], theirs[interval])


@pytest.mark.parametrize("interval", INTERVALS)
def test_our_log_gets_the_verdict_of_trls(
    theirs: Diagnoses, logged_here: Diagnoses, interval: int
) -> None:
    same(theirs[interval], without_lengths(logged_here[interval]))
    # With lengths the share is that of nats per token: another number, the same regime.
    assert logged_here[interval].regime.regime is theirs[interval].regime.regime


@pytest.mark.parametrize("interval", INTERVALS)
def test_both_logs_end_at_one_change_of_the_log_probs(
    theirs: Diagnoses, logged_here: Diagnoses, interval: int
) -> None:
    # Ours knows the lengths and gives nats per token, TRL's nats per completion.
    mine, other = logged_here[interval].reading, theirs[interval].reading
    for side in ("chosen", "rejected"):
        lengths = mine.column(f"completion_tokens/{side}")[1].mean()
        ours = getattr(mine.changes, side)[-1] * lengths
        assert ours == pytest.approx(getattr(other.changes, side)[-1], rel=2e-3)
