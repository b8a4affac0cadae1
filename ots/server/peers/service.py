"""The test server as a service: several processes on the same sockets, with common places and limits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator

from ots.server.listening import Place, bound, certified, more_descriptors, taken
from ots.server.peers import certificate
from ots.server.peers.facility import Facility
from ots.server.peers.guests import Guests
from ots.server.peers.http import serving
from ots.server.peers.limits import Limits
from ots.server.peers.workers import Crew, Work


def run(
    places: list[Place],
    workers: int,
    limits: Limits,
    *,
    name: str,
    cert: str | None = None,
    key: str | None = None,
    ready: Callable[[list[Place]], None],
) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP; `ready` hears where, with the ports that were taken for 0.

    `CannotServe` before anything is started; `WorkersFailed` if workers keep dying.
    """
    with staff(places, workers, limits, name=name, cert=cert, key=key) as (where, work, forget):
        more_descriptors()
        # What exists now is shared with the workers as long as nobody's collector touches it.
        gc.freeze()
        Crew(workers, work, forget).run(lambda: ready(where))


@contextlib.contextmanager
def staff(
    places: list[Place],
    workers: int,
    limits: Limits,
    *,
    name: str,
    cert: str | None = None,
    key: str | None = None,
) -> Iterator[tuple[list[Place], Work, Callable[[int], None]]]:
    """The sockets of a test server, bound: where they are, what each worker does, and who is to hear that
    one has died.

    Without `cert` a TLS place has a certificate of its own making, which nobody trusts. `CannotServe`.
    """
    with contextlib.ExitStack() as stack:
        listeners = [(stack.enter_context(bound(place)), place) for place in places]
        context = _context(places, cert, key)
        facility = Facility.made(limits, name)
        stack.callback(facility.close)
        guests = Guests(workers)

        def work(number: int, alive: int) -> None:
            sockets = [(listener, context if place.tls else None) for listener, place in listeners]
            asyncio.run(_work(sockets, facility, guests, number, alive))

        yield taken(places, [listener for listener, _ in listeners]), work, guests.forget


async def _work(
    listeners: list[tuple[socket.socket, ssl.SSLContext | None]],
    facility: Facility,
    guests: Guests,
    number: int,
    alive: int,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_overheard)
    ended = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, ended.set)
    loop.add_reader(alive, ended.set)
    service = await serving(listeners, facility, guests, number)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(alive)
        await service.close()


def _overheard(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Clients that leave or talk nonsense are no news."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


def _context(places: list[Place], cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if not any(place.tls for place in places):
        return None
    if cert is None:
        return certificate.server_context(next(place.host for place in places if place.tls))[0]
    return certified(cert, key)


def default_workers() -> int:
    """One for each processor that this process may use, up to eight."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 8)
