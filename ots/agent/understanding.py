"""From an order to a plan: whose words count depends on who ordered it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from ots.agent.order import Order
from ots.engine.planner import Plan
from ots.probe import Probe
from ots.schema.load import CaseError
from ots.schema.load_metrics import metrics_of
from ots.schema.threshold import Threshold, ThresholdWritten
from ots.schema.threshold import understand as understand_threshold
from ots.session.find_case import CaseNotFound
from ots.session.prepare import prepare, prepare_reference


class Refused(Exception):
    """The order can't be run here; the message says why."""


def understand(order: Order) -> Plan:
    """The plan of an order. Raises Refused; SettingsError where the settings are faulty.

    A person's own schedule may name a file and set any variable; what comes from a server names a case and
    sets only what the case lets others set.
    """
    try:
        if order.origin == "schedule":
            found = prepare(order.case.name, order.parameters)
        else:
            case = order.case
            found = prepare_reference(case.name, case.version, case.sha256, order.parameters)
    except CaseNotFound as error:
        raise Refused(f"case: {error}") from None
    except CaseError as error:
        raise Refused("; ".join(str(problem) for problem in error.problems[:3])) from None
    return judged_by(found, order.thresholds)


def judged_by(found: Plan, thresholds: Mapping[str, Sequence[Any]]) -> Plan:
    """The plan with these thresholds (step id → as a case writes them) in the place of the case's own."""
    known = {row.step.id for row in found.steps}
    for step in thresholds:
        if step not in known:
            raise Refused(f"thresholds: the case has no step {step[:60]!r}")
    if not thresholds:
        return found
    blocks = [
        replace(
            block,
            steps=tuple(
                replace(
                    row,
                    step=replace(
                        row.step,
                        thresholds=_read(row.step.id, row.probe, row.step.during, thresholds[row.step.id]),
                    ),
                )
                if row.step.id in thresholds
                else row
                for row in block.steps
            ),
        )
        for block in found.blocks
    ]
    return replace(found, blocks=tuple(blocks))


def _read(step: str, probe: Probe, during: str | None, written: Sequence[Any]) -> tuple[Threshold, ...]:
    read = []
    for each in written:
        try:
            threshold = understand_threshold(ThresholdWritten.model_validate(each), metrics_of(probe, during))
        except ValidationError as error:
            raise Refused(f"thresholds.{step}: {error.errors(include_input=False)[0]['msg']}") from None
        if isinstance(threshold, list):
            raise Refused(f"thresholds.{step}: {threshold[0].message}")
        read.append(threshold)
    return tuple(read)
