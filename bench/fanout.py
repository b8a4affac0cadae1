"""Light probes by the thousand from one process, beside blackbox_exporter, wrk and asyncio's ways."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.child import peak, run
from bench.contest import OURS, Contender, Contest, Goal, Reading
from bench.product import Measured, measure
from tests.peers.process import free_port, running
from tests.peers.programs import find

AT_ONCE, COUNT, MANY = 1_000, 5_000, 10_000

_BLACKBOX = "blackbox_exporter"
_NGINX = """
{user}
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
    access_log off; keepalive_timeout 0;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    server {{ listen 0.0.0.0:{port} backlog=8192; location / {{ return 200 "{body}"; }} }}
}}
"""
_MODULES = """
modules:
  http: {prober: http, timeout: 10s, http: {preferred_ip_protocol: ip4}}
  tcp: {prober: tcp, timeout: 10s, tcp: {preferred_ip_protocol: ip4}}
"""
_EACH = """
local paths, at = {}, 0
for path in io.lines("%s") do paths[#paths + 1] = path end
function request() at = at %% #paths + 1; return wrk.format("GET", paths[at]) end
"""
_AIOHTTP = """
import asyncio, sys, time, aiohttp
async def main(urls):
    async def one(url):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            await answer.read()
            return answer.status
    start = time.perf_counter()
    found = await asyncio.gather(*(one(url) for url in urls))
    print(time.perf_counter() - start, found.count(200))
asyncio.run(main(sys.argv[1:]))
"""
_ASYNCIO = """
import asyncio, sys, time
async def one(gate, host, port):
    async with gate:
        reader, writer = await asyncio.open_connection(host, port)
        writer.close()
    return 1
async def main(targets):
    gate = asyncio.Semaphore(1000)
    start = time.perf_counter()
    found = await asyncio.gather(*(one(gate, *target.split(":")) for target in targets))
    print(time.perf_counter() - start, sum(found))
asyncio.run(main(sys.argv[1:]))
"""
_OURS = (
    "OTS's figure is its engine phase, from the start of the first connection to the last byte of the last, "
    "as the samples of the report of a whole `ots` command say; 'whole command' counts the start of Python, "
    "the plan and the report, too. The Python peers are timed without their start."
)


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        web = stack.enter_context(_nginx(folder))
        silent = stack.enter_context(_silent())
        box = stack.enter_context(_exporter(folder))
        urls = [f"http://{place}/" for place in places(web, COUNT)]
        yield [
            _http(urls, box, web, folder),
            _tcp(places(web, COUNT), box, folder),
            _memory([f"http://{place}/" for place in places(web, MANY)]),
            _timers([f"http://{place}/" for place in places(silent, AT_ONCE)]),
        ]


def places(port: int, count: int) -> list[str]:
    """So many addresses of the loopback network, each with the port: one destination has too few ports."""
    return [f"127.0.{1 + n // 250}.{1 + n % 250}:{port}" for n in range(count)]


def _http(urls: Sequence[str], box: int, web: int, folder: Path) -> Contest:
    wrk, aiohttp = "wrk, Connection: close", "aiohttp gather"
    return Contest(
        area=f"HTTP checks, {AT_ONCE} at once",
        work=f"{COUNT} URLs at as many loopback addresses of one nginx, {AT_ONCE} at a time, a new "
        f"connection and 200 bytes for each. {_OURS} blackbox_exporter is asked over HTTP on 100 connections "
        "as Prometheus would; wrk repeats one URL on as many connections, closed after each answer; aiohttp "
        "is used without a thought: a session for each URL, and all gathered at once.",
        unit="checks/s",
        contenders=[
            Contender(_BLACKBOX, lambda: _blackbox(box, "http", urls, folder)),
            Contender(
                wrk, lambda: _wrk(f"http://127.0.0.1:{web}/", "-H", "Connection: close", connections=AT_ONCE)
            ),
            Contender(aiohttp, lambda: _script(_AIOHTTP, urls)),
            Contender(OURS, lambda: _ots("http-check", urls, "http_check_seconds")),
            Contender(
                f"{OURS}: whole command", lambda: _ots("http-check", urls, "http_check_seconds", whole=True)
            ),
        ],
        goals=[
            Goal(5.0, "at least", _BLACKBOX),
            Goal(0.8, "at least", wrk),
            Goal(8.0, "at least", aiohttp),
        ],
    )


def _tcp(targets: Sequence[str], box: int, folder: Path) -> Contest:
    streams = "asyncio.open_connection gather"
    once = ("--count", "1", "--interval", "1 ms")
    return Contest(
        area=f"TCP connections, {AT_ONCE} at once",
        work=f"One connection to each of {COUNT} loopback addresses, {AT_ONCE} at a time. {_OURS}",
        unit="connections/s",
        contenders=[
            Contender(_BLACKBOX, lambda: _blackbox(box, "tcp", targets, folder)),
            Contender(streams, lambda: _script(_ASYNCIO, targets)),
            Contender(OURS, lambda: _ots("tcp-connect", targets, "tcp_connect_seconds", *once)),
        ],
        goals=[Goal(5.0, "at least", _BLACKBOX), Goal(1.0, "at least", streams)],
    )


def _memory(urls: Sequence[str]) -> Contest:
    return Contest(
        area=f"Memory of {MANY} HTTP checks",
        work=f"Peak resident memory of one whole `ots http-check` of {MANY} URLs, report included.",
        unit="MB",
        contenders=[Contender(OURS, lambda: Reading(_peak(urls) / 1e6))],
        goals=[Goal(100.0, "at most")],
        rounds=2,
    )


def _timers(urls: Sequence[str]) -> Contest:
    return Contest(
        area=f"Timers of {AT_ONCE} open HTTP checks",
        work=f"{AT_ONCE} servers that accept and say nothing, a timeout of 1 s for each check: how long "
        "after its time a timer fires, 99th percentile.",
        unit="ms",
        contenders=[Contender(OURS, lambda: _slip(urls))],
        goals=[Goal(20.0, "at most")],
        rounds=2,
    )


def _ots(kind: str, targets: Sequence[str], key: str, *options: str, whole: bool = False) -> Reading:
    measured = measure([kind, *targets, *options])
    took = measured.done.seconds if whole else engine_phase(measured, key, len(targets))
    return Reading(len(targets) / took, measured.done.cpu)


def engine_phase(measured: Measured, key: str, count: int) -> float:
    """Seconds from the first start to the last end; RuntimeError unless so many samples are there."""
    (series,) = [series for series in measured.step["series"] if series["key"] == key]
    ends = [t + v for t, v in zip(series["t"], series["v"], strict=True) if v is not None]
    if len(ends) != count:
        raise RuntimeError(f"{len(ends)} of {count} succeeded: {measured.step['error']}")
    return float(max(ends) - min(series["t"]))


def _slip(urls: Sequence[str]) -> Reading:
    measured = measure(["http-check", *urls, "--timeout", "1 s"])
    method = measured.method("http_check_seconds")
    if method["timers"] != len(urls):
        raise RuntimeError(f"{method['timers']} timers fired for {len(urls)} silent servers")
    return Reading(1e3 * float(method["timer_late_p99_seconds"]), measured.done.cpu)


def _peak(urls: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        most = peak(
            [sys.executable, "-m", "ots", "http-check", *urls, "--format", "json", "--output", str(report)],
            env={"OTS_DATA_DIR": folder},
        )
        (step,) = json.loads(report.read_text("utf-8"))["steps"]
    outcomes = [attempt["outcome"] for attempt in step["attempts"]]
    if outcomes.count("success") != len(urls):
        raise RuntimeError(f"{outcomes.count('success')} of {len(urls)} succeeded: {step['error']}")
    return most


def _script(code: str, targets: Sequence[str]) -> Reading:
    done = run([sys.executable, "-c", code, *targets])
    seconds, succeeded = done.output.split()
    if int(succeeded) != len(targets):
        raise RuntimeError(f"{succeeded} of {len(targets)} succeeded")
    return Reading(len(targets) / float(seconds), done.cpu)


def _wrk(url: str, *options: str, connections: int = 100) -> Reading:
    done = run([shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", "-d2s", *options, url])
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", done.output)
    if rate is None or "Non-2xx" in done.output:
        raise RuntimeError(f"wrk: {done.output[-300:]}")
    return Reading(float(rate[1]), done.cpu)


def _blackbox(port: int, module: str, targets: Sequence[str], folder: Path) -> Reading:
    """wrk asks the exporter for one target after the other; every answer must be there."""
    paths = folder / f"{module}.paths"
    paths.write_text("".join(f"/probe?module={module}&target={target}\n" for target in targets))
    script = folder / f"{module}.lua"
    script.write_text(_EACH % paths)
    return _wrk(f"http://127.0.0.1:{port}", "-s", str(script))


@contextmanager
def _nginx(folder: Path) -> Iterator[int]:
    port, place = free_port(), folder / "nginx"
    place.mkdir()
    config = place / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_NGINX.format(user=user, folder=place, port=port, body="x" * 200))
    with running([find("nginx"), "-p", place, "-c", config], port=port, folder=place):
        yield port


@contextmanager
def _exporter(folder: Path) -> Iterator[int]:
    port, config = free_port(), folder / "blackbox.yml"
    config.write_text(_MODULES)
    argv = [
        find("prometheus-blackbox-exporter"),
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with running(argv, port=port, folder=folder):
        yield port


@contextmanager
def _silent() -> Iterator[int]:
    """A server whose kernel accepts and that never says a word."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(2 * AT_ONCE)
        yield listener.getsockname()[1]
