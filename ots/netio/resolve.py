"""One address for a name, as every program of this machine would get it.

The system's resolver is asked (hosts file, mDNS, caches and search domains included) through its own
interfaces: a route binds the measurement, not this lookup. `dns_lookup` measures DNS itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import Literal

from ots.clock import Clock
from ots.i18n import N_
from ots.netio.binding import interface_index, source_family
from ots.netio.errors import TIMER, classify
from ots.netio.marks import Mark
from ots.probe import Address, Failed, Route

_Found = tuple[str, int, int]
"""An address, its family and its scope."""


async def resolve(host: str, route: Route, clock: Clock, mark: Mark, timeout: float) -> Address:
    """The first address of the asked family, in the resolver's order; else as `resolve_all`."""
    return (await resolve_all(host, route, clock, mark, timeout))[0]


async def resolve_all(
    host: str, route: Route, clock: Clock, mark: Mark, timeout: float
) -> tuple[Address, ...]:
    """All addresses of the asked family, in the resolver's order. A literal passes through in no time.

    `Failed`: `dns` with NXDOMAIN, NODATA (also: the name has no address of the asked family) or EAI_AGAIN;
    `timeout` if the resolver doesn't answer; `config` for a literal of the other family.
    Marks `resolve_start` and `resolved`.
    """
    family = source_family(route) or route.family
    start = clock.monotonic()
    mark("resolve_start", t=start)
    spelled = literal(host, route)
    if spelled is not None:
        mark("resolved", t=start)
        return (spelled,)
    wanted = {"4": socket.AF_INET, "6": socket.AF_INET6}.get(family, socket.AF_UNSPEC)

    def ask() -> tuple[list[_Found], float]:
        found = socket.getaddrinfo(host, None, family=wanted, type=socket.SOCK_STREAM)
        ended = clock.monotonic()
        usable: list[_Found] = [
            (str(at[0]).partition("%")[0], af, int(at[3]) if len(at) == 4 else 0)
            for af, _, _, _, at in found
            if af in (socket.AF_INET, socket.AF_INET6)
        ]
        if not usable:
            raise socket.gaierror(socket.EAI_NODATA, "no address of an internet family")
        return usable, ended

    try:
        usable, ended = await asyncio.wait_for(_abandonable(ask), timeout)
    except TimeoutError:
        raise Failed(
            "timeout", "resolve", TIMER, f"no address for {host} within {timeout:g} s", retryable=True
        ) from None
    except (OSError, UnicodeError) as error:
        if isinstance(error, UnicodeError):
            raise Failed("config", "resolve", "EINVAL", f"{host!r} is no host name") from None
        failure = classify(error, "resolve")
        what = f" (IPv{family})" if family != "auto" else ""
        failure.error.message = f"{host}{what}: {failure.error.message}"
        raise failure from None
    mark("resolved", t=ended)
    return tuple(
        Address(ip, "4" if af == socket.AF_INET else "6", host, ended - start, scope)
        for ip, af, scope in usable
    )


def literal(host: str, route: Route) -> Address | None:
    """The address that `host` spells out, or None if it is a name. `Failed`, class `config`, for a literal of
    another family than the route's, or a link-local one without an interface."""
    family = source_family(route) or route.family
    text, _, zone = host.removeprefix("[").removesuffix("]").partition("%")
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    version: Literal["4", "6"] = "4" if parsed.version == 4 else "6"
    if family not in ("auto", version):
        raise Failed(
            "config",
            "resolve",
            "FAMILY",
            f"{host} is an IPv{version} address, but family {family} was asked",
            remedy=N_("Leave the family away or give an address of that family."),
        )
    scope = 0
    if zone:
        scope = int(zone) if zone.isdigit() else interface_index(zone)
    elif parsed.is_link_local and version == "6":
        if route.interface is None:
            raise Failed(
                "config",
                "resolve",
                "ZONE",
                f"{host} is a link-local address without an interface",
                remedy=N_("Add the interface after a percent sign, as in fe80::1%eth0."),
            )
        scope = interface_index(route.interface)
    return Address(str(parsed), version, host, 0.0, scope)


def _abandonable(
    ask: Callable[[], tuple[list[_Found], float]],
) -> asyncio.Future[tuple[list[_Found], float]]:
    """Runs a blocking call in a daemon thread, so that one that never returns holds up neither the loop's end
    nor the process's, as a thread of the default executor would."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[list[_Found], float]] = loop.create_future()

    def deliver(result: tuple[list[_Found], float] | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        elif result is not None:
            future.set_result(result)

    def work() -> None:
        result, failure = None, None
        try:
            result = ask()
        except (OSError, UnicodeError, MemoryError) as error:
            failure = error
        # The loop may have been closed meanwhile: then nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(deliver, result, failure)

    try:
        threading.Thread(target=work, name="ots-resolve", daemon=True).start()
    except RuntimeError:
        raise Failed("resource", "resolve", "EAGAIN", "this machine gives no thread to resolve in") from None
    return future
