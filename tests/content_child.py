"""Agents that die while they synchronise: forks that kill themselves at a chosen step.

python -m tests.content_child     # reads `STEP FOLDER`, prints `killed` or `done`

The parent imports everything once; each line makes a child of it that synchronises and dies (SIGKILL) as it
comes to the STEP-th of its fail-points: before each effect on the disk, hence after the one before it.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from ots.remote.content import sync

_POINTS: tuple[tuple[Any, str], ...] = (
    (os, "replace"),
    (os, "symlink"),
    (os, "remove"),
    (os, "fsync"),
    (pathlib.Path, "unlink"),
)


class Children:
    """Runs this module as a process, and its children one by one."""

    def __enter__(self) -> Children:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.content_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()

    def sync(self, folder: Path, step: int) -> str:
        """`killed`, or `done` where there were not so many steps."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{step} {folder}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


def _die_at(step: int) -> None:
    passed = [0]

    def point() -> None:
        passed[0] += 1
        if passed[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def around(*arguments: Any, **more: Any) -> Any:
            point()
            return work(*arguments, **more)

        return around

    for owner, name in _POINTS:
        setattr(owner, name, watched(getattr(owner, name)))


def main() -> None:
    for line in sys.stdin:
        step, _, folder = line.strip().partition(" ")
        child = os.fork()
        if not child:
            _die_at(int(step))
            asyncio.run(sync(Path(folder)))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else "done" if status == 0 else f"failed {status}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
