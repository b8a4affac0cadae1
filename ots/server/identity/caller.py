"""Who a request comes from, and the part of the data that they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import ColumnElement, Table, and_, false, or_, true

ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"agents:read", "reports:read", "assignments:read", "commands:read"}),
    "operator": frozenset(
        {"agents:read", "reports:read", "assignments:read", "commands:read", "commands:run"}
    ),
    "engineer": frozenset(
        {"agents:read", "reports:read", "reports:write", "assignments:read", "commands:read"}
    ),
    "manager": frozenset(
        {"agents:read", "agents:write", "reports:read", "reports:write", "tokens:read", "tokens:write"}
        | {"licences:read", "projects:read", "assignments:read", "assignments:write"}
        | {"content:read", "content:write"}
        | {"commands:read", "commands:run", "commands:hold"}
    ),
    "licence_manager": frozenset({"agents:read", "licences:read", "licences:write", "projects:read"}),
    "auditor": frozenset({"audit:read", "agents:read", "projects:read"}),
    "admin": frozenset(
        {"accounts:read", "accounts:write", "projects:read", "projects:write", "audit:read"}
        | {"agents:read", "agents:write", "reports:read", "reports:write", "reports:delete"}
        | {"content:read", "content:write"}
        | {"reports:unredacted", "assignments:read", "assignments:write"}
        | {"commands:read", "commands:run", "commands:hold"}
        | {"tokens:read", "tokens:write", "licences:read", "licences:write"}
    ),
}
"""What each role may do. A grant of a role holds for everything, for a department or for one project."""

SCOPES = frozenset().union(*ROLES.values())


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, for a department or a project of it; both None: everywhere."""

    role: str
    department_id: int | None = None
    project_id: int | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """The departments and projects within which something is allowed."""

    grants: Sequence[Grant]

    @property
    def everywhere(self) -> bool:
        return any(grant.department_id is None and grant.project_id is None for grant in self.grants)

    def condition(self, table: Table) -> ColumnElement[bool]:
        """What a query on a table with `department_id` and `project_id` must hold; the one row filter."""
        return self.over(table.c.department_id, table.c.project_id)

    def over(self, department_id: ColumnElement[Any], project_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """The same where department and project stand in other columns."""
        if self.everywhere:
            return true()
        parts = [
            and_(department_id == grant.department_id, project_id == grant.project_id)
            if grant.department_id is not None and grant.project_id is not None
            else project_id == grant.project_id
            if grant.project_id is not None
            else department_id == grant.department_id
            for grant in self.grants
        ]
        return or_(false(), *parts)

    def covers(self, department_id: int | None, project_id: int | None) -> bool:
        """Whether a thing of this department and project is within reach."""
        return self.everywhere or any(
            (grant.project_id is not None and grant.project_id == project_id)
            or (grant.project_id is None and grant.department_id == department_id is not None)
            for grant in self.grants
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is what the audit trail and the rate limiter know it by."""

    name: str
    promised_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Nobody(Caller):
    """Has proven nothing."""

    name: str = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCaller(Caller):
    """An agent that signed its request. `skew` is its clock's time less ours, in seconds."""

    agent_id: str
    status: str
    department_id: int | None
    project_id: int | None
    tier: str
    key: Ed25519PublicKey
    skew: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Caller):
    """Somebody with an account. `limit` are the scopes of an API token, None after a log-in."""

    account_id: int
    grants: Sequence[Grant]
    limit: frozenset[str] | None = None
    must_change: bool = False
    csrf: str | None = None
    session: str | None = field(default=None, repr=False)

    def may(self, scope: str) -> bool:
        return bool(self.reach(scope).grants)

    def reach(self, scope: str) -> Reach:
        """Where this person may do this; empty where nowhere."""
        if self.limit is not None and scope not in self.limit:
            return Reach(())
        return Reach(tuple(grant for grant in self.grants if scope in ROLES.get(grant.role, frozenset())))

    def role_at(self, department_id: int | None, project_id: int | None) -> str | None:
        """A role of theirs that holds for a department and project, the one that may do most."""
        held = [grant.role for grant in self.grants if Reach([grant]).covers(department_id, project_id)]
        return max(held, key=lambda role: len(ROLES.get(role, ())), default=None)
