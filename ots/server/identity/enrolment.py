"""How an agent gets its place: a token of a person of this server, and a key that the agent alone has."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ots.clock import rfc3339
from ots.remote import wire
from ots.server.api.body import check_digest
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused
from ots.server.database.tables import agent, department, enrolment_token, project
from ots.server.identity import audit
from ots.server.identity.secrets import same, split
from ots.server.licences.issuing import in_force, issue
from ots.server.services import Services
from ots.signing.keys import read_public
from ots.signing.request import RequestRefused, promised_digest, prove, read_claim

TOKEN_PREFIX = "ots-enrol"
_NAME = 100


async def enrol(call: Call) -> Answer:
    """Binds an agent's id to its key. The same agent with the same key gets the same answer again; one that
    has left comes back with a token, to the place of that token. A revoked one stays revoked.
    """
    wish: wire.Enrol = call.body
    _prove_possession(call, wish)
    now = call.services.wall()
    async with call.services.database.writing() as connection:
        known = (
            await connection.execute(select(agent).where(agent.c.agent_id == wish.agent_id).with_for_update())
        ).one_or_none()
        returns = known is not None and known.status == "left"
        if known is not None and known.public_key == wish.public_key and not returns:
            return await _answer(call.services, connection, wish.agent_id)
        if known is not None and known.public_key != wish.public_key:
            raise Refused("key-in-use", "this id is enrolled with another key; a manager can release it")
        token = await _spend(connection, wish.token, now)
        department_id, project_id = await _place(connection, token, wish)
        row = {
            "agent_id": wish.agent_id,
            "public_key": wish.public_key,
            "status": "pending" if token.approval else "active",
            "name": wish.name[:_NAME],
            "department_id": department_id,
            "project_id": project_id,
            "tier": token.tier,
            "version": wish.version[:_NAME],
            "fingerprint": wish.fingerprint,
            "token_id": token.id,
            "replaces": wish.replaces,
            "enrolled": now,
            "revoked": None,
            "seen": now,
            "address": call.address,
        }
        placed = update(agent).where(agent.c.agent_id == wish.agent_id) if returns else insert(agent)
        made = (await connection.execute(placed.values(row).returning(agent))).one()
        if made.status == "active" and made.tier != "default":
            await issue(call.services, connection, tier=made.tier, by=f"token {token.id}", agent=made)
        await audit.note(
            connection,
            time=now,
            actor=f"agent {wish.agent_id}",
            address=call.address,
            action="enrol again" if returns else "enrol",
            object=f"agent {wish.agent_id}",
            outcome=str(row["status"]),
            detail={"token": token.id, "name": row["name"], "replaces": wish.replaces},
            department_id=department_id,
            project_id=project_id,
        )
        call.services.agents.forget(wish.agent_id)
        return await _answer(call.services, connection, wish.agent_id, new=True)


async def present_state(call: Call) -> Answer:
    """Where the agent stands now."""
    async with call.services.database.reading() as connection:
        return await _answer(call.services, connection, call.agent.agent_id)


def _prove_possession(call: Call, wish: wire.Enrol) -> None:
    """Whoever enrols a key has it, and an id that is one."""
    try:
        claim = read_claim(call.request.headers)
        prove(
            claim,
            call.request.method,
            call.request.rel_url.raw_path,
            call.request.rel_url.raw_query_string,
            call.request.headers,
            key=read_public(wish.public_key),
            now=call.services.wall(),
        )
        check_digest(call.packed, promised_digest(claim, call.request.headers))
        fits = claim.key_id == wish.agent_id == str(uuid.UUID(wish.agent_id))
    except RequestRefused as refused:
        raise Refused(refused.code, str(refused)) from None
    except ValueError as error:
        raise Refused("invalid-body", str(error)) from None
    if not fits:
        raise Refused("signature-invalid", "the signature is of another agent's id")


async def _spend(connection: AsyncConnection, text: str, now: float) -> Any:
    """The token's row, with one use taken off it. Raises Refused."""
    parts = split(TOKEN_PREFIX, text)
    found = None
    if parts is not None:
        found = (
            await connection.execute(select(enrolment_token).where(enrolment_token.c.id == parts[0]))
        ).one_or_none()
    if parts is None or found is None or not same(found.secret_hash, parts[1]):
        raise Refused("token-unknown")
    if found.revoked is not None:
        raise Refused("token-revoked")
    if found.expires <= now:
        raise Refused("token-expired")
    taken = await connection.execute(
        update(enrolment_token)
        .where(enrolment_token.c.id == found.id, enrolment_token.c.uses < enrolment_token.c.max_uses)
        .values(uses=enrolment_token.c.uses + 1)
    )
    if taken.rowcount != 1:
        raise Refused("token-exhausted")
    return found


async def _place(connection: AsyncConnection, token: Any, wish: wire.Enrol) -> tuple[int | None, int | None]:
    """Department and project: the token's, or within it the agent's choice. Raises Refused."""
    department_id, project_id = token.department_id, token.project_id
    if wish.department is not None:
        wanted = (
            await connection.execute(select(department.c.id).where(department.c.number == wish.department))
        ).scalar()
        if wanted is None or department_id not in (None, wanted):
            raise Refused("choice-not-allowed", f"department {wish.department[:60]!r}")
        department_id = wanted
    if wish.project is not None:
        found = (
            await connection.execute(
                select(project.c.id).where(
                    project.c.number == wish.project, project.c.department_id == department_id
                )
            )
        ).scalar()
        if found is None or project_id not in (None, found):
            raise Refused("choice-not-allowed", f"project {wish.project[:60]!r}")
        project_id = found
    return department_id, project_id


async def _answer(
    services: Services, connection: AsyncConnection, agent_id: str, *, new: bool = False
) -> Answer:
    row = (
        await connection.execute(
            select(agent, department.c.number.label("department"), project.c.number.label("project"))
            .outerjoin(department, department.c.id == agent.c.department_id)
            .outerjoin(project, project.c.id == agent.c.project_id)
            .where(agent.c.agent_id == agent_id)
        )
    ).one()
    found = await in_force(connection, row, services.wall()) if row.status == "active" else None
    body = wire.Enrolled(
        agent_id=row.agent_id,
        status=row.status,
        server_id=services.server_id,
        server_name=services.name,
        server_time=rfc3339(services.wall()),
        keys=services.keys.public(),
        department=row.department,
        project=row.project,
        tier=row.tier,
        licence=None if found is None else found.text,
        upload_interval=services.upload_interval,
        successions=list(services.keys.ring.successions),
        epoch=services.epoch,
    )
    if row.status == "pending":
        return Answer(202, body, {"Retry-After": "60"})
    return Answer(201 if new else 200, body)


OPERATIONS = (
    Operation(
        name="enrol",
        method="POST",
        path="/api/v1/agents",
        summary="Enrol an agent with a token and a key of its own.",
        access=Access.PUBLIC,
        rate=Rate.ENTRY,
        takes=wire.Enrol,
        gives={201: wire.Enrolled, 200: wire.Enrolled, 202: wire.Enrolled},
        problems=(
            "signature-missing",
            "signature-invalid",
            "clock-skew",
            "digest-mismatch",
            "key-in-use",
            "token-unknown",
            "token-expired",
            "token-exhausted",
            "token-revoked",
            "choice-not-allowed",
            "storage-full",
        ),
        handle=enrol,
    ),
    Operation(
        name="ownState",
        method="GET",
        path="/api/v1/agent",
        summary="Where this agent stands: status, licence, the server's keys and time.",
        access=Access.AGENT_IN_ANY_STATE,
        rate=Rate.READ,
        gives={200: wire.Enrolled, 202: wire.Enrolled},
        handle=present_state,
    ),
)
