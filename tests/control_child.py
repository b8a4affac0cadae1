"""An agent that obeys its server and does nothing else, for tests of commands alone.

python -m tests.control_child FOLDER [quick|older]

FOLDER is an enrolled data folder; every start of a run is a line in its runs.log. `quick` runs measure
nothing, the others are `ots run`, as a person at the machine would start it. An
`older` one is of before the kind `preview`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ots.agent.duties import Duties
from ots.agent.ledger import Ledger
from ots.agent.order import Order
from ots.agent.remote_control import RemoteControl
from ots.agent.runs import Admission, Ended, Event, Progress, Started
from ots.remote import control_wire as wire
from ots.remote.identity import identity
from ots.remote.membership import read_membership
from ots.session.rights import present_rights

ROOT = Path(__file__).parents[1]


class OlderCommand(wire.Command, kw_only=True, frozen=True):
    """A command as agents of before `preview` read it."""

    kind: Literal["run", "stop", "status", "sync", "hold", "release", "diagnose", "ping"]


class ChildRuns:
    """One child for each order; the ledger lets each start once."""

    def __init__(self, folder: Path, ledger: Ledger, *, quick: bool) -> None:
        self._quick = quick
        self._folder = folder
        self._ledger = ledger
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tell: Callable[[Event], None] = lambda event: None

    def listen(self, callback: Callable[[Event], None]) -> None:
        self._tell = callback

    async def submit(self, order: Order) -> Admission:
        if len(self._tasks) >= 8:
            return Admission("refused", "busy")
        task = asyncio.create_task(self._run(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Admission("queued")

    async def stop(self, order_id: str | None, why: str) -> None:
        for known, child in self._children.items():
            if order_id in (None, known) and child.returncode is None:
                child.send_signal(2)

    async def hold(self) -> None:
        await self.stop(None, "held")

    def release(self) -> None:
        """Nothing was kept back."""

    async def _run(self, order: Order) -> None:
        if not self._ledger.start(order.order_id):
            return
        with (self._folder / "runs.log").open("a") as file:
            file.write(order.order_id + "\n")
        self._tell(Started(order.order_id))
        if self._quick:
            await asyncio.sleep(0.3)
            self._end(order.order_id, None, "pass")
            return
        given = [f"--var={name}={value}" for name, value in order.parameters.items()]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "cli.py", "run", order.case.name, *given, "--json", "--upload"),
            cwd=ROOT,
            env={**os.environ, "OTS_DATA_DIR": str(self._folder)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._children[order.order_id] = child
        self._tell(Progress(order.order_id, "latency", 0.5, "half of it"))
        out, _ = await child.communicate()
        report = json.loads(out)
        self._end(order.order_id, report.get("report_id"), report.get("verdict"))

    def _end(self, order_id: str, report_id: str | None, verdict: str | None) -> None:
        self._ledger.end(order_id, "finished", report_id=report_id, verdict=verdict)
        self._tell(Ended(order_id, "finished", report_id, verdict))


async def main(folder: Path, kind: str) -> None:
    if kind == "older":
        setattr(wire, "Command", OlderCommand)  # noqa: B010
    membership = read_membership(folder)
    assert membership is not None
    ledger = Ledger.of(folder)
    found = ledger.close_interrupted()
    runs = ChildRuns(folder, ledger, quick=kind == "quick")
    control = RemoteControl(folder, membership, identity(folder), ledger, Duties(), runs, present_rights)
    await control.run(found.waiting)


if __name__ == "__main__":
    os.environ["OTS_DATA_DIR"] = sys.argv[1]
    asyncio.run(main(Path(sys.argv[1]), "".join(sys.argv[2:])))
