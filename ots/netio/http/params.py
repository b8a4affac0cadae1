"""The parameters that HTTP probes share, and the way to the server that they describe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from ots.i18n import N_
from ots.netio.http import proxy
from ots.netio.http.dialer import Way
from ots.netio.tls import client_context
from ots.netio.transfer.params import TransferParams
from ots.probe import Context, NetworkParams, Target
from ots.schema.quantity import Duration, Secret


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


class HTTPTransferParams(TransferParams, HTTPParams):
    """What every HTTP transfer needs to know."""

    unique: Annotated[bool, Field(description=N_("Add a query to the URL that no cache can have seen."))] = (
        False
    )

    @property
    def longest(self) -> float:
        """Seconds that it takes at most: each of five phases before the first byte may use up its time."""
        return 5 * self.timeout + self.expected


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
