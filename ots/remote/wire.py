"""The messages between an agent and its server, as JSON. Pure: both sides read this module.

Times are RFC 3339 UTC; durations seconds. Unknown fields are ignored by both sides.
Every request of an agent may come twice: the second time changes nothing.

    POST /api/v1/agents                                   Enrol → 201 Enrolled, or 202 Enrolled (`pending`)
    GET  /api/v1/agent                                    → Enrolled (the agent's present state)
    PUT  /api/v1/agent/info                               AgentInfo → 204
    GET  /api/v1/agent/licence                            → LicenceText (ETag)
    GET  /api/v1/agent/content                            → ContentRoot, 404 where nothing is published
    POST /api/v1/agent/licence-requests                   LicenceWish → 201
    DELETE /api/v1/agent                                  → 204: the agent leaves
    PUT  /api/v1/agent/reports/{report_id}/{revision}     a report's bytes → 201, or 200 again: Stored
    POST /api/v1/agent/reports/have                       HeldReports → 200 LackedReports
    PUT  /api/v1/agent/artifacts/{sha256}                 a file's bytes → 201 or 200
    PUT  /api/v1/agent/gaps/{gap_id}                      Gap → 201 or 200

All are signed (ots.signing.request), `Enrol` with the key that it brings. Bodies of reports and artifacts may
be `Content-Encoding: gzip`; the signed digest is that of the body as it travels. A report comes with
`OTS-Report-Signature`, a statement (REPORT) over its exact bytes. Errors are RFC 9457 problems whose `code`
is stable; `retry_after` says when a repetition may help.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ots.license.types import LICENCE, WISH

__all__ = ["LICENCE", "WISH"]

SIGNATURE_HEADER = "OTS-Report-Signature"

RECEIPT = "ots-receipt+jws"
"""Statement type of the server's word that it keeps a report: fields of `Receipt`."""

REPORT = "ots-report+jws"
"""Statement type of the agent's signature on a report: fields of `ReportClaim`."""

REVISION = "ots-revision+jws"
"""Statement type of the server's word on a revision that it made: fields of `RevisionClaim`."""

SUCCESSION = "ots-succession+jws"
"""Statement type of a server's key on the one that comes after it: fields of `Succession`."""

HELD_AT_ONCE = 200
"""Reports in one question whether the server has them."""

KeyPurpose = Literal["receipt", "licence"]
AgentStatus = Literal["pending", "active", "suspended", "revoked", "left"]


class Enrol(msgspec.Struct, kw_only=True):
    """Asks for a place on the server. The token stands only here; `fingerprint` is a salted hash, a hint."""

    token: str
    agent_id: str
    public_key: str
    name: str
    version: str
    department: str | None = None
    project: str | None = None
    fingerprint: str | None = None
    replaces: str | None = None


class ServerKeys(msgspec.Struct, kw_only=True):
    """Public keys (base64url) with which the server signs; the first is in use, the others still hold."""

    receipt: list[str]
    licence: list[str]
    command: list[str] = []


class Succession(msgspec.Struct, kw_only=True):
    """What a key of the server says, once, of its successor: `key` signs for the same purpose from now on."""

    server_id: str
    purpose: KeyPurpose
    former: str
    key: str
    made_at: str


class Enrolled(msgspec.Struct, kw_only=True):
    """Where an agent stands. `tier` is what its licence grants; `licence` its text, null while pending.

    `upload_interval` is the least time between two uploads of a backlog, in seconds. `successions` lead from
    keys that were used before to the present ones, oldest first. Another `epoch` than before: the server
    was restored, and may lack what it acknowledged.
    """

    agent_id: str
    status: AgentStatus
    server_id: str
    server_name: str
    server_time: str
    keys: ServerKeys
    department: str | None = None
    project: str | None = None
    tier: str = "default"
    licence: str | None = None
    upload_interval: float = 0.0
    successions: list[str] = []
    epoch: str | None = None


class Held(msgspec.Struct, kw_only=True):
    """A revision for which the agent has the server's receipt."""

    report_id: Annotated[str, msgspec.Meta(max_length=100)]
    revision: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
    sha256: Annotated[str, msgspec.Meta(max_length=64)]


class HeldReports(msgspec.Struct, kw_only=True):
    """What an agent asks a restored server for: which of these it has."""

    reports: Annotated[list[Held], msgspec.Meta(max_length=HELD_AT_ONCE)]


class LackedReports(msgspec.Struct, kw_only=True):
    """The ids of the reports that the server has not."""

    lacking: list[str]


class AgentInfo(msgspec.Struct, kw_only=True):
    """What an agent tells of its machine, as its settings allow; `sent` orders repetitions."""

    sent: str
    version: str
    hostname: str | None = None
    device: dict[str, Any] | None = None
    network: dict[str, Any] | None = None
    position: dict[str, Any] | None = None
    waiting: int = 0


class LicenceText(msgspec.Struct, kw_only=True):
    """The licence in force for the agent, and the signed list of what was withdrawn."""

    licence: str | None
    tier: str
    revocations: str


class ContentRoot(msgspec.Struct, kw_only=True):
    """The root of the server's signed content (TUF, JSON text), for the agent to pin."""

    root: str


class LicenceWish(msgspec.Struct, kw_only=True):
    """Asks for a tier; a manager decides."""

    tier: str
    note: str = ""


class ReportClaim(msgspec.Struct, kw_only=True):
    """What the agent signs of a report: these exact bytes are revision `revision` of `report_id`."""

    agent_id: str
    report_id: str
    revision: int
    seq: int
    sha256: str
    size: int


class Receipt(msgspec.Struct, kw_only=True):
    """What the server signs: it keeps these bytes. Only this lets an agent take a report off its queue."""

    agent_id: str
    report_id: str
    revision: int
    sha256: str
    received_at: str
    server_id: str


class RevisionClaim(msgspec.Struct, kw_only=True):
    """What the server signs of a revision that a person made: which bytes, over which ones, by whom and why.

    From `parent_sha256` to `parent_sha256` it leads down to the bytes that the agent signed.
    """

    agent_id: str
    report_id: str
    revision: int
    kind: str
    sha256: str
    parent_sha256: str
    author: str
    reason: str
    made_at: str
    server_id: str


class Stored(msgspec.Struct, kw_only=True):
    """The answer to an upload: the receipt, and the artifacts that the server does not have yet (SHA-256)."""

    receipt: str
    missing_artifacts: list[str] = []


class Gap(msgspec.Struct, kw_only=True):
    """What an agent dropped and will never send: the numbers (`seq`, both ends included) and why."""

    gap_id: str
    first_seq: int
    last_seq: int
    count: int
    reason: Literal["size", "age", "damaged", "deleted"]
    noticed: str


class Problem(msgspec.Struct, kw_only=True):
    """An error (RFC 9457). `type` is `urn:ots:problem:<code>`; `errors` names fields by JSON pointer."""

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    errors: list[dict[str, str]] = []
