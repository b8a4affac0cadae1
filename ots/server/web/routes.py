"""Where the pages are: those behind the door, the door itself, and the style sheet."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from ots.server.api.operation import pattern
from ots.server.web import doors
from ots.server.web.assignment_pages import ASSIGNMENT_PAGES
from ots.server.web.page import page
from ots.server.web.pages import PAGES
from ots.server.web.people_pages import PEOPLE_PAGES
from ots.server.web.report_pages import REPORT_PAGES

_STATIC = Path(__file__).parent / "static"
_DOOR = (
    ("GET", "/login", doors.show_login, True),
    ("POST", "/login", doors.log_in, True),
    ("POST", "/logout", doors.log_out, False),
    ("GET", "/password", doors.show_password, False),
    ("POST", "/password", doors.change_password, False),
    ("POST", "/language", doors.choose_language, True),
)


def add_pages(app: web.Application) -> None:
    """Adds every page to the application."""
    for method, path, make in (*PAGES, *REPORT_PAGES, *ASSIGNMENT_PAGES, *PEOPLE_PAGES):
        app.router.add_route(method, pattern(path), page(make))
    for method, path, make, open_door in _DOOR:
        app.router.add_route(method, path, page(make, open_door=open_door))
    app.router.add_get("/static/style.css", _style)


async def _style(_request: web.Request) -> web.Response:
    text = (_STATIC / "style.css").read_text("utf-8")
    return web.Response(text=text, content_type="text/css", headers={"Cache-Control": "max-age=3600"})
