"""Foreign clients of speed tests against a server of ours; each says what it measured, in bit/s."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.programs import UNPACKED
from tests.peers.require import require

__all__ = ["Rates", "librespeed", "ndt7", "speedtest_mini"]

_CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<settings>
<client ip="127.0.0.1" lat="0.0" lon="0.0" isp="none" isprating="0" rating="0" ispdlavg="0" ispulavg="0"
 loggedin="0" country="DE" />
<server-config threadcount="{threads}" ignoreids="" />
<download testlength="{seconds}" threadsperurl="{each}" />
<upload testlength="{seconds}" ratio="{ratio}" threads="{threads}" maxchunkcount="{chunks}" />
</settings>
"""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a client reports, in bit/s."""

    down: float
    up: float


def speedtest_mini(
    url: str, prefix: Sequence[str] = (), *, seconds: int = 10, each: int = 1, chunks: int = 8, ratio: int = 5
) -> Rates:
    """speedtest-cli with --mini. What it wants of its makers' site comes from a proxy of ours, since it wants
    it even where it uses nothing but the server that it is given."""
    config = _CONFIG.format(threads=4, seconds=seconds, each=each, chunks=chunks, ratio=ratio)
    with _config_proxy(config, prefix) as proxy:
        done = subprocess.run(
            [*prefix, sys.executable, "-W", "ignore", "-m", "speedtest", "--mini", f"{url}/", "--json"],
            env={**os.environ, "http_proxy": proxy, "no_proxy": url.split("/")[2].rpartition(":")[0]},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:] or done.stdout[-1000:])
    said = json.loads(done.stdout)
    return Rates(said["download"], said["upload"])


@contextlib.contextmanager
def _config_proxy(config: str, prefix: Sequence[str]) -> Iterator[str]:
    if prefix:
        # In a name space of its own it must be a process there.
        with _child_proxy(config, prefix) as proxy:
            yield proxy
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _answering(config))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answering(config: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = config.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return Handler


@contextlib.contextmanager
def _child_proxy(config: str, prefix: Sequence[str]) -> Iterator[str]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.peers.speed_clients"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(config) + "\n")
        process.stdin.flush()
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def _serve_config() -> None:
    config = json.loads(sys.stdin.readline())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _answering(config))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


def ndt7(url: str, direction: str, prefix: Sequence[str] = ()) -> tuple[float, dict[str, Any]]:
    """M-Lab's own client under node: bit/s (of a download as the client counted, of an upload as the server
    did, which is what ndt7 reports), and all that the server said last."""
    require("ndt7")
    require("ws")
    scheme, _, authority = url.partition("://")
    done = subprocess.run(
        [
            *prefix,
            require("node"),
            str(Path(__file__).parent / "ndt7_client.js"),
            str(UNPACKED / "node_modules"),
            authority,
            {"http": "ws", "https": "wss"}[scheme],
            direction,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:] or done.stdout[-1000:])
    said = json.loads(done.stdout)
    server = said["LastServerMeasurement"]
    if direction == "download":
        return said["LastClientMeasurement"]["MeanClientMbps"] * 1e6, server
    return 8e6 * server["TCPInfo"]["BytesReceived"] / server["TCPInfo"]["ElapsedTime"], server


def librespeed(url: str, prefix: Sequence[str] = (), *, streams: int = 4, mebibytes: int = 5) -> Rates:
    """LibreSpeed's documented sequence, by curl: address, pings, parallel garbage, parallel posts.

    Neither Debian, PyPI nor npm has a client of it. Rates are from the first byte of content to the last, of
    an upload to the last answer.
    """
    curl = [*prefix, require("curl"), "-q", "-sS", "-f", "--noproxy", "*"]
    address = _run([*curl, f"{url}/getIP.php?cors=1"])
    if "processedString" not in json.loads(address):
        raise RuntimeError(f"getIP.php said {address}")
    for _ in range(3):
        _run([*curl, f"{url}/empty.php?cors=1"])
    parallel = [*curl, "-Z", "--parallel-immediate", "-w", _TIMES]
    wanted = ["-o", os.devnull, f"{url}/garbage.php?cors=1&ckSize={mebibytes}"]
    with tempfile.NamedTemporaryFile() as blob:
        blob.truncate(mebibytes << 20)
        given = ["-o", os.devnull, "-T", blob.name, f"{url}/empty.php?cors=1"]
        down = [line.split() for line in _run([*parallel, *wanted * streams]).splitlines()]
        posts = [*parallel, "-X", "POST", "-H", "Expect:", *given * streams]
        up = [line.split() for line in _run(posts).splitlines()]
    if len(down) != streams or len(up) != streams:
        raise RuntimeError(f"{len(down)} and {len(up)} of {streams} streams")
    return Rates(_rate(down, size=0, start=3), _rate(up, size=1, start=2))


_TIMES = "%{size_download} %{size_upload} %{time_pretransfer} %{time_starttransfer} %{time_total}\n"


def _rate(rows: list[list[str]], size: int, start: int) -> float:
    end = max(float(row[4]) for row in rows)
    return 8 * sum(int(row[size]) for row in rows) / (end - min(float(row[start]) for row in rows))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[-1]}: {done.stderr or done.returncode}")
    return done.stdout


if __name__ == "__main__":
    _serve_config()
