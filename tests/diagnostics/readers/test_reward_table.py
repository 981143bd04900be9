"""One name, a dozen quantities: a log of every trainer with a known truth comes back as it.

Where a framework's rewards cannot become the change in nats per completion, what comes back says
so by its unit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diagnostics.readers import read, semantics
from diagnostics.readers.assembly import Record, assemble
from diagnostics.readers.producers import ROWS, Row
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.series import changes
from tests.diagnostics.readers.reward_cases import (
    BOTH,
    CASES,
    SINCE_FIRST,
    STEPS,
    SUMS,
    Case,
    means,
    written,
)


def reading(case: Case, folder: Path) -> Run:
    return read(written(case, folder))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_known_change_comes_back_in_nats_or_says_that_it_cannot(
    case: Case, tmp_path: Path
) -> None:
    run = reading(case, tmp_path)
    assert run.meaning is not None
    assert run.meaning.base is case.base
    found = changes(run)
    assert found is not None
    assert found.unit == case.unit
    assert list(found.steps) == STEPS
    if case.truth is None:
        assert run.meaning.factor is None
        return
    for side in BOTH:
        # OpenRLHF's bars show 3 digits, EM and HALOs print 5; the others write all.
        digits = {"openrlhf": 5e-3, "em": 5e-5, "halos": 5e-5}.get(case.write, 1e-9)
        wide = 2 * digits * np.abs(case.rewards[side]).max() / (run.meaning.factor or 1.0)
        np.testing.assert_allclose(getattr(found, side), case.truth[side], atol=wide)
    assert found.from_reference == case.base.has_reference


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_log_probs_are_named_for_what_they_are(case: Case, tmp_path: Path) -> None:
    run = reading(case, tmp_path)
    if case.logps is None:
        assert not any("logps" in name for name in run.train.columns)
        return
    per_token = np.allclose(case.logps["chosen"], means(SUMS)["chosen"])
    usable = case.write != "halos" and case.id not in ("trl-nash-md", "trl-xpo")
    expected = "logps_per_token/chosen" if per_token else "logps/chosen"
    assert {name for name in run.train.columns if name.endswith("/chosen") and "logps" in name} == (
        {expected} if usable else set()
    )
    if usable:
        np.testing.assert_allclose(run.train[expected], case.logps["chosen"], rtol=1e-4)
    else:
        assert "logps/chosen as logged" in run.unrecognised


def test_the_orpo_repository_logs_log_probs_per_token_under_another_name(tmp_path: Path) -> None:
    values = {
        "Positive Geometric Mean": means(SUMS)["chosen"],
        "Negative Geometric Mean": means(SUMS)["rejected"],
        "Log Odds Ratio": np.full(len(STEPS), -0.6),
        "Log Odds": np.full(len(STEPS), 0.2),
    }
    records = [
        Record(step, "train", {name: float(series[i]) for name, series in values.items()})
        for i, step in enumerate(STEPS)
    ]
    run = assemble(records, path=tmp_path / "history.csv", reader="wandb")
    found = changes(run)
    assert found is not None
    assert (run.method, found.unit) == ("orpo", NATS_PER_TOKEN)
    np.testing.assert_allclose(found.chosen, means(SINCE_FIRST)["chosen"])
    np.testing.assert_allclose(found.rejected, means(SINCE_FIRST)["rejected"])
    assert set(run.train["odds_loss"]) == {0.6}
    assert set(run.train["log_odds_ratio"]) == {0.2}


def test_every_row_of_the_facts_is_tried_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is added to the table needs a case of its own."""
    tried: list[Row] = []

    def candidates(facts: semantics.Facts, who: semantics.Origins) -> list[Row]:
        rows = chosen(facts, who)
        tried.extend(rows if len(rows) == 1 else [])
        return rows

    chosen = semantics.candidates
    monkeypatch.setattr(semantics, "candidates", candidates)
    for case in CASES:
        (tmp_path / case.id).mkdir()
        reading(case, tmp_path / case.id)
    untried = [row for row in ROWS if row not in tried]
    assert [(row.framework, row.trainer) for row in untried] == [("xfactlab/orpo", "orpo")]
