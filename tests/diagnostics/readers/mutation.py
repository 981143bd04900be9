"""Damage for logs: seeded mutations of the samples of every reader, and what they must lead to."""

from __future__ import annotations

import random
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diagnostics.errors import DiagnosticsError
from diagnostics.readers import NO_HINTS, READERS, Reader, read_all

DATA = Path(__file__).resolve().parents[2] / "data"
SECONDS = 2.0
MEGABYTES = 500

ABSURD = (
    *(b"NaN", b"null", b"-Infinity", b"1e999", b"-1", b"18446744073709551616", b'"text"'),
    *(b"\0", b"\xff\xfe", b"{", b"[" * 200, b"]", b"}", b"\r", b"\n\n", b"," * 50, b"'", b'"'),
    *(b"e" * 3000, b"1" * 400, b"\x1b[A", b"|", b"\xf0\x9f\x98\x80", b"train/", b"eval_"),
)


@dataclass(frozen=True)
class Case:
    """A damaged copy of a sample: the reader whose sample it was, and where it lies."""

    reader: Reader
    path: Path
    name: str


def samples() -> list[tuple[Reader, Path]]:
    """Return every sample with its reader."""
    return [
        (reader, path)
        for reader in READERS
        for path in sorted((DATA / reader.name).iterdir())
        if path.suffix != ".py" and path.name[0] not in "._"
    ]


def mutated(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Return a text with one to four mutations; `other` is what is spliced in."""
    for _ in range(draw.randint(1, 4)):
        data = draw.choice(MUTATIONS)(draw, data, other)[: 1 << 20]
    return data


def truncate(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Cut the end off, or the beginning."""
    at = draw.randint(0, len(data))
    return data[:at] if draw.random() < 0.7 else data[at:]


def flip(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Change some bytes."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 3, 30))):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def splice(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Put a piece of another log in."""
    at, start = draw.randint(0, len(data)), draw.randint(0, len(other))
    return data[:at] + other[start : start + draw.choice((5, 200, 5000))] + data[at:]


def duplicate(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Repeat a piece."""
    start, length = draw.randint(0, len(data)), draw.choice((3, 100, 3000))
    piece = data[start : start + length] * draw.choice((1, 2, 50))
    return data[: start + length] + piece + data[start + length :]


def reorder(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Put lines, or blocks, in another order."""
    mark = b"\n" if data.count(b"\n") > 3 else b","
    pieces = data.split(mark)
    start, length = draw.randint(0, len(pieces)), draw.randint(2, 20)
    moved = pieces[start : start + length]
    draw.shuffle(moved)
    return mark.join([*pieces[:start], *moved, *pieces[start + length :]])


def insert(draw: random.Random, data: bytes, other: bytes) -> bytes:
    """Write something absurd over a place."""
    at = draw.randint(0, len(data))
    return data[:at] + draw.choice(ABSURD) + data[at + draw.choice((0, 1, 8)) :]


MUTATIONS = (truncate, flip, splice, duplicate, reorder, insert)


def cases(count: int, folder: Path, seed: int = 0) -> Iterator[Case]:
    """Yield so many damaged samples one after the other, each written over the one before."""
    known = samples()
    contents = {path: files_of(path) for _, path in known}
    texts = [text for files in contents.values() for text in files.values()]
    for number in range(count):
        draw = random.Random(f"{seed}-{number}")
        reader, sample = known[number % len(known)]
        copy = folder / f"{number % len(known)}" / sample.name
        if not copy.exists():
            copy.parent.mkdir(parents=True)
            copier = shutil.copytree if sample.is_dir() else shutil.copy
            copier(sample, copy)
        name, text = draw.choice(sorted(contents[sample].items()))
        file = copy / name if name else copy
        file.write_bytes(mutated(draw, text, draw.choice(texts)))
        yield Case(reader, copy, f"{reader.name} {sample.name} {name} #{number}")
        file.write_bytes(text)


def files_of(path: Path) -> dict[str, bytes]:
    """Return the files of a sample by their names inside it."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = (file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def complaint(case: Case) -> str | None:
    """Return what is wrong with how a damaged sample is read, None when all is well."""
    begun = time.process_time()
    for read in (lambda: case.reader.read(case.path, NO_HINTS), lambda: read_all(case.path)):
        try:
            runs = read()
        except DiagnosticsError as problem:
            if "\n" in str(problem):
                return f"{case.name}: not one sentence: {problem}"
            continue
        except Exception as error:
            return f"{case.name}: {type(error).__name__}: {error}"
        for run in runs:
            for frame in (run.train, run.evals):
                if not (frame.index.is_unique and frame.index.is_monotonic_increasing):
                    return f"{case.name}: steps out of order"
                if len(frame) and frame.index[0] < 0:
                    return f"{case.name}: a negative step"
    took = time.process_time() - begun
    return f"{case.name}: took {took:.1f} s" if took > 2 * SECONDS else None


def peak_megabytes() -> float:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
