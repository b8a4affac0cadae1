"""From what a user names to a plan: find the case, merge the variables, check it, plan it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ots.config import settings
from ots.config.place import case_folders
from ots.engine.planner import Plan, plan
from ots.netio.attachment.snapshot import is_this_machine
from ots.probe import NetworkParams, Probe
from ots.registry import kinds
from ots.schema.case import Step
from ots.schema.load import case_of_probe, load_case
from ots.session.rights import present_rights
from ots.session.target_lists import OwnLists

_MAX_CASE_BYTES = 1_000_000


class CaseNotFound(Exception):
    """There is no such file and no shipped case of that name; the message names what there is."""


def prepare(name: str, variables: Mapping[str, str]) -> Plan:
    """The plan of a case file or a shipped case; raises CaseError or CaseNotFound."""
    text, source = read_case(name)
    case = load_case(text, source, kinds(), merged_variables(variables), OwnLists())
    return _through(settings().interface, _with_servers(plan(case, present_rights())))


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


def shipped_cases() -> dict[str, str]:
    """The cases that come with OTS: name → file name."""
    return {
        entry.name.removesuffix(".yaml"): entry.name
        for entry in sorted(files("ots.cases").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".yaml")
    }


def own_cases() -> dict[str, Path]:
    """The user's own cases in the folder `cases` beside the settings, and the system's: name → file."""
    found: dict[str, Path] = {}
    for folder in case_folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def named_cases() -> dict[str, str]:
    """Every case that has a name, and where it comes from: `shipped` or its file. One's own win."""
    return {
        **dict.fromkeys(shipped_cases(), "shipped"),
        **{name: str(path) for name, path in own_cases().items()},
    }


def read_case(name: str) -> tuple[str, str]:
    """The text of a case and what to call it. A path wins over a name, one's own case over a shipped one."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists() or os.sep in name:
        return _read(path), name
    own = own_cases()
    if name in own:
        return _read(own[name]), str(own[name])
    shipped = shipped_cases()
    if name in shipped:
        return (files("ots.cases") / shipped[name]).read_text("utf-8"), f"{name} (shipped)"
    known = ", ".join(sorted({*own, *shipped}))
    raise CaseNotFound(f"no case file {name!r} and no case of that name; there are: {known}")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CASE_BYTES + 1)
    except OSError as error:
        raise CaseNotFound(f"cannot read the case {str(path)!r}: {error.strerror}") from None
    return data.decode("utf-8", "surrogateescape")
