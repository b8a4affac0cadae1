"""The parameters that HTTP probes share, and the way to the server that they describe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ots.i18n import N_
from ots.netio.http import proxy
from ots.netio.http.dialer import Way
from ots.netio.http.transfer import Box
from ots.netio.tls import client_context
from ots.probe import Context, NetworkParams, Target
from ots.schema.quantity import Duration, Secret, Size
from ots.stats.throughput import Warmup

DURATION = 10.0
SIZE_LIMIT = 120.0
"""Seconds that a transfer may take that is bounded by its size alone."""


class HTTPParams(NetworkParams):
    """What every HTTP request needs to know."""

    timeout: Annotated[
        Duration,
        Field(ge=0.05, le=300, description=N_("Longest wait for each phase up to the first byte.")),
    ] = 5.0
    proxy: Annotated[str, Field(description=N_("none, environment (HTTP_PROXY …) or http://HOST:PORT."))] = (
        "none"
    )
    proxy_user: Annotated[str | None, Field(description=N_("User at the proxy."))] = None
    proxy_password: Annotated[Secret | None, Field(description=N_("Password at the proxy."))] = None
    verify: Annotated[bool, Field(description=N_("Check the server's certificate."))] = True
    ca_file: Annotated[
        str | None, Field(description=N_("PEM file of the authorities to trust instead of the system's."))
    ] = None

    @field_validator("proxy")
    @classmethod
    def _known_proxy(cls, value: str) -> str:
        return proxy.check(value)


class TransferParams(HTTPParams):
    """What every HTTP transfer needs to know. Time-boxed unless only a size is given."""

    duration: Annotated[
        Duration | None,
        Field(
            gt=0,
            le=86400,
            description=N_("How long all connections transfer; 10 s unless a size is given."),
        ),
    ] = None
    size: Annotated[
        Size | None, Field(gt=0, description=N_("Stop after this many bytes, all connections together."))
    ] = None
    connections: Annotated[int, Field(ge=1, le=64, description=N_("TCP connections at once."))] = 1
    stall_limit: Annotated[
        Duration,
        Field(ge=0.1, le=300, description=N_("Fail when a connection moves nothing for this long.")),
    ] = 5.0
    warmup: Annotated[
        Literal["auto", "none"] | Duration,
        Field(description=N_("What the headline leaves out at the start: auto, none or a duration.")),
    ] = "auto"
    unique: Annotated[bool, Field(description=N_("Add a query to the URL that no cache can have seen."))] = (
        False
    )

    @model_validator(mode="after")
    def _warmup_fits(self) -> TransferParams:
        seconds = self.warmup if isinstance(self.warmup, float) else 0.0
        if seconds < 0 or (self.duration is not None and seconds >= self.duration):
            raise ValueError("warmup must be shorter than duration")
        return self

    @property
    def box(self) -> Box:
        if self.size is not None:
            return Box(self.duration, self.size, None if self.duration else SIZE_LIMIT)
        return Box(self.duration or DURATION)

    @property
    def expected(self) -> float:
        """Seconds that an attempt takes unless something is in the way."""
        return self.box.duration or self.box.limit or SIZE_LIMIT

    @property
    def longest(self) -> float:
        """Seconds that it takes at most: each of five phases before the first byte may use up its time."""
        return 5 * self.timeout + self.expected

    @property
    def warmup_rule(self) -> Warmup:
        if isinstance(self.warmup, float):
            return Warmup(self.warmup, auto=False)
        return Warmup(auto=self.warmup == "auto")


def way_to(ctx: Context, target: Target, params: HTTPParams) -> Way:
    """How this attempt reaches the target; the method says by which proxy. `Failed` for a bad ca_file."""
    chosen = proxy.choose(
        params.proxy,
        target.scheme or "http",
        target.host,
        user=params.proxy_user,
        password=None if params.proxy_password is None else ctx.secret(params.proxy_password),
    )
    ctx.method(
        proxy="none" if chosen is None else chosen.url,
        proxy_source=None if chosen is None else chosen.source,
        tls=target.scheme == "https",
        http_version="1.1",
        timeout=params.timeout,
    )
    return Way(
        net=ctx.net,
        clock=ctx.clock,
        mark=ctx.mark,
        route=params.route,
        timeout=params.timeout,
        tls=client_context(verify=params.verify, ca_file=params.ca_file, alpn=("http/1.1",)),
        proxy=chosen,
        addresses={},
    )
