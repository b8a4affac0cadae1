"""The pages of assignments: listed, made from a form, and what came of each."""

from __future__ import annotations

import yaml
from aiohttp import web

from ots.server.api.paging import PageQuery
from ots.server.api.problems import Refused
from ots.server.assignments import operations, runs
from ots.server.assignments.operations import AssignmentChange, AssignmentView, NewAssignment
from ots.server.assignments.runs import RunsQuery
from ots.server.web.page import Visit, following, named
from ots.strictyaml import YamlError, load_plain

_OPERATIONS = named(operations, runs)
_WRITTEN = ("case", "schedule", "selector", "parameters", "thresholds")
"""Fields of the form that hold YAML."""


async def assignments(visit: Visit) -> web.StreamResponse:
    found = await visit.call(_OPERATIONS["listAssignments"], query=visit.query(PageQuery))
    return visit.show("assignments", page=found, following=following(visit, found.next))


async def make_assignment(visit: Visit) -> web.StreamResponse:
    made = await visit.call(_OPERATIONS["makeAssignment"], body=_content(visit))
    return web.HTTPSeeOther(f"/assignments/{made.assignment_id}")


async def show_assignment(visit: Visit) -> web.StreamResponse:
    """One assignment, the agents that it is for, and its planned runs (those of the last day)."""
    found: AssignmentView = await visit.call(_OPERATIONS["showAssignment"])
    arrived = await visit.call(_OPERATIONS["listRuns"], query=visit.query(RunsQuery))
    return visit.show("assignment", assignment=found, runs=arrived, written=_as_written(found))


async def change_assignment(visit: Visit) -> web.StreamResponse:
    """New content, for the version that the page showed."""
    version = visit.form.get("version", "")
    if not version.isascii() or not version.isdigit():
        raise Refused("invalid-body")
    change = AssignmentChange(version=int(version), content=_content(visit))
    await visit.call(_OPERATIONS["changeAssignment"], body=change)
    return web.HTTPSeeOther(visit.request.path)


async def retire_assignment(visit: Visit) -> web.StreamResponse:
    await visit.call(_OPERATIONS["retireAssignment"])
    return web.HTTPSeeOther("/assignments")


def _content(visit: Visit) -> NewAssignment:
    """The form as an assignment: its structured fields are written as in a case. Raises Refused."""
    structured: dict[str, object] = {}
    for name in _WRITTEN:
        text = visit.form.get(name, "").strip()
        if not text:
            continue
        try:
            structured[name] = load_plain(text)
        except YamlError as error:
            raise Refused("invalid-body", f"{name}: {error}") from None
    if isinstance(structured.get("case"), str):
        structured["case"] = {"name": structured["case"]}
    content: NewAssignment = visit.filled(
        NewAssignment, "name", "department", "project", "max_duration", "not_after", **structured
    )
    return content


def _as_written(found: AssignmentView) -> dict[str, str]:
    """The structured fields as the form holds them."""
    case = {name: value for name in ("name", "version", "sha256") if (value := getattr(found.case, name))}
    chosen = {name: value for name in ("agents", "tags") if (value := getattr(found.selector, name))}
    structured = {
        "case": case,
        "schedule": found.schedule,
        "selector": {
            name: chosen for name in ("agents", "tags") if (chosen := getattr(found.selector, name))
        },
        "parameters": found.parameters,
        "thresholds": found.thresholds,
    }
    return {
        name: yaml.safe_dump(value, allow_unicode=True, sort_keys=False) if value else ""
        for name, value in structured.items()
    }


ASSIGNMENT_PAGES = (
    ("GET", "/assignments", assignments),
    ("POST", "/assignments", make_assignment),
    ("GET", "/assignments/{assignment_id}", show_assignment),
    ("POST", "/assignments/{assignment_id}", change_assignment),
    ("POST", "/assignments/{assignment_id}/retire", retire_assignment),
)
"""Method, path and maker of each page of assignments."""
