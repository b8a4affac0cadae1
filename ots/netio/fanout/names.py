"""The addresses of many hosts: each name is looked up once, a few at a time, by the product's resolver."""

from __future__ import annotations

import asyncio

from ots.netio.resolve import literal
from ots.probe import Address, Failed, Net, Route

AT_ONCE = 32
"""Lookups that run at the same time; each one takes a thread."""


class Names:
    """Answers for one fan-out. A name of several targets costs one lookup; all of them see its time."""

    def __init__(self, net: Net, route: Route, timeout: float) -> None:
        self._net = net
        self._route = route
        self._timeout = timeout
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[str, asyncio.Future[Address | Failed]] = {}

    def literal(self, host: str) -> Address | None:
        """The address that a host spells out, at once; None for a name. `Failed` as of `resolve`."""
        return literal(host, self._route)

    async def find(self, host: str) -> Address:
        """The one address of a host. `Failed` as of `resolve`."""
        asked = self._asked.get(host)
        if asked is None:
            asked = self._asked[host] = asyncio.get_running_loop().create_future()
            try:
                async with self._gate:
                    asked.set_result(await self._net.resolve(host, self._route, timeout=self._timeout))
            except Failed as failure:
                asked.set_result(failure)
            except BaseException:
                asked.cancel()
                raise
        found = await asyncio.shield(asked)
        if isinstance(found, Failed):
            error = found.error
            raise Failed(
                error.class_,
                error.phase,
                error.code,
                error.message,
                retryable=error.retryable,
                remedy=error.remedy,
            )
        return found
