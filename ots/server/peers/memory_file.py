"""A file that lies in memory and has no name: what workers share, and what sendfile(2) sends from."""

from __future__ import annotations

import os
import tempfile


def memory_file(name: str, size: int) -> int:
    """The descriptor of a new one, all zeros; a nameless file on disk where the system has none in memory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name)
    else:
        descriptor, path = tempfile.mkstemp(prefix=name)
        os.unlink(path)
    os.ftruncate(descriptor, size)
    return descriptor
