"""Loads a page as a browser would and times it, without rendering it (light mode).

The document, through its redirects, then what its HTML and style sheets name: pictures, style sheets,
scripts, over at most six kept-alive HTTP/1.1 connections to each host. Nothing is rendered and no script
runs, so this is the network's and the server's share of a page, never what a person sees; don't compare it
with a browser's figure. Each attempt starts without cookies, cache and connections.

A resource with an error status counts in `web_resources_failed_ratio`; one without a complete answer means
that the page did not come whole, and fails the attempt (`tolerate` allows a share of them). Every page load
leaves a HAR 1.2 archive beside the report.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator
from yarl import URL

from ots.clock import rfc3339, wall_offset
from ots.i18n import N_
from ots.model.metric import Metric
from ots.model.outcome import Phase
from ots.netio.http.client import url_of
from ots.netio.http.params import HTTPParams, way_to
from ots.netio.web import portal
from ots.netio.web.archive import har, shown
from ots.netio.web.exchange import Exchange
from ots.netio.web.fetcher import Fetcher
from ots.netio.web.page import Limits, Page
from ots.probe import AttemptData, Context, Estimate, Failed, Probe, Target, Targets
from ots.probes import _web_metrics as published
from ots.probes import _web_rules as rules
from ots.schema.quantity import Duration, Share, Size

_TYPICAL = 3.0
"""Seconds and, below, bytes of a request: for the plan."""
_REQUEST_BYTES = 500


class WebPageParams(HTTPParams):
    """Parameters of `web_page`."""

    page_timeout: Annotated[
        Duration, Field(ge=0.05, le=600, description=N_("Longest time for the whole page."))
    ] = 30.0
    connections: Annotated[int, Field(ge=1, le=6, description=N_("Connections to one host at once."))] = 6
    resources: Annotated[
        bool, Field(description=N_("Fetch what the page names, too; else the document alone."))
    ] = True
    max_size: Annotated[
        Size, Field(ge=1, le=10_000_000_000, description=N_("Most bytes of one page load."))
    ] = 50_000_000
    max_resources: Annotated[
        int, Field(ge=1, le=10_000, description=N_("Most resources of one page load."))
    ] = 1000
    tolerate: Annotated[
        Share,
        Field(ge=0, le=1, description=N_("Share of the resources that may stay without an answer.")),
    ] = 0.0
    expect_text: Annotated[
        str | None, Field(min_length=1, max_length=1000, description=N_("Text that the page must contain."))
    ] = None
    expect_regex: Annotated[
        str | None,
        Field(max_length=1000, description=N_("Regular expression that must match somewhere in the page.")),
    ] = None
    expect_sha256: Annotated[
        str | None,
        Field(pattern="^[0-9a-fA-F]{64}$", description=N_("SHA-256 that the document must have.")),
    ] = None
    allow_hosts: Annotated[
        tuple[str, ...],
        Field(description=N_("Other sites to which the page may redirect; else it is a captive portal.")),
    ] = ()
    portal_check: Annotated[
        str | None,
        Field(
            pattern="^https?://[^/@ ]+(/[^ ]*)?$",
            description=N_("URL that answers 204 unless there is a captive portal; asked after the page."),
        ),
    ] = None
    user_agent: Annotated[
        str, Field(pattern="^[ -~]{1,300}$", description=N_("User-Agent to send; some pages depend on it."))
    ] = "Mozilla/5.0 (compatible; OTS)"

    @field_validator("allow_hosts", mode="before")
    @classmethod
    def _one_or_many(cls, hosts: object) -> object:
        return [part.strip() for part in hosts.split(",")] if isinstance(hosts, str) else hosts

    @field_validator("expect_regex")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return pattern

    @property
    def has_rules(self) -> bool:
        return bool(self.expect_text or self.expect_regex or self.expect_sha256)


class WebPage(Probe):
    kind = "web_page"
    version = 1
    summary = N_("Loads a page with what it names, as a browser would but without rendering it (light mode).")
    example = "http://192.0.2.1:8080/pages/"
    targets = Targets(forms=("url",), schemes=("http", "https"), default_ports=(("http", 80), ("https", 443)))
    Params = WebPageParams
    metrics = published.METRICS

    def estimate(self, targets: Sequence[Target], params: WebPageParams) -> Estimate:
        requests = 1 + (params.max_resources if params.resources else 0)
        return Estimate(
            min(_TYPICAL, params.page_timeout),
            params.max_size,
            requests * _REQUEST_BYTES,
            params.page_timeout
            + (5 * params.timeout if params.portal_check else 0.0)
            + (rules.PATIENCE if params.expect_regex else 0.0),
        )

    async def run(self, ctx: Context, targets: Sequence[Target], params: WebPageParams) -> None:
        await _Load(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: WebPageParams) -> list[Metric]:
        return published.summarise(attempts)

    def warnings(self, targets: Sequence[Target], params: WebPageParams) -> list[str]:
        if params.has_rules:
            return []
        return [N_("no content rule: a consent or error page with status 200 would pass for the page")]

    def samples_planned(self, metric: str, targets: Sequence[Target], params: WebPageParams) -> int | None:
        return None if metric in published.PER_REQUEST else 1


class _Load:
    """One attempt."""

    def __init__(self, ctx: Context, target: Target, params: WebPageParams) -> None:
        self._ctx = ctx
        self._target = target
        self._params = params
        self._url = url_of(target)
        self._way = way_to(ctx, target, params)
        self._fetcher = Fetcher(
            self._way,
            per_host=params.connections,
            user_agent=params.user_agent,
            largest=params.max_size,
            budget=ctx.budget,
        )
        self._page = Page(
            self._fetcher,
            ctx.clock,
            Limits(params.max_resources, params.allow_hosts, self._is_trusted),
            ctx.progress,
            ctx.clock.monotonic(),
        )

    async def run(self) -> None:
        failure: Failed | None = Failed("cancelled", "transfer", "UNFINISHED")
        self._ctx.mark(published.BEGIN, t=self._page.start)
        try:
            failure = await self._loaded()
            failure = await self._verified(failure)
        finally:
            await self._fetcher.lines.close()
            self._record(failure)
        if failure is not None:
            raise failure

    async def _loaded(self) -> Failed | None:
        """The page load, within its time; what it failed with."""
        try:
            async with asyncio.timeout(self._params.page_timeout):
                document = await self._page.load_document(self._url)
                self._fetcher.lines.marking = False
                self._ctx.mark("first_byte", t=document.first_byte)
                self._ctx.mark("first_content", t=document.first_content, source="socket")
                if self._params.resources:
                    await self._page.load_resources()
        except TimeoutError:
            return Failed(
                "timeout",
                _phase_reached(self._fetcher.exchanges),
                "PAGE_TIME",
                f"the page took longer than {self._params.page_timeout:g} s",
                retryable=True,
            )
        except Failed as failure:
            return failure
        return self._incomplete()

    def _incomplete(self) -> Failed | None:
        """Why what came is not the whole page."""
        page, params = self._page, self._params
        if page.left_out:
            return Failed(
                "content",
                "transfer",
                "TOO_MANY_RESOURCES",
                f"the page names more than {params.max_resources} resources",
                remedy=N_("Raise max_resources if that is what the page is like."),
            )
        unfetched = page.unfetched
        if not unfetched or len(unfetched) <= params.tolerate * len(page.resources):
            return None
        first = min(unfetched, key=lambda exchange: exchange.end or 0.0)
        assert first.error is not None
        return Failed(
            first.error.class_,
            first.error.phase,
            first.error.code,
            f"{len(unfetched)} of {len(page.resources)} resources did not come, the first "
            f"{shown(first.url)}: {first.error.message}",
            retryable=first.error.retryable,
            remedy=first.error.remedy or N_("If the page may do without: tolerate."),
        )

    async def _verified(self, failure: Failed | None) -> Failed | None:
        """The failure, or why what came is not the page that was meant."""
        params, document = self._params, self._page.document
        try:
            if params.portal_check is not None:
                undecided = await portal.check_204(URL(params.portal_check), self._way)
                if undecided:
                    self._ctx.log.warning(f"portal_check says nothing: {undecided}")
            if params.has_rules and failure is None and document is not None:
                await rules.check(
                    document.body,
                    self._page.text,
                    keyword=params.expect_text,
                    pattern=params.expect_regex,
                    sha256=params.expect_sha256,
                )
                self._ctx.record(published.MATCH.key, True)
        except Failed as found:
            if found.error.class_ == "content" and found.error.code != "captive_portal":
                self._ctx.record(published.MATCH.key, False)
            return found
        return failure

    def _record(self, failure: Failed | None) -> None:
        ctx, page = self._ctx, self._page
        if failure is None:
            ctx.mark("completed", t=page.end)
        elif failure.error.code == "captive_portal":
            ctx.flag("captive_portal")
        ctx.method(
            mode="light mode",
            requests=len(self._fetcher.exchanges),
            resources=len(page.named),
            connections=self._fetcher.dials,
            connections_per_host=self._params.connections,
            page_timeout=self._params.page_timeout,
        )
        address = self._way.addresses.get(self._url.host or "")
        if address is not None:
            ctx.method(address=address.ip, family=address.family)
        published.record(ctx, page, failure)
        if self._fetcher.exchanges:
            self._keep_archive(failure)

    def _keep_archive(self, failure: Failed | None) -> None:
        page, offset = self._page, wall_offset(self._ctx.clock)
        document = page.document
        stamp = rfc3339(page.start + offset).replace("-", "").replace(":", "")
        name = re.sub(r"[^A-Za-z0-9.-]", "_", self._target.host)[:80]
        self._ctx.artifact(
            f"{name}-{stamp}.har",
            "application/json",
            har(
                self._url,
                self._fetcher.exchanges,
                offset,
                page.start,
                None if document is None else document.end,
                page.end if failure is None else None,
            ),
        )

    def _is_trusted(self, url: URL) -> bool:
        """Whether an answer from there can only be the site's own."""
        return url.scheme == "https" and self._params.verify


def _phase_reached(exchanges: Sequence[Exchange]) -> Phase:
    """Where the time of the page ran out: in its last request that is not complete."""
    open_ones = [exchange for exchange in exchanges if exchange.error is not None]
    if not open_ones:
        return "transfer"
    last = open_ones[-1]
    if last.first_byte is not None:
        return "transfer"
    if last.phases.send is not None:
        return "first_byte"
    return "connect" if last.address else "resolve"
