"""The pages behind the door: overview, agents, tokens, licences, audit."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy import func, select

from ots.server.api.paging import PageQuery
from ots.server.database.tables import agent
from ots.server.identity import agent_administration, audit_operations, token_administration
from ots.server.identity.agent_administration import AgentChange, AgentQuery
from ots.server.identity.audit_operations import AuditQuery
from ots.server.identity.token_administration import NewToken
from ots.server.licences import operations as licence_operations
from ots.server.licences import wishes
from ots.server.licences.operations import NewLicence
from ots.server.licences.wishes import Decision
from ots.server.reports import reading
from ots.server.reports.reading import ReportQuery
from ots.server.web.page import Visit, following, named
from ots.server.web.qr import qr_picture

_OPERATIONS = named(
    agent_administration, token_administration, audit_operations, reading, licence_operations, wishes
)
_LATEST = 10


async def overview(visit: Visit) -> web.StreamResponse:
    """How many agents in which state, and the newest reports."""
    person = visit.person
    assert person is not None
    agents: dict[str, int] = {}
    latest: list[Any] = []
    if person.may("agents:read"):
        query = (
            select(agent.c.status, func.count())
            .where(person.reach("agents:read").condition(agent))
            .group_by(agent.c.status)
        )
        async with visit.services.database.reading() as connection:
            agents = {row[0]: row[1] for row in await connection.execute(query)}
    if person.may("reports:read"):
        latest = (await visit.call(_OPERATIONS["listReports"], query=ReportQuery(limit=_LATEST))).items
    return visit.show("overview", agents=agents, latest=latest)


async def agents(visit: Visit) -> web.StreamResponse:
    wanted = visit.query(AgentQuery)
    found = await visit.call(_OPERATIONS["listAgents"], query=wanted)
    return visit.show("agents", page=found, wanted=wanted, following=following(visit, found.next))


async def show_agent(visit: Visit) -> web.StreamResponse:
    """One agent, what it told of itself, and its newest reports."""
    assert visit.person is not None
    found = await visit.call(_OPERATIONS["showAgent"])
    latest: list[Any] = []
    if visit.person.may("reports:read"):
        wanted = ReportQuery(limit=_LATEST, agent_id=found.agent_id)
        latest = (await visit.call(_OPERATIONS["listReports"], query=wanted)).items
    info = msgspec.json.format(msgspec.json.encode(found.info), indent=2).decode() if found.info else None
    return visit.show("agent", agent=found, latest=latest, info=info, actions=_actions(visit, found.status))


async def change_agent(visit: Visit) -> web.StreamResponse:
    await visit.call(_OPERATIONS["changeAgent"], body=visit.filled(AgentChange))
    return web.HTTPSeeOther(f"/agents/{visit.request.match_info['agent_id']}")


async def tokens(visit: Visit) -> web.StreamResponse:
    found = await visit.call(_OPERATIONS["listTokens"], query=visit.query(PageQuery))
    return visit.show("tokens", page=found, made=None, picture=None, following=following(visit, found.next))


async def make_token(visit: Visit) -> web.StreamResponse:
    """Makes a token and shows it, this once."""
    made = await visit.call(_OPERATIONS["makeToken"], body=visit.filled(NewToken))
    found = await visit.call(_OPERATIONS["listTokens"], query=PageQuery())
    return visit.show(
        "tokens", status=201, page=found, made=made.token, picture=qr_picture(made.token), following=None
    )


async def revoke_token(visit: Visit) -> web.StreamResponse:
    await visit.call(_OPERATIONS["revokeToken"])
    return web.HTTPSeeOther("/tokens")


async def licences(visit: Visit) -> web.StreamResponse:
    """Licences, and the wishes that nobody has decided yet."""
    found = await visit.call(_OPERATIONS["listLicences"], query=visit.query(PageQuery))
    asked = await visit.call(_OPERATIONS["listWishes"], query=PageQuery(limit=500))
    undecided = [each for each in asked.items if each.granted is None]
    return visit.show("licences", page=found, wishes=undecided, following=following(visit, found.next))


async def make_licence(visit: Visit) -> web.StreamResponse:
    await visit.call(_OPERATIONS["makeLicence"], body=visit.filled(NewLicence))
    return web.HTTPSeeOther("/licences")


async def revoke_licence(visit: Visit) -> web.StreamResponse:
    await visit.call(_OPERATIONS["revokeLicence"])
    return web.HTTPSeeOther("/licences")


async def decide_wish(visit: Visit) -> web.StreamResponse:
    await visit.call(_OPERATIONS["decideWish"], body=visit.filled(Decision))
    return web.HTTPSeeOther("/licences")


async def audit(visit: Visit) -> web.StreamResponse:
    found = await visit.call(_OPERATIONS["listAudit"], query=visit.query(AuditQuery))
    return visit.show("audit", page=found, following=following(visit, found.next))


def _actions(visit: Visit, status: str) -> list[str]:
    """What may be done with an agent in this state, by this person."""
    assert visit.person is not None
    if not visit.person.may("agents:write"):
        return []
    return [action for action, (before, _) in agent_administration.MOVES.items() if status in before]


PAGES = (
    ("GET", "/", overview),
    ("GET", "/agents", agents),
    ("GET", "/agents/{agent_id}", show_agent),
    ("POST", "/agents/{agent_id}", change_agent),
    ("GET", "/tokens", tokens),
    ("POST", "/tokens", make_token),
    ("POST", "/tokens/{token_id}/revoke", revoke_token),
    ("GET", "/licences", licences),
    ("POST", "/licences", make_licence),
    ("POST", "/licences/{licence_id}/revoke", revoke_licence),
    ("POST", "/licence-requests/{number}", decide_wish),
    ("GET", "/audit", audit),
)
"""Method, path and maker of each page behind the door."""
