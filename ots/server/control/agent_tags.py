"""Tags of agents, by which people pick those that a run is for, and whether an agent is on the line."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.server.control.presence import STALE
from ots.server.database.control_tables import agent_tag, presence


async def tags_of(connection: AsyncConnection, agents: Collection[str]) -> dict[str, list[str]]:
    """The tags of each of these agents, in order."""
    rows = await connection.execute(
        select(agent_tag).where(agent_tag.c.agent_id.in_(agents)).order_by(agent_tag.c.tag)
    )
    found: dict[str, list[str]] = {agent_id: [] for agent_id in agents}
    for agent_id, tag in rows:
        found[agent_id].append(tag)
    return found


async def online(connection: AsyncConnection, agents: Collection[str], now: float) -> set[str]:
    """Those of these agents that are on a line to one of the server's processes."""
    rows = await connection.execute(
        select(presence.c.agent_id).where(presence.c.agent_id.in_(agents), presence.c.last_seen > now - STALE)
    )
    return set(rows.scalars())


async def set_tags(connection: AsyncConnection, agent_id: str, tags: Sequence[str]) -> None:
    """Gives an agent these tags in place of its present ones."""
    await connection.execute(delete(agent_tag).where(agent_tag.c.agent_id == agent_id))
    if tags:
        rows = [{"agent_id": agent_id, "tag": tag} for tag in sorted(set(tags))]
        await connection.execute(insert(agent_tag), rows)
