"""What every page shares: who looks at it, in which language, the template, the headers, the forms."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ots.i18n import LANGUAGES, catalogue
from ots.server.api.body import take_body
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import CODES, Refused
from ots.server.database.database import DatabaseAway, DatabaseFull
from ots.server.identity.caller import Nobody, Person
from ots.server.identity.people import COOKIE, person_of_session
from ots.server.identity.secrets import same
from ots.server.services import SERVICES, Services
from ots.server.web.words import STATUSES, TIERS

LANGUAGE_COOKIE = "ots-lang"
FORM_LIMIT = 65_536
_TEMPLATES = Path(__file__).parent / "templates"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Visit:
    """One request for a page by somebody who is logged in (or, at the door, by nobody)."""

    def __init__(self, request: web.Request, person: Person | None) -> None:
        self.request = request
        self.services: Services = request.app[SERVICES]
        self.person = person
        self.language = language_of(request)
        self.form: Mapping[str, str] = {}

    def gettext(self, message: str) -> str:
        return catalogue(self.language).gettext(message)

    async def call(self, operation: Operation, *, query: Any = None, body: Any = None, **path: str) -> Any:
        """What an operation of the interface gives this person. Raises Refused, also where they may not."""
        if self.person is not None:
            operation.permit(self.person)
        elif operation.access is Access.PERSON:
            raise Refused("login-required")
        answer: Answer = await operation.handle(self.as_call(query=query, body=body, path=path))
        return answer.body

    def as_call(self, *, query: Any = None, body: Any = None, path: Mapping[str, str] | None = None) -> Call:
        """This visit as a request that an operation takes."""
        return Call(
            request=self.request,
            services=self.services,
            caller=self.person or Nobody(),
            path=path or dict(self.request.match_info),
            query=query,
            body=body,
            packed=b"",
            request_id="page",
            address=self.services.address_of(self.request),
        )

    def query(self, kind: type[msgspec.Struct]) -> Any:
        """The query as the operation's struct; fields that were left empty don't count. Raises Refused."""
        given = {name: value for name, value in self.request.query.items() if value}
        return _as(given, kind, "invalid-request")

    def filled(self, kind: type[msgspec.Struct], *names: str, **more: Any) -> Any:
        """The form as the operation's struct: its fields of these names (all, where none is named), with
        `more` in place of some. Fields that were left empty don't count. Raises Refused."""
        wanted = names or tuple(name for name in self.form if name != "csrf")
        given = {name: self.form[name] for name in wanted if self.form.get(name)}
        return _as({**given, **more}, kind, "invalid-body")

    def show(self, template: str, *, status: int = 200, **content: Any) -> web.Response:
        """The page of a template."""
        text = (
            environment(self.language)
            .get_template(f"{template}.html.j2")
            .render(
                visit=self,
                person=self.person,
                language=self.language,
                server=self.services.name,
                here=self.request.path,
                csrf=None if self.person is None else self.person.csrf,
                **content,
            )
        )
        return web.Response(status=status, text=text, content_type="text/html", headers=headers(_POLICY))


def _as(given: Mapping[str, Any], kind: type[msgspec.Struct], code: str) -> Any:
    try:
        return msgspec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, OverflowError) as error:
        raise Refused(code, str(error)) from None


def headers(policy: str) -> dict[str, str]:
    """What every page says to the browser beside its content."""
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def named(*modules: ModuleType) -> dict[str, Operation]:
    """The operations of these modules by their names."""
    return {operation.name: operation for module in modules for operation in module.OPERATIONS}


def following(visit: Visit, cursor: str | None) -> str | None:
    """The address of the next page of a list."""
    if cursor is None:
        return None
    return f"{visit.request.path}?{urlencode({**visit.request.query, 'cursor': cursor})}"


def page(make: Callable[[Visit], Awaitable[web.StreamResponse]], *, open_door: bool = False) -> Handler:
    """The aiohttp handler of a page: who isn't logged in goes to the door, what is refused becomes a page."""

    async def handle(request: web.Request) -> web.StreamResponse:
        services = request.app[SERVICES]
        visit = Visit(request, None)
        try:
            rate = Rate.ENTRY if open_door and request.method == "POST" else Rate.READ
            services.rates.spend(services.address_of(request), rate, time.monotonic())
            if not open_door or request.cookies.get(COOKIE):
                try:
                    visit = Visit(request, await person_of_session(services, request))
                except Refused:
                    if not open_door:
                        raise
            if request.method == "POST":
                visit.form = await _form(request, visit)
            if visit.person and visit.person.must_change and request.path != "/password" and not open_door:
                return web.HTTPSeeOther("/password")
            return await make(visit)
        except Refused as refused:
            if refused.code == "login-required":
                return web.HTTPSeeOther("/login")
            return _refusal(visit, refused)
        except DatabaseFull:
            return _refusal(visit, Refused("storage-full"))
        except DatabaseAway:
            return _refusal(visit, Refused("database-away"))

    return handle


def language_of(request: web.Request) -> str:
    """The language that was chosen, else the browser's first that we speak, else English."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    wanted = [chosen, *re.findall(r"[a-zA-Z]+", request.headers.get("Accept-Language", "")[:200])]
    return next((word[:2].lower() for word in wanted if word[:2].lower() in LANGUAGES), "en")


@cache
def environment(language: str) -> Environment:
    """The templates in one language; what they show is escaped unless a template of ours made it."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters["moment"] = _moment
    made.globals.update(statuses=STATUSES, tiers=TIERS)
    return made


def _moment(text: str | None) -> str:
    """A time as people read it: to the second, UTC."""
    return "" if text is None else f"{text[:10]} {text[11:19]}"


async def _form(request: web.Request, visit: Visit) -> Mapping[str, str]:
    """The fields of a form that one of our pages sent. Raises Refused."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise Refused("csrf")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Refused("csrf")
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refused("unsupported-media")
    body = await take_body(request, FORM_LIMIT, visit.services.patience)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=50)
    except ValueError:
        raise Refused("invalid-body", "this is no form") from None
    fields = dict(pairs)
    if any("\x00" in value for value in fields.values()):
        raise Refused("invalid-body", "a text may not hold NUL")
    if visit.person is not None and not same(fields.get("csrf", ""), visit.person.csrf or "-"):
        raise Refused("csrf")
    return fields


def _refusal(visit: Visit, refused: Refused) -> web.Response:
    response = visit.show(
        "refused", status=refused.status, title=CODES[refused.code][1], detail=refused.detail
    )
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(refused.retry_after)))
    return response
