"""Whether a command is one: signed by the agent's server, for this agent, in time, and in order."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ots.license.document import moment as instant
from ots.remote import control_wire as wire
from ots.remote.membership import Membership
from ots.signing.keys import decode64
from ots.signing.statement import StatementError, verify

EARLY = 300.0
"""Seconds that a command may seem to come from the future."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class NoCommand(Exception):
    """Refused unseen; `reason` says why for a machine, `command_id` what it calls itself, if anything."""

    def __init__(self, reason: str, message: str, command_id: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.command_id = command_id


@dataclass(frozen=True, slots=True)
class Genuine:
    """A command that this agent's server signed for it. Times: seconds since 1970 by the server's clock."""

    command: wire.Command
    issued: float
    not_before: float
    not_after: float


def genuine(text: str, membership: Membership) -> Genuine:
    """The command in a statement. Raises NoCommand where it is none for this agent."""
    try:
        claim = verify(text, wire.COMMAND, membership.trusted_commands())
    except StatementError as error:
        raise NoCommand(error.fault, str(error), _named(text)) from None
    try:
        command = msgspec.convert(claim, wire.Command)
        times = [instant(each) for each in (command.issued_at, command.not_before, command.not_after)]
    except (msgspec.ValidationError, ValueError) as error:
        raise NoCommand("malformed", str(error), _named(text)) from None
    if not _ID.fullmatch(command.command_id) or not 0 < command.seq < 1 << 53:
        raise NoCommand("malformed", "the command's id or number is none")
    if command.agent_id != membership.agent_id:
        raise NoCommand("another-agent", "the command is for another agent", command.command_id)
    if command.issuer.server_id != membership.server_id:
        raise NoCommand("another-server", "the command is of another server", command.command_id)
    return Genuine(command, *times)


def check_time(found: Genuine, now: float) -> None:
    """Raises NoCommand for what is over, not yet made, or would hold for longer than any command may."""
    command_id = found.command.command_id
    if found.not_after <= now:
        raise NoCommand("expired", "the command has expired", command_id)
    if found.issued > now + EARLY:
        raise NoCommand("from-the-future", "the command is not made yet", command_id)
    if found.not_after - max(found.not_before, found.issued) > wire.MOST_ALIVE:
        raise NoCommand("holds-too-long", "the command holds for longer than a day", command_id)
    if found.not_before - found.issued > wire.MOST_ALIVE:
        raise NoCommand("holds-too-long", "the command is for later than a day", command_id)


def _named(text: str) -> str | None:
    """What the statement calls itself, though nobody vouches for it: so that its sender may hear of it."""
    try:
        claim: Any = json.loads(decode64(text.split(".")[1]))
        named = claim["command_id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return named if isinstance(named, str) and _ID.fullmatch(named) else None
