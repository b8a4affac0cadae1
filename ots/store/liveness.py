"""Is the process that writes a run still alive? A locked file for each run knows.

The kernel drops the lock when the process ends, however it ends. Process ids can't do this: they are reused,
and mean nothing across containers that share a folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of the process.

    `flock` belongs to the open file, so a second attempt in the same process fails as one elsewhere does.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path, *, wait: bool = False) -> FileLock | None:
        """Takes the lock, or gives None if somebody has it. `wait` waits for it instead."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            if _still_there(path, descriptor):
                return cls(path, descriptor)
            os.close(descriptor)  # its last holder removed the file between our open and our lock

    def release(self, *, remove: bool = False) -> None:
        """Gives the lock back; `remove` takes the file away while it is still held."""
        if self._descriptor is None:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lets one process at a time through."""
    lock = FileLock.take(path, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
