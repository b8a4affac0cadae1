"""A machine that has something else to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy(busy_cores: bool = True) -> Iterator[None]:
    """Two spinning processes for each core until the block ends."""
    count = 2 * (os.cpu_count() or 1) if busy_cores else 0
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
