"""Our trainer and losses against TRL as it is installed here."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import trl_values
from parity_metrics import differences, worst
from parity_setting import CASES
from record import read, to_records

from trainer.losses import LOSS_BY_NAME, LossOptions, PairedLogps

pytestmark = [pytest.mark.parity, pytest.mark.slow]
HERE = Path(__file__).parent
METHOD_OF = {"sigmoid": "dpo"}


def _answer(script: str, *arguments: str) -> Any:
    """Run a script in a process of its own and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def trl(need) -> None:
    need(importlib.util.find_spec("trl"), "trl is not installed")


@pytest.fixture(scope="session")
def live(trl: None, setting: Path) -> dict[str, list[dict[str, float]]]:
    """TRL's log records of every case."""
    return _answer("trl_runs.py", str(setting), *CASES)["trajectories"]


@pytest.fixture(scope="session")
def values(trl: None, setting: Path) -> dict[str, dict[str, Any]]:
    """What TRL's loss functions return for `trl_values.PAIRS`."""
    return _answer("trl_values.py", str(setting))


@pytest.mark.parametrize("name", CASES)
def test_our_trajectory_equals_trls(name: str, live, ours) -> None:
    case = CASES[name]
    found = differences(case, live[name], ours(case))
    first = worst([one for one in found if one.step == 1])
    assert first.relative <= 1e-5, str(first)
    assert worst(found).relative <= 1e-3, str(worst(found))
    assert sum(one.relative for one in found) / len(found) <= 5e-5


@pytest.mark.parametrize("name", CASES)
def test_trl_still_logs_what_was_recorded(name: str, live) -> None:
    case = CASES[name]
    for recorded, now in zip(to_records(read(case)["columns"]), live[name], strict=True):
        for metric, value in recorded.items():
            assert now[metric] == pytest.approx(value, rel=1e-3, abs=1e-3), metric


def _losses(method: str, **options: float) -> list[float]:
    columns = zip(*trl_values.PAIRS, strict=True)
    pairs = PairedLogps(*(torch.tensor(column, dtype=torch.float64) for column in columns))
    return LOSS_BY_NAME[method].compute(pairs, LossOptions(**options)).losses_B.tolist()


@pytest.mark.parametrize("beta", trl_values.BETAS)
@pytest.mark.parametrize("loss_type", trl_values.DPO_SETTINGS)
def test_a_dpo_loss_has_trls_value(loss_type: str, beta: float, values) -> None:
    settings = trl_values.DPO_SETTINGS[loss_type]
    mine = _losses(METHOD_OF.get(loss_type, loss_type), beta=beta, **settings)
    assert sum(mine) / len(mine) == pytest.approx(values["dpo"][f"{loss_type} {beta}"], rel=1e-6)


@pytest.mark.parametrize("beta", trl_values.BETAS)
def test_reference_free_losses_have_trls_value_for_every_pair(beta: float, values) -> None:
    cpo = _losses("cpo", beta=beta, label_smoothing=0.1)
    simpo = _losses("simpo", beta=beta, label_smoothing=0.1, gamma=0.7)
    assert cpo == pytest.approx(values["free"][f"cpo sigmoid {beta}"], rel=1e-6)
    assert simpo == pytest.approx(values["free"][f"cpo simpo {beta}"], rel=1e-6)
    # TRL computes the odds in fp32.
    orpo = _losses("orpo", beta=beta)
    assert orpo == pytest.approx(values["free"][f"orpo {beta}"], rel=1e-5, abs=1e-6)
