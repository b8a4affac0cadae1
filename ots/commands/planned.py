"""`--plan`: what would run, in which order, for how long at most, and how much data it may move."""

from __future__ import annotations

from typing import Any

from ots.engine.planner import Plan, PlannedBlock, PlannedStep
from ots.i18n import _
from ots.probe import Estimate
from ots.units import display


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON; times in seconds, null bytes where a step can't bound them."""
    return {
        "case": {"id": plan.case.id, "version": plan.case.version, "sha256": plan.case.sha256},
        "estimate": _estimate(plan.estimate),
        "steps": [
            {
                "key": planned.step.key,
                "probe": planned.probe.kind,
                "targets": [target.text for target in planned.step.targets],
                "params": planned.step.params.model_dump(mode="json"),
                "repeat": planned.step.repeat,
                "exclusive": planned.probe.exclusive,
                "during": planned.step.during,
                "block": number,
                "estimate": _estimate(planned.estimate),
                "refused": None if planned.refusal is None else planned.refusal.message,
            }
            for number, block in enumerate(plan.blocks)
            for planned in block.steps
        ],
    }


def plan_text(plan: Plan) -> str:
    """The plan for a person."""
    case = plan.case
    version = "" if case.version is None else f" v{case.version}"
    lines = [f"{case.id}{version}   {_('{n} steps').format(n=len(plan.steps))}, {_bound(plan.estimate)}"]
    for block in plan.blocks:
        lines.extend(_block(block))
    return "\n".join(lines)


def _block(block: PlannedBlock) -> list[str]:
    lines = []
    together = len(block.steps) > 1
    for planned in block.steps:
        mark = "║" if together else "·"
        lines.append(f"  {mark} {_row(planned)}")
    return lines


def _row(planned: PlannedStep) -> str:
    targets = " ".join(target.text for target in planned.step.targets[:3])
    if len(planned.step.targets) > 3:
        targets += " …"
    row = f"{planned.step.key:<16} {planned.probe.kind:<14} {targets}   {_bound(planned.estimate)}"
    if planned.step.repeat > 1:
        row += "   " + _("{n} times").format(n=planned.step.repeat)
    if planned.step.during is not None:
        row += "   " + _("during {step}").format(step=planned.step.during)
    if planned.step.when is not None:
        row += "   " + _("when {condition}").format(condition=planned.step.when.text)
    if planned.refusal is not None:
        row += "   " + _("refused: {reason}").format(reason=planned.refusal.message)
    return row


def _bound(estimate: Estimate) -> str:
    duration = _("about {time}").format(time=display(estimate.duration, "s"))
    if estimate.received is None or estimate.sent is None:
        return f"{duration}, {_('data not bounded (use --max-data)')}"
    return f"{duration}, {_('at most {size}').format(size=display(estimate.received + estimate.sent, 'By'))}"


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "duration_seconds": estimate.duration,
        "received_bytes": estimate.received,
        "sent_bytes": estimate.sent,
    }
