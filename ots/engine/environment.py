"""What the engine needs from outside: where results go, who watches, and the machine's own facts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ots.clock import Clock, SystemClock
from ots.engine.budget import DataBudget
from ots.engine.planner import Plan, PlannedStep
from ots.model.report import Context, Report, Step
from ots.probe import Guard, Route, Target
from ots.stats.ceiling import Ceilings
from ots.stats.circumstances import Passed


class Sink(Protocol):
    """Where a run is written while it happens; each call returns when its data is safe.

    It must not raise for a full disk: the run goes on, and its verdict still counts.
    """

    async def head(self, report: Report) -> None:
        """The report without its steps; called when something in the head has changed."""
        ...

    async def step(self, position: int, step: Step) -> None:
        """A step that has ended, or ended one more cycle."""
        ...

    def artifact(self, name: str, data: bytes) -> str:
        """Keeps a probe's file; returns its SHA-256 in hexadecimal."""
        ...


class Watcher(Protocol):
    """Who looks on. Calls come from the event loop and must return at once."""

    def started(self, plan: Plan, report: Report) -> None: ...
    def cycle(self, number: int) -> None: ...
    def step_started(self, planned: PlannedStep) -> None: ...
    def progress(self, planned: PlannedStep, fraction: float | None, text: str) -> None: ...
    def waiting(self, planned: PlannedStep, lock: str, holder: int | None) -> None: ...
    def step_ended(self, planned: PlannedStep, step: Step) -> None: ...


class Nobody:
    """The watcher of a run that nobody looks at."""

    def started(self, plan: Plan, report: Report) -> None:
        pass

    def cycle(self, number: int) -> None:
        pass

    def step_started(self, planned: PlannedStep) -> None:
        pass

    def progress(self, planned: PlannedStep, fraction: float | None, text: str) -> None:
        pass

    def waiting(self, planned: PlannedStep, lock: str, holder: int | None) -> None:
        pass

    def step_ended(self, planned: PlannedStep, step: Step) -> None:
        pass


class Surroundings(Protocol):
    """Looks at the way out from its making on."""

    def end(self) -> Passed:
        """What has passed and changed since."""
        ...

    def close(self) -> None: ...


class Unseen:
    """The surroundings of a run where nobody looks."""

    def __init__(self, targets: Sequence[Target] = (), route: Route | None = None) -> None:
        pass

    def end(self) -> Passed:
        return Passed()

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Environment:
    """Everything of the outer world that a run touches.

    `observe(t)` says where the machine is attached; `egress(target, route)` names the interface towards a
    target; `surroundings` looks around during a call; `patience` is how long a step waits for an exclusive
    link, in seconds; `guard(kind)` watches over what a kind of probe sends, None over nothing; `start_delay`
    are seconds before anything is sent.
    """

    sink: Sink
    workdir: Path
    secret: Callable[[str], str]
    observe: Callable[[float], Awaitable[Context]]
    egress: Callable[[Target, Route], Awaitable[str]]
    surroundings: Callable[[Sequence[Target], Route], Surroundings] = Unseen
    watcher: Watcher = field(default_factory=Nobody)
    clock: Clock = field(default_factory=SystemClock)
    budget: DataBudget = field(default_factory=DataBudget)
    patience: float = 600.0
    ceilings: Ceilings = field(default_factory=Ceilings)
    guard: Callable[[str], Guard | None] = lambda _kind: None
    start_delay: float = 0.0
