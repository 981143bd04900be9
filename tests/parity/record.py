"""Record what TRL logs for every case under tests/parity/recorded/, one small file a case.

Run it with the versions that are to be recorded: `python tests/parity/record.py [CASE…]`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from parity_metrics import compared
from parity_setting import CASES, Case, write_setting
from trl_runs import run_case, versions

RECORDED = Path(__file__).parent / "recorded"
ORIGIN = (
    "tests/parity/record.py: TRL itself on the model and data of tests/parity/parity_setting.py"
)


def to_columns(case: Case, records: list[dict[str, float]]) -> dict[str, list[float | None]]:
    """Return the compared metrics as columns of nine digits, which is all that fp32 holds."""
    logged = dict.fromkeys(name for record in records for name in record)
    names = [name for name in logged if name in compared(case)]
    return {"step": [int(record["step"]) for record in records]} | {
        name: [_short(record.get(name)) for record in records] for name in names
    }


def to_records(columns: dict[str, list[float | None]]) -> list[dict[str, float]]:
    """Return the rows of a recording; what TRL did not log at a step is absent."""
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.9g}")


def read(case: Case) -> dict[str, Any]:
    """Return a case's recording."""
    recorded: dict[str, Any] = json.loads((RECORDED / f"{case.name}.json").read_text("utf-8"))
    return recorded


def main() -> None:
    """Run TRL and write the files."""
    names = sys.argv[1:] or list(CASES)
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_setting(Path(folder))
        for name in names:
            case = CASES[name]
            head = {"origin": ORIGIN, "versions": versions(), "trainer": case.trainer}
            columns = to_columns(case, run_case(case, Path(folder) / "model"))
            lines = [f'  "{key}": {json.dumps(value)}' for key, value in columns.items()]
            text = json.dumps(head | {"settings": case.trl}, indent=1).removesuffix("\n}")
            body = ",\n".join(lines)
            text = f'{text},\n "columns": {{\n{body}\n }}\n}}\n'
            (RECORDED / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    warnings.simplefilter("ignore")
    main()
