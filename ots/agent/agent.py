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
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ots.agent import link_accounts
from ots.agent.awake import Awake
from ots.agent.ledger import Ledger, LedgerError
from ots.agent.notify import Notifier
from ots.agent.order import Order
from ots.agent.passing import Clocks, absence
from ots.agent.plan_book import PlanBook
from ots.agent.plans import Planned
from ots.agent.presence import Presence, read_state
from ots.agent.runs import Ended, Event, Progress, Runs
from ots.agent.server_ties import ServerTies, membership_of, place_of
from ots.agent.understanding import Refused, understand
from ots.agent.unrun_backlog import Backlog, Unrun
from ots.agent.uploads import Uploads
from ots.agent.world import link_of, world_of
from ots.clock import rfc3339
from ots.config import Settings
from ots.remote.membership import Membership
from ots.schedule.placing import Placement, decide, ended, forget, next_moment
from ots.schedule.state import Absence, Job, World
from ots.session.link_budget import budgets, main_link
from ots.session.link_record import LinkRecordError
from ots.session.prepare import loads_the_link

log = logging.getLogger("ots.agent")

LOOK_EVERY = 20.0
"""Seconds at most between two looks at the clocks: how late a set clock is noticed."""

_END_WITHIN = 20.0


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
        self._book = PlanBook(settings)
        self._plans: dict[str, Planned] = {}
        self._by_order: dict[str, str] = {}
        self._unrun = Backlog(settings)
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
        await self._unrun.cut_off(found.interrupted)
        self._uploads = Uploads(self._settings, self._ledger)
        tasks = [asyncio.create_task(self._uploads.run(), name="uploads")]
        if self._notifier.interval is not None:
            tasks.append(asyncio.create_task(self._sign_of_life(self._notifier.interval), name="watchdog"))
        membership = membership_of(self._folder)
        self._place = place_of(membership)
        if membership is not None:
            tasks += self._ties(membership).begin(found.waiting)
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
        return not self._runs.running and place_of(membership_of(self._folder)) != self._place

    async def _decide(self, now: float, why: Absence) -> None:
        await asyncio.to_thread(self._look_up_plans)
        await asyncio.to_thread(self._look_up_links, now)
        await self._unrun.write()
        started = {name: course.started for name, course in self._state.courses.items()}
        placements = decide(self._jobs(), self._state, self._world(), now, why)
        forget(self._jobs(), self._state, now)
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
            self._unrun.add(Unrun(order, "skipped", f"it could not be written down: {error}"))
            self._state.courses[placement.schedule_id].started = started.get(placement.schedule_id)
        ended(self._state, planned.job, time.time(), 0)
        return False

    async def _act(self, placement: Placement) -> None:
        planned = self._plans[placement.schedule_id]
        order = planned.order(placement)
        if placement.starts_at is None:
            if self._unrun.is_news(placement):
                what, until = placement.decision, placement.last_planned_at
                await self._unrun.note(Unrun(order, what, placement.reason, placement.count, until))
                self._uploads.soon()
            return
        self._unrun.ran(placement.schedule_id)
        self._by_order[order.order_id] = placement.schedule_id
        job = planned.job
        admitted = await self._runs.submit(order, link=job.link if job.exclusive else None)
        if admitted.state == "refused":
            self._ledger.end(order.order_id, "refused", reason=admitted.reason)
            self._by_order.pop(order.order_id, None)
            ended(self._state, job, time.time(), 0)
            await self._unrun.note(Unrun(order, "refused", admitted.reason or "refused"))

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
        self._uploads.soon()
        self._wake.set()

    async def _report_unrun(self, event: Ended) -> None:
        entry = self._ledger.get(event.order_id)
        if entry is not None and entry.order is not None:
            what = "skipped" if event.state == "expired" else event.state
            await self._unrun.note(Unrun(entry.order, what, event.reason or event.state))

    async def _stay_awake(self) -> None:
        if self._runs.running:
            await self._awake.hold()
        else:
            await self._awake.release()

    async def _sign_of_life(self, interval: float) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(interval)

    def _ties(self, membership: Membership) -> ServerTies:
        ties = ServerTies(
            self._folder,
            membership,
            self._ledger,
            self._runs,
            planned_anew=self._wake.set,
            beside=self._beside,
        )
        ties.listen(line_is_back=self._uploads.line_is_back, reported=self._uploads.soon)
        return ties

    def _look_up_plans(self) -> None:
        found = self._book.look_up(link_of(self._settings))
        self._plans = {planned.job.schedule_id: planned for planned in found}

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
        return main_link(plan) if loads_the_link(plan.case) else None

    def _world(self) -> World:
        going_on = self._by_order.keys() & {run.order.order_id for run in self._runs.running}
        return world_of(self._settings, frozenset(self._by_order[each] for each in going_on))

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
