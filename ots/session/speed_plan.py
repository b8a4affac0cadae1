"""Puts the servers of this machine's lists into a plan: a probe knows no list, it gets its choice."""

from __future__ import annotations

from dataclasses import replace

from ots.engine.planner import Plan, PlannedStep
from ots.netio.speed.params import SpeedParams
from ots.netio.speed.server_list import BadList
from ots.session.speed_servers import Servers, no_server


def with_servers(plan: Plan) -> Plan:
    """The plan with the servers that a speed test's target names; CaseError where it names none."""
    servers = Servers()
    blocks = [
        replace(block, steps=tuple(_filled(row, servers) for row in block.steps)) for block in plan.blocks
    ]
    return replace(plan, blocks=tuple(blocks))


def _filled(row: PlannedStep, servers: Servers) -> PlannedStep:
    params = row.step.params
    names = [target.text for target in row.step.targets if target.scheme is None]
    if not isinstance(params, SpeedParams) or params.servers or not names:
        return row
    if len(row.step.targets) > 1:
        raise no_server("one server of the list at a time: repeat the step, or name URLs")
    try:
        found = tuple(servers.named(names[0]))
    except BadList as error:
        raise no_server(str(error)) from None
    step = replace(row.step, params=params.model_copy(update={"servers": found}))
    if len(found) == 1:
        # Where it is measured is known before: the report names it, and the right link is held.
        step = replace(step, targets=(found[0].target,))
    return replace(row, step=step)
