"""From a case to a plan: order, companions, estimates, refusals. Pure: nothing is looked up or opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from ots.license.policy import Entitlement
from ots.model.report import Error
from ots.probe import Estimate, Probe
from ots.schema.case import Case, Step


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step in its place: `position` is its row in the report, `estimate` covers all its repetitions."""

    position: int
    step: Step
    probe: Probe
    estimate: Estimate
    refusal: Error | None = None


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """Steps that run at the same time: one, the members of `parallel`, or a load and its companions."""

    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen, and with which rights. `estimate` is for one cycle."""

    case: Case
    blocks: tuple[PlannedBlock, ...]
    estimate: Estimate
    entitlement: Entitlement

    @property
    def steps(self) -> list[PlannedStep]:
        return sorted((step for block in self.blocks for step in block.steps), key=lambda step: step.position)


def plan(case: Case, entitlement: Entitlement) -> Plan:
    """Places every step; a step with `during` joins the block of the step that it accompanies.

    Where the precheck may not run, no step may: each would rest on a check that wasn't made.
    """
    before = None if case.precheck is None else _refused(case.precheck.kind.kind, entitlement)
    blocks: list[list[PlannedStep]] = []
    home: dict[str, list[PlannedStep]] = {}
    position = 0
    for steps in _groups(case):
        members: list[PlannedStep] = []
        for step in steps:
            planned = _place(step, position, before or _refused(step.kind.kind, entitlement))
            position += 1
            room = home.get(step.during, members) if step.during is not None else members
            room.append(planned)
            home[step.key] = room
            home.setdefault(step.id, room)
        if members:
            blocks.append(members)
    planned_blocks = tuple(PlannedBlock(tuple(members)) for members in blocks)
    return Plan(
        case, planned_blocks, _total([_together(block.steps) for block in planned_blocks]), entitlement
    )


def _groups(case: Case) -> list[tuple[Step, ...]]:
    """What the case wants to run at the same time; instances of `for_each` run one after the other."""
    return [
        group
        for block in case.blocks
        for group in ([block.steps] if block.parallel else [(step,) for step in block.steps])
    ]


def _place(step: Step, position: int, refused: Error | None) -> PlannedStep:
    probe = cast(Probe, step.kind)
    return PlannedStep(position, step, probe, _estimate(step, probe), refused)


def _refused(kind: str, entitlement: Entitlement) -> Error | None:
    """What keeps a kind from running here; None if it may."""
    feature = f"probe:{kind}"
    refusal = entitlement.refusal(feature)
    if refusal is None:
        return None
    if refusal.layer == "settings":
        message = f"{kind} is switched off in the settings ({refusal.place})"
        remedy = f"ots license why {feature}"
    else:
        message = f"the licence tier {refusal.tier} does not cover {kind}"
        remedy = f"ots license why {feature}"
        if refusal.allowed_by is not None:
            remedy = f"the tier {refusal.allowed_by} does: {remedy}"
    return Error(class_="license", phase="license", code=feature, message=message, remedy=remedy)


def _estimate(step: Step, probe: Probe) -> Estimate:
    if probe.targets.many:
        one = probe.estimate(step.targets, step.params)
    else:
        one = _total([probe.estimate([target], step.params) for target in step.targets])
    return Estimate(
        one.duration * step.repeat + step.pause * (step.repeat - 1),
        None if one.received is None else one.received * step.repeat,
        None if one.sent is None else one.sent * step.repeat,
        one.patience * step.repeat + step.pause * (step.repeat - 1),
    )


def _together(steps: Iterable[PlannedStep]) -> Estimate:
    """Steps side by side: the longest duration that isn't bounded by a load, all their bytes."""
    estimates = [planned.estimate for planned in steps]
    total = _total(estimates)
    own = [planned.estimate.duration for planned in steps if planned.step.during is None]
    return Estimate(max(own, default=total.duration), total.received, total.sent, total.longest)


def _total(estimates: Iterable[Estimate]) -> Estimate:
    duration, longest, received, sent = 0.0, 0.0, 0, 0
    bounded_down = bounded_up = True
    for estimate in estimates:
        duration += estimate.duration
        longest += estimate.patience
        received += estimate.received or 0
        sent += estimate.sent or 0
        bounded_down &= estimate.received is not None
        bounded_up &= estimate.sent is not None
    return Estimate(duration, received if bounded_down else None, sent if bounded_up else None, longest)
