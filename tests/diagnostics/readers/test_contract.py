"""What every log reader must do, tried on its samples under tests/data/<reader>/."""

from __future__ import annotations

import contextlib
import pickle
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from diagnostics.errors import ReadError, UnknownFormat
from diagnostics.readers import READERS, Reader, find_runs, fingerprint, read, read_all
from diagnostics.run import EXTRA_COLUMNS, Run
from diagnostics.schema import METRICS

DATA = Path(__file__).resolve().parents[2] / "data"
# One sentence: where, what was found, what was expected, what to do next.
SENTENCE = re.compile(r"[^\n]+: [^\n]+expected [^\n]+; [^\n]+")


def samples(reader: Reader) -> list[Path]:
    return sorted(
        path
        for path in (DATA / reader.name).iterdir()
        if path.suffix != ".py" and path.name[0] not in "._"
    )


SAMPLES = [
    pytest.param(reader, sample, id=f"{reader.name}-{sample.name}")
    for reader in READERS
    for sample in samples(reader)
]
each_sample = pytest.mark.parametrize(("reader", "sample"), SAMPLES)


def copied(sample: Path, folder: Path) -> tuple[Path, list[Path]]:
    """Return a copy of a sample, and its files."""
    copy = folder / sample.name
    if sample.is_dir():
        shutil.copytree(sample, copy)
        return copy, sorted(path for path in copy.rglob("*") if path.is_file())
    shutil.copy(sample, copy)
    return copy, [copy]


def same_rows(one: Run, other: Run) -> bool:
    return one.train.equals(other.train) and one.evals.equals(other.evals)


def read_or_refused(path: Path) -> tuple[Run, ...]:
    """Return the runs, none when they were refused; any other exception fails the test."""
    with contextlib.suppress(ReadError):
        return read_all(path)
    return ()


def check_schema(run: Run, reader: Reader, sample: Path) -> None:
    """Fail unless a run has schema names, whole steps and sentences."""
    assert run.source.reader == reader.name
    assert run.source.path == str(sample)
    known = {*METRICS, *EXTRA_COLUMNS}
    for frame in (run.train, run.evals):
        assert frame.index.name == "step"
        assert frame.index.is_monotonic_increasing
        assert frame.index.is_unique
        assert set(frame.columns) - known <= set(run.unrecognised)
        assert all(frame[name].dtype == "float64" for name in known & set(frame.columns))
    assert set(run.unrecognised) <= {*run.train.columns, *run.evals.columns}
    assert not known & set(run.unrecognised)
    assert all(caveat.endswith(".") and "\n" not in caveat for caveat in run.caveats)
    assert pickle.loads(pickle.dumps(run)) == run


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_every_reader_has_samples_and_says_how_to_get_such_a_log(reader: Reader) -> None:
    assert samples(reader)
    assert len({other.name for other in READERS}) == len(READERS)
    assert reader.export_hint.endswith(".")
    assert "\n" not in reader.export_hint + reader.title


@each_sample
def test_a_sample_is_recognised_by_its_own_reader_only(reader: Reader, sample: Path) -> None:
    assert [other.name for other in READERS if other.recognises(sample)] == [reader.name]


@each_sample
def test_a_sample_becomes_a_run_with_schema_names(reader: Reader, sample: Path) -> None:
    runs = read_all(sample)
    assert runs
    for run in runs:
        check_schema(run, reader, sample)
    assert len({run.source.part for run in runs}) == len(runs)


@each_sample
def test_a_sample_reads_the_same_through_a_relative_path_and_as_text(
    reader: Reader, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sample.parent)
    runs = read_all(sample.name)
    assert [run.name for run in runs] == [run.name for run in read_all(str(sample))]
    assert all(map(same_rows, runs, read_all(sample)))


@each_sample
def test_every_file_of_a_sample_may_be_cut_short(
    reader: Reader, sample: Path, tmp_path: Path
) -> None:
    copy, files = copied(sample, tmp_path)
    for file in files:
        whole = file.read_bytes()
        for part in range(12):
            file.write_bytes(whole[: len(whole) * part // 12])
            read_or_refused(copy)
        file.write_bytes(whole)
    assert all(map(same_rows, read_all(copy), read_all(sample)))


@each_sample
def test_every_file_of_a_sample_may_be_empty_binary_or_missing(
    reader: Reader, sample: Path, tmp_path: Path
) -> None:
    copy, files = copied(sample, tmp_path)
    for file in files:
        whole = file.read_bytes()
        for content in (b"", b"\n", b"\0" * 4096, bytes(range(256)) * 64, b"[" * 10_000):
            file.write_bytes(content)
            read_or_refused(copy)
        file.unlink()
        read_or_refused(copy)
        if file != copy:
            file.mkdir()
            read_or_refused(copy)
            file.rmdir()
        file.write_bytes(whole)


@each_sample
@pytest.mark.parametrize("absurd", [b"NaN", b"null", b'"NaN"', b"1e400", b'"text"', b"-7", b"[]"])
def test_any_number_of_a_sample_may_be_something_absurd(
    reader: Reader, sample: Path, tmp_path: Path, absurd: bytes
) -> None:
    copy, files = copied(sample, tmp_path)
    for file in files:
        if file.suffix in (".json", ".jsonl", ".csv", ".log", ".txt"):
            whole = file.read_bytes()
            for every in (1, 3, 7):
                file.write_bytes(with_absurd_numbers(whole, absurd, every))
                read_or_refused(copy)
            file.write_bytes(whole)


def with_absurd_numbers(content: bytes, absurd: bytes, every: int) -> bytes:
    """Return a text with every so-manyth number replaced."""
    pieces = re.split(rb"((?<=[:,\s])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)", content)
    pieces[1 :: 2 * every] = [absurd] * len(pieces[1 :: 2 * every])
    return b"".join(pieces)


@each_sample
def test_a_closed_sample_is_refused_in_one_sentence(
    reader: Reader,
    sample: Path,
    public_folder: Path,
    as_somebody_else: Callable[[], AbstractContextManager[None]],
) -> None:
    copy, files = copied(sample, public_folder)
    for closed in {copy, files[-1]}:
        mode = closed.stat().st_mode
        closed.chmod(0)
        with as_somebody_else(), pytest.raises(ReadError, match=SENTENCE) as told:
            read(copy)
        closed.chmod(mode)
        assert str(copy) in str(told.value)
        assert "permission denied" in str(told.value)


@each_sample
def test_a_sample_is_found_and_its_fingerprint_follows_its_files(
    reader: Reader, sample: Path, tmp_path: Path
) -> None:
    copy, files = copied(sample, tmp_path)
    assert find_runs(tmp_path) == [copy]
    before = fingerprint(copy)
    assert fingerprint(copy) == before
    with files[-1].open("ab") as stream:
        stream.write(b"\n")
    assert fingerprint(copy) != before


# -- What is no log ------------------------------------------------------------------------------


def make_nothing(path: Path) -> None:
    pass


def make_folder(path: Path) -> None:
    path.mkdir()


def make_folder_of_other_things(path: Path) -> None:
    (path / "src").mkdir(parents=True)
    (path / "notes.txt").write_text("hello")


def make_binary_file(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 100)


def make_empty_file(path: Path) -> None:
    path.touch()


def make_json(path: Path) -> None:
    path.write_text('{"step": 1, "loss": 0.5}\n')


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


MAKERS = (
    make_nothing,
    make_folder,
    make_folder_of_other_things,
    make_binary_file,
    make_empty_file,
    make_json,
    make_loop,
    make_broken_link,
)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_what_is_no_log_is_refused_in_one_sentence(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(ReadError, match=SENTENCE) as told:
        read(path)
    assert str(told.value).startswith(str(path))
    assert not any(reader.recognises(path) for reader in READERS)
    assert find_runs(path) == []


@pytest.mark.parametrize("path", ["\0", "a" * 5000, "/dev/null", "", "x/" * 2000])
def test_a_path_that_cannot_be_one_is_refused_in_one_sentence(path: str) -> None:
    with pytest.raises(ReadError, match=SENTENCE):
        read(path)
    assert isinstance(fingerprint(path), str)
    assert path == "" or find_runs(path) == []


def test_a_folder_of_runs_is_refused_with_the_runs_it_holds(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.jsonl").touch()
    with pytest.raises(UnknownFormat, match=r"holds runs \(a, b, c, …\)"):
        read(tmp_path)
