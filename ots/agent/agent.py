"""The resident agent: runs what is planned when its moment has come, with or without a server, for weeks.

It alone decides and the ledger remembers; each run is a process of its own. A moment is written into the
ledger before it counts as settled, so that a kill at whatever time neither loses a run nor makes it two.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ots.agent import link_accounts, unrun
from ots.agent.assignment_duty import AssignmentDuty
from ots.agent.awake import Awake
from ots.agent.content_duty import ContentDuty
from ots.agent.duties import Duties
from ots.agent.ledger import Entry, Ledger, LedgerError
from ots.agent.notify import Notifier
from ots.agent.order import Order
from ots.agent.passing import Clocks, absence
from ots.agent.plan_book import PlanBook
from ots.agent.plans import Planned
from ots.agent.presence import Presence, read_state
from ots.agent.remote_control import RemoteControl
from ots.agent.runs import Ended, Event, Progress, Runs
from ots.agent.understanding import Refused, understand, wants_its_link
from ots.clock import rfc3339
from ots.config import Settings
from ots.netio.attachment.routing import default_way
from ots.remote.identity import identity
from ots.remote.membership import Membership, MembershipError, read_membership
from ots.remote.sending import send_waiting
from ots.schedule.placing import Placement, decide, ended, next_moment
from ots.schedule.state import Absence, Job, World
from ots.session import hold
from ots.session.link_budget import budgets, main_link
from ots.session.link_record import LinkRecordError
from ots.session.rights import present_rights
from ots.store import Store, StoreError

log = logging.getLogger("ots.agent")

LOOK_EVERY = 20.0
"""Seconds at most between two looks at the clocks: how late a set clock is noticed."""

_MOST_UNWRITTEN = 500
"""Reports of what did not run that wait in memory for room on the disk."""

_SEND_EVERY = 60.0
_SEND_FOR = 15.0
_END_WITHIN = 20.0
_SAME_AGAIN = 3600.0
"""Seconds after which a schedule that does not run for the same reason as before is reported anew."""


@dataclass(frozen=True, slots=True)
class _Unrun:
    """A report of what did not run, to be stored."""

    order: Order
    what: str
    reason: str
    count: int = 1
    until: float | None = None


class Agent:
    """One resident process. `run` returns after `stop`."""

    def __init__(self, settings: Settings, notifier: Notifier | None = None) -> None:
        self._settings = settings
        self._folder = settings.data_dir
        self._notifier = notifier or Notifier()
        self._awake = Awake()
        self._since = time.time()
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._to_send = asyncio.Event()
        self._line_is_back = False
        self._book = PlanBook(settings)
        self._plans: dict[str, Planned] = {}
        self._by_order: dict[str, str] = {}
        self._last: dict[str, tuple[str, float]] = {}
        self._unwritten: deque[_Unrun] = deque(maxlen=_MOST_UNWRITTEN)
        self._side: set[asyncio.Task[None]] = set()
        self._state = read_state(self._folder)

    def stop(self) -> None:
        """Ends what runs, keeps what waits, and returns from `run`."""
        self._stopping.set()
        self._wake.set()

    def _look_again(self) -> None:
        """Somebody has changed something and does not want to wait."""
        self._book.forget()
        self._wake.set()

    async def run(self) -> None:
        """Raises AlreadyRunning, LedgerError, StoreError, OSError where it can't begin."""
        self._presence = Presence(self._folder)
        try:
            self._ledger = Ledger.of(self._folder)
            try:
                while not self._stopping.is_set():
                    await self._live()
            finally:
                self._ledger.close()
        finally:
            self._presence.leave()

    async def _live(self) -> None:
        """Until it is stopped, or belongs to another server than when this began, or to one at all."""
        found = self._ledger.close_interrupted()
        self._runs = Runs(self._folder, self._ledger, wants_link=self._wanted_link)
        self._runs.listen(self._heard)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._look_again)
        await asyncio.to_thread(self._report_interrupted, found.interrupted)
        tasks = [asyncio.create_task(self._send_now_and_then(), name="uploads")]
        if self._notifier.interval is not None:
            tasks.append(asyncio.create_task(self._sign_of_life(self._notifier.interval), name="watchdog"))
        membership = self._membership()
        self._place = _place_of(membership)
        if membership is not None:
            control = self._remote(membership)
            orders = [
                order
                for order in found.waiting
                if order.origin == "command" and order.issuer.server_id == membership.server_id
            ]
            tasks.append(asyncio.create_task(control.run(orders), name="control"))
            tasks += self._follow(control, membership)
        try:
            await asyncio.to_thread(self._look_up_plans)
            for order in found.waiting:
                if order.origin != "command":
                    planned = self._plans.get(order.tags.get("ots.schedule", ""))
                    if planned is not None:
                        self._by_order[order.order_id] = planned.job.schedule_id
                    alone = planned is not None and planned.job.exclusive
                    await self._runs.submit(order, link=planned.job.link if planned and alone else None)
            self._notifier.ready()
            log.info("The agent runs: %d schedules", len(self._plans))
            await self._keep_time()
        finally:
            if self._stopping.is_set():
                self._notifier.stopping()
            await self._runs.close(_END_WITHIN)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, *self._side, return_exceptions=True)
            await self._awake.release()
            self._presence.keep(self._state)

    async def _keep_time(self) -> None:
        """Decides each moment when it comes."""
        why: Absence = "stopped"
        while not self._stopping.is_set() and not self._has_moved():
            self._wake.clear()
            now = Clocks.read()
            await self._decide(now.wall, why)
            following = next_moment(self._jobs(), self._state, self._world())
            wait = LOOK_EVERY if following is None else min(LOOK_EVERY, max(0.0, following - time.time()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            why = absence(now, Clocks.read())

    def _has_moved(self) -> bool:
        """Whether its place on a server is another one by now; a run that goes on is waited for."""
        return not self._runs.running and _place_of(self._membership()) != self._place

    async def _decide(self, now: float, why: Absence) -> None:
        await asyncio.to_thread(self._look_up_plans)
        await asyncio.to_thread(self._look_up_links, now)
        if self._unwritten:
            await asyncio.to_thread(self._write_unrun)
        started = {name: course.started for name, course in self._state.courses.items()}
        placements = decide(self._jobs(), self._state, self._world(), now, why)
        recorded = [each for each in placements if each.starts_at is None or self._record(each, started)]
        self._presence.keep(self._state)
        for placement in recorded:
            await self._act(placement)
        self._say()

    def _record(self, placement: Placement, started: Mapping[str, float | None]) -> bool:
        """Writes a run down before it begins; one that can't be written down does not begin."""
        planned = self._plans[placement.schedule_id]
        order = planned.order(placement)
        try:
            if self._ledger.record(order).state == "recorded":
                return True
            log.info("%s has had its run at %s", placement.schedule_id, rfc3339(placement.planned_at))
        except LedgerError as error:
            log.error("%s does not run: %s", placement.schedule_id, error)
            self._unwritten.append(_Unrun(order, "skipped", f"it could not be written down: {error}"))
            self._state.courses[placement.schedule_id].started = started.get(placement.schedule_id)
        ended(self._state, planned.job, time.time(), 0)
        return False

    async def _act(self, placement: Placement) -> None:
        planned = self._plans[placement.schedule_id]
        order = planned.order(placement)
        if placement.starts_at is None:
            if self._is_news(placement):
                await self._note(
                    _Unrun(
                        order,
                        placement.decision,
                        placement.reason,
                        placement.count,
                        placement.last_planned_at,
                    )
                )
                self._to_send.set()
            return
        self._last.pop(placement.schedule_id, None)
        self._by_order[order.order_id] = placement.schedule_id
        job = planned.job
        admitted = await self._runs.submit(order, link=job.link if job.exclusive else None)
        if admitted.state == "refused":
            self._ledger.end(order.order_id, "refused", reason=admitted.reason)
            self._by_order.pop(order.order_id, None)
            ended(self._state, job, time.time(), 0)
            await self._note(_Unrun(order, "refused", admitted.reason or "refused"))

    def _is_news(self, placement: Placement) -> bool:
        """Whether this reason is another one than the last, or was not told of for long."""
        code, told = self._last.get(placement.schedule_id, ("", 0.0))
        if code == placement.code and abs(time.time() - told) < _SAME_AGAIN:
            return False
        self._last[placement.schedule_id] = (placement.code, time.time())
        log.warning("%s: %s, %s", placement.schedule_id, placement.decision, placement.reason)
        return True

    def _heard(self, event: Event) -> None:
        """What the runs tell."""
        if isinstance(event, Ended):
            self._settle(event)
        if not isinstance(event, Progress):
            self._beside(self._stay_awake)
            self._say()

    def _settle(self, event: Ended) -> None:
        planned = self._plans.get(self._by_order.pop(event.order_id, ""))
        if planned is not None:
            ended(self._state, planned.job, time.time(), event.moved)
        if event.report_id is None:
            self._beside(lambda: self._report_unrun(event))
        self._to_send.set()
        self._wake.set()

    async def _report_unrun(self, event: Ended) -> None:
        entry = self._ledger.get(event.order_id)
        if entry is not None and entry.order is not None:
            what = "skipped" if event.state == "expired" else event.state
            await self._note(_Unrun(entry.order, what, event.reason or event.state))

    async def _note(self, found: _Unrun) -> None:
        """Stores the report of what did not run, at once or when the disk takes it again."""
        self._unwritten.append(found)
        await asyncio.to_thread(self._write_unrun)

    def _write_unrun(self) -> None:
        while self._unwritten:
            found = self._unwritten[0]
            stored = unrun.record(
                found.order, found.what, found.reason, self._settings, count=found.count, until=found.until
            )
            if stored is None:
                return
            self._unwritten.popleft()

    def _report_interrupted(self, entries: Sequence[Entry]) -> None:
        """The runs that were cut off when the agent before died; some have left a part of a report."""
        with Store.open(self._folder) as store:
            recent = [store.report(entry).tags.get("ots.order") for entry in store.list(limit=50)]
        for entry in entries:
            if entry.order is not None and entry.order_id not in recent:
                unrun.record(entry.order, "interrupted", "the agent ended while it ran", self._settings)

    async def _stay_awake(self) -> None:
        if self._runs.running:
            await self._awake.hold()
        else:
            await self._awake.release()

    async def _send_now_and_then(self) -> None:
        """After each run, and every minute: what a cut line left behind goes out when there is one again."""
        while True:
            try:
                self._to_send.clear()
                at_once, self._line_is_back = self._line_is_back, False
                await asyncio.to_thread(self._send, at_once=at_once)
                await asyncio.to_thread(self._ledger.prune)
            except (StoreError, LedgerError) as error:
                log.warning("Nothing was sent: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SEND_EVERY):
                    await self._to_send.wait()

    def _send_again(self) -> None:
        """The line to the server is there, so what failed for want of one is not put off any longer."""
        self._line_is_back = True
        self._to_send.set()

    def _send(self, *, at_once: bool) -> None:
        from ots.remote.enrolled import upload_mode

        if self._membership() is None or upload_mode(self._settings) != "auto":
            return
        with Store.open(self._folder) as store:
            send_waiting(store, self._settings, seconds=_SEND_FOR, by_hand=at_once)

    async def _sign_of_life(self, interval: float) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(interval)

    def _remote(self, membership: Membership) -> RemoteControl:
        control = RemoteControl(
            self._folder,
            membership,
            identity(self._folder),
            self._ledger,
            Duties(),
            self._runs,
            present_rights,
        )
        control.obedience.on_line = self._send_again
        control.on_report = self._to_send.set
        return control

    def _follow(self, control: RemoteControl, membership: Membership) -> list[asyncio.Task[None]]:
        """What is fetched from the server now and then, and at once when it hints."""
        assigned = AssignmentDuty(self._folder, membership, identity(self._folder), self._wake.set)
        content = ContentDuty(self._folder)
        by_hint = {"assignments": assigned.soon, "sync": content.soon}
        by_hint["licence"] = lambda: self._beside(control.refresh)
        control.obedience.on_hint = lambda what: by_hint[what]()
        return [
            asyncio.create_task(assigned.run(), name="assignments"),
            asyncio.create_task(content.run(), name="content"),
        ]

    def _membership(self) -> Membership | None:
        try:
            found = read_membership(self._folder)
        except MembershipError as error:
            log.warning("The agent works without its server: %s", error)
            return None
        return found if found is not None and found.status in ("active", "pending") else None

    def _look_up_plans(self) -> None:
        self._plans = {planned.job.schedule_id: planned for planned in self._book.look_up(self._link())}

    def _look_up_links(self, now: float) -> None:
        """Other runs than the planned ones move data too. Where nobody can say how much, what was known
        counts, and each run is asked again before it begins."""
        plans = self._plans
        pending = {order: plans[name].job for order, name in self._by_order.items() if name in plans}
        stated = budgets(self._settings)
        try:
            found = link_accounts.uses(self._folder, stated, now)
        except LinkRecordError as error:
            log.warning("What the links have moved is not known: %s", error)
        else:
            link_accounts.take_over(self._state, stated, found, now, pending)

    def _jobs(self) -> list[Job]:
        return [planned.job for planned in self._plans.values()]

    def _wanted_link(self, order: Order) -> str | None:
        """The link, if what a server commands wants it for itself: then it and a schedule never share it."""
        if order.origin != "command":
            return None
        try:
            plan = understand(order)
        except Refused:
            return None  # its child says why
        return main_link(plan) if wants_its_link(plan) else None

    def _link(self) -> str:
        return link_of(self._settings)

    def _world(self) -> World:
        held = hold.held(self._folder)
        return world_of(
            self._settings,
            None if held is None else str(held),
            frozenset(
                self._by_order[run.order.order_id]
                for run in self._runs.running
                if run.order.order_id in self._by_order
            ),
        )

    def _say(self) -> None:
        running = [
            {
                "order_id": run.order.order_id,
                "case": run.order.case.name,
                "since": rfc3339(run.since),
                "step": run.step,
                "fraction": run.fraction,
            }
            for run in self._runs.running
        ]
        self._presence.say(since=rfc3339(self._since), running=running, kept_awake=self._awake.possible)
        self._notifier.status(f"{len(self._plans)} schedules, {len(running)} running")

    def _beside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._side.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._side.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("The agent could not do something", exc_info=task.exception())


def _place_of(membership: Membership | None) -> tuple[str, ...] | None:
    """What tells one place on a server from another."""
    if membership is None:
        return None
    return membership.url, membership.server_id, membership.agent_id, membership.ca or ""


def link_of(settings: Settings) -> str:
    """The interface that runs go through: the settings', else the default route's."""
    if settings.interface is not None:
        return settings.interface
    ways = (default_way(family) for family in ("4", "6"))
    return next((way.interface for way in ways if way is not None and way.interface), "none")


def world_of(settings: Settings, held: str | None, running: frozenset[str] = frozenset()) -> World:
    """What holds around the schedules of this machine. Raises SettingsError."""
    floor = present_rights().limit("schedule_floor_seconds")
    return World(settings.agent_id, floor, budgets(settings), held, running)
