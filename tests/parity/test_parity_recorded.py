"""Our trainer against trajectories that TRL 1.16 logged on the same model and data."""

import pytest
from parity_metrics import compared, differences, worst
from parity_setting import CASES, STEPS
from record import RECORDED, read, to_records

from trainer.losses import LOSSES

FIRST_STEP = 1e-5
# Twenty AdamW steps enlarge the rounding of the first; DiscoPOP's steep middle most, to 3e-4.
ANY_STEP = 1e-3
MEAN = 5e-5


def test_every_loss_has_a_case_and_every_case_a_recording_of_its_own() -> None:
    assert {case.ours["method"] for case in CASES.values()} == {loss.name for loss in LOSSES}
    assert {path.stem for path in RECORDED.glob("*.json")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_our_trajectory_equals_the_recorded_one(name: str, ours) -> None:
    case = CASES[name]
    recorded = read(case)
    assert recorded["settings"] == case.trl, "record the case again: its settings have changed"
    found = differences(case, to_records(recorded["columns"]), ours(case))
    first = worst([one for one in found if one.step == 1])
    assert first.relative <= FIRST_STEP, str(first)
    assert worst(found).relative <= ANY_STEP, str(worst(found))
    assert sum(one.relative for one in found) / len(found) <= MEAN


@pytest.mark.parametrize("name", CASES)
def test_a_recording_is_small_says_where_it_is_from_and_holds_what_is_compared(name: str) -> None:
    case = CASES[name]
    recorded = read(case)
    columns = recorded["columns"]
    assert (RECORDED / f"{name}.json").stat().st_size < 10_000
    assert recorded["versions"]["trl"] == "1.16.0"
    assert columns["step"] == list(range(1, STEPS + 1))
    assert {"loss", "grad_norm", "logps/chosen", "logps/rejected"} <= set(columns)
    assert set(columns) - {"step"} <= compared(case)
    assert len(set(columns["loss"])) > STEPS / 2, "a trajectory that stands still proves nothing"
