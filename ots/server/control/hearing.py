"""Keeps what agents say of their commands: many in one transaction, then confirmed to each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.remote import control_wire as wire
from ots.server.control.bus import Bus, Change
from ots.server.control.gateway import Gateway
from ots.server.control.issuing import catch_up
from ots.server.control.states import FINAL, GUESSED, State, may_move
from ots.server.control.steadily import steadily
from ots.server.database.control_tables import command, command_event
from ots.server.database.database import DatabaseAway, DatabaseFull

if TYPE_CHECKING:
    from ots.server.services import Services

_AT_ONCE = 300
_MOST_WAITING = 20_000
_PAUSE = 1.0
_PROGRESS_PAUSE = 1.0
_LINE = 200
_MOST_ANSWER = 64 << 10

_GOING_ON: tuple[wire.Settled, ...] = ("recorded", "started")
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
        self._singly = 0
        """So many of those that wait are kept one by one, since together they could not be."""
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
        batch = self._waiting[: 1 if self._singly else _AT_ONCE]
        try:
            noted = await self._keep(batch)
        except (DatabaseAway, DatabaseFull):
            raise
        except Exception:
            # One of them can't be kept, and must not hold up the others for ever.
            if len(batch) > 1:
                self._singly = len(batch)
            else:
                self._done_with(batch)
            raise
        self._done_with(batch)
        for agent_id, command_id in noted:
            line = self._gateway.line_of(agent_id)
            if line is not None:
                await line.send(wire.Noted(command_id=command_id))

    def _done_with(self, batch: Sequence[tuple[str, wire.FromAgent]]) -> None:
        del self._waiting[: len(batch)]
        self._singly = max(0, self._singly - len(batch))

    async def _keep(self, batch: Sequence[tuple[str, wire.FromAgent]]) -> list[tuple[str, str]]:
        """Returns which commands of which agents have ended for good and may be forgotten by them."""
        now = self._services.wall()
        said = [(agent_id, standing) for agent_id, message in batch for standing in _standings(message)]
        ahead = [
            (agent_id, message.last_seq)
            for agent_id, message in batch
            if isinstance(message, wire.Hello) and 0 < message.last_seq < 1 << 53
        ]
        if not (said or ahead):
            return []
        async with self._bus.changing() as change:
            for start in range(0, len(said), _AT_ONCE):
                await _settle(change, said[start : start + _AT_ONCE], now)
            for agent_id, seq in ahead:
                await catch_up(change.connection, agent_id, seq)
        return [(agent_id, one.command_id) for agent_id, one in said if one.state not in _GOING_ON]

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


async def _settle(change: Change, said: Sequence[tuple[str, wire.Standing]], now: float) -> None:
    """Takes over how commands stand. Their rows are locked first, so that nobody moves them meanwhile."""
    found = await change.connection.execute(
        select(command.c.command_id, command.c.agent_id, command.c.state, command.c.run_id)
        .where(command.c.command_id.in_({standing.command_id for _, standing in said}))
        .order_by(command.c.command_id)
        .with_for_update()
    )
    rows = {(row.agent_id, row.command_id): row for row in found}
    states: dict[str, State] = {row.command_id: row.state for row in rows.values()}
    moved: dict[str, dict[str, Any]] = {}
    only_said: list[dict[str, Any]] = []
    events = []
    for agent_id, standing in said:
        row = rows.get((agent_id, standing.command_id))
        if row is None:
            continue
        after, going_on = _STATES[standing.state], standing.state in _GOING_ON
        reason = _short(standing.reason) or (
            None if going_on or standing.state == "finished" else standing.state
        )
        if may_move(states[row.command_id], after):
            states[row.command_id] = after
            moved[row.command_id] = moved.get(row.command_id, {}) | {
                "of": row.command_id,
                "now_state": after,
                "now_open": after not in FINAL,
                "now_reason": reason,
                "now_said": standing.state,
                **_outcome(after, standing),
            }
            event = {"command_id": row.command_id, "time": now, "state": after, "reason": reason}
            events.append({**event, "by": f"agent {agent_id}"})
            change.tell(f"k:{row.command_id}", *([f"r:{row.run_id}"] if row.run_id else []))
        elif not going_on and states[row.command_id] in GUESSED:
            only_said.append({"of": row.command_id, "now_said": standing.state})
    await _write(change.connection, list(moved.values()), only_said, events, now)


def _outcome(after: State, standing: wire.Standing) -> dict[str, Any]:
    """What comes with the end of a command."""
    if after not in ("done", "rejected"):
        return {}
    return {
        "now_verdict": _short(standing.verdict),
        "now_report_id": _short(standing.report_id),
        "now_answer": _answer(standing.answer),
    }


async def _write(
    connection: AsyncConnection,
    moved: Sequence[dict[str, Any]],
    only_said: Sequence[dict[str, Any]],
    events: Sequence[dict[str, Any]],
    now: float,
) -> None:
    """Writes rows that are locked: those that go on, those that ended, and what else was said."""
    of = update(command).where(command.c.command_id == bindparam("of"))
    states = {
        "state": bindparam("now_state"),
        "open": bindparam("now_open"),
        "reason": bindparam("now_reason"),
        "said": bindparam("now_said"),
        "changed": now,
    }
    ends: dict[str, Any] = {name: bindparam(f"now_{name}") for name in ("verdict", "report_id", "answer")}
    ended = [row for row in moved if "now_verdict" in row]
    going_on = [row for row in moved if "now_verdict" not in row]
    for statement, rows in (
        (of.values(**states), going_on),
        (of.values(**states, **ends, progress=None), ended),
        (of.values(said=bindparam("now_said")), only_said),
        (insert(command_event), events),
    ):
        if rows:
            await connection.execute(statement, list(rows))


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
