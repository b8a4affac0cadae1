"""API tokens: a person's own, for programs; never more than the person may, for at most a year."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import insert, select, update

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.database.tables import api_token
from ots.server.identity.caller import SCOPES
from ots.server.identity.people import TOKEN_PREFIX
from ots.server.identity.secrets import new_secret

_DAY = 86_400.0


class ApiTokenView(msgspec.Struct, kw_only=True):
    """An API token without its secret. Times are RFC 3339 UTC."""

    token_id: str
    name: str
    scopes: list[str]
    created: str
    expires: str
    used: str | None
    revoked: str | None


class ApiTokenPage(msgspec.Struct, kw_only=True):
    items: list[ApiTokenView]
    next: str | None


class NewApiToken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the token may do: scopes of the person who makes it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[str], msgspec.Meta(min_length=1, max_length=50)]
    days: Annotated[float, msgspec.Meta(gt=0, le=366)] = 90.0


class MadeApiToken(ApiTokenView, kw_only=True):
    """The token's text, which is shown this once."""

    token: str


async def list_api_tokens(call: Call) -> Answer:
    """The caller's own."""
    query = select(api_token).where(api_token.c.account_id == call.person.account_id)
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, api_token.c.id, call.query)
    return Answer(200, ApiTokenPage(items=[_view(row) for row in rows], next=following))


async def make_api_token(call: Call) -> Answer:
    """Makes a token of the caller's; only a log-in may, so that a token can't outlive itself."""
    wish: NewApiToken = call.body
    person = call.person
    if person.session is None:
        raise Refused("forbidden", "an API token can't make another")
    if person.must_change:
        raise Refused("password-must-change")
    unknown = [scope for scope in wish.scopes if scope not in SCOPES]
    if unknown:
        raise Refused("invalid-body", f"there is no scope {unknown[0][:60]!r}")
    beyond = [scope for scope in wish.scopes if not person.may(scope)]
    if beyond:
        raise Refused("forbidden", f"you have no {beyond[0]} yourself")
    secret = new_secret(TOKEN_PREFIX)
    now = call.services.wall()
    async with call.services.database.writing() as connection:
        made = await connection.execute(
            insert(api_token)
            .values(
                id=secret.id,
                secret_hash=secret.hash,
                account_id=person.account_id,
                name=wish.name,
                scopes=" ".join(sorted(set(wish.scopes))),
                created=now,
                expires=now + wish.days * _DAY,
            )
            .returning(api_token)
        )
        row = made.one()
        await call.note(
            connection,
            "create",
            f"API token {secret.id}",
            detail={"scopes": row.scopes},
        )
    return Answer(201, MadeApiToken(**msgspec.structs.asdict(_view(row)), token=secret.text))


async def revoke_api_token(call: Call) -> Answer:
    """Withdraws one of the caller's own tokens."""
    now = call.services.wall()
    async with call.services.database.writing() as connection:
        done = await connection.execute(
            update(api_token)
            .where(
                api_token.c.id == call.path["token_id"],
                api_token.c.account_id == call.person.account_id,
                api_token.c.revoked.is_(None),
            )
            .values(revoked=now)
        )
        if not done.rowcount:
            raise Refused("not-found")
        await call.note(
            connection,
            "revoke",
            f"API token {call.path['token_id']}",
        )
    return Answer(204)


def _view(row: Any) -> ApiTokenView:
    return ApiTokenView(
        token_id=row.id,
        name=row.name,
        scopes=row.scopes.split(),
        created=stamp(row.created),
        expires=stamp(row.expires),
        used=stamp(row.used),
        revoked=stamp(row.revoked),
    )


OPERATIONS = (
    Operation(
        name="listApiTokens",
        method="GET",
        path="/api/v1/api-tokens",
        summary="List the caller's API tokens.",
        access=Access.PERSON,
        rate=Rate.READ,
        query=PageQuery,
        gives={200: ApiTokenPage},
        handle=list_api_tokens,
    ),
    Operation(
        name="makeApiToken",
        method="POST",
        path="/api/v1/api-tokens",
        summary="Make an API token; its text is shown once.",
        access=Access.PERSON,
        rate=Rate.WRITE,
        takes=NewApiToken,
        gives={201: MadeApiToken},
        problems=("storage-full",),
        handle=make_api_token,
    ),
    Operation(
        name="revokeApiToken",
        method="DELETE",
        path="/api/v1/api-tokens/{token_id}",
        summary="Withdraw one of the caller's API tokens.",
        access=Access.PERSON,
        rate=Rate.WRITE,
        gives={204: None},
        problems=("storage-full",),
        handle=revoke_api_token,
    ),
)
