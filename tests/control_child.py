"""An agent whose runs are `ots run` in a child, for tests of commands alone.

python -m tests.control_child FOLDER [quick]

FOLDER is an enrolled data folder; every start is a line in its runs.log. `quick` runs measure nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ots.agent.duties import Duties
from ots.agent.ledger import Ledger
from ots.agent.order import Order
from ots.agent.remote_control import RemoteControl
from ots.remote.identity import identity
from ots.remote.membership import read_membership
from ots.session.rights import present_rights

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Admission:
    state: str
    reason: str | None = None


class ChildRuns:
    """One child for each order; the ledger lets each start once."""

    def __init__(self, folder: Path, ledger: Ledger, *, quick: bool) -> None:
        self._quick = quick
        self._folder = folder
        self._ledger = ledger
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.control: RemoteControl | None = None

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
        assert self.control is not None
        obedience = self.control.obedience
        if not self._ledger.start(order.order_id):
            return
        with (self._folder / "runs.log").open("a") as file:
            file.write(order.order_id + "\n")
        obedience.started(order.order_id)
        if self._quick:
            await asyncio.sleep(0.3)
            self._ledger.end(order.order_id, "finished", verdict="pass")
            obedience.ended(order.order_id)
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
        obedience.progressed(order.order_id, "latency", 0.5, "half of it")
        out, _ = await child.communicate()
        report = json.loads(out)
        facts = {"report_id": report.get("report_id"), "verdict": report.get("verdict")}
        self._ledger.end(order.order_id, "finished", **facts)
        obedience.ended(order.order_id)


async def main(folder: Path, *, quick: bool) -> None:
    membership = read_membership(folder)
    assert membership is not None
    ledger = Ledger.of(folder)
    found = ledger.close_interrupted()
    runs = ChildRuns(folder, ledger, quick=quick)
    control = RemoteControl(folder, membership, identity(folder), ledger, Duties(), runs, present_rights)
    runs.control = control
    await control.run(lambda: control.obedience.resume(list(found.waiting)))


if __name__ == "__main__":
    os.environ["OTS_DATA_DIR"] = sys.argv[1]
    asyncio.run(main(Path(sys.argv[1]), quick="quick" in sys.argv[2:]))
