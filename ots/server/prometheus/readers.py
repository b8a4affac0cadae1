"""Who may read the server's figures and have it probe: everybody, some networks, or whoever has a token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web

from ots.server.prometheus.exposition import QUIET

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Readers:
    """Without networks any address will do, without a token none is asked for; with both, both must fit."""

    networks: Sequence[Network] = ()
    token: str | None = field(default=None, repr=False)

    def refusal(self, request: web.Request, address: str) -> web.Response | None:
        """What to answer to whoever may not read; None for who may."""
        if self.networks and not self._near(address):
            return web.Response(status=403, text="not from your network\n", headers=QUIET)
        if self.token is not None and not self._knows(request.headers.get("Authorization", "")):
            headers = {**QUIET, "WWW-Authenticate": 'Bearer realm="ots-metrics"'}
            return web.Response(status=401, text="a token is needed\n", headers=headers)
        return None

    def _near(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return any((mapped or found) in network for network in self.networks)

    def _knows(self, header: str) -> bool:
        kind, _, text = header.partition(" ")
        assert self.token is not None
        return kind.lower() == "bearer" and hmac.compare_digest(
            text.strip().encode(errors="replace"), self.token.encode()
        )
