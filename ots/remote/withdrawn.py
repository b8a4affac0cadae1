"""The list of withdrawn licences, fetched from the agent's server."""

from __future__ import annotations

import logging
from pathlib import Path

from ots.remote import wire
from ots.remote.client import Client, Refused
from ots.remote.membership import Membership
from ots.store import StoreError
from ots.store.licences import Licences

log = logging.getLogger("ots.remote")


async def fetch_withdrawn(folder: Path, membership: Membership, client: Client) -> None:
    """Keeps the server's list. Trouble with it holds nothing else back: the server asks by its own record."""
    try:
        answer = await client.call("GET", "/agent/licence")
        Licences(folder, membership.agent_id).install_revocations(answer.read(wire.LicenceText).revocations)
    except (Refused, StoreError) as trouble:
        log.warning("the list of withdrawn licences was not fetched: %s", trouble)
