"""What an operation of the interface is: declared once, obeyed by the server, written into the document."""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.api.problems import Refused
from ots.server.identity import audit
from ots.server.identity.caller import AgentCaller, Caller, Person

if TYPE_CHECKING:
    from ots.server.services import Services

JSON_LIMIT = 65_536
_IN_BRACES = re.compile(r"\{([a-z0-9_]+)\}")


class Access(enum.Enum):
    """Who may call: anybody; an agent that signs, be it active or in any state; a person with a scope."""

    PUBLIC = "public"
    AGENT = "agent"
    AGENT_IN_ANY_STATE = "agent in any state"
    PERSON = "person"


class Rate(enum.Enum):
    """How often one caller (an address before it is known) may call: a second, and at once."""

    READ = (20.0, 100)
    WRITE = (5.0, 30)
    UPLOAD = (50.0, 600)
    ENTRY = (0.2, 10)


@dataclass(frozen=True, slots=True)
class Raw:
    """A body taken or given as bytes. `packed` is the most that travels, `limit` the most unpacked."""

    media_types: tuple[str, ...]
    packed: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: `path` and `query` hold what was declared, `body` a struct, bytes or None."""

    request: web.Request
    services: Services
    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any
    packed: bytes
    request_id: str
    address: str

    @property
    def agent(self) -> AgentCaller:
        """The agent that calls; for operations whose access says that it is one."""
        assert isinstance(self.caller, AgentCaller)
        return self.caller

    @property
    def person(self) -> Person:
        """The person who calls; for operations whose access says that it is one."""
        assert isinstance(self.caller, Person)
        return self.caller

    async def note(
        self,
        connection: AsyncConnection,
        action: str,
        object: str,
        *,
        outcome: str = "done",
        detail: Mapping[str, Any] | None = None,
        department_id: int | None = None,
        project_id: int | None = None,
    ) -> None:
        """Adds to the audit trail what the caller does, in the transaction that does it."""
        await audit.note(
            connection,
            time=self.services.wall(),
            actor=self.caller.name,
            address=self.address,
            action=action,
            object=object,
            outcome=outcome,
            detail=detail,
            department_id=department_id,
            project_id=project_id,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation gives: a struct becomes JSON, bytes travel as `media_type` says."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


Handler = Callable[[Call], Awaitable[Answer]]
Shape = type[msgspec.Struct] | Raw | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`gives` maps each status of success to what comes with it; `problems` are the codes that may come
    besides those that any operation of its access can answer. `everywhere`: the caller's scope must not be
    limited to a department or a project.
    """

    name: str
    method: str
    path: str
    summary: str
    access: Access
    rate: Rate
    gives: Mapping[int, Shape]
    handle: Handler
    scope: str | None = None
    everywhere: bool = False
    query: type[msgspec.Struct] | None = None
    takes: Shape = None
    headers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def permit(self, person: Person) -> None:
        """Raises Refused unless this person may call it somewhere (or everywhere, if it wants that)."""
        if self.scope is None:
            return
        if person.must_change:
            raise Refused("password-must-change")
        reach = person.reach(self.scope)
        if not reach.grants or (self.everywhere and not reach.everywhere):
            raise Refused("forbidden", f"this needs {self.scope}{' everywhere' if self.everywhere else ''}")


PATH_PARAMETERS: dict[str, str] = {
    "agent_id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "report_id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "gap_id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "revision": r"[1-9][0-9]{0,5}",
    "number": r"[1-9][0-9]{0,17}",
    "sha256": r"[0-9a-f]{64}",
    "assignment_id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "token_id": r"[a-z0-9]{8}",
    "licence_id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "command_id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "run_id": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
"""What stands in braces in a path, as a regular expression; a path that doesn't fit is not found."""


def pattern(path: str) -> str:
    """A path with the form of each parameter, as aiohttp's router wants it."""
    return _IN_BRACES.sub(lambda found: f"{{{found[1]}:{PATH_PARAMETERS[found[1]]}}}", path)


def alternatives(access: Access) -> tuple[str, ...]:
    """The problems that any operation of this access can answer."""
    common = ("invalid-request", "not-found", "rate-limited", "database-away", "closing", "internal")
    if access in (Access.AGENT, Access.AGENT_IN_ANY_STATE):
        signed = ("signature-missing", "signature-invalid", "clock-skew", "agent-unknown")
        states = (
            ()
            if access is Access.AGENT_IN_ANY_STATE
            else ("agent-pending", "agent-suspended", "agent-revoked", "agent-left")
        )
        return (*common, *signed, *states)
    if access is Access.PERSON:
        return (*common, "login-required", "forbidden", "csrf", "password-must-change")
    return common
