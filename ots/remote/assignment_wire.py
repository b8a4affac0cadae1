"""Assignments as the server hands them to an agent: a signed index, and the documents that it names. Pure.

    GET /api/v1/agent/assignments      → AssignmentText (ETag)

The index is a statement (ots.signing.statement) by the server's command key. A document counts only if its
SHA-256 stands in an index that is not older than the last one accepted. Times are RFC 3339 UTC.
"""

from __future__ import annotations

from typing import Any

import msgspec

INDEX = "ots-assignments+jws"
"""Statement type of the index: fields of `Index`."""

ASSIGNMENT_TAG = "ots.assignment"
PLANNED_TAG = "ots.planned"
"""Tags of a report: the assignment that it is of, and the moment for which the run was planned."""

UNTIL_TAG = "ots.planned-until"
"""Tag of a report for several moments that were missed together: the last of them."""


class CaseName(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A case by its name; with `version` or `sha256` that one and no other."""

    name: str
    version: int | None = None
    sha256: str | None = None


class Assignment(msgspec.Struct, kw_only=True):
    """One case, when to run it and how. `schedule` is written as in a case; `thresholds` replace those of
    the steps that are named; `max_duration` is in seconds; after `not_after` nothing is started any more."""

    assignment_id: str
    version: int
    name: str
    case: CaseName
    schedule: dict[str, Any]
    parameters: dict[str, str] = {}
    thresholds: dict[str, list[dict[str, Any]]] = {}
    max_duration: float = 3600.0
    not_after: str | None = None


class IndexEntry(msgspec.Struct, kw_only=True):
    assignment_id: str
    version: int
    sha256: str


class Index(msgspec.Struct, kw_only=True):
    """Everything that this agent is assigned at `issued_at`; what is not in it is assigned no more."""

    agent_id: str
    server_id: str
    issued_at: str
    assignments: list[IndexEntry]


class AssignmentText(msgspec.Struct, kw_only=True):
    """The index as a statement, and the documents (JSON text of `Assignment`) that it names."""

    index: str
    documents: list[str]
