"""A machine that has something else to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy(busy_cores: bool = True, *, strangers: bool = False) -> Iterator[None]:
    """Two spinning processes for each core until the block ends.

    `strangers`: each in a session of its own, as programs are that have nothing to do with the one measured.
    A kernel with autogroups (sched(7)) lets sessions take turns: who wakes up then often waits for
    milliseconds, beside spinners of its own session seldom.
    """
    count = 2 * (os.cpu_count() or 1) if busy_cores else 0
    command = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(command, start_new_session=strangers) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
