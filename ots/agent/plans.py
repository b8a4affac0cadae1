"""What this agent has planned: the schedules of its own folder, and what its server has assigned to it.

# schedules/office.yaml beside the settings; without `schedule` the case's own holds
case: office
schedule: {every: 15 min}
vars: {server: 192.0.2.1}
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ots.agent.order import CaseReference, Order, Origin
from ots.agent.understanding import Refused, understand
from ots.config import Settings, SettingsError
from ots.config.layers import parse
from ots.config.place import SYSTEM_SETTINGS, user_settings
from ots.engine.planner import Plan as CasePlan
from ots.policy.issuer import REMOTE, SCHEDULE, Issuer
from ots.remote.assignment_wire import Assignment
from ots.remote.assignments import kept_assignments
from ots.remote.membership import Membership, MembershipError, read_membership
from ots.schedule.document import Schedule
from ots.schedule.placing import MOST_MOVED, Placement
from ots.schedule.state import Job
from ots.schema.place import InOptions
from ots.schema.schedule import read_schedule
from ots.session.link_budget import main_link, moves_over
from ots.session.prepare import loads_the_link
from ots.strictyaml import Problem

log = logging.getLogger("ots.agent")

_MARGIN = 60.0
_NEVER = Schedule(every=366 * 86_400.0)


@dataclass(frozen=True, slots=True)
class Planned:
    """One schedule with what it runs. `job.refusal` says why it can't, if so."""

    job: Job
    origin: Origin
    issuer: Issuer
    case: CaseReference
    parameters: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, list[Any]] = field(default_factory=dict)
    max_duration: float = 3600.0
    assignment_id: str | None = None

    def order(self, placement: Placement) -> Order:
        """The order of a planned moment; it is the same one after a restart."""
        begins = placement.planned_at if placement.starts_at is None else placement.starts_at
        return Order(
            order_id=placement.order_id,
            origin=self.origin,
            issuer=self.issuer,
            case=self.case,
            parameters=dict(self.parameters),
            thresholds=dict(self.thresholds),
            planned_at=placement.planned_at,
            not_before=begins,
            not_after=begins + MOST_MOVED,
            max_duration=self.max_duration,
            tags={"ots.schedule": self.job.schedule_id},
            assignment_id=self.assignment_id,
        )


def folders() -> list[Path]:
    """Where schedules lie; the user's own come first."""
    return [user_settings().parent / "schedules", SYSTEM_SETTINGS.parent / "schedules"]


def files() -> dict[str, Path]:
    """The schedules of this machine: name → file."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def all_plans(settings: Settings, link: str) -> list[Planned]:
    """The schedules of this machine, then what its server has assigned to it last. A faulty one is there too,
    with its fault as the refusal."""
    return [
        *(_local(name, path, link) for name, path in files().items()),
        *_assigned_plans(settings, link),
    ]


def _assigned_plans(settings: Settings, link: str) -> list[Planned]:
    """What the server assigned last; nothing where there is none."""
    try:
        membership = read_membership(settings.data_dir)
    except MembershipError as error:
        log.warning("No assignment can be followed: %s", error)
        return []
    found = kept_assignments(settings.data_dir, membership)
    return [_assigned(each, membership, link) for each in found]


def _local(name: str, path: Path, link: str) -> Planned:
    written: dict[str, Any] = {}
    fault: str | None = None
    try:
        written = {key: stated.value for key, stated in parse(path.read_bytes(), str(path)).items()}
    except OSError as error:
        fault = f"{path}: {error.strerror}"
    except SettingsError as error:
        fault = str(error)
    variables = {
        key.removeprefix("vars."): str(value) for key, value in written.items() if key.startswith("vars.")
    }
    unknown = [key for key in written if key not in ("case", "schedule") and not key.startswith("vars.")]
    if fault is None and (unknown or not isinstance(written.get("case"), str)):
        fault = f"{path}: a schedule has case, schedule and vars, not {unknown[0] if unknown else 'no case'}"
    case = CaseReference(name=str(written.get("case", name)))
    return _planned(
        name, link, Planned(Job(name, _NEVER, link), "schedule", SCHEDULE, case, variables), written, fault
    )


def _assigned(given: Assignment, membership: Membership | None, link: str) -> Planned:
    case = CaseReference(name=given.case.name, version=given.case.version, sha256=given.case.sha256)
    until = None if given.not_after is None else datetime.fromisoformat(given.not_after).timestamp()
    issuer = Issuer(
        kind=REMOTE.kind,
        project=None if membership is None else membership.project,
        department=None if membership is None else membership.department,
        server_id=None if membership is None else membership.server_id,
    )
    draft = Planned(
        Job(given.assignment_id, _NEVER, link, not_after=until),
        "assignment",
        issuer,
        case,
        given.parameters,
        given.thresholds,
        given.max_duration,
        given.assignment_id,
    )
    return _planned(given.assignment_id, link, draft, {"schedule": given.schedule}, None)


def _planned(name: str, link: str, draft: Planned, written: Mapping[str, Any], fault: str | None) -> Planned:
    """The draft with its schedule, and with what its case needs."""
    plan: CasePlan | None = None
    problems: list[Problem] = []
    schedule: Schedule | None = None
    if "schedule" in written:
        schedule = read_schedule(
            written["schedule"], InOptions(lambda path: ".".join(map(str, path)), problems)
        )
        if schedule is None:
            fault = fault or f"{name}: schedule: {problems[0].message}"
    if fault is None:
        try:
            plan = understand(draft.order(Placement(name, 0.0, 0.0, "run", "", "")))
        except Refused as error:
            fault = str(error)
    if schedule is None and plan is not None:
        schedule = plan.case.schedule
        if schedule is None:
            fault = f"{name}: neither this schedule nor the case {draft.case.name} says when"
    if plan is None:
        return replace(draft, job=replace(draft.job, schedule=schedule or _NEVER, refusal=fault))
    estimate, link = plan.estimate, main_link(plan)
    job = Job(
        name,
        schedule or _NEVER,
        link,
        exclusive=loads_the_link(plan.case),
        seconds=estimate.duration,
        bytes=moves_over(plan).get(link, 0),
        refusal=fault or _licence(plan),
        not_after=draft.job.not_after,
    )
    longest = estimate.patience + _MARGIN if draft.assignment_id is None else draft.max_duration
    return replace(draft, job=job, max_duration=longest)


def _licence(plan: CasePlan) -> str | None:
    refusal = plan.entitlement.refusal("schedule")
    return None if refusal is None else "runs by a schedule are not allowed here: ots license features"
