"""How many reports a day an agent's licence lets it upload; what is above waits at the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.license.grant import Grant
from ots.license.tiers import DAY
from ots.server.api.problems import Refused
from ots.server.database.tables import agent, report

LIMIT = "reports_per_day"


@dataclass(slots=True)
class Quota:
    """What agents may still upload within one transaction; who is not named here may upload any number."""

    left: dict[str, int] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)

    def take(self, agent_id: str) -> Refused | None:
        """One new report; what to answer if it is one too many."""
        left = self.left.get(agent_id)
        if left is None:
            return None
        if left <= 0:
            return Refused(
                "quota-exceeded",
                "the licence allows no more reports within 24 hours",
                retry_after=self.again.get(agent_id, DAY),
            )
        self.left[agent_id] = left - 1
        return None


async def quota_of(connection: AsyncConnection, granted: Mapping[str, Grant], now: float) -> Quota:
    """What these agents may upload within the 24 hours that end at `now`; until the transaction ends, nobody
    else counts for them.
    """
    limits = {agent_id: grant.limit(LIMIT) for agent_id, grant in granted.items()}
    limited = {agent_id: int(limit) for agent_id, limit in limits.items() if limit is not None}
    if not limited:
        return Quota()
    await connection.execute(
        select(agent.c.agent_id)
        .where(agent.c.agent_id.in_(limited))
        .order_by(agent.c.agent_id)
        .with_for_update(key_share=True)
    )
    rows = await connection.execute(
        select(report.c.agent_id, func.count(), func.min(report.c.received))
        .where(report.c.agent_id.in_(limited), report.c.received > now - DAY)
        .group_by(report.c.agent_id)
    )
    quota = Quota(dict(limited))
    for agent_id, count, oldest in rows:
        quota.left[agent_id] = limited[agent_id] - count
        quota.again[agent_id] = max(1.0, oldest + DAY - now)
    return quota
