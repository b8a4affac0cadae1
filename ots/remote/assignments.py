"""What the server assigns to this agent: fetched, checked, and kept for the time without a server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from ots.config.whole_file import write_whole
from ots.remote.assignment_wire import INDEX, Assignment, AssignmentText, Index
from ots.remote.client import Client, Refused
from ots.remote.membership import Membership, MembershipError
from ots.signing.statement import StatementError, verify

FILE = "assignments.json"
_MAX_BYTES = 2 << 20


class _Kept(msgspec.Struct, kw_only=True):
    """The last index that was accepted, with its documents. `server_id` is whose it is."""

    server_id: str
    issued_at: str
    assignments: list[Assignment]


async def fetch_assignments(folder: Path, membership: Membership, client: Client) -> list[Assignment]:
    """Asks the server, keeps what it says and returns it. Raises Refused, MembershipError.

    An index of another agent or server, by a key that isn't pinned, or older than the one that is kept
    changes nothing; nor does one whose documents are not those that it names.
    """
    answer = (await client.call("GET", "/agent/assignments")).read(AssignmentText)
    index = _index(answer.index, membership)
    before = _read(folder)
    if before is not None and before.server_id == index.server_id and index.issued_at < before.issued_at:
        raise Refused("assignments-older", "the server gave assignments older than those that are here")
    documents = {hashlib.sha256(text.encode()).hexdigest(): text for text in answer.documents}
    found = []
    for entry in index.assignments:
        try:
            document = msgspec.json.decode(documents[entry.sha256], type=Assignment)
        except (KeyError, msgspec.MsgspecError, RecursionError):
            raise Refused(
                "answer-invalid", "an assignment is not the one that the server signed", decision="stop"
            ) from None
        if (document.assignment_id, document.version) != (entry.assignment_id, entry.version):
            raise Refused("answer-invalid", "an assignment bears another's name", decision="stop")
        found.append(document)
    kept = _Kept(server_id=index.server_id, issued_at=index.issued_at, assignments=found)
    try:
        write_whole(folder / FILE, msgspec.json.encode(kept))
    except OSError as error:
        raise MembershipError(
            f"{folder / FILE} can't be written: {error.strerror or error}",
            "Free some space, or give yourself the right to write there.",
        ) from None
    return found


def kept_assignments(folder: Path, membership: Membership | None) -> list[Assignment]:
    """The last ones that this agent's server gave; none where it belongs to no server, or to another one."""
    kept = _read(folder)
    if kept is None or membership is None or membership.status != "active":
        return []
    return kept.assignments if kept.server_id == membership.server_id else []


def _index(text: str, membership: Membership) -> Index:
    try:
        index = msgspec.convert(verify(text, INDEX, membership.trusted_commands()), Index)
    except (StatementError, msgspec.ValidationError) as error:
        raise Refused("answer-invalid", f"the index of assignments: {error}", decision="stop") from None
    if (index.agent_id, index.server_id) != (membership.agent_id, membership.server_id):
        raise Refused(
            "answer-invalid", "the index of assignments is another agent's or server's", decision="stop"
        )
    return index


def _read(folder: Path) -> _Kept | None:
    """What is kept; None where there is nothing or it is damaged: the server is asked again anyway."""
    try:
        with (folder / FILE).open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=_Kept)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None
