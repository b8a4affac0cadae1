"""Files that are replaced whole: a reader finds the old content or the new, also after a power cut."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replaces the file's content. Raises OSError.

    A new file, and a folder made for it, is its owner's alone. A file that exists keeps its rights, and a
    symbolic link stays one: what it points at is replaced.
    """
    place = Path(os.path.realpath(path))
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            os.chmod(draft, place.stat().st_mode & 0o777)
        os.replace(draft, place)
    finally:
        Path(draft).unlink(missing_ok=True)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
