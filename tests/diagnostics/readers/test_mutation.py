"""Damaged logs of every format give a run or one sentence, in bounded time and memory.

`SEESAW_FUZZ=20000` tries so many; the suite tries a few hundred.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mutation import MEGABYTES, cases, complaint, peak_megabytes, samples

from diagnostics.readers import READERS

COUNT = int(os.environ.get("SEESAW_FUZZ", "400"))


def test_every_reader_has_a_sample_to_damage() -> None:
    assert {reader.name for reader, _ in samples()} == {reader.name for reader in READERS}


@pytest.mark.timeout(4000)
def test_a_damaged_log_gives_a_run_or_one_sentence(tmp_path: Path) -> None:
    before = peak_megabytes()
    complaints = [said for case in cases(COUNT, tmp_path) if (said := complaint(case))]
    assert complaints == []
    assert peak_megabytes() - before < MEGABYTES
