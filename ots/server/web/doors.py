"""The door: log in, change the one-time password, log out, choose a language."""

from __future__ import annotations

import re

from aiohttp import web

from ots.i18n import LANGUAGES
from ots.server.api.operation import Operation
from ots.server.api.problems import Refused
from ots.server.identity import login_operations
from ots.server.identity.login_operations import LogIn, NewPassword, session_cookie
from ots.server.identity.people import LIFE
from ots.server.web.page import LANGUAGE_COOKIE, Visit

_BY_NAME = {operation.name: operation for operation in login_operations.OPERATIONS}
_YEAR = 365 * 86_400
_HERE = re.compile(r"/(?!/)[!-\[\]-~]*")
"""A path on this server: browsers drop tabs and line feeds, and take a backslash for a slash."""


async def show_login(visit: Visit) -> web.StreamResponse:
    """The form, or the way in for somebody who is in already."""
    if visit.person is not None:
        return web.HTTPSeeOther("/")
    return visit.show("login", failed=False)


async def log_in(visit: Visit) -> web.StreamResponse:
    """Opens a session, or shows the form again."""
    try:
        secret, _person = await login_operations.open_session(visit.as_call(body=visit.filled(LogIn)))
    except Refused as refused:
        if refused.code not in ("login-failed", "invalid-body"):
            raise
        return visit.show("login", status=401, failed=True)
    response = web.HTTPSeeOther("/")
    response.headers["Set-Cookie"] = session_cookie(visit.services, visit.request, secret, int(LIFE))
    return response


async def log_out(visit: Visit) -> web.StreamResponse:
    await visit.call(_operation("logOut"))
    response = web.HTTPSeeOther("/login")
    response.headers["Set-Cookie"] = session_cookie(visit.services, visit.request, "", 0)
    return response


async def show_password(visit: Visit) -> web.StreamResponse:
    return visit.show("password", complaint=None)


async def change_password(visit: Visit) -> web.StreamResponse:
    """Changes the visitor's password, or says why not."""
    if visit.form.get("new") != visit.form.get("again"):
        return visit.show("password", status=422, complaint=visit.gettext("The two new passwords differ."))
    wish = NewPassword(present=visit.form.get("present", ""), new=visit.form.get("new", ""))
    try:
        await visit.call(_operation("changePassword"), body=wish)
    except Refused as refused:
        if refused.code not in ("login-failed", "invalid-body"):
            raise
        wrong = visit.gettext("The present password is wrong.")
        short = visit.gettext("A password has 10 to 200 characters and differs from the one before.")
        complaint = wrong if refused.code == "login-failed" else short
        return visit.show("password", status=refused.status, complaint=complaint)
    return web.HTTPSeeOther("/")


async def choose_language(visit: Visit) -> web.StreamResponse:
    """Remembers the language and goes back."""
    language = visit.form.get("language", "")
    if language not in LANGUAGES:
        raise Refused("invalid-body")
    back = visit.form.get("back", "/")
    response = web.HTTPSeeOther(back if _HERE.fullmatch(back) else "/")
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR, httponly=True, samesite="Lax")
    return response


def _operation(name: str) -> Operation:
    return _BY_NAME[name]
