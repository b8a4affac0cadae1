"""responsiveness against servers that refuse, stop, reset, lie or never answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from ots.engine.attempt import GRACE
from ots.probes.responsiveness import Responsiveness
from ots.server.peers.process import Peers
from tests.faults.scripted_server import Script, request, reset, scripted
from tests.recording import Recording, record

QUICK: Mapping[str, Any] = {
    "interval": 0.2,
    "duration": 1.0,
    "count": 2,
    "max_connections": 2,
    "timeout": 0.4,
    "stall_limit": 0.5,
}
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"


def serving(*, down: Script | None = None, up: Script | None = None) -> Script:
    """The small object as it should be, and the load's paths as a test wants them."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request(reader)
        other = down if head.startswith(b"GET /speed/down") else up
        if head.startswith(b"GET /speed/empty") or other is None:
            writer.write(SMALL)
        else:
            await other(reader, writer)

    return script


def saying(*pieces: bytes, close: bool = False, reset_after: float | None = None) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        if reset_after is not None:
            await asyncio.sleep(reset_after)
            reset(writer)
        elif close:
            writer.close()

    return script


def failure(recording: Recording) -> tuple[str, str, str]:
    error = recording.only.error
    assert error is not None
    recording.metrics()
    return error.class_, error.phase, error.code


async def test_a_closed_port_is_refused() -> None:
    """Before any load is made."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    recording = await record(Responsiveness(), f"http://127.0.0.1:{port}/", QUICK)
    assert failure(recording) == ("refused", "connect", "ECONNREFUSED")


@pytest.mark.parametrize(
    ("down", "expected"),
    [
        (saying(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), ("rejected", "first_byte", "503")),
        (saying(b"SSH-2.0-nothing\r\n\r\n"), ("protocol", "first_byte", "BAD_STATUS")),
        (saying(), ("timeout", "first_byte", "TIMEOUT")),
        (saying(close=True), ("protocol", "first_byte", "EOF")),
        (saying(ENDLESS, b"x" * 100_000), ("stalled", "transfer", "STALL")),
        (saying(ENDLESS, b"x" * 100_000, close=True), ("cutoff", "transfer", "EOF")),
        (saying(ENDLESS, b"x" * 100_000, reset_after=0.1), ("cutoff", "transfer", "ECONNRESET")),
    ],
    ids=["busy", "garbage", "silent", "closed", "stalled", "ended", "reset"],
)
async def test_a_download_that_is_no_load(down: Script, expected: tuple[str, str, str]) -> None:
    """The attempt fails with what the load's connection met; no responsiveness comes of it."""
    async with scripted(serving(down=down)) as server:
        params = {**QUICK, "directions": "down"}
        recording = await record(Responsiveness(), f"{server.url}/", params)
    assert failure(recording) == expected
    assert not [
        value for value in recording.only.values("load_responsiveness_rpm", direction="down") if value
    ]


async def test_an_upload_that_is_declined() -> None:
    """413 in the middle of the body is told as such, not as a broken connection."""
    too_large = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    async with scripted(serving(up=saying(too_large))) as server:
        recording = await record(Responsiveness(), f"{server.url}/", {**QUICK, "directions": "up"})
    assert failure(recording) == ("rejected", "first_byte", "413")


async def test_a_small_object_that_is_missing(peers: Peers) -> None:
    """A wrong path is told before any load is made."""
    recording = await record(Responsiveness(), f"{peers.url}/", {**QUICK, "small": "nothing/here"})
    assert failure(recording) == ("rejected", "first_byte", "404")
    assert recording.data.received_bytes == 0


async def test_one_of_several_connections_that_fails_lowers_the_confidence() -> None:
    """The load goes on, the failure is counted, and what was measured is no longer `high`."""
    served = 0

    async def first_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        if served > 1:
            writer.write(b"HTTP/1.1 429 Enough\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(ENDLESS)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
                await asyncio.sleep(0.01)

    async with scripted(serving(down=first_only)) as server:
        recording = await record(Responsiveness(), f"{server.url}/", {**QUICK, "directions": "down"})
    assert recording.only.error is None
    assert recording.only.method["down_connection_errors"] == 1
    assert recording.metric("load_confidence", direction="down").stats["mode"] == "medium"
    assert recording.metric("load_responsiveness_rpm", direction="down").n_valid == 1


async def test_a_data_budget_ends_it(peers: Peers) -> None:
    """What was moved until then stands; the loading process is gone."""
    recording = await record(Responsiveness(), f"{peers.url}/", QUICK, max_bytes=50_000_000)
    assert recording.only.error is not None and recording.only.error.class_ == "resource"
    assert not psutil.Process().children() or all(
        "load_child" not in " ".join(child.cmdline()) for child in psutil.Process().children()
    )


@pytest.mark.parametrize("moment", [0.3, 1.2])
async def test_a_cancel_ends_the_loading_process(peers: Peers, moment: float) -> None:
    """Idle or loaded: within the engine's grace nothing of it is left, and what was measured is kept."""
    start = time.monotonic()
    recording = await record(Responsiveness(), f"{peers.url}/", {**QUICK, "duration": 9}, cancel_after=moment)
    assert time.monotonic() - start < moment + GRACE
    assert recording.only.samples("load_idle_rtt_seconds")
    assert all("load_child" not in " ".join(c.cmdline()) for c in psutil.Process().children())
    recording.metrics()


def test_a_kill_takes_the_loading_process_along(peers: Peers, tmp_path: Path) -> None:
    """After kill -9 nobody goes on filling the line: the child ends when its standard input does."""
    command = [sys.executable, "-m", "ots", "responsiveness", f"{peers.url}/", "--count", "2"]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        loading: list[psutil.Process] = []
        deadline = time.monotonic() + 20
        while not loading and time.monotonic() < deadline:
            loading = [child for child in parent.children() if "load_child" in " ".join(child.cmdline())]
        assert loading
    finally:
        parent.kill()
        parent.wait()
    gone, alive = psutil.wait_procs(loading, timeout=5)
    assert gone and not alive
