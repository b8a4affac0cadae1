"""Asks the agent's server for a licence; a person decides there."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ots.remote import wire
from ots.remote.client import Client
from ots.remote.identity import identity
from ots.remote.membership import Membership


async def send_wish(folder: Path, membership: Membership, tier: str, note: str) -> None:
    """The same wish again changes nothing. Raises Refused, UnusableKey."""
    body = msgspec.json.encode(wire.LicenceWish(tier=tier, note=note))
    offset = membership.clock_offset
    async with Client(membership.url, identity(folder), clock_offset=offset, ca=membership.ca) as client:
        await client.call("POST", "/agent/licence-requests", body, {"Content-Type": "application/json"})
