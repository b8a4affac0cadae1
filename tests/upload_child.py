"""Agents that die: forks that measure and send until they are killed, at a chosen step or at any moment.

python -m tests.upload_child FOLDER REPORTS    # reads `step N` or `after SECONDS`, prints `killed` or `done`

The parent imports everything once; each line makes a child of it that stores reports and sends what waits.
With `step N` the child kills itself (SIGKILL) as it passes the N-th of its fail-points; with `after SECONDS`
the parent kills it then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

from ots.remote.client import Client
from ots.store import Store, queue_note
from ots.store.outbox import Outbox
from ots.store.writer import RunWriter
from tests.agent_kit import Agent

POINTS: tuple[tuple[Any, str], ...] = (
    (Store, "begin"),
    (RunWriter, "step"),
    (RunWriter, "finish"),
    (queue_note, "write"),
    (Outbox, "begin_try"),
    (Client, "call"),
    (Outbox, "sent"),
    (Outbox, "gap_sent"),
)
"""Before and after each of these the child can die: that is between any two effects on disk or network."""


class Children:
    """Runs this module as a process, and its children one by one."""

    def __init__(self, folder: Path, reports: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.upload_child", str(folder), str(reports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, order: str) -> bool:
        """Runs one child to its end; whether it was killed."""
        self.begin(order)
        return self.end()

    def begin(self, order: str) -> None:
        """Starts a child and returns at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def end(self) -> bool:
        """Waits for the child; whether it was killed."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline().strip()
        assert answer in ("killed", "done"), "the child's parent has died"
        return answer == "killed"

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()


def main(folder: Path, reports: int) -> None:
    agent = Agent(folder)
    for line in sys.stdin:
        word, number = line.split()
        child = os.fork()
        if child == 0:
            work(agent, reports, int(number) if word == "step" else None)
        if word == "after":
            time.sleep(float(number))
            os.kill(child, signal.SIGKILL)
        _pid, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "done", flush=True)  # noqa: T201


def work(agent: Agent, reports: int, death: int | None) -> Never:
    """Some runs and one pass over the queue, then the end of the process."""
    if death is not None:
        arm(death)
    with Store.open(agent.folder) as store:
        for _ in range(reports):
            agent.measure(store)
        agent.send(store)
    os._exit(0)


def arm(death: int) -> None:
    """Puts a fail-point before and after each of POINTS; the one with this number kills the process."""
    passed = 0

    def point() -> None:
        nonlocal passed
        if passed == death:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    for holder, name in POINTS:
        setattr(holder, name, around(getattr(holder, name), point, is_async=name == "call"))


def around(original: Callable[..., Any], point: Callable[[], None], *, is_async: bool) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        point()
        found = original(*arguments, **named)
        point()
        return found

    async def awaited(*arguments: Any, **named: Any) -> Any:
        point()
        found = await original(*arguments, **named)
        point()
        return found

    return awaited if is_async else wrapped


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
