"""From what a user or an order names to a plan: find the case, merge the variables, check it, plan it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ots.config import settings
from ots.content.held import HEAVY_UNTIL
from ots.content.layout import DAY
from ots.engine.planner import Plan, plan
from ots.netio.attachment.snapshot import is_this_machine
from ots.probe import NetworkParams, Probe
from ots.registry import kinds
from ots.schema.case import Case, Step
from ots.schema.load import CaseError, Problem, case_of_probe, load_case
from ots.schema.written import IDENTIFIER
from ots.session.find_case import CaseText, find_case, find_named
from ots.session.rights import present_rights
from ots.session.target_lists import OwnLists


def prepare(name: str, variables: Mapping[str, str]) -> Plan:
    """The plan of a case file or a shipped case; raises CaseError or CaseNotFound."""
    return _planned(find_case(name), variables, {})


def prepare_reference(
    name: str, version: int | None, sha256: str | None, parameters: Mapping[str, str]
) -> Plan:
    """The plan of a case that somebody elsewhere refers to, with values for its parameters.

    Raises CaseNotFound; CaseError, whose problem begins with the field that is wrong: `case.version`,
    `case.sha256` or `parameters.NAME`. Only what the case declares with bounds can be set, within them.
    """
    if not IDENTIFIER.fullmatch(name):
        raise CaseError([Problem("", 0, 0, f"case.name: {name[:80]!r} is no name of a case")])
    found = find_named(name, version)
    planned = _planned(found, {}, parameters)
    case = planned.case
    if version is not None and case.version != version:
        message = f"case.version: {version} was asked for, and {found.source} has version {case.version}"
        raise CaseError([Problem(found.source, 0, 0, message)])
    if sha256 is not None and case.sha256 != sha256:
        message = f"case.sha256: {found.source} has other content than was asked for"
        raise CaseError([Problem(found.source, 0, 0, message)])
    return planned


def _planned(found: CaseText, variables: Mapping[str, str], parameters: Mapping[str, str]) -> Plan:
    case = load_case(
        found.text, found.source, kinds(), merged_variables(variables), OwnLists(), parameters=parameters
    )
    if found.too_old_for_heavy:
        _refuse_heavy(case)
    return _through(settings().interface, _with_servers(plan(found.mark(case), present_rights())))


def _refuse_heavy(case: Case) -> None:
    """What loads a link needs somebody who vouched for it lately; a light case goes on."""
    if loads_the_link(case):
        message = (
            f"the signed content is stale for more than {HEAVY_UNTIL / DAY:g} days, and this case loads "
            "the link: ots cases sync, or make the case your own"
        )
        raise CaseError([Problem(case.source, 0, 0, message)])


def loads_the_link(case: Case) -> bool:
    """Whether a case is heavy: one of its probes wants the link for itself."""
    return any(step.kind.exclusive == "link" for step in case.steps)


def prepare_probe(probe: Probe, targets: Sequence[str], params: Mapping[str, Any], **more: Any) -> Plan:
    """The plan of one probe run straight from the command line; raises CaseError."""
    case = case_of_probe(probe, targets, params, lists=OwnLists(), **more)
    return _through(settings().interface, _with_servers(plan(case, present_rights())))


def _with_servers(planned: Plan) -> Plan:
    """The plan with what a speed test's `auto` or name of a server stands for on this machine."""
    if all(row.probe.kind != "speedtest" for row in planned.steps):
        return planned
    from ots.session.speed_plan import with_servers

    return with_servers(planned)


def _through(interface: str | None, planned: Plan) -> Plan:
    """The plan with the settings' interface where a step names neither interface nor source address.

    A step whose targets are all this machine itself stays as it is: no other interface leads there.
    """
    if interface is None:
        return planned
    blocks = [
        replace(
            block, steps=tuple(replace(row, step=_step_through(interface, row.step)) for row in block.steps)
        )
        for block in planned.blocks
    ]
    return replace(planned, blocks=tuple(blocks))


def _step_through(interface: str, step: Step) -> Step:
    params = step.params
    if not isinstance(params, NetworkParams) or params.interface is not None or params.source is not None:
        return step
    if all(is_this_machine(target.host) for target in step.targets):
        return step
    return replace(step, params=params.model_copy(update={"interface": interface}))


def merged_variables(given: Mapping[str, str]) -> dict[str, str]:
    """Variables that override a case's own: settings, then OTS_VAR_…, then those given by hand."""
    environment = {
        name.removeprefix("OTS_VAR_").lower(): value
        for name, value in os.environ.items()
        if name.startswith("OTS_VAR_")
    }
    return {**settings().vars, **environment, **given}
