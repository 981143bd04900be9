"""Going on reading a growing file from where the last reading ended."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

State = TypeVar("State")

# So many bytes before the place must be the same, or the file was written anew.
TAIL_BYTES = 64
MOST_KEPT = 32


class Kept(Generic[State]):
    """What was read of files so far, and up to where; the files read last are kept.

    A state is handed out to one reader at a time: another reader of the same file starts from
    its beginning.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._states: OrderedDict[str, tuple[int, int, bytes, State]] = OrderedDict()
        self._lock = threading.Lock()
        self._most = most

    def take(self, path: Path, stream: BinaryIO) -> tuple[int, State] | None:
        """Return the offset to go on from and the state there; None to start afresh.

        A file that became shorter, was replaced or was written anew is started afresh.
        """
        with self._lock:
            found = self._states.pop(str(path), None)
        if found is None:
            return None
        inode, offset, tail, state = found
        # The tail of a file that became shorter is shorter too.
        if os.fstat(stream.fileno()).st_ino != inode or _tail(stream, offset) != tail:
            return None
        return offset, state

    def keep(self, path: Path, stream: BinaryIO, offset: int, state: State) -> None:
        """Keep what was read of a file up to an offset."""
        inode = os.fstat(stream.fileno()).st_ino
        tail = _tail(stream, offset)
        with self._lock:
            self._states[str(path)] = inode, offset, tail, state
            while len(self._states) > self._most:
                self._states.popitem(last=False)


def _tail(stream: BinaryIO, offset: int) -> bytes:
    start = max(0, offset - TAIL_BYTES)
    stream.seek(start)
    return stream.read(offset - start)
