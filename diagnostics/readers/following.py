"""Going on reading a growing file from where the last reading ended."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

from diagnostics.readers.opening import open_log
from diagnostics.run import Run

State = TypeVar("State")

# So many bytes before the place must be the same, or the file was written anew.
TAIL_BYTES = 64
MOST_KEPT = 32
# Rows that are held one by one take about two kilobytes each; more of them are read again.
MOST_ROWS = 200_000


@dataclass(frozen=True)
class Place:
    """Up to where a file was read, and what tells that it is still that file."""

    inode: int
    offset: int
    tail: bytes

    @classmethod
    def in_file(cls, stream: BinaryIO, offset: int) -> Place:
        """Return the place at an offset of an open file."""
        return cls(os.fstat(stream.fileno()).st_ino, offset, _tail(stream, offset))

    def goes_on(self, stream: BinaryIO) -> bool:
        """Say whether a file goes on from here: it was not cut, replaced or written anew."""
        # The tail of a file that became shorter is shorter too.
        is_same = os.fstat(stream.fileno()).st_ino == self.inode
        return is_same and _tail(stream, self.offset) == self.tail


def _tail(stream: BinaryIO, offset: int) -> bytes:
    start = max(0, offset - TAIL_BYTES)
    stream.seek(start)
    return stream.read(offset - start)


class Lines(Protocol):
    """What was read of a file: `offset` is the end of its last whole line."""

    offset: int

    @property
    def is_bulky(self) -> bool:
        """Whether it takes too much memory to be kept until the file has grown."""

    def read_on(self, stream: BinaryIO) -> None:
        """Add what stands from the stream's position on, which is `offset`."""


Read = TypeVar("Read", bound=Lines)


class GrowingFile(Generic[Read]):
    """What was read of one file so far; only what was appended since is read then."""

    def __init__(self, start: Callable[[], Read]) -> None:
        self._start = start
        self._kept: tuple[Place, Read] | None = None

    def read(self, path: Path) -> Read:
        """Return what the file holds now.

        Raises
        ------
        ReadError
            When the system refuses to read it.
        """
        with open_log(path) as stream:
            kept, self._kept = self._kept, None
            goes_on = kept is not None and kept[0].goes_on(stream)
            found = kept[1] if kept is not None and goes_on else self._start()
            stream.seek(found.offset)
            found.read_on(stream)
            if not found.is_bulky:
                self._kept = Place.in_file(stream, found.offset), found
        return found


class Growing(Protocol):
    """The runs of one growing log.

    `appended` says of the last `read` that rows were only added behind those of the one before.
    """

    appended: bool

    def read(self) -> tuple[Run, ...]:
        """Return the runs now, having parsed only what was appended since the last call."""


class GrowingLog(Generic[Read]):
    """The runs of a log that is one file: `runs` makes them of what was read of it."""

    appended = False

    def __init__(
        self, path: Path, start: Callable[[], Read], runs: Callable[[Read], tuple[Run, ...]]
    ) -> None:
        self._path = path
        self._file = GrowingFile(start)
        self._runs = runs

    def read(self) -> tuple[Run, ...]:
        """Return the runs now, having parsed only what was appended since the last call."""
        return self._runs(self._file.read(self._path))


class Kept(Generic[State]):
    """What was read of files so far, and up to where; the files read last are kept.

    A state is handed out to one reader at a time: another reader of the same file starts from
    its beginning.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._states: OrderedDict[str, tuple[Place, State]] = OrderedDict()
        self._lock = threading.Lock()
        self._most = most

    def take(self, path: Path, stream: BinaryIO) -> tuple[int, State] | None:
        """Return the offset to go on from and the state there; None to start afresh."""
        with self._lock:
            found = self._states.pop(str(path), None)
        if found is None or not found[0].goes_on(stream):
            return None
        return found[0].offset, found[1]

    def keep(self, path: Path, stream: BinaryIO, offset: int, state: State) -> None:
        """Keep what was read of a file up to an offset."""
        place = Place.in_file(stream, offset)
        with self._lock:
            self._states[str(path)] = place, state
            while len(self._states) > self._most:
                self._states.popitem(last=False)
