"""Does what the server says, as far as that is allowed: each command is examined, written down, answered.

The ledger comes before the answer. A command that is known is answered with its state and never done again,
a `stop` that comes before its `run` keeps that from starting, and one that was begun when this process was
killed is told to the server as interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from ots import __version__
from ots.agent.duties import Declined, Duties
from ots.agent.examining import Genuine, NoCommand, check_time, genuine
from ots.agent.ledger import Entry, Ledger, LedgerError
from ots.agent.order import Order
from ots.agent.ordering import order_of
from ots.agent.server_clock import ServerClock, since_boot
from ots.clock import rfc3339
from ots.license.document import moment as instant
from ots.license.policy import Entitlement
from ots.remote import control_wire as wire
from ots.remote.membership import Membership

log = logging.getLogger("ots.agent")

_BURST, _RATE = 64.0, 1.0
"""Commands that are taken on at once, and each second; what goes beyond is refused without being written."""

_LOOK_EVERY = 20.0
"""Seconds at most between two looks at the clock by what waits: it may have slept."""

_MOST_TEXT = 200


class Admitted(Protocol):
    """What became of an order that was handed in: `refused` in its state, or anything else."""

    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str | None: ...


class Runs(Protocol):
    """Whoever runs orders."""

    async def submit(self, order: Order) -> Admitted: ...
    async def stop(self, order_id: str | None, why: str) -> object: ...
    async def hold(self) -> None: ...
    def release(self) -> object: ...


class Obedience:
    """The listener of the agent's channel. `say` sends a message on the present line, if there is one."""

    def __init__(
        self,
        membership: Membership,
        ledger: Ledger,
        duties: Duties,
        runs: Runs,
        rights: Callable[[], Entitlement],
        say: Callable[[wire.FromAgent], None],
    ) -> None:
        self.clock = ServerClock(membership.clock_offset)
        self.on_hint: Callable[[str], None] = lambda what: None
        self.on_line: Callable[[], None] = lambda: None
        self._membership = membership
        self._ledger = ledger
        self._duties = duties
        self._runs = runs
        self._rights = rights
        self._say = say
        self._boot_id = str(uuid.uuid4())
        self._left = (_BURST, time.monotonic())
        self._busy: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Ends what waits for its moment; that is still in the ledger and begins at the next start."""
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    def hello(self) -> wire.Hello:
        """How every command stands that the server has not noted yet."""
        return wire.Hello(
            version=__version__,
            boot_id=self._boot_id,
            time=rfc3339(time.time()),
            last_seq=self._ledger.last_seq(),
            commands=[_standing(entry) for entry in self._ledger.untold()],
        )

    async def hear(self, message: wire.FromServer) -> None:
        """One message of the server."""
        if isinstance(message, wire.Welcome):
            with contextlib.suppress(ValueError):
                self.clock.hear(instant(message.time))
            self.on_line()
        elif isinstance(message, wire.Deliver):
            await self._take(message.command)
        elif isinstance(message, wire.Noted):
            self._ledger.tell(message.command_id)
        elif isinstance(message, wire.Hint):
            self.on_hint(message.what)

    async def resume(self, orders: Sequence[Order]) -> None:
        """Hands in what was written down before this start and has not begun."""
        for order in orders:
            if order.origin == "command":
                self._later(order)

    def started(self, order_id: str) -> None:
        """A run has begun."""
        if self._is_command(order_id):
            self._say(wire.Progress(command_id=order_id, started=True))

    def progressed(self, order_id: str, step: str | None, fraction: float | None, text: str | None) -> None:
        """A run goes on."""
        if self._is_command(order_id):
            self._say(wire.Progress(command_id=order_id, step=step, fraction=fraction, text=text))

    def ended(self, order_id: str) -> None:
        """A run has ended: how, says the ledger."""
        entry = self._ledger.get(order_id)
        if entry is not None and entry.seq is not None:
            self._say(wire.Done(standing=_standing(entry)))

    def _is_command(self, order_id: str) -> bool:
        """Whether it came from the server: a schedule's runs are no business of its commands."""
        entry = self._ledger.get(order_id)
        return entry is not None and entry.seq is not None

    async def _take(self, text: str) -> None:
        try:
            await self._examine(text)
        except NoCommand as refused:
            log.warning("a command was refused: %s (%s)", refused, refused.reason)
            if refused.command_id is not None:
                self._reject(refused.command_id, refused.reason, str(refused))
        except LedgerError as error:
            log.error("a command was not taken, the ledger can't be written: %s", error)

    async def _examine(self, text: str) -> None:
        found = genuine(text, self._membership)
        command = found.command
        known = self._ledger.get(command.command_id)
        if known is not None and known.seq is not None:
            self._again(known)
            return
        check_time(found, self.clock.now())
        if command.seq <= self._ledger.last_seq():
            raise NoCommand("out-of-order", "a later command came before this one", command.command_id)
        if not self._afford():
            raise NoCommand("too-many", "more commands than are taken on", command.command_id)
        if command.kind == "run":
            await self._run(found)
        elif command.kind == "stop":
            await self._stop(found)
        else:
            await self._duty(found)

    def _again(self, entry: Entry) -> None:
        self._say(wire.Ack(command_id=entry.order_id, answer="duplicate", state=entry.state))
        if entry.state not in ("recorded", "started"):
            self._say(wire.Done(standing=_standing(entry)))

    async def _run(self, found: Genuine) -> None:
        command = found.command
        order = order_of(
            command,
            self._rights(),
            not_before=self.clock.here(found.not_before),
            not_after=self.clock.here(found.not_after),
        )
        recorded = await asyncio.to_thread(
            self._ledger.record, order, issued=self.clock.here(found.issued), seq=command.seq
        )
        if recorded.state == "recorded":
            self._say(wire.Ack(command_id=order.order_id, answer="accepted", state="recorded"))
            self._later(order)
        else:
            self.ended(order.order_id)

    def _later(self, order: Order) -> None:
        self._keep(self._begin(order))

    async def _begin(self, order: Order) -> None:
        """Hands an order in at its moment, whoever sets this machine's clock meanwhile."""
        to_steady = since_boot() - time.time()
        begins, ends = order.not_before + to_steady, order.not_after + to_steady
        while (left := begins - since_boot()) > 0:  # noqa: ASYNC110 - nobody tells that it slept
            await asyncio.sleep(min(left, _LOOK_EVERY))
        entry = self._ledger.get(order.order_id)
        if entry is None or entry.state != "recorded":
            return
        if ends <= since_boot():
            self._ledger.end(order.order_id, "expired", reason="expired")
        else:
            to_wall = time.time() - since_boot()
            here = {"not_before": begins + to_wall, "not_after": ends + to_wall}
            admitted = await self._runs.submit(msgspec.structs.replace(order, **here))
            if admitted.state != "refused":
                return
            self._ledger.end(order.order_id, "refused", reason=admitted.reason or "refused")
        self.ended(order.order_id)

    async def _stop(self, found: Genuine) -> None:
        command = found.command
        try:
            wanted = msgspec.convert(command.args, wire.StopArgs).command_id
        except msgspec.ValidationError as error:
            raise NoCommand("malformed", f"args: {error}", command.command_id) from None
        await self._write_down(found)
        why = f"stopped by {command.issuer.user or 'the server'}"[:_MOST_TEXT]
        targets = [wanted] if wanted is not None else self._ledger.waiting()
        for target in targets:
            if self._ledger.tombstone(target):
                self.ended(target)
        await self._runs.stop(wanted, why)
        self._settle(command.command_id, None)

    async def _duty(self, found: Genuine) -> None:
        command = found.command
        duty = self._duties.get(command.kind)
        if duty is None:
            raise NoCommand("not-supported", f"this agent knows no {command.kind}", command.command_id)
        await self._write_down(found)
        self._keep(self._perform(command, duty))

    async def _perform(self, command: wire.Command, duty: Callable[[wire.Command], Any]) -> None:
        try:
            answer = await duty(command)
        except Declined as declined:
            self._ledger.end(command.command_id, "refused", reason=declined.reason)
            self.ended(command.command_id)
            return
        self._settle(command.command_id, answer)

    async def _write_down(self, found: Genuine) -> None:
        command = found.command
        await asyncio.to_thread(
            self._ledger.record_command,
            command.command_id,
            command.kind,
            issued=self.clock.here(found.issued),
            not_after=self.clock.here(found.not_after),
            seq=command.seq,
        )
        self._say(wire.Ack(command_id=command.command_id, answer="accepted", state="recorded"))

    def _settle(self, command_id: str, answer: Any) -> None:
        report_id = answer.get("report_id") if isinstance(answer, dict) else None
        self._ledger.start(command_id)
        self._ledger.end(command_id, "finished", answer=answer, report_id=report_id)
        self.ended(command_id)

    def _reject(self, command_id: str, reason: str, text: str) -> None:
        self._say(wire.Ack(command_id=command_id, answer="rejected", reason=reason, text=text[:_MOST_TEXT]))

    def _afford(self) -> bool:
        now = time.monotonic()
        left = min(_BURST, self._left[0] + (now - self._left[1]) * _RATE)
        self._left = (max(left - 1, left if left < 1 else 0.0), now)
        return left >= 1

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._busy.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a command could not be carried out", exc_info=task.exception())


def _standing(entry: Entry) -> wire.Standing:
    return wire.Standing(
        command_id=entry.order_id,
        state=entry.state,
        reason=entry.reason,
        report_id=entry.report_id,
        verdict=entry.verdict,
        answer=entry.answer,
    )
