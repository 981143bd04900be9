"""The Run record: equality, its last step, and the way through a file and back."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.errors import ReadError
from diagnostics.examples import TRUTH, example
from diagnostics.pairtables import TABLES
from diagnostics.readers import read
from diagnostics.readers.native import write
from diagnostics.regimes import Regime
from diagnostics.run import Run, Source, empty_pairs, empty_steps, pair_frame
from diagnostics.schema import METRICS

SOURCE = Source(path="", reader="native", framework="seesaw")

# -- Any run -------------------------------------------------------------------------------------

NOT_TEXT = ("NaN", "Infinity", "-Infinity")
words = st.text(max_size=8).filter(lambda text: text not in NOT_TEXT)
numbers = st.floats(allow_nan=True, allow_infinity=True)
single = st.floats(width=32, allow_nan=True, allow_infinity=True)
SHARE = st.floats(0, 1)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | numbers | words
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
RESERVED = {"kind", "format", "version", "time", "name", "method", "config", "versions"}
mappings = st.dictionaries(words.filter(lambda word: word not in RESERVED), json_values, max_size=4)
# Text fields of the log are not numbers, whatever they say.
TEXT_FIELDS = {"git_revision", "template", "status", "message"}


@st.composite
def step_frames(draw: st.DrawFn, others: tuple[str, ...]) -> pd.DataFrame:
    """Return a `train` or `evals` frame in the order of columns that readers give."""
    steps = sorted(draw(st.sets(st.integers(0, 2**53), max_size=6)))
    if not steps:
        return empty_steps()
    names = draw(st.sets(st.sampled_from(sorted(METRICS)), max_size=5))
    columns: dict[str, Any] = {}
    for name in ("time", *METRICS, *others):
        if name in names or name in others or (name == "time" and draw(st.booleans())):
            values = draw(st.lists(numbers, min_size=len(steps), max_size=len(steps)))
            columns[name] = np.array(values, dtype=np.float64)
    if "time" in columns:
        columns["time"] = np.nan_to_num(columns["time"], nan=0.0)
    return pd.DataFrame(columns, index=pd.Index(steps, dtype=np.int64, name="step"))


@st.composite
def pair_frames(draw: st.DrawFn, table: str) -> pd.DataFrame:
    """Return a probe or samples frame, sorted as it is read."""
    item = "pair" if table == "probe" else "sample"
    splits = st.sampled_from(["held_out", "train"] if table == "probe" else [""])
    keys = st.tuples(st.integers(0, 2**31 - 1), splits, st.integers(0, 2**31 - 1))
    rows = sorted(draw(st.sets(keys, max_size=6)))
    columns: dict[str, Any] = {}
    for field in TABLES[table]:
        if field.name in ("step", "split", item):
            at = {"step": 0, "split": 1, item: 2}[field.name]
            columns[field.name] = [row[at] for row in rows]
        else:
            values = words if field.name == "prompt" else single
            columns[field.name] = draw(st.lists(values, min_size=len(rows), max_size=len(rows)))
    return pd.DataFrame(columns).astype(empty_pairs(table).dtypes.to_dict())


@st.composite
def runs(draw: st.DrawFn) -> Run:
    name, method = draw(words.filter(bool)), draw(st.none() | st.sampled_from(["dpo", "Infinity"]))
    config = draw(mappings)
    extra = {key: value for key, value in draw(mappings).items() if key not in TEXT_FIELDS}
    fixed = {"kind": "header", "format": "seesaw-run-log", "version": 1, "time": "2025-01-01"}
    known = {*METRICS, "kind", "step", "time"}
    unrecognised = tuple(sorted(draw(st.sets(words, max_size=2)) - known - TEXT_FIELDS))
    train = draw(step_frames(unrecognised))
    return Run(
        name=name,
        method=method,
        train=train,
        evals=draw(step_frames(())),
        probes=draw(pair_frames("probe")),
        samples=draw(pair_frames("samples")),
        config=config,
        header={**extra, **fixed, "name": name, "method": method, "config": config},
        source=SOURCE,
        status=draw(st.sampled_from(["running", "completed", "failed", "stopped"])),
        unrecognised=unrecognised if len(train) else (),
    )


@given(runs())
@settings(max_examples=60)
def test_a_run_written_and_read_is_the_same_run(run: Run) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(run, folder)
        again = read(folder)
    again = dataclasses.replace(again, source=SOURCE, meaning=run.meaning)
    for mine, theirs in zip(run._frames(), again._frames(), strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)
    assert again == run


@given(runs(), st.data())
@settings(max_examples=60)
def test_a_run_damaged_anywhere_is_read_or_refused(run: Run, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(run, folder)
        files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
        file = data.draw(st.sampled_from(files))
        content = file.read_bytes()
        # Shares of the length, since the length itself varies with the clock.
        shares = sorted(data.draw(st.tuples(SHARE, SHARE)))
        at, until = (int(share * len(content)) for share in shares)
        file.write_bytes(content[:at] + data.draw(st.binary(max_size=20)) + content[until:])
        with contextlib.suppress(ReadError):
            again = read(folder)
            assert again == pickle.loads(pickle.dumps(again))


@pytest.mark.parametrize("regime", sorted(TRUTH))
def test_the_synthetic_examples_survive_the_way_through_a_file(
    tmp_path: Path, regime: Regime
) -> None:
    run = example(regime)
    write(run, tmp_path)
    again = read(tmp_path)
    assert (again.name, again.method, again.status) == (run.name, run.method, run.status)
    pd.testing.assert_frame_equal(again.train[run.train.columns], run.train, check_dtype=False)
    # The tables hold single precision.
    for table in ("probes", "samples"):
        mine = getattr(run, table)
        keys = [name for name in ("step", "split", "pair", "sample") if name in mine]
        mine = mine.sort_values(keys, ignore_index=True)
        theirs = getattr(again, table)[mine.columns]
        pd.testing.assert_frame_equal(theirs, mine, check_dtype=False, rtol=1e-6)


# -- The record ----------------------------------------------------------------------------------


def small_run(**changes: Any) -> Run:
    index = pd.Index([1, 2], name="step")
    train = pd.DataFrame({"loss": [0.7, math.nan]}, index=index)
    return Run(**{"name": "a", "method": "dpo", "train": train, "source": SOURCE} | changes)


def test_runs_are_equal_when_all_they_hold_is_with_nan_equal_to_nan() -> None:
    assert small_run(config={"x": math.nan}) == small_run(config={"x": math.nan})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"method": None},
        {"status": "failed"},
        {"config": {"beta": 0.1}},
        {"header": {"seed": 1}},
        {"caveats": ("something",)},
        {"unrecognised": ("x",)},
        {"source": Source("elsewhere", "native", "seesaw")},
        {"train": pd.DataFrame({"loss": [0.7, 0.6]}, index=pd.Index([1, 2], name="step"))},
        {"evals": pd.DataFrame({"loss": [0.7]}, index=pd.Index([1], name="step"))},
    ],
)
def test_runs_that_differ_in_one_field_are_not_equal(change: dict[str, Any]) -> None:
    assert small_run(**change) != small_run()


def test_a_run_is_not_equal_to_something_else_and_has_no_hash() -> None:
    assert small_run() != "a run"
    with pytest.raises(TypeError, match="unhashable"):
        hash(small_run())


def test_a_run_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        small_run().name = "b"  # type: ignore[misc]


def test_the_last_step_is_the_last_that_any_table_knows() -> None:
    samples = pd.DataFrame({"step": [7, 3], "sample": [0, 0]})
    assert small_run(samples=samples).last_step == 7
    assert small_run().last_step == 2
    assert small_run(train=empty_steps()).last_step is None


def test_empty_frames_have_the_columns_and_types_of_full_ones() -> None:
    assert empty_steps().index.name == "step"
    full = pair_frame(TABLES["probe"].empty_table())
    probes = empty_pairs("probe")
    pd.testing.assert_frame_equal(probes, full)
    assert probes["logps/chosen"].dtype == np.float64
    assert probes["step"].dtype == np.int64
    assert probes.groupby(["step", "split"]).size().empty
