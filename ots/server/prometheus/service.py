"""A small server of `/probe` and `/metrics` alone, in the place of a blackbox_exporter."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from ots.clock import SystemClock
from ots.server.prometheus.allow_file import read_allow_list
from ots.server.prometheus.allow_list import AllowList
from ots.server.prometheus.connections import Connections
from ots.server.prometheus.exposition import QUIET, metrics_page
from ots.server.prometheus.gate import Gate
from ots.server.prometheus.module_file import LoadedModule, read_modules
from ots.server.prometheus.observed import loop_watched, observing
from ots.server.prometheus.probe_page import LONGEST, Probing, probe_page
from ots.server.prometheus.registry import ServerMetrics
from ots.strictyaml import Problem, YamlError

_SHUTDOWN = 5.0


def read_files(config: Path, allow: Path) -> tuple[dict[str, LoadedModule], AllowList]:
    """Both files; YamlError with the problems of both, OSError if one can't be read."""
    problems: list[Problem] = []
    modules: dict[str, LoadedModule] = {}
    allowed = AllowList()
    try:
        modules = read_modules(config.read_bytes(), str(config), config.parent)
    except YamlError as error:
        problems += error.problems
    try:
        allowed = read_allow_list(allow.read_bytes(), str(allow))
    except YamlError as error:
        problems += error.problems
    if problems:
        raise YamlError(problems)
    return modules, allowed


def probe_app(probing: Probing) -> web.Application:
    """The application: `/probe`, `/metrics` and `/-/healthy`."""
    app = web.Application(middlewares=[observing(probing.metrics)])

    async def probe(request: web.Request) -> web.Response:
        return await probe_page(request, probing)

    async def metrics(request: web.Request) -> web.Response:
        return await metrics_page(request, probing.metrics)

    async def healthy(request: web.Request) -> web.Response:
        return web.Response(text="healthy\n", headers=QUIET)

    app.router.add_get("/probe", probe)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/-/healthy", healthy)
    return app


async def serve(
    listener: socket.socket, config: Path, allow: Path, *, limit: int, ready: Callable[[], None]
) -> None:
    """Serves until SIGTERM or SIGINT; SIGHUP has it read its files again. Errors as of `read_files`."""
    clock, metrics = SystemClock(), ServerMetrics()
    modules, allowed = read_files(config, allow)
    async with Connections(clock, limit=limit) as connections, loop_watched(metrics):
        probing = Probing(modules, Gate(allowed, clock), connections, metrics, clock, limit)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, ended.set)
        loop.add_signal_handler(signal.SIGHUP, _reload, probing, config, allow)
        runner = web.AppRunner(
            probe_app(probing), access_log=None, shutdown_timeout=_SHUTDOWN, keepalive_timeout=LONGEST
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            ready()
            await ended.wait()
        finally:
            await runner.cleanup()


def _reload(probing: Probing, config: Path, allow: Path) -> None:
    """Takes the files as they are now; with a fault in them, what was read before goes on to hold."""
    try:
        modules, allowed = read_files(config, allow)
    except (YamlError, OSError) as error:
        sys.stderr.write(f"{error}\nthe files read before stay in force\n")
        return
    probing.modules, probing.gate = modules, Gate(allowed, probing.clock)
    sys.stderr.write(f"read {config} and {allow} again\n")
