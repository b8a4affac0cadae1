"""Which person calls: by the cookie of a log-in, or by an API token, which goes before the cookie."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from aiohttp import web
from sqlalchemy import delete, insert, select, update

from ots.server.api.problems import Refused
from ots.server.database.tables import account, api_token, role_grant, web_session
from ots.server.identity.caller import Grant, Person
from ots.server.identity.secrets import same, split

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from ots.server.services import Services

COOKIE = "ots-session"
TOKEN_PREFIX = "ots-api"
IDLE, LIFE = 1800.0, 12 * 3600.0
"""Seconds until a log-in ends: unused, and in any case."""

_SAFE = frozenset({"GET", "HEAD"})
_NOTED_AFTER = 60.0


async def person_of_request(services: Services, request: web.Request) -> Person:
    """The person who calls, by token or by cookie from one of our pages. Raises Refused."""
    header = request.headers.get("Authorization")
    if header is not None:
        return await _by_token(services, header)
    person = await person_of_session(services, request)
    if request.method not in _SAFE and not _from_our_page(request, person):
        raise Refused("csrf")
    return person


async def log_in(services: Services, name: str, password: str) -> tuple[str, Person]:
    """A new session's secret, for the cookie, and its person. Raises Refused."""
    async with services.database.reading() as connection:
        row = (await connection.execute(select(account).where(account.c.name == name))).one_or_none()
    stored = None if row is None or row.disabled else row.password_hash
    if not await services.passwords.fits(password, stored) or row is None:
        raise Refused("login-failed")
    secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
    now = services.wall()
    async with services.database.writing() as connection:
        await connection.execute(delete(web_session).where(web_session.c.created < now - LIFE))
        await connection.execute(
            insert(web_session).values(
                id_hash=_hash(secret), account_id=row.id, created=now, used=now, csrf=csrf
            )
        )
        grants = await _grants(connection, row.id)
    person = Person(
        name=f"account {row.name}",
        account_id=row.id,
        grants=grants,
        must_change=row.must_change,
        csrf=csrf,
        session=_hash(secret),
    )
    return secret, person


async def log_out(services: Services, person: Person) -> None:
    async with services.database.writing() as connection:
        await connection.execute(delete(web_session).where(web_session.c.id_hash == person.session))


async def person_of_session(services: Services, request: web.Request) -> Person:
    """The person whose log-in the cookie names. Raises Refused."""
    secret = request.cookies.get(COOKIE)
    if not secret:
        raise Refused("login-required")
    now = services.wall()
    async with services.database.reading() as connection:
        row = (
            await connection.execute(
                select(web_session, account)
                .join(account, account.c.id == web_session.c.account_id)
                .where(web_session.c.id_hash == _hash(secret))
            )
        ).one_or_none()
        if row is None or row.disabled or now - row.used > IDLE or now - row.created > LIFE:
            raise Refused("login-required")
        grants = await _grants(connection, row.account_id)
    if abs(now - row.used) > _NOTED_AFTER:
        # After a clock that was set back the log-in counts from then on, lest it lasts until the old time.
        begun = min(row.created, now)
        async with services.database.writing() as connection:
            await connection.execute(
                update(web_session)
                .where(web_session.c.id_hash == row.id_hash)
                .values(used=now, created=begun)
            )
    return Person(
        name=f"account {row.name}",
        account_id=row.account_id,
        grants=grants,
        must_change=row.must_change,
        csrf=row.csrf,
        session=row.id_hash,
    )


async def _by_token(services: Services, header: str) -> Person:
    kind, _, text = header.partition(" ")
    parts = split(TOKEN_PREFIX, text) if kind.lower() == "bearer" else None
    if parts is None:
        raise Refused("login-required", "this is no API token of ours")
    now = services.wall()
    async with services.database.reading() as connection:
        row = (
            await connection.execute(
                select(api_token, account.c.name.label("account_name"), account.c.disabled)
                .join(account, account.c.id == api_token.c.account_id)
                .where(api_token.c.id == parts[0])
            )
        ).one_or_none()
        known = row is not None and same(row.secret_hash, parts[1])
        if row is None or not known or row.revoked is not None or row.disabled or row.expires <= now:
            raise Refused("login-required", "the API token is unknown, withdrawn or expired")
        grants = await _grants(connection, row.account_id)
    if row.used is None or now - row.used > _NOTED_AFTER:
        async with services.database.writing() as connection:
            await connection.execute(update(api_token).where(api_token.c.id == row.id).values(used=now))
    return Person(
        name=f"account {row.account_name} by token {row.id}",
        account_id=row.account_id,
        grants=grants,
        limit=frozenset(row.scopes.split()),
    )


async def _grants(connection: AsyncConnection, account_id: int) -> tuple[Grant, ...]:
    rows = await connection.execute(
        select(role_grant.c.role, role_grant.c.department_id, role_grant.c.project_id).where(
            role_grant.c.account_id == account_id
        )
    )
    return tuple(Grant(row.role, row.department_id, row.project_id) for row in rows)


def _from_our_page(request: web.Request, person: Person) -> bool:
    """A changing request with a cookie must come from a page of ours and bring that page's token."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        return False
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    return same(request.headers.get("X-CSRF-Token", ""), person.csrf or "-")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
