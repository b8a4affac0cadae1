"""The pages of people: their accounts and roles, for administrators; everybody's own API tokens."""

from __future__ import annotations

from aiohttp import web

from ots.server.api.paging import PageQuery
from ots.server.api.problems import Refused
from ots.server.identity import account_operations, api_tokens
from ots.server.identity.account_operations import AccountChange, AccountView, NewAccount, RoleGrant
from ots.server.identity.api_tokens import NewApiToken
from ots.server.identity.caller import ROLES, SCOPES
from ots.server.web.page import Visit, following, named

_OPERATIONS = named(account_operations, api_tokens)


async def accounts(visit: Visit) -> web.StreamResponse:
    return await _show_accounts(visit)


async def make_account(visit: Visit) -> web.StreamResponse:
    """Makes an account and shows its one-time password, this once."""
    wish = visit.filled(NewAccount, "name", grants=[_grant(visit)])
    made = await visit.call(_OPERATIONS["makeAccount"], body=wish)
    return await _show_accounts(visit, made=made.name, password=made.password)


async def change_account(visit: Visit) -> web.StreamResponse:
    """Adds or takes away a role, disables, enables, or resets the password."""
    action = visit.form.get("action", "")
    if action in ("add", "remove"):
        grants = await _grants(visit)
        if action == "add":
            grants.append(_grant(visit))
        else:
            grants = [grant for grant in grants if _words(grant) != visit.form.get("grant")]
        wish = AccountChange(grants=grants)
    elif action in ("disable", "enable"):
        wish = AccountChange(disabled=action == "disable")
    elif action == "reset":
        wish = AccountChange(reset_password=True)
    else:
        raise Refused("invalid-body")
    changed = await visit.call(_OPERATIONS["changeAccount"], body=wish)
    if changed.password is None:
        return web.HTTPSeeOther("/accounts")
    return await _show_accounts(visit, made=changed.name, password=changed.password)


async def show_api_tokens(visit: Visit) -> web.StreamResponse:
    return await _show_api_tokens(visit)


async def make_api_token(visit: Visit) -> web.StreamResponse:
    """Makes an API token and shows it, this once."""
    scopes = sorted(scope for scope in SCOPES if visit.form.get(scope) == "yes")
    wish = visit.filled(NewApiToken, "name", "days", scopes=scopes)
    made = await visit.call(_OPERATIONS["makeApiToken"], body=wish)
    return await _show_api_tokens(visit, made=made.token)


async def revoke_api_token(visit: Visit) -> web.StreamResponse:
    await visit.call(_OPERATIONS["revokeApiToken"])
    return web.HTTPSeeOther("/api-tokens")


async def _show_accounts(
    visit: Visit, *, made: str | None = None, password: str | None = None
) -> web.StreamResponse:
    wanted = visit.query(PageQuery) if made is None else PageQuery()
    found = await visit.call(_OPERATIONS["listAccounts"], query=wanted)
    return visit.show(
        "accounts",
        status=200 if made is None else 201,
        page=found,
        made=made,
        password=password,
        roles=tuple(ROLES),
        words=_words,
        following=following(visit, found.next),
    )


async def _show_api_tokens(visit: Visit, *, made: str | None = None) -> web.StreamResponse:
    assert visit.person is not None
    wanted = visit.query(PageQuery) if made is None else PageQuery()
    found = await visit.call(_OPERATIONS["listApiTokens"], query=wanted)
    own = [scope for scope in sorted(SCOPES) if visit.person.may(scope)]
    return visit.show(
        "api_tokens",
        status=200 if made is None else 201,
        page=found,
        made=made,
        scopes=own,
        following=following(visit, found.next),
    )


async def _grants(visit: Visit) -> list[RoleGrant]:
    """What the account of this page is granted now."""
    number, wanted = int(visit.request.match_info["number"]), PageQuery(limit=500)
    while True:
        found = await visit.call(_OPERATIONS["listAccounts"], query=wanted)
        accounts: list[AccountView] = found.items
        for each in accounts:
            if each.number == number:
                return list(each.grants)
        if found.next is None:
            raise Refused("not-found")
        wanted = PageQuery(limit=500, cursor=found.next)


def _grant(visit: Visit) -> RoleGrant:
    """The role of the form, and where it holds. Raises Refused."""
    grant: RoleGrant = visit.filled(RoleGrant, "role", "department", "project")
    return grant


def _words(grant: RoleGrant) -> str:
    return "/".join(filter(None, (grant.role, grant.department, grant.project)))


PEOPLE_PAGES = (
    ("GET", "/accounts", accounts),
    ("POST", "/accounts", make_account),
    ("POST", "/accounts/{number}", change_account),
    ("GET", "/api-tokens", show_api_tokens),
    ("POST", "/api-tokens", make_api_token),
    ("POST", "/api-tokens/{token_id}/revoke", revoke_api_token),
)
"""Method, path and maker of each page of people."""
