"""One page load: the document through its redirects, then what it names, and what that names in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from yarl import URL

from ots.clock import Clock
from ots.i18n import N_
from ots.model.report import Error
from ots.netio.web import portal
from ots.netio.web.charset import text_of
from ots.netio.web.exchange import Exchange, Kind
from ots.netio.web.fetcher import TOO_LARGE, Fetcher
from ots.netio.web.reach import PRIVATE
from ots.netio.web.resources import Found, of_css, of_html
from ots.probe import Failed

MAX_REDIRECTS = 20
"""As the Fetch standard has it (section 4.4)."""

MAX_DEPTH = 5
"""Style sheets that import style sheets that import …"""

_HTML = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a page may ask of us, and where it may lead. `trusted`: only the site itself can have answered."""

    resources: int
    allowed_hosts: Collection[str]
    trusted: Callable[[URL], bool]


@dataclass
class Page:
    """A page load and what is known of it so far. Instants are on the monotonic clock."""

    fetcher: Fetcher
    clock: Clock
    limits: Limits
    progress: Callable[[float | None, str], None]
    start: float
    redirects: int = 0
    document_start: float | None = None
    document: Exchange | None = None
    resources: list[Exchange] = field(default_factory=list)
    named: dict[URL, Kind] = field(default_factory=dict)
    left_out: bool = False

    @property
    def text(self) -> str:
        """The document's text, empty before there is one."""
        if self.document is None:
            return ""
        return text_of(self.document.body, self.document.header("Content-Type") or "")

    @property
    def end(self) -> float:
        """The last byte of all that came."""
        return max((one.end for one in self.fetcher.exchanges if one.end is not None), default=self.start)

    @property
    def unfetched(self) -> list[Exchange]:
        """Resources without a complete answer."""
        return [one for one in self.resources if one.error is not None]

    async def load_document(self, url: URL) -> Exchange:
        """The document, through its redirects. `Failed` if it is none, not from the site, or not complete."""
        first = url
        while True:
            self.document_start = self.clock.monotonic()
            exchange = await self.fetcher.fetch(url, "document")
            if exchange.error is not None:
                raise self._failed(exchange.error, redirected=self.redirects > 0)
            if exchange.status == portal.AUTHENTICATION_REQUIRED:
                raise portal.captive_portal(f"{url.host} answered 511: the network wants a log-in")
            if not 300 <= exchange.status < 400 or exchange.status in (300, 304):
                break
            if exchange.redirect is None:
                raise Failed(
                    "protocol",
                    "first_byte",
                    "BAD_REDIRECT",
                    f"status {exchange.status} without a usable Location",
                )
            if not self.limits.trusted(url) and portal.leads_away(
                first, exchange.redirect, self.limits.allowed_hosts
            ):
                raise portal.captive_portal(
                    f"{url.host} redirects to {exchange.redirect.host}, which is another site",
                    remedy=N_(
                        "Log in to the network in a browser. If the page is meant to lead there: allow_hosts."
                    ),
                )
            self.redirects += 1
            if self.redirects > MAX_REDIRECTS:
                raise _too_many_redirects(exchange)
            url = exchange.redirect
        self.document = exchange
        _judge(exchange)
        return exchange

    async def load_resources(self) -> None:
        """Everything else. What fails of it is kept in `resources`; `Failed` only for what ends the load."""
        document = self.document
        assert document is not None
        if not _is_html(document):
            return
        try:
            async with asyncio.TaskGroup() as group:
                found = of_html(self.text, document.url, self._room)
                self._name(group, found, 0)
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    @property
    def _room(self) -> int:
        """One more than there is room for, so that it is known whether something is left out."""
        return self.limits.resources - len(self.named) + 1

    def _name(self, group: asyncio.TaskGroup, found: list[Found], depth: int) -> None:
        """Fetches what is named for the first time, as far as there is room."""
        for url, kind in found:
            if url in self.named:
                continue
            if len(self.named) >= self.limits.resources:
                self.left_out = True
                return
            self.named[url] = kind
            group.create_task(self._resource(group, url, kind, depth))

    async def _resource(self, group: asyncio.TaskGroup, url: URL, kind: Kind, depth: int) -> None:
        for _hop in range(MAX_REDIRECTS + 1):
            exchange = await self.fetcher.fetch(url, kind)
            if exchange.error is not None:
                failure = self._failed(exchange.error)
                if failure.error.class_ in ("resource", "internal") or failure.error.code == TOO_LARGE:
                    raise failure
                exchange.error = failure.error
                break
            if exchange.redirect is None:
                break
            url = exchange.redirect
        else:
            exchange.error = _too_many_redirects(exchange).error
        self.resources.append(exchange)
        self.progress(len(self.resources) / len(self.named), f"{len(self.resources)}/{len(self.named)}")
        if kind == "stylesheet" and exchange.ok and depth < MAX_DEPTH and self._room > 0:
            text = text_of(exchange.body, exchange.header("Content-Type") or "")
            self._name(group, of_css(text, exchange.url, self._room + len(self.named)), depth + 1)
        exchange.body = b""

    def _failed(self, error: Error, *, redirected: bool = True) -> Failed:
        """An exchange's error as a `Failed`. An address that can't be asked is the fault of who named it."""
        if redirected and error.code == PRIVATE and self.document is None:
            return portal.captive_portal(error.message)
        named_badly = redirected and error.class_ == "config"
        return Failed(
            "protocol" if named_badly else error.class_,
            error.phase,
            error.code,
            error.message,
            retryable=error.retryable,
            remedy=None if named_badly else error.remedy,
        )


def _first(group: BaseException) -> BaseException:
    """The first failure of a group: what came after it is its consequence."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def _judge(document: Exchange) -> None:
    """A refusal has no content that could be a page, whatever its body says."""
    status = document.status
    if status < 200:
        raise Failed("protocol", "first_byte", str(status), f"the final answer has status {status}")
    if status >= 300:
        raise Failed(
            "auth" if status in (401, 407) else "rejected",
            "first_byte",
            str(status),
            f"{document.url.host} answered {status} {document.reason}".rstrip(),
            retryable=status in (408, 425, 429) or status >= 500,
        )
    if not document.content:
        raise Failed("content", "transfer", "EMPTY_BODY", "the answer has no content")


def _too_many_redirects(exchange: Exchange) -> Failed:
    host = exchange.redirect.host if exchange.redirect is not None else exchange.url.host
    return Failed(
        "rejected",
        "first_byte",
        "TOO_MANY_REDIRECTS",
        f"more than {MAX_REDIRECTS} redirects, the last to {host}",
    )


def _is_html(document: Exchange) -> bool:
    said = (document.header("Content-Type") or "").partition(";")[0].strip().lower()
    return said in _HTML or (not said and document.body.lstrip()[:1] == b"<")
