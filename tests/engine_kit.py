"""What the engine's tests share: a probe that does as it is told, cases around it, a sink that remembers."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ots.clock import SystemClock
from ots.engine.budget import DataBudget
from ots.engine.environment import Environment
from ots.engine.planner import Plan, plan
from ots.license.policy import Entitlement, Everything
from ots.model.metric import Metric, MetricDef
from ots.model.report import CaseRef, DataUse, Job, Report, Run, Schema
from ots.model.report import Context as Place
from ots.model.report import Step as StepRow
from ots.probe import (
    AttemptData,
    Context,
    Estimate,
    Exclusive,
    Params,
    Probe,
    Requirement,
    Route,
    Target,
    Targets,
)
from ots.schema.case import Block, Case, Step
from ots.stats import summary

TOOK = MetricDef(
    key="fake_seconds",
    unit="s",
    type="sample",
    title="Time taken",
    definition="told by the test",
    stats=("median", "min", "max"),
    better="lower",
)

Body = Callable[[Context, Sequence[Target]], Awaitable[None]]


class FakeParams(Params):
    size: Annotated[int, Field(description="Anything.")] = 1


class Told(Probe):
    """Runs the body that the test gives it."""

    kind = "fake"
    version = 3
    summary = "Does what a test says."
    example = "a"
    targets = Targets(forms=("host",))
    Params = FakeParams
    metrics = (TOOK,)

    def __init__(self, body: Body, cost: Estimate) -> None:
        self.body = body
        self.cost = cost

    def estimate(self, targets: Sequence[Target], params: Any) -> Estimate:
        return self.cost

    async def run(self, ctx: Context, targets: Sequence[Target], params: Any) -> None:
        await self.body(ctx, targets)

    def summarise(self, attempts: Sequence[AttemptData], params: Any) -> list[Metric]:
        by_target: dict[str, list[Any]] = {}
        for attempt in attempts:
            by_target.setdefault(attempt.target, []).extend(attempt.values(TOOK.key))
        return [
            summary.of_samples(TOOK, values, labels={"target": target})
            for target, values in by_target.items()
        ]


def fake(
    body: Body,
    *,
    many: bool = False,
    requires: tuple[Requirement, ...] = (),
    exclusive: Exclusive = "none",
    estimate: Estimate | None = None,
) -> Probe:
    """A probe of its own class that runs this body and declares what it is told to."""
    declared = {
        "targets": Targets(forms=("host",), many=many),
        "requires": requires,
        "exclusive": exclusive,
    }
    probe: Probe = type("Fake", (Told,), declared)(body, estimate or Estimate(0.1))
    return probe


async def quick(ctx: Context, targets: Sequence[Target]) -> None:
    """Succeeds at once with one sample for each target."""
    for target in targets:
        ctx.record(TOOK.key, 0.5, target=target.text)


def step(probe: Probe, id: str = "one", **changes: Any) -> Step:
    """A step with every default, changed as asked."""
    base = Step(
        id=id,
        instance=None,
        key=id,
        kind=probe,
        targets=(Target("a", "a"),),
        params=FakeParams(),
        repeat=1,
        pause=0.0,
        retries=0,
        time_limit=None,
        on_failure="continue",
        when=None,
        during=None,
        thresholds=(),
        require_success="all",
        expect="success",
        tags={},
        target_lists={},
        line=0,
    )
    return dataclasses.replace(base, **changes)


def case(*blocks: Step | Sequence[Step], **changes: Any) -> Case:
    """A case; a list of steps runs in parallel."""
    made = tuple(
        Block((block,), False) if isinstance(block, Step) else Block(tuple(block), True) for block in blocks
    )
    base = Case(
        id="kit",
        version=1,
        title={"en": "Kit"},
        tags={},
        precheck=None,
        blocks=made,
        schedule=None,
        time_limit=None,
        on_failure="continue",
        sha256="0" * 64,
        source="kit.yaml",
        warnings=(),
    )
    return dataclasses.replace(base, **changes)


class Memory:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, StepRow]] = []
        self.heads = 0

    async def head(self, report: Report) -> None:
        self.heads += 1

    async def step(self, position: int, step: StepRow) -> None:
        self.steps.append((position, step))

    def artifact(self, name: str, data: bytes) -> str:
        return "0" * 64


async def nowhere(t: float) -> Place:
    return Place(t=t, device={}, network={}, radio=None, position=None, load={}, nulls={})


async def no_link(target: Target, route: Route) -> str:
    return "kit-link"


def environment(tmp_path: Path, *, limit: int | None = None, **changes: Any) -> Environment:
    made = Environment(
        sink=Memory(),
        workdir=tmp_path,
        secret=lambda reference: "s3cret",
        observe=nowhere,
        egress=no_link,
        clock=SystemClock(),
        budget=DataBudget(limit),
    )
    return dataclasses.replace(made, **changes)


def empty_report() -> Report:
    return Report(
        schema=Schema(),
        report_id="0192",
        seq=1,
        revision=1,
        verdict="skipped",
        agent={},
        job=Job(),
        case=CaseRef(id="kit", version=1, sha256="0" * 64),
        tags={},
        run=Run(
            run_id="0192",
            state="created",
            reason=None,
            cycles=0,
            start="",
            end=None,
            duration=None,
            clock={},
            precheck=None,
            data=DataUse(),
        ),
        contexts=[],
        steps=[],
        scores=[],
    )


def planned(made: Case, entitlement: Entitlement | None = None) -> Plan:
    return plan(made, entitlement or Everything())


async def forever(ctx: Context, targets: Sequence[Target]) -> None:
    """Records one sample for each target and then never ends."""
    for target in targets:
        ctx.record(TOOK.key, 0.5, target=target.text)
    await asyncio.Event().wait()
