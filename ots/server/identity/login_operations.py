"""People come in: log-in with a name and a password, log-out, who am I, another password."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from sqlalchemy import delete, select, update

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused
from ots.server.database.tables import account, web_session
from ots.server.identity import audit
from ots.server.identity.caller import ROLES, Person
from ots.server.identity.people import COOKIE, LIFE, log_in, log_out
from ots.server.services import Services

Password = Annotated[str, msgspec.Meta(max_length=1000)]


class LogIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=100)]
    password: Password


class NewPassword(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The present password, and the one from now on (10 to 200 characters)."""

    present: Password
    new: Password


class Granted(msgspec.Struct, kw_only=True):
    """A role, and the ids of the department and project that it is limited to (null: everywhere)."""

    role: str
    department_id: int | None
    project_id: int | None


class Me(msgspec.Struct, kw_only=True):
    """Who calls, and what they may. `csrf` goes into X-CSRF-Token of changing requests with the cookie."""

    name: str
    grants: list[Granted]
    scopes: list[str]
    must_change_password: bool
    csrf: str | None


async def come_in(call: Call) -> Answer:
    """Opens a session: its secret comes as a cookie that scripts can't read."""
    secret, person = await open_session(call)
    cookie = session_cookie(call.services, call.request, secret, int(LIFE))
    return Answer(200, _me(person), {"Set-Cookie": cookie})


async def open_session(call: Call) -> tuple[str, Person]:
    """A new session's secret and its person; the attempt is noted in any case. Raises Refused."""
    wish: LogIn = call.body
    try:
        secret, person = await log_in(call.services, wish.name, wish.password)
    except Refused as refused:
        if refused.code == "login-failed":
            await _note(call, f"account {wish.name[:60]}", "log in", "refused")
        raise
    await _note(call, person.name, "log in", "done")
    return secret, person


async def go_out(call: Call) -> Answer:
    """Ends the session, or does nothing for an API token."""
    await log_out(call.services, call.person)
    return Answer(204, None, {"Set-Cookie": session_cookie(call.services, call.request, "", 0)})


async def who_am_i(call: Call) -> Answer:
    return Answer(200, _me(call.person))


async def change_password(call: Call) -> Answer:
    """Changes the caller's own password and ends all their other sessions."""
    wish: NewPassword = call.body
    person = call.person
    if person.session is None:
        raise Refused("forbidden", "an API token can't change a password")
    async with call.services.database.reading() as connection:
        stored = (
            await connection.execute(select(account.c.password_hash).where(account.c.id == person.account_id))
        ).scalar_one()
    if not await call.services.passwords.fits(wish.present, stored):
        raise Refused("login-failed")
    if wish.new == wish.present:
        raise Refused("invalid-body", "the new password is the present one")
    hashed = await call.services.passwords.hash(wish.new)
    async with call.services.database.writing() as connection:
        await connection.execute(
            update(account)
            .where(account.c.id == person.account_id)
            .values(password_hash=hashed, must_change=False)
        )
        await connection.execute(
            delete(web_session).where(
                web_session.c.account_id == person.account_id, web_session.c.id_hash != person.session
            )
        )
        await call.note(
            connection,
            "change password",
            person.name,
        )
    return Answer(204)


def session_cookie(services: Services, request: web.Request, secret: str, seconds: int) -> str:
    """The cookie of a log-in; `Secure` wherever the request came by HTTPS."""
    secure = "; Secure" if services.is_secure(request) else ""
    return f"{COOKIE}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _me(person: Person) -> Me:
    scopes = {scope for grant in person.grants for scope in ROLES.get(grant.role, ())}
    return Me(
        name=person.name,
        grants=[
            Granted(role=grant.role, department_id=grant.department_id, project_id=grant.project_id)
            for grant in person.grants
        ],
        scopes=sorted(scopes if person.limit is None else scopes & person.limit),
        must_change_password=person.must_change,
        csrf=person.csrf,
    )


async def _note(call: Call, actor: str, action: str, outcome: str) -> None:
    async with call.services.database.writing() as connection:
        await audit.note(
            connection,
            time=call.services.wall(),
            actor=actor,
            address=call.address,
            action=action,
            object=actor,
            outcome=outcome,
        )


OPERATIONS = (
    Operation(
        name="logIn",
        method="POST",
        path="/api/v1/session",
        summary="Log in with a name and a password.",
        access=Access.PUBLIC,
        rate=Rate.ENTRY,
        takes=LogIn,
        gives={200: Me},
        problems=("login-failed", "storage-full"),
        handle=come_in,
    ),
    Operation(
        name="logOut",
        method="DELETE",
        path="/api/v1/session",
        summary="Log out.",
        access=Access.PERSON,
        rate=Rate.WRITE,
        gives={204: None},
        problems=("storage-full",),
        handle=go_out,
    ),
    Operation(
        name="whoAmI",
        method="GET",
        path="/api/v1/session",
        summary="Who calls, and what they may.",
        access=Access.PERSON,
        rate=Rate.READ,
        gives={200: Me},
        handle=who_am_i,
    ),
    Operation(
        name="changePassword",
        method="PUT",
        path="/api/v1/session/password",
        summary="Change the caller's own password.",
        access=Access.PERSON,
        rate=Rate.ENTRY,
        takes=NewPassword,
        gives={204: None},
        problems=("login-failed", "storage-full"),
        handle=change_password,
    ),
)
