"""What the licences of agents grant on this server: asked where a report or a file arrives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.document import Licence, Malformed, read_licence
from ots.license.grant import Grant
from ots.license.state import ends
from ots.license.tiers import DAY
from ots.license.types import LICENCE
from ots.server.database.tables import agent, licence
from ots.signing.statement import StatementError, verify

LONGEST_GRACE = 366 * DAY
"""Seconds; no licence is honoured longer after its end."""


class Grants:
    """Reads licences that one of these keys (by key id) signed."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = keys
        self._licence = lru_cache(4096)(self._read)

    async def of_agents(
        self, connection: AsyncConnection, agent_ids: Collection[str], now: float
    ) -> dict[str, Grant]:
        """What each agent's newest licence that is honoured at `now`, grace included, grants it.

        An agent without one has the grant of `default`.
        """
        own = licence.c.agent_id == agent.c.agent_id
        common = and_(licence.c.project_id == agent.c.project_id, licence.c.agent_id.is_(None))
        rows = await connection.execute(
            select(agent.c.agent_id, licence.c.text)
            .join(licence, or_(own, common))
            .where(
                agent.c.agent_id.in_(agent_ids),
                licence.c.revoked.is_(None),
                licence.c.not_after > now - LONGEST_GRACE,
            )
            .order_by(licence.c.serial)
        )
        return {agent_id: Grant() for agent_id in agent_ids} | self._honoured(rows, now)

    def _honoured(self, rows: Any, now: float) -> dict[str, Grant]:
        found = {}
        for agent_id, text in rows:
            read = self._licence(text)
            if read is not None and now < ends(read):
                found[agent_id] = Grant(read)
        return found

    def _read(self, text: str) -> Licence | None:
        """The licence, if its signature and content hold: what stands in the database proves nothing."""
        try:
            return read_licence(verify(text, LICENCE, self._keys))
        except (StatementError, Malformed):
            return None
