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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ots.server.app import make_app
from ots.server.content.kept import KeptContent
from ots.server.database.database import open_database
from ots.server.first_start import FirstAccount, check_whole, default_database, prepare
from ots.server.listening import Place, bound, certified, more_descriptors, taken
from ots.server.patience import USUAL, Patience, open_door
from ots.server.peers.workers import Crew
from ots.server.services import Keys, open_services

log = logging.getLogger("ots.server")

_GRACE = 3.0
_LINGER = 5.0
"""Seconds for which the rest of a refused body is read, so that the sender comes to read why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a server is to run. `database` is a URL, None for SQLite in the folder; `keep` caps, in
    seconds, how long the bytes of reports stay.
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
    agent_ping: float = 60.0
    agent_return: float = 30.0

    @property
    def url(self) -> str:
        return self.database or default_database(self.folder)


def run(setup: Setup, ready: Callable[[list[Place], FirstAccount | None], None]) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP; `ready` hears where, and the first account if it was made.

    Raises CannotServe, UnfinishedRestore, UnusableKey, DatabaseAway, NewerDatabase before anything is
    started, WorkersFailed if workers keep dying.
    """
    setup.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_whole(setup.folder)
    keys = Keys.of(setup.folder)
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(bound(place)) for place in setup.places]
        context = certified(setup.cert, setup.key) if setup.cert is not None else None
        first = asyncio.run(_prepare(setup))
        more_descriptors()
        where = taken(setup.places, listeners)

        def work(_number: int, alive: int) -> None:
            sockets = list(zip(listeners, setup.places, strict=True))
            asyncio.run(_serve(setup, keys, sockets, context, alive))

        Crew(setup.processes, work, lambda number: log.error("worker %d died", number)).run(
            lambda: ready(where, first)
        )


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
        content=KeptContent(setup.folder),
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
