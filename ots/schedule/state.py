"""What has to be known from one moment to the next, and survives a restart: how far each schedule is settled,
what each link is busy with and has moved. Times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

import msgspec

from ots import units
from ots.schedule.document import Schedule

Absence = Literal["asleep", "stopped", "clock", "busy"]
"""Why moments passed unseen: the machine slept, the agent did not run, the clock was set, it was late."""


class Course(msgspec.Struct, kw_only=True):
    """One schedule: known `since`; all moments up to `settled` have been decided; `started` last, which keeps
    it busy until `busy_until`. `turn` counts how often the clock was set back, so that a moment which comes
    again is another one."""

    since: float
    settled: float
    started: float | None = None
    busy_until: float = 0.0
    turn: int = 0


class Link(msgspec.Struct, kw_only=True):
    """One interface: who has it for itself until when, and the bytes moved in the month that began at
    `month` (ISO date)."""

    busy_until: float = 0.0
    holder: str = ""
    month: str = ""
    moved: int = 0


class State(msgspec.Struct, kw_only=True):
    """Everything. `seen` is the latest moment at which anything was decided."""

    courses: dict[str, Course] = {}
    links: dict[str, Link] = {}
    seen: float | None = None

    def link(self, name: str) -> Link:
        return self.links.setdefault(name, Link())


@dataclass(frozen=True, slots=True)
class Budget:
    """The bytes that a link may move in a month, which begins on day `day` (1 to 28, UTC)."""

    bytes: int
    day: int = 1

    def month(self, moment: float) -> date:
        """The first day of the month that the moment is in."""
        today = datetime.fromtimestamp(moment, UTC).date()
        if today.day >= self.day:
            return today.replace(day=self.day)
        before = today.replace(day=1)
        year, month = (before.year - 1, 12) if before.month == 1 else (before.year, before.month - 1)
        return date(year, month, self.day)

    def beyond(self, link: str, moved: int, most: int | None) -> str | None:
        """Why what is left of it after `moved` does not suffice for `most` bytes; None if it does."""
        if most is None:
            return f"{link} has a budget, and nobody can say how much this moves"
        left = max(0, self.bytes - moved)
        if most <= left:
            return None
        moves, rest, whole = (units.display(float(size), "By") for size in (most, left, self.bytes))
        return f"moves up to {moves}; of the month's {whole} for {link}, {rest} are left"


@dataclass(frozen=True, slots=True)
class Job:
    """One schedule with what is known of its case: whether it wants `link` for itself, how long it takes
    (seconds), the most it moves (None: nobody can say). `refusal` is why it can't run at all; nothing is
    planned behind `not_after`."""

    schedule_id: str
    schedule: Schedule
    link: str
    exclusive: bool = False
    seconds: float = 0.0
    bytes: int | None = 0
    refusal: str | None = None
    not_after: float | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What holds around the schedules: the agent's id; the licence's least `floor` between two runs of one
    schedule; the links' budgets; why everything is held; which schedules have a run that goes on."""

    agent_id: str
    floor: float | None = None
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    held: str | None = None
    running: frozenset[str] = frozenset()
