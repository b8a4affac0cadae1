"""Runs orders, each in a process of its own: a queue, one run at a time on a link that wants to be alone.

An order comes in through `submit` and ends in the ledger. Whoever listens hears of it as it goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ots.agent.child import Child, Finished
from ots.agent.order import Order
from ots.session import hold

log = logging.getLogger("ots.agent")

MOST_WAITING = 8
"""Orders that wait for their turn; one more is refused as `busy`."""

MOST_TOGETHER = 4
"""Runs at the same time, where none of them wants its link for itself."""

_LOOK_EVERY = 0.25

EndState = Literal["finished", "interrupted", "expired", "refused"]


class Log(Protocol):
    """What makes an order run at most once: `ots.agent.ledger.Ledger`."""

    def start(self, order_id: str) -> bool: ...
    def end(
        self,
        order_id: str,
        state: EndState,
        *,
        reason: str | None = None,
        report_id: str | None = None,
        verdict: str | None = None,
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether an order was taken in: `queued`, or `refused` with the reason."""

    state: Literal["queued", "refused"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    order_id: str


@dataclass(frozen=True, slots=True)
class Progress:
    """`fraction` is of the step, from 0 to 1; None where nobody knows."""

    order_id: str
    step: str | None
    fraction: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How an order ended. `moved` are the bytes that its run moved."""

    order_id: str
    state: EndState
    report_id: str | None = None
    verdict: str | None = None
    reason: str | None = None
    moved: int = 0


Event = Started | Progress | Ended


@dataclass(slots=True)
class _Waiting:
    order: Order
    link: str | None


@dataclass(slots=True)
class _Running:
    order: Order
    link: str | None
    child: Child
    since: float
    why: str | None = None
    step: str | None = None
    fraction: float | None = None


class Runs:
    """The queue and the children. Everything here happens in one event loop; `close` ends what runs."""

    def __init__(
        self,
        folder: Path,
        ledger: Log,
        wall: Callable[[], float] = time.time,
        wants_link: Callable[[Order], str | None] = lambda order: None,
    ) -> None:
        """`wants_link` says of an order that came without one what link it wants for itself; called aside."""
        self._wants_link = wants_link
        self._folder = folder
        self._ledger = ledger
        self._wall = wall
        self._waiting: list[_Waiting] = []
        self._running: dict[str, _Running] = {}
        self._listeners: list[Callable[[Event], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._closed = False
        self._turn: asyncio.Task[None] | None = None

    @property
    def running(self) -> list[_Running]:
        return list(self._running.values())

    @property
    def waiting(self) -> list[Order]:
        return [each.order for each in self._waiting]

    def listen(self, callback: Callable[[Event], None]) -> None:
        """From now on the callback hears of every event; it must return at once."""
        self._listeners.append(callback)

    async def submit(self, order: Order, *, link: str | None = None) -> Admission:
        """Takes an order in that the ledger has recorded. `link` is what it wants for itself, if anything."""
        if self._closed:
            return Admission("refused", "stopping")
        held = hold.held(self._folder)
        if held is not None:
            return Admission("refused", str(held))
        if link is None:
            link = await asyncio.to_thread(self._wants_link, order)
        if len(self._waiting) >= MOST_WAITING:
            return Admission("refused", "busy")
        self._waiting.append(_Waiting(order, link))
        if self._turn is None:
            self._turn = asyncio.create_task(self._take_turns(), name="runs")
        self._changed.set()
        return Admission("queued")

    async def stop(self, order_id: str | None, why: str) -> bool:
        """Ends a run with what it has measured, or takes it off the queue; None means all of them."""
        wanted = [each for each in self._waiting if order_id in (None, each.order.order_id)]
        for each in wanted:
            self._waiting.remove(each)
            self._end(Ended(each.order.order_id, "refused", reason=why))
        running = [run for run in self.running if order_id in (None, run.order.order_id)]
        for run in running:
            run.why = run.why or why
            run.child.interrupt()
        return bool(wanted or running)

    async def hold(self) -> None:
        """A hold has been placed: what waits is refused; running children look at the hold themselves."""
        held = hold.held(self._folder)
        for each in list(self._waiting):
            self._waiting.remove(each)
            self._end(Ended(each.order.order_id, "refused", reason=str(held or "held")))

    def release(self) -> None:
        """The hold is lifted: nothing was kept back, so that nothing is made up for."""
        self._changed.set()

    async def close(self, patience: float) -> None:
        """Takes nothing in any more and ends what runs; kills what goes on after `patience` seconds."""
        self._closed = True
        self._waiting.clear()  # they stay recorded, and begin once at the next start if they still may
        for run in self.running:
            run.why = run.why or "the agent stops"
            run.child.interrupt()
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=patience)
            for run in self.running if late else ():
                run.child.kill()
            if late:
                await asyncio.wait(late)
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.gather(self._turn, return_exceptions=True)

    async def _take_turns(self) -> None:
        """Starts what may start, each time something has changed or a moment has come."""
        while True:
            self._changed.clear()
            if self._waiting and hold.held(self._folder) is not None:
                await self.hold()
            for each in list(self._waiting):
                self._consider(each)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_moment()):
                    await self._changed.wait()

    def _next_moment(self) -> float | None:
        if not self._waiting:
            return None
        now = self._wall()
        soonest = min(
            each.order.not_before if each.order.not_before > now else each.order.not_after
            for each in self._waiting
        )
        return min(max(soonest - now, _LOOK_EVERY), 60.0)

    def _consider(self, each: _Waiting) -> None:
        order, now = each.order, self._wall()
        if order.not_after < now:
            self._waiting.remove(each)
            self._end(Ended(order.order_id, "expired", reason="its time was over before it could begin"))
        elif order.not_before <= now and self._room(each.link):
            self._waiting.remove(each)
            if self._ledger.start(order.order_id):
                self._begin(each)
            else:
                log.info("The order %s has had its one run", order.order_id)

    def _room(self, link: str | None) -> bool:
        if len(self._running) >= MOST_TOGETHER:
            return False
        alone = {run.link for run in self._running.values() if run.link is not None}
        return link is None or link not in alone

    def _begin(self, each: _Waiting) -> None:
        run = _Running(each.order, each.link, Child(each.order), self._wall())
        self._running[each.order.order_id] = run
        task = asyncio.create_task(self._attend(run), name=f"run {each.order.order_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, run: _Running) -> None:
        """Follows one child to its end, whatever that is."""
        order_id = run.order.order_id
        self._tell(Started(order_id))

        def progressed(step: str | None, fraction: float | None, text: str) -> None:
            run.step, run.fraction = step, fraction
            self._tell(Progress(order_id, step, fraction, text))

        try:
            found = await run.child.run(run.order.max_duration, progressed)
        except OSError as error:
            found = Finished("refused", reason=f"no process for the run: {error.strerror or error}")
        finally:
            self._running.pop(order_id, None)
        self._end(
            Ended(
                order_id,
                found.state,
                found.report_id,
                found.verdict,
                run.why or found.reason,
                found.moved,
            )
        )

    def _end(self, ended: Ended) -> None:
        with _logged(f"the end of {ended.order_id} could not be written down"):
            self._ledger.end(
                ended.order_id,
                ended.state,
                reason=ended.reason,
                report_id=ended.report_id,
                verdict=ended.verdict,
            )
        self._tell(ended)
        self._changed.set()

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            with _logged("a listener failed"):
                listener(event)


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """One fault is not to end everything that runs: it is written down with its place."""
    try:
        yield
    except Exception:  # noqa: BLE001
        log.exception("%s", what)
