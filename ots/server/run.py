"""The cloud server as processes: one parent that binds, migrates and watches, workers that serve.

SQLite takes one worker; on PostgreSQL there can be several, here and on other machines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ots.server.app import make_app
from ots.server.content.kept import KeptContent
from ots.server.database.database import open_database
from ots.server.first_start import FirstAccount, check_whole, default_database, prepare
from ots.server.history import USUALLY_KEPT
from ots.server.listening import Place, bound, certified, more_descriptors, taken
from ots.server.patience import USUAL, Patience, open_door
from ots.server.peers.limits import Limits
from ots.server.peers.service import default_workers, staff
from ots.server.peers.workers import Crew, Work
from ots.server.prometheus.readers import Readers
from ots.server.prometheus.scraping import Scraping
from ots.server.prometheus.service import read_files
from ots.server.prometheus.siblings import Siblings
from ots.server.services import Keys, open_services

log = logging.getLogger("ots.server")

_GRACE = 3.0
_LINGER = 5.0
"""Seconds for which the rest of a refused body is read, so that the sender comes to read why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a server is to run. `database` is a URL, None for SQLite in the folder; `keep` caps, in
    seconds, how long the bytes of reports stay, and what came of commands and planned runs stays for
    `keep_history`. `peers` is where a test server runs beside it; `probes` are the modules' file and the list
    of what may be probed.
    """

    folder: Path
    places: Sequence[Place]
    name: str
    database: str | None = None
    processes: int = 1
    cert: str | None = None
    key: str | None = None
    proxies: tuple[str, ...] = ()
    rate_factor: float = 1.0
    patience: Patience = USUAL
    keep: float | None = None
    keep_history: float = USUALLY_KEPT
    agent_ping: float = 60.0
    agent_return: float = 30.0
    peers: Sequence[Place] = ()
    readers: Readers = Readers()
    probes: tuple[Path, Path] | None = None

    @property
    def url(self) -> str:
        return self.database or default_database(self.folder)


@dataclass(frozen=True, slots=True)
class Ready:
    """Where the server listens, where its test server does, and the first account if it was made."""

    places: Sequence[Place]
    peers: Sequence[Place]
    first: FirstAccount | None


def run(setup: Setup, ready: Callable[[Ready], None]) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP; `ready` hears where.

    Raises CannotServe, UnfinishedRestore, UnusableKey, DatabaseAway, NewerDatabase, YamlError, OSError before
    anything is started, WorkersFailed if workers keep dying.
    """
    probes = None if setup.probes is None else read_files(*setup.probes)
    setup.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_whole(setup.folder)
    keys = Keys.of(setup.folder)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(bound(place)) for place in setup.places]
        context = certified(setup.cert, setup.key) if setup.cert is not None else None
        peers = stack.enter_context(_peers(setup))
        siblings = None if setup.processes == 1 else Siblings(setup.processes)
        if siblings is not None:
            stack.callback(siblings.close)
        first = asyncio.run(_prepare(setup))
        more_descriptors()
        where = taken(setup.places, listeners)

        def work(number: int, alive: int) -> None:
            if number >= setup.processes:
                peers.work(number - setup.processes, alive)
                return
            sockets = list(zip(listeners, setup.places, strict=True))
            scraping = Scraping(setup.readers, siblings, number, probes)
            asyncio.run(_serve(setup, keys, sockets, context, scraping, alive))

        def lost(number: int) -> None:
            log.error("worker %d died", number)
            if number >= setup.processes:
                peers.lost(number - setup.processes)

        Crew(setup.processes + peers.count, work, lost).run(lambda: ready(Ready(where, peers.places, first)))


@dataclass(frozen=True, slots=True)
class _Peers:
    """The workers of the test server beside the cloud server; none, if there is no such place."""

    count: int
    places: Sequence[Place]
    work: Work
    lost: Callable[[int], None]


@contextlib.contextmanager
def _peers(setup: Setup) -> Iterator[_Peers]:
    if not setup.peers:
        yield _Peers(0, (), lambda _number, _alive: None, lambda _number: None)
        return
    count = default_workers()
    with staff(list(setup.peers), count, Limits(), name=setup.name, cert=setup.cert, key=setup.key) as (
        places,
        work,
        lost,
    ):
        yield _Peers(count, places, work, lost)


def _worth_a_line(record: logging.LogRecord) -> bool:
    """What clients send that is no HTTP is answered with 400, and no news for the log."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


async def _prepare(setup: Setup) -> FirstAccount | None:
    database = open_database(setup.url)
    try:
        return await prepare(database, setup.name, time.time())
    finally:
        await database.close()


async def _serve(
    setup: Setup,
    keys: Keys,
    listeners: Sequence[tuple[socket.socket, Place]],
    context: ssl.SSLContext | None,
    scraping: Scraping,
    alive: int,
) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    loop.add_reader(alive, ended.set)
    services = await open_services(
        open_database(setup.url),
        keys,
        proxies=setup.proxies,
        rate_factor=setup.rate_factor,
        patience=setup.patience,
        keep=setup.keep,
        keep_history=setup.keep_history,
        content=KeptContent(setup.folder),
        scraping=scraping,
    )
    services.control.gateway.ping = setup.agent_ping
    services.control.gateway.first_wait = setup.agent_return
    logging.getLogger("aiohttp.server").addFilter(_worth_a_line)
    runner = web.AppRunner(
        make_app(services),
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=setup.patience.silence,
        lingering_time=min(_LINGER, setup.patience.silence),
        shutdown_timeout=_GRACE,
        handler_cancellation=False,
    )
    await runner.setup()
    assert runner.server is not None
    doors: list[asyncio.Server] = []
    try:
        for listener, place in listeners:
            tls = context if place.tls else None
            doors.append(await open_door(runner.server, listener, tls, setup.patience))
        await ended.wait()
    finally:
        loop.remove_reader(alive)
        services.closing = True
        for door in doors:
            door.close()
        await runner.cleanup()
