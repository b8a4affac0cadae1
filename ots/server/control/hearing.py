"""Keeps what agents say of their commands: many in one transaction, then confirmed to each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from ots.remote import control_wire as wire
from ots.server.control.bus import Bus, Change
from ots.server.control.gateway import Gateway
from ots.server.control.issuing import catch_up
from ots.server.control.states import GUESSED, State, move
from ots.server.control.steadily import steadily
from ots.server.database.control_tables import command

if TYPE_CHECKING:
    from ots.server.services import Services

_AT_ONCE = 300
_MOST_WAITING = 20_000
_PAUSE = 1.0
_PROGRESS_PAUSE = 1.0
_LINE = 200
_MOST_ANSWER = 64 << 10

_STATES: dict[wire.Settled, State] = {
    "recorded": "accepted",
    "started": "started",
    "finished": "done",
    "interrupted": "done",
    "expired": "expired",
    "refused": "rejected",
    "missed": "done",
    "tombstoned": "cancelled",
}
"""What the agent's ledger means for the server's state."""


class Hearing:
    """One task. What can't be kept for want of a database is said again by the agent when it reconnects."""

    def __init__(self, services: Services, bus: Bus, gateway: Gateway) -> None:
        self._services = services
        self._bus = bus
        self._gateway = gateway
        self._waiting: list[tuple[str, wire.FromAgent]] = []
        self._progress: dict[str, tuple[str, wire.Progress]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._progress_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="control hearing")
        self._progress_task = asyncio.create_task(self._write_progress(), name="control progress")

    async def close(self) -> None:
        for task in (self._task, self._progress_task):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def take(self, agent_id: str, message: wire.FromAgent) -> bool:
        """Puts a message in line; False where too many wait: the line is to be closed, and comes again."""
        if isinstance(message, wire.Progress) and not message.started:
            self._progress[message.command_id] = (agent_id, message)
            return True
        if len(self._waiting) >= _MOST_WAITING:
            return False
        self._waiting.append((agent_id, message))
        self._wake.set()
        return True

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                if not await steadily("what agents say of commands", self._keep_some):
                    await asyncio.sleep(_PAUSE)

    async def _keep_some(self) -> None:
        """Keeps a batch, takes it off the list, and confirms."""
        batch = self._waiting[:_AT_ONCE]
        noted = await self._keep(batch)
        del self._waiting[: len(batch)]
        for agent_id, command_id in noted:
            line = self._gateway.line_of(agent_id)
            if line is not None:
                await line.send(wire.Noted(command_id=command_id))

    async def _keep(self, batch: Sequence[tuple[str, wire.FromAgent]]) -> list[tuple[str, str]]:
        """Returns which commands of which agents have ended for good and may be forgotten by them."""
        noted: list[tuple[str, str]] = []
        now = self._services.wall()
        async with self._bus.changing() as change:
            for agent_id, message in batch:
                for standing in _standings(message):
                    if await self._settle(change, agent_id, standing, now):
                        noted.append((agent_id, standing.command_id))
                if isinstance(message, wire.Hello) and 0 < message.last_seq < 1 << 53:
                    await catch_up(change.connection, agent_id, message.last_seq)
        return noted

    async def _settle(self, change: Change, agent_id: str, standing: wire.Standing, now: float) -> bool:
        """Takes over how a command stands; True where the agent need not say it again."""
        row = (
            await change.connection.execute(
                select(command.c.state, command.c.run_id, command.c.lost_after).where(
                    command.c.command_id == standing.command_id, command.c.agent_id == agent_id
                )
            )
        ).one_or_none()
        if row is None:
            return True
        after = _STATES[standing.state]
        final = standing.state not in ("recorded", "started")
        facts: dict[str, Any] = {"said": standing.state}
        if after in ("done", "rejected"):
            facts |= {
                "verdict": _short(standing.verdict),
                "report_id": _short(standing.report_id),
                "answer": _answer(standing.answer),
                "progress": None,
            }
        moved = await move(
            change.connection,
            standing.command_id,
            after,
            now=now,
            by=f"agent {agent_id}",
            reason=_short(standing.reason)
            or (standing.state if final and standing.state != "finished" else None),
            **facts,
        )
        if not moved and final and row.state in GUESSED:
            await change.connection.execute(
                update(command).where(command.c.command_id == standing.command_id).values(said=standing.state)
            )
        if moved:
            change.tell(f"k:{standing.command_id}", *([f"r:{row.run_id}"] if row.run_id else []))
        return final

    async def _write_progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_PAUSE)
            batch, self._progress = self._progress, {}
            if batch:
                await steadily("progress of runs", partial(self._keep_progress, batch))

    async def _keep_progress(self, batch: dict[str, tuple[str, wire.Progress]]) -> None:
        async with self._bus.changing() as change:
            for command_id, (agent_id, message) in batch.items():
                done = await change.connection.execute(
                    update(command)
                    .where(
                        command.c.command_id == command_id,
                        command.c.agent_id == agent_id,
                        command.c.state.in_(("accepted", "started")),
                    )
                    .values(
                        progress=json.dumps(
                            {
                                "step": _short(message.step),
                                "fraction": _fraction(message.fraction),
                                "text": _short(message.text),
                            }
                        )
                    )
                    .returning(command.c.run_id)
                )
                run_id = done.scalar()
                change.tell(f"k:{command_id}", *([f"r:{run_id}"] if run_id else []))


def _standings(message: wire.FromAgent) -> list[wire.Standing]:
    """What a message says of commands."""
    if isinstance(message, wire.Hello):
        return message.commands
    if isinstance(message, wire.Done):
        return [message.standing]
    if isinstance(message, wire.Progress):
        return [wire.Standing(command_id=message.command_id, state="started")] if message.started else []
    states: dict[str, wire.Settled] = {"accepted": "recorded", "rejected": "refused"}
    state = message.state if message.answer == "duplicate" else states[message.answer]
    if state is None or (message.answer == "duplicate" and state not in ("recorded", "started")):
        return []  # how it ended comes by itself, with all that belongs to it
    return [wire.Standing(command_id=message.command_id, state=state, reason=message.reason)]


def _short(text: str | None) -> str | None:
    return None if text is None else text.replace("\x00", "")[:_LINE]


def _fraction(value: float | None) -> float | None:
    return None if value is None or not 0 <= value <= 1 else value


def _answer(value: Any) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False).replace("\\u0000", "")
    return text if len(text) <= _MOST_ANSWER else None
