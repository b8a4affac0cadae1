"""Getting a place on a server, asking where one stands, giving it up."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ots import __version__
from ots.clock import rfc3339
from ots.config import Settings
from ots.netio.attachment.snapshot import observer
from ots.remote import wire
from ots.remote.client import Client, Refused
from ots.remote.content_root import pin_root
from ots.remote.identity import Identity
from ots.remote.membership import (
    Membership,
    MembershipError,
    forget,
    read_issuers,
    read_membership,
    write_licence,
    write_membership,
)
from ots.remote.succession import followed
from ots.remote.withdrawn import fetch_withdrawn
from ots.reports.plain import plain

POLL = 5.0
"""Seconds between two questions whether an agent has been approved."""

SLOWEST = 60.0
"""Seconds: the slowest pace of a backlog that a server can ask for."""

_MACHINE_ID = Path("/etc/machine-id")
log = logging.getLogger("ots.remote")


@dataclass(frozen=True, slots=True)
class Application:
    """What an agent says of itself to get a place; the token appears nowhere else."""

    url: str
    token: str = field(repr=False)
    name: str
    department: str | None = None
    project: str | None = None
    ca: str | None = None
    plain_http: bool = False


async def enrol(folder: Path, wish: Application, who: Identity) -> Membership:
    """Asks for a place and keeps the answer. Raises Refused, MembershipError, AddressError.

    The same agent may ask again: it gets its place as it is now, and the server's present keys are pinned.
    """
    request = wire.Enrol(
        token=wish.token,
        agent_id=who.agent_id,
        public_key=who.public_key,
        name=wish.name,
        version=__version__,
        department=wish.department,
        project=wish.project,
        fingerprint=_fingerprint(wish.url),
    )
    async with Client(wish.url, who, ca=wish.ca) as client:
        answer = await client.call("POST", "/agents", msgspec.json.encode(request), _JSON)
        enrolled = answer.read(wire.Enrolled)
        if enrolled.agent_id != who.agent_id or not enrolled.keys.receipt:
            raise Refused("answer-invalid", "the server answered for another agent, or without keys")
        if enrolled.status == "revoked":
            raise Refused("agent-revoked", "the server has revoked this machine's place", decision="stop")
        membership = Membership(
            url=wish.url,
            server_id=enrolled.server_id,
            server_name=enrolled.server_name,
            agent_id=who.agent_id,
            name=wish.name,
            status=enrolled.status,
            receipt_keys=enrolled.keys.receipt,
            command_keys=enrolled.keys.command,
            ca=wish.ca,
            plain_http=wish.plain_http,
            enrolled_at=rfc3339(time.time()),
            epoch=_epoch_before(folder, enrolled),
        )
        try:
            membership.trusted_receipts()
            membership.trusted_commands()
        except ValueError as error:
            raise Refused("answer-invalid", f"the server's keys can't be used: {error}") from None
        _take_over(membership, enrolled, client)
        if membership.status == "active":
            await pin_root(folder, membership, client, anew=True)
    write_licence(folder, enrolled.keys.licence, enrolled.licence)
    write_membership(folder, membership)
    return membership


async def refresh(folder: Path, membership: Membership, client: Client) -> None:
    """Asks the server where the agent stands, and keeps it. Raises Refused, MembershipError.

    The pinned keys stay, and new ones are trusted only on the word of those; another server is refused.
    """
    enrolled = (await client.call("GET", "/agent")).read(wire.Enrolled)
    if enrolled.server_id != membership.server_id or enrolled.agent_id != membership.agent_id:
        raise Refused("another-server", "another server answers at this address", decision="stop")
    membership.receipt_keys = followed(
        enrolled.successions, membership.receipt_keys, "receipt", membership.server_id
    )
    if not set(enrolled.keys.receipt) & set(membership.receipt_keys):
        raise Refused("another-server", "the server signs with other keys than when the agent enrolled",
                      decision="stop")  # fmt: skip
    _pin_commands(membership, enrolled)
    _take_over(membership, enrolled, client)
    pinned = read_issuers(folder)
    issuers = followed(enrolled.successions, pinned, "licence", membership.server_id)
    write_licence(folder, issuers if issuers != pinned else None, enrolled.licence)
    write_membership(folder, membership)
    if membership.status == "active":
        await fetch_withdrawn(folder, membership, client)
        await pin_root(folder, membership, client, anew=False)


async def wait_for_approval(folder: Path, membership: Membership, client: Client) -> None:
    """Asks until a person has decided. Raises Refused, MembershipError."""
    while membership.status == "pending":
        await asyncio.sleep(POLL)
        await refresh(folder, membership, client)


async def tell(membership: Membership, client: Client, settings: Settings, waiting: int) -> None:
    """Tells the server of this machine, as far as the settings allow. Raises Refused."""
    allowed = settings.upload
    context = await observer(settings)(0.0)
    info = wire.AgentInfo(
        sent=rfc3339(time.time() + membership.clock_offset),
        version=__version__,
        hostname=socket.gethostname() if allowed.device else None,
        device=context.device if allowed.device else None,
        network=context.network if allowed.addresses else None,
        position=context.position if allowed.position else None,
        waiting=waiting,
    )
    await client.call("PUT", "/agent/info", msgspec.json.encode(info), _JSON)


async def leave(folder: Path, client: Client) -> None:
    """Gives the place up on the server, then here. Raises Refused, MembershipError."""
    await client.call("DELETE", "/agent")
    forget(folder)


_JSON = {"Content-Type": "application/json"}


def _pin_commands(membership: Membership, enrolled: wire.Enrolled) -> None:
    """Pins the key of commands where none is pinned yet: by agents that enrolled before servers had one.

    One that is pinned stays. Raises Refused where the server has only others.
    """
    given = enrolled.keys.command
    if not membership.command_keys:
        membership.command_keys = given
        try:
            membership.trusted_commands()
        except ValueError as error:
            raise Refused("answer-invalid", f"the server's keys can't be used: {error}") from None
    elif given and not set(given) & set(membership.command_keys):
        raise Refused(
            "another-server", "the server signs commands with other keys than before", decision="stop"
        )


def _take_over(membership: Membership, enrolled: wire.Enrolled, client: Client) -> None:
    membership.status = enrolled.status
    membership.server_name = _line(enrolled.server_name)
    membership.department = None if enrolled.department is None else _line(enrolled.department)
    membership.project = None if enrolled.project is None else _line(enrolled.project)
    membership.tier = _line(enrolled.tier)
    membership.upload_interval = min(max(0.0, enrolled.upload_interval), SLOWEST)
    membership.clock_offset = client.clock_offset
    membership.server_epoch = enrolled.epoch
    membership.refreshed_at = rfc3339(time.time())


def _epoch_before(folder: Path, enrolled: wire.Enrolled) -> str | None:
    """Up to which restore this agent has asked this very server what it lacks; a new place owes nothing."""
    try:
        before = read_membership(folder)
    except MembershipError:
        before = None
    return before.epoch if before is not None and before.server_id == enrolled.server_id else enrolled.epoch


def _line(text: str) -> str:
    """A server's text as a terminal may show it."""
    return plain(text[:100])


def _fingerprint(url: str) -> str | None:
    """A hint that two agents run on one machine, of use to this server only."""
    try:
        machine = _MACHINE_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return hashlib.sha256(f"ots-fingerprint {url} {machine}".encode()).hexdigest() if machine else None
