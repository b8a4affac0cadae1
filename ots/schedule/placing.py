"""Decides about planned moments: run, run late, or not, and why. Everything is handed in.

`decide` settles what has come up to a moment; `foresee` does the same with moments that are still to come,
each run taking as long as its case says. So a dry run tells what will happen by what decides when it does.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from ots import units
from ots.schedule.moments import moments, origin
from ots.schedule.state import Absence, Course, Job, State, World
from ots.schedule.window import closes

Decision = Literal["run", "late", "missed", "skipped", "refused"]

GRACE = 60.0
"""Seconds by which a start may be behind its moment and still be on time."""

CATCH_UP_GAP = 30.0
"""Seconds between two runs that make up for what was missed."""

MOST_MOVED = 3600.0
"""Seconds by which a run is put off at most because its link is busy."""

LOOK_BACK = 8 * 86_400.0
"""Seconds: of what was missed before, nobody counts the moments any more."""

_SET_BACK = 60.0
_LEEWAY = 1.0
"""Seconds by which two runs may be closer than the licence wants: a moment is never hit exactly."""

_SPACE = uuid.UUID("5d1f9d0e-8a55-5c38-9d56-0c8f3b2c9a10")
_MOST_FORESEEN = 50_000

_UNSEEN: dict[Absence, str] = {
    "asleep": "the machine was asleep",
    "stopped": "the agent was not running",
    "clock": "the clock was set forward",
    "busy": "the agent came too late",
}


@dataclass(frozen=True, slots=True)
class Placement:
    """What becomes of a planned moment, or of `count` of them from `planned_at` to `last_planned_at` that
    were missed together. `starts_at` is None for what does not run. `code` is the reason for a machine."""

    schedule_id: str
    planned_at: float
    starts_at: float | None
    decision: Decision
    code: str
    reason: str
    turn: int = 0
    count: int = 1
    last_planned_at: float | None = None

    @property
    def order_id(self) -> str:
        """The same for the same planned run, also after a restart."""
        turn = f" {self.turn}" if self.turn else ""
        return str(uuid.uuid5(_SPACE, f"{self.schedule_id} {self.planned_at:.3f}{turn}"))


def decide(
    jobs: Sequence[Job], state: State, world: World, now: float, absence: Absence = "busy"
) -> list[Placement]:
    """Settles every moment up to `now`, and writes into `state` what follows from that. `absence` is why
    some may have passed unseen."""
    _notice_set_back(state, now)
    look, found = _Look(state, world, now, absence), list[Placement]()
    due = [(job, _course(job, state, now), _due(job, state, world, now)) for job in jobs]
    for job, course, pending in sorted(due, key=lambda each: (each[2][-1:], each[0].schedule_id)):
        if pending:
            found += look.settle(job, pending)
            course.settled = pending[-1]
    state.seen = now
    return found


def next_moment(jobs: Sequence[Job], state: State, world: World) -> float | None:
    """The first moment that is not settled yet; None where nothing is planned any more."""
    found = (next(_ahead(job, course, world), None) for job, course in _courses(jobs, state))
    return min((moment for moment in found if moment is not None), default=None)


def foresee(jobs: Sequence[Job], state: State, world: World, now: float, until: float) -> list[Placement]:
    """What will become of the moments until then; `state` stays as it is."""
    ahead = copy.deepcopy(state)
    for job in jobs:
        _course(job, ahead, now)
    found = decide(jobs, ahead, world, now)
    pending = {job.schedule_id: _ahead(job, ahead.courses[job.schedule_id], world) for job in jobs}
    heads = {name: next(rest, None) for name, rest in pending.items()}
    while len(found) < _MOST_FORESEEN:
        moment = min((head for head in heads.values() if head is not None), default=None)
        if moment is None or moment > until:
            break
        here = [job for job in jobs if heads[job.schedule_id] == moment]
        found += decide(here, ahead, world, moment)
        for job in here:
            heads[job.schedule_id] = next(pending[job.schedule_id], None)
    return found


def ended(state: State, job: Job, now: float, moved: int) -> None:
    """A run has ended and has moved so many bytes: its link is free, and what it was thought to move is put
    right."""
    course, link = state.courses.get(job.schedule_id), state.link(job.link)
    if course is not None:
        course.busy_until = min(course.busy_until, now)
    if job.exclusive and link.holder == job.schedule_id:
        link.busy_until = min(link.busy_until, now)
    link.moved = max(0, link.moved + moved - (job.bytes or 0))


def forget(jobs: Sequence[Job], state: State, now: float) -> None:
    """Drops what is known of schedules that are gone for longer than missed moments are counted; one that
    can't be read for a while goes on where it was."""
    present = {job.schedule_id for job in jobs}
    for name, course in list(state.courses.items()):
        if name not in present and course.settled < now - LOOK_BACK:
            del state.courses[name]


def _seed(job: Job, world: World) -> str:
    return f"{world.agent_id} {job.schedule_id}"


def _course(job: Job, state: State, now: float) -> Course:
    return state.courses.setdefault(job.schedule_id, Course(since=now, settled=now))


def _courses(jobs: Sequence[Job], state: State) -> list[tuple[Job, Course]]:
    return [(job, state.courses[job.schedule_id]) for job in jobs if job.schedule_id in state.courses]


def _ahead(job: Job, course: Course, world: World, after: float | None = None) -> Iterator[float]:
    found = moments(job.schedule, _seed(job, world), course.since, course.settled if after is None else after)
    last = float("inf") if job.not_after is None else job.not_after
    return takewhile(lambda moment: moment <= last, found)


def _due(job: Job, state: State, world: World, now: float) -> list[float]:
    course = state.courses[job.schedule_id]
    after = max(course.settled, now - LOOK_BACK)
    return list(takewhile(lambda moment: moment <= now, _ahead(job, course, world, after)))


def _notice_set_back(state: State, now: float) -> None:
    """Time goes on at `now`: what was settled for later comes again, as another moment."""
    back = 0.0 if state.seen is None else state.seen - now
    if back <= _SET_BACK:
        return
    for course in state.courses.values():
        course.settled = min(course.settled, now)
        course.since = min(course.since, now)
        course.turn += 1
        course.busy_until -= back
        course.started = None if course.started is None else course.started - back
    for link in state.links.values():
        link.busy_until -= back


@dataclass(slots=True)
class _Look:
    """One look at what is due at `now`; `caught_up` counts the runs that it makes up for."""

    state: State
    world: World
    now: float
    absence: Absence
    caught_up: int = 0

    def settle(self, job: Job, pending: list[float]) -> list[Placement]:
        """Of several moments the newest may run; those before it were missed."""
        newest = pending[-1]
        late = self.now - newest > GRACE
        makes_up = late and job.schedule.catch_up == "once" and not job.exclusive
        passed = pending if late and not makes_up else pending[:-1]
        found = [self._missed(job, passed, late=late, makes_up=makes_up)] if passed else []
        if makes_up:
            start = self.now + self.caught_up * CATCH_UP_GAP
            why = f"made up for once: {_UNSEEN[self.absence]}"
            found.append(self._place(job, newest, start, "caught_up", why))
        elif not late:
            why = origin(job.schedule, _seed(job, self.world), newest)
            found.append(self._place(job, newest, max(self.now, newest), "planned", why))
        self.caught_up += found[-1].code == "caught_up"
        return found

    def _missed(self, job: Job, passed: list[float], *, late: bool, makes_up: bool) -> Placement:
        reason = _UNSEEN[self.absence]
        if late and not makes_up:
            never = job.schedule.catch_up == "once"  # and it loads its link, or it would be made up for
            reason += "; what loads a link is never made up for" if never else "; runs are not made up for"
        turn = self.state.courses[job.schedule_id].turn
        return Placement(
            job.schedule_id, passed[0], None, "missed", self.absence, reason, turn, len(passed), passed[-1]
        )

    def _place(self, job: Job, planned: float, start: float, code: str, why: str) -> Placement:
        """One moment that may run, unless something keeps it from that."""
        world, course, link = self.world, self.state.courses[job.schedule_id], self.state.link(job.link)

        def not_run(decision: Decision, code: str, reason: str) -> Placement:
            return Placement(job.schedule_id, planned, None, decision, code, reason, course.turn)

        if job.refusal is not None:
            return not_run("refused", "case", job.refusal)
        if world.held is not None:
            return not_run("skipped", "held", world.held)
        since = None if course.started is None else start - course.started
        if world.floor is not None and since is not None and since < world.floor - _LEEWAY:
            least = units.display(world.floor, "s")
            return not_run("refused", "floor", f"the licence wants {least} between two runs of a schedule")
        if job.schedule_id in world.running or course.busy_until > start:
            return not_run("skipped", "overlap", "its run before goes on")
        if job.exclusive and link.busy_until > start:
            bound = self._bound(job, planned)
            if link.busy_until > bound:
                limit = units.display(bound - planned, "s")
                busy = f"{job.link} is busy with {link.holder}, for longer than {limit}"
                return not_run("skipped", "link_busy", busy)
            start, code = link.busy_until, "moved"
            why = f"moved by {units.display(start - planned, 's')}: {job.link} is busy with {link.holder}"
        beyond = self._beyond_budget(job, start)
        if beyond is not None:
            return not_run("skipped", "budget", beyond)
        course.started, course.busy_until = start, start + job.seconds
        if job.exclusive:
            link.busy_until, link.holder = start + job.seconds, job.schedule_id
        link.moved += job.bytes or 0
        decision: Decision = "late" if start - planned > GRACE else "run"
        return Placement(job.schedule_id, planned, start, decision, code, why, course.turn)

    def _bound(self, job: Job, planned: float) -> float:
        """Until when a run may be put off: to its next moment, the end of its window, an hour at most."""
        ahead = _ahead(job, self.state.courses[job.schedule_id], self.world, planned)
        following = next(ahead, float("inf"))
        closing = closes(job.schedule.windows, job.schedule.zone or "UTC", planned)
        return min(
            planned + MOST_MOVED, following - job.seconds, float("inf") if closing is None else closing
        )

    def _beyond_budget(self, job: Job, start: float) -> str | None:
        """Why the month's data don't suffice; None if they do. A new month begins with nothing moved."""
        budget = self.world.budgets.get(job.link)
        if budget is None:
            return None
        link, month = self.state.link(job.link), budget.month(start).isoformat()
        if link.month != month:
            link.month, link.moved = month, 0
        return budget.beyond(job.link, link.moved, job.bytes)
