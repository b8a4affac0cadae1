"""The way from a host to the one address that is connected to, past the list of what may be probed.

A name is looked up only if it is listed, once, and all its addresses are checked; what is connected to is one
of those that were checked. A name that answers otherwise a moment later changes nothing.
"""

from __future__ import annotations

from typing import Literal

from ots.clock import Clock
from ots.netio.resolve import resolve_all
from ots.probe import Address, Route
from ots.server.prometheus.allow_list import AllowList, spelled_address

IPProtocol = Literal["ip4", "ip6"]


class Gate:
    """Lets through what the list allows."""

    def __init__(self, allowed: AllowList, clock: Clock) -> None:
        self._allowed = allowed
        self._clock = clock

    async def admit(
        self, host: str, port: int | None, *, prefer: IPProtocol, fallback: bool, timeout: float
    ) -> Address:
        """The host's first address of the preferred family; of the other, with `fallback`, if it has none.

        `NotAllowed` if the list forbids it, also for a single one of the addresses. Else `Failed` as of
        `resolve_all`.
        """
        self._allowed.check_host(host, port)
        named = spelled_address(host) is None
        family: Literal["4", "6"] = "4" if prefer == "ip4" else "6"
        route = Route("auto" if fallback else family)
        found = await resolve_all(host, route, self._clock, unmarked, timeout)
        for address in found:
            self._allowed.check_address(host, address.ip, port, named=named)
        return next((address for address in found if address.family == family), found[0])


def unmarked(trigger: str, *, t: float | None = None, source: str = "app") -> None:
    """Nobody keeps the trigger points of a lookup here: its seconds stand in the address."""
