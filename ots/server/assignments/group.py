"""Which agents an assignment is for: those of its department and project that its selector names."""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, Any

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select, true

from ots.server.control.selecting import Tag
from ots.server.database.assignment_tables import assignment
from ots.server.database.control_tables import agent_tag
from ots.server.database.tables import agent

AgentId = Annotated[str, msgspec.Meta(max_length=60)]


class Selector(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Agents by their ids, and those that bear one of the tags; of both kinds each must hold. Nothing said:
    all agents of the assignment's place."""

    agents: Annotated[list[AgentId], msgspec.Meta(max_length=80)] = []
    tags: Annotated[list[Tag], msgspec.Meta(max_length=20)] = []

    def names(self, agent_id: str, tags: Set[str]) -> bool:
        """Whether an agent with these tags is meant."""
        return (not self.agents or agent_id in self.agents) and (
            not self.tags or not tags.isdisjoint(self.tags)
        )


def belongs(row: Any, selector: Selector) -> ColumnElement[bool]:
    """What an agent's row must hold to be of the group of this assignment's row."""
    parts: list[ColumnElement[bool]] = [agent.c.status == "active"]
    if row.department_id is not None:
        parts.append(agent.c.department_id == row.department_id)
    if row.project_id is not None:
        parts.append(agent.c.project_id == row.project_id)
    if selector.agents:
        parts.append(agent.c.agent_id.in_(selector.agents))
    if selector.tags:
        tagged = select(agent_tag.c.agent_id).where(agent_tag.c.tag.in_(selector.tags))
        parts.append(agent.c.agent_id.in_(tagged))
    return and_(true(), *parts)


def of_place(department_id: int | None, project_id: int | None) -> ColumnElement[bool]:
    """Assignments whose place is that of an agent, or holds it."""
    columns = ((assignment.c.department_id, department_id), (assignment.c.project_id, project_id))
    return and_(*(or_(column.is_(None), column == number) for column, number in columns))
