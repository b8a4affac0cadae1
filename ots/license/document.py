"""The licence as a document: its fields and what makes one malformed. Pure; signatures are checked elsewhere.

Times are RFC 3339 UTC. Unknown fields are ignored, unless `crit` names them: then the reader must know them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from ots.license.tiers import Tier

_MOST = 2**53
"""Whole numbers above it are not the same in every reader of JSON."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{7,63}", re.ASCII)

Count = Annotated[int, Meta(ge=0, le=_MOST)]
Number = Annotated[float, Meta(ge=0, le=_MOST)]
Days = Annotated[float, Meta(ge=0, le=366)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]


Document = TypeVar("Document", bound=msgspec.Struct)


class Malformed(ValueError):
    """What was signed is no licence; the message says why."""


class Subject(msgspec.Struct, kw_only=True, frozen=True):
    """Whom the licence is for. Names are compared character by character, never by looks."""

    org: Name | None = None
    department: Name | None = None
    project: Name | None = None

    def __post_init__(self) -> None:
        for name in (self.org, self.department, self.project):
            if name is not None:
                _plain(name)


class Binding(msgspec.Struct, kw_only=True, frozen=True):
    """Where it holds: for these agents, for every agent of the subject's project, or anywhere."""

    kind: Literal["agents", "project", "any"]
    agents: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()

    def __post_init__(self) -> None:
        if (self.kind == "agents") != bool(self.agents):
            raise ValueError("a binding to agents, and no other, names them")


class Licence(msgspec.Struct, kw_only=True, frozen=True):
    """A licence. `serial` grows with each one for the same subject and binding (`line`).

    It holds from `not_before` until just before `not_after`, then in grace for `grace_days` more. From
    `refresh_after` on a newer one should be fetched. Whoever honours it must hold a revocation list of at
    least `revocation_min`. `features` and `limits` change what the tier says.
    """

    licence_id: str
    serial: Count
    tier: Tier
    subject: Subject
    binding: Binding
    issued_at: str
    not_before: str
    not_after: str
    refresh_after: str | None = None
    grace_days: Days = 14
    revocation_min: Count = 0
    features: Annotated[dict[Name, bool], Meta(max_length=200)] = {}
    limits: Annotated[dict[Name, Number | None], Meta(max_length=100)] = {}
    note: Annotated[str, Meta(max_length=500)] = ""
    crit: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()

    def __post_init__(self) -> None:
        _identifier(self.licence_id)
        moment(self.issued_at)
        start, end = moment(self.not_before), moment(self.not_after)
        if end <= start:
            raise ValueError("not_after does not come after not_before")
        if self.refresh_after is not None and not start <= moment(self.refresh_after) <= end:
            raise ValueError("refresh_after lies outside the time in which it holds")
        if self.binding.kind == "project" and self.subject.project is None:
            raise ValueError("it is bound to a project and names none")

    @property
    def line(self) -> str:
        """What licences have in common of which the newer replaces the older."""
        subject = self.subject
        names = (subject.org, subject.department, subject.project, self.binding.kind)
        return "/".join("" if name is None else name.replace("/", "//") for name in names)


class Revoked(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A licence that no longer holds, or all of an agent's that were issued before a time."""

    licence_id: Name | None = None
    agent_id: Name | None = None
    before: str | None = None

    def __post_init__(self) -> None:
        if (self.licence_id is None) == (self.agent_id is None):
            raise ValueError("name a licence or an agent")
        if self.before is not None:
            moment(self.before)


class Revocations(msgspec.Struct, kw_only=True, frozen=True):
    """The list of what was withdrawn; a list with a higher serial replaces one with a lower."""

    serial: Count = 0
    issued_at: str = "1970-01-01T00:00:00Z"
    revoked: tuple[Revoked, ...] = ()

    def __post_init__(self) -> None:
        moment(self.issued_at)

    def names(self, licence: Licence, agent_id: str) -> bool:
        """Whether the list withdraws this licence from this agent."""
        for entry in self.revoked:
            meant = licence.licence_id == entry.licence_id or agent_id == entry.agent_id
            if meant and (entry.before is None or moment(licence.issued_at) < moment(entry.before)):
                return True
        return False

    def withdraw(self, licence_id: str) -> bool:
        """Whether the list names this licence."""
        return any(entry.licence_id == licence_id for entry in self.revoked)


def read_licence(payload: Mapping[str, Any]) -> Licence:
    """The licence that a verified statement holds. Raises Malformed."""
    licence = _convert(payload, Licence)
    unknown = set(licence.crit) - set(Licence.__struct_fields__)
    if unknown:
        raise Malformed(f"it demands what this version does not know: {', '.join(sorted(unknown))}")
    return licence


def read_revocations(payload: Mapping[str, Any]) -> Revocations:
    """The revocation list that a verified statement holds. Raises Malformed."""
    return _convert(payload, Revocations)


def moment(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time in UTC (`2026-11-26T15:00:00Z`). Raises ValueError."""
    if not _INSTANT.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no RFC 3339 time in UTC")
    return datetime.fromisoformat(text).timestamp()


def instant(time: float) -> str:
    """RFC 3339 UTC, whole seconds. Raises ValueError or OverflowError for a time that no calendar has."""
    return (_EPOCH + timedelta(seconds=time)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _convert(payload: Mapping[str, Any], kind: type[Document]) -> Document:
    try:
        return msgspec.convert(payload, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Malformed(str(error)) from None


def _identifier(text: str) -> None:
    if not _ID.fullmatch(text):
        raise ValueError("licence_id is 8 to 64 letters, digits, - and _")


def _plain(name: str) -> None:
    """One way only to write a name: no blanks around it, one normal form, nothing invisible."""
    if name != name.strip() or unicodedata.normalize("NFC", name) != name or not name.isprintable():
        raise ValueError(f"{name[:40]!r} is not written as names are (NFC, printable, no blanks around it)")
