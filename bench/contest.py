"""Contenders do the same work in turns; what counts is the ratio of their medians in this one run.

An absolute figure says something of the machine, a ratio says something of the program. So every contender of
a contest runs once in each round, in an order that turns from round to round, and the first round, which
fills the caches, is not counted.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

OURS = "ots"
"""How OTS's own entry is called; variants are `ots: as it differs`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one turn gave: the figure in the contest's unit, and CPU seconds per unit of work if known."""

    figure: float
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes part, and how to make it do the work once. `run` raises if the work was not done."""

    name: str
    run: Callable[[], Reading]


@dataclass(frozen=True, slots=True)
class Goal:
    """`ours` compared with `peer` ("": with the bare limit): the ratio must be at least or at most `bound`.

    `of` says which figure: the contest's own, or the CPU.
    """

    bound: float
    way: Literal["at least", "at most"]
    peer: str = ""
    ours: str = OURS
    of: Literal["figure", "cpu"] = "figure"


@dataclass(frozen=True, slots=True)
class Contest:
    """One row of the table. `work` says what everybody does; `cpu_unit` is the unit of a reading's CPU."""

    area: str
    work: str
    unit: str
    contenders: Sequence[Contender]
    goals: Sequence[Goal]
    rounds: int = 5
    cpu_unit: str = "s"


Bench = Callable[[], AbstractContextManager[Sequence[Contest]]]
"""What a module of benches offers as `contests`: its servers live as long as the block."""


@dataclass(slots=True)
class Standing:
    """One contender's readings, the first round left out."""

    name: str
    figures: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    def median(self, of: str) -> float | None:
        values = self.figures if of == "figure" else self.cpus
        return statistics.median(values) if values else None


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal, the ratio (or the bare figure) that was reached, and whether that is enough."""

    goal: Goal
    reached: float | None
    met: bool

    def text(self) -> str:
        beside = f" × {self.goal.peer}" if self.goal.peer else ""
        of = "" if self.goal.of == "figure" else " CPU"
        ours = "" if self.goal.ours == OURS else f" ({self.goal.ours.removeprefix(OURS).lstrip(': ')})"
        return f"{self.goal.way} {self.goal.bound:g}{beside}{of}{ours}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A contest that was held."""

    contest: Contest
    standings: Sequence[Standing]
    judged: Sequence[Judged]

    @property
    def met(self) -> bool:
        return all(each.met for each in self.judged)

    def document(self) -> dict[str, Any]:
        """As JSON: medians, spread and ratios."""
        return {
            "area": self.contest.area,
            "work": self.contest.work,
            "unit": self.contest.unit,
            "rounds": self.contest.rounds,
            "contenders": [
                {
                    "name": each.name,
                    "median": each.median("figure"),
                    "min": min(each.figures),
                    "max": max(each.figures),
                    "cpu": each.median("cpu"),
                }
                for each in self.standings
            ],
            "cpu_unit": self.contest.cpu_unit,
            "goals": [
                {"goal": each.text(), "reached": each.reached, "met": each.met} for each in self.judged
            ],
            "met": self.met,
        }


def hold(contest: Contest, rounds: int | None = None, told: Callable[[str], None] | None = None) -> Outcome:
    """Lets the contenders take turns. `told` hears who is running."""
    standings = {each.name: Standing(each.name) for each in contest.contenders}
    contenders = list(contest.contenders)
    for turn in range((rounds or contest.rounds) + 1):
        for contender in contenders:
            if told is not None:
                told(f"{contest.area}: {contender.name}, round {turn}")
            reading = contender.run()
            if turn:
                standings[contender.name].figures.append(reading.figure)
                if reading.cpu is not None:
                    standings[contender.name].cpus.append(reading.cpu)
        contenders = contenders[1:] + contenders[:1]
    return Outcome(contest, list(standings.values()), [_judge(goal, standings) for goal in contest.goals])


def _judge(goal: Goal, standings: dict[str, Standing]) -> Judged:
    ours = standings[goal.ours].median(goal.of)
    peer = standings[goal.peer].median(goal.of) if goal.peer else 1.0
    reached = None if ours is None or not peer else ours / peer
    if reached is None:
        return Judged(goal, None, met=False)
    return Judged(goal, reached, reached >= goal.bound if goal.way == "at least" else reached <= goal.bound)
