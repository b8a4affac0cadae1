"""Enrolment tokens as people see them: listed, made (and shown once), withdrawn."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Select, select, update

from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.paging import PageQuery, page_of
from ots.server.api.problems import Refused
from ots.server.api.times import stamp
from ots.server.database.tables import department, enrolment_token, project
from ots.server.identity.caller import Person
from ots.server.identity.tokens import TokenWish, create_token

Number = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
_DAY = 86_400.0


class TokenView(msgspec.Struct, kw_only=True):
    """An enrolment token without its secret. Times are RFC 3339 UTC."""

    token_id: str
    department: str | None
    project: str | None
    tier: str
    max_uses: int
    uses: int
    approval: bool
    note: str
    created: str
    created_by: str
    expires: str
    revoked: str | None


class TokenPage(msgspec.Struct, kw_only=True):
    items: list[TokenView]
    next: str | None


class NewToken(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a token grants. A department or project that is new is made, by those who may make one."""

    department: Number | None = None
    project: Number | None = None
    tier: Literal["default", "friendly", "professional"] = "friendly"
    max_uses: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    days: Annotated[float, msgspec.Meta(gt=0, le=366)] = 7.0
    approval: bool = False
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""


class MadeToken(msgspec.Struct, kw_only=True):
    """The token's text, which is shown this once."""

    token: str


async def list_tokens(call: Call) -> Answer:
    """The tokens within the caller's reach."""
    query = _selected().where(call.person.reach("tokens:read").condition(enrolment_token))
    async with call.services.database.reading() as connection:
        rows, following = await page_of(connection, query, enrolment_token.c.id, call.query)
    return Answer(200, TokenPage(items=[_view(row) for row in rows], next=following))


async def make_token(call: Call) -> Answer:
    """Makes a token for a place within the caller's reach."""
    wish: NewToken = call.body
    if wish.project is not None and wish.department is None:
        raise Refused("invalid-body", "a project needs its department")
    await _check_place(call, call.person, wish)
    text = await create_token(
        call.services.database,
        TokenWish(
            department=wish.department,
            project=wish.project,
            tier=wish.tier,
            max_uses=wish.max_uses,
            seconds=wish.days * _DAY,
            approval=wish.approval,
            note=wish.note,
        ),
        actor=call.person.name,
        now=call.services.wall(),
    )
    return Answer(201, MadeToken(token=text))


async def revoke_token(call: Call) -> Answer:
    """Withdraws a token: it enrols nobody any more. Agents that it enrolled stay."""
    now = call.services.wall()
    async with call.services.database.writing() as connection:
        done = await connection.execute(
            update(enrolment_token)
            .where(
                enrolment_token.c.id == call.path["token_id"],
                enrolment_token.c.revoked.is_(None),
                call.person.reach("tokens:write").condition(enrolment_token),
            )
            .values(revoked=now)
        )
        if not done.rowcount:
            raise Refused("not-found")
        await call.note(
            connection,
            "revoke",
            f"enrolment token {call.path['token_id']}",
        )
    return Answer(204)


async def _check_place(call: Call, person: Person, wish: NewToken) -> None:
    """Raises Refused where the token would lead beyond the caller's reach."""
    reach = person.reach("tokens:write")
    if reach.everywhere:
        return
    async with call.services.database.reading() as connection:
        if wish.department is None:
            raise Refused("forbidden", "name a department within your reach")
        found = (
            await connection.execute(
                select(department.c.id, project.c.id.label("project_id"))
                .outerjoin(
                    project, (project.c.department_id == department.c.id) & (project.c.number == wish.project)
                )
                .where(department.c.number == wish.department)
            )
        ).one_or_none()
    if found is None or not reach.covers(found.id, found.project_id):
        raise Refused("forbidden", "this department or project is beyond your reach")


def _selected() -> Select[Any]:
    return (
        select(enrolment_token, department.c.number.label("department"), project.c.number.label("project"))
        .outerjoin(department, department.c.id == enrolment_token.c.department_id)
        .outerjoin(project, project.c.id == enrolment_token.c.project_id)
    )


def _view(row: Any) -> TokenView:
    return TokenView(
        token_id=row.id,
        department=row.department,
        project=row.project,
        tier=row.tier,
        max_uses=row.max_uses,
        uses=row.uses,
        approval=row.approval,
        note=row.note,
        created=stamp(row.created),
        created_by=row.created_by,
        expires=stamp(row.expires),
        revoked=stamp(row.revoked),
    )


OPERATIONS = (
    Operation(
        name="listTokens",
        method="GET",
        path="/api/v1/enrolment-tokens",
        summary="List enrolment tokens.",
        access=Access.PERSON,
        scope="tokens:read",
        rate=Rate.READ,
        query=PageQuery,
        gives={200: TokenPage},
        handle=list_tokens,
    ),
    Operation(
        name="makeToken",
        method="POST",
        path="/api/v1/enrolment-tokens",
        summary="Make an enrolment token; its text is shown once.",
        access=Access.PERSON,
        scope="tokens:write",
        rate=Rate.WRITE,
        takes=NewToken,
        gives={201: MadeToken},
        problems=("storage-full",),
        handle=make_token,
    ),
    Operation(
        name="revokeToken",
        method="DELETE",
        path="/api/v1/enrolment-tokens/{token_id}",
        summary="Withdraw an enrolment token.",
        access=Access.PERSON,
        scope="tokens:write",
        rate=Rate.WRITE,
        gives={204: None},
        problems=("storage-full",),
        handle=revoke_token,
    ),
)
