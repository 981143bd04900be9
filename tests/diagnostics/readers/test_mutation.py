"""Damaged logs of every format give a run or one sentence, in bounded time and memory.

`make fuzz` tries 20,000 (`SEESAW_FUZZ`); the suite tries a few hundred.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mutation import MEGABYTES, cases, complaint, peak_megabytes, samples

from diagnostics.errors import MalformedLog
from diagnostics.readers import NO_HINTS, READERS, read

COUNT = int(os.environ.get("SEESAW_FUZZ", "400"))


def test_every_reader_has_a_sample_to_damage() -> None:
    assert {reader.name for reader, _ in samples()} == {reader.name for reader in READERS}


@pytest.mark.timeout(4000)
def test_a_damaged_log_gives_a_run_or_one_sentence(tmp_path: Path) -> None:
    before = peak_megabytes()
    complaints = [said for case in cases(COUNT, tmp_path) if (said := complaint(case))]
    assert complaints == []
    assert peak_megabytes() - before < MEGABYTES


def test_a_text_that_is_no_utf_8_costs_its_line_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = b'{"step": %d, "chosen_reward": 0.1, "rejected_reward": 0.0, "note": "%s"}\n'
    path.write_bytes(row % (1, b"a") + row % (2, b"\xf2\xf2") + row % (3, b"c"))
    run = read(path)
    assert list(run.train.index) == [1, 3]
    assert any("line 2" in caveat for caveat in run.caveats)


@pytest.mark.parametrize("damage", [b"'", b"\xac'"])
def test_a_database_with_a_broken_schema_is_one_sentence(damage: bytes, tmp_path: Path) -> None:
    ((reader, source),) = (one for one in samples() if one[0].name == "trackio")
    database = source if source.is_file() else next(source.rglob("*.db"))
    content = database.read_bytes()
    place = content.index(b"CREATE TABLE metrics")
    path = tmp_path / "broken.db"
    end = place + 30 + len(damage)
    path.write_bytes(content[: place + 30] + damage + content[end:])
    with pytest.raises(MalformedLog) as told:
        reader.read(path, NO_HINTS)
    assert "\n" not in str(told.value)
