"""The test server as a service: its own protocol, foreign clients, its processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.peers.process import free_port
from tests.peers.require import require
from tests.peers.speed_clients import librespeed, ndt7, speedtest_mini
from tests.peers.speed_server import served
from tests.waiting import until

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of two workers; transfers last a second at most."""
    with served("--workers", "2", "--max-seconds", "1", "--slots", "3", "--name", "the test's") as (url, _):
        yield url


def ask(url: str, method: str = "GET", document: object = None, **headers: str) -> Any:
    """The answer's JSON (None if it has none); HTTPError if it isn't 2xx."""
    body = None if document is None else json.dumps(document).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=named)
    with _open(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text.startswith(b"{") else None


def refused(url: str, method: str = "GET", document: object = None, **headers: str) -> tuple[int, Any]:
    """The status, and Retry-After, of an answer that isn't 2xx."""
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(url, method, document, **headers)
    with error.value as answer:
        return answer.code, answer.headers["Retry-After"]


def test_a_place_is_asked_for_used_and_given_back(url: str) -> None:
    """Shared by the workers: whichever of them answers knows the token, and that all places are taken."""
    told = ask(f"{url}/speed/info")
    assert told["name"] == "the test's" and told["software"] == "ots"
    assert told["protocols"] == ["ots", "librespeed", "ndt7", "mini"]
    assert told["max_seconds"] == 1 and told["slots"] == {"total": 3, "free": 3} and told["load"] >= 0
    first, second = (ask(f"{url}/speed/slot", "POST", {"seconds": 100}) for _ in range(2))
    assert first["seconds"] == 1 and first["expires_in"] >= 1
    code, wait = refused(f"{url}/speed/slot", "POST", {"seconds": 1})
    assert code == 503 and int(wait) >= 1
    for _ in range(8):
        assert ask(f"{url}/speed/empty", OTS_Slot=first["slot"]) is None
        up = ask(f"{url}/speed/up", "POST", [0] * 1000, OTS_Slot=first["slot"])
        assert up["received_bytes"] == 3000 and up["seconds"] >= 0
    assert refused(f"{url}/speed/down", OTS_Slot="nobody's")[0] == 403
    assert refused(f"{url}/speed/empty", OTS_Slot="nobody's")[0] == 403
    for slot in (first, second):
        ask(f"{url}/speed/slot/{slot['slot']}", "DELETE")
        assert refused(f"{url}/speed/slot/{slot['slot']}", "DELETE")[0] == 404
    assert refused(f"{url}/speed/down", OTS_Slot=first["slot"])[0] == 403


@pytest.mark.parametrize(
    "wish", [{}, [], {"seconds": "1"}, {"seconds": True}, {"seconds": 1e999}, "x" * 9000]
)
def test_a_wish_that_is_none_is_refused(url: str, wish: object) -> None:
    """400, or 413 for a long one; no place is gone."""
    assert refused(f"{url}/speed/slot", "POST", wish)[0] in (400, 413)
    assert ask(f"{url}/speed/info")["slots"]["free"] >= 2


def test_a_download_of_a_time_ends_in_time_and_cannot_be_compressed(url: str) -> None:
    """Its length is the connection's; and a size is to the byte."""
    with _open(f"{url}/speed/down?seconds=1", timeout=10) as answer:
        assert answer.headers["Content-Length"] is None and answer.headers["Connection"] == "close"
        piece = answer.read(1 << 20)
        assert len(zlib.compress(piece)) > len(piece)
        assert len(answer.read()) > 1 << 20
    with _open(f"{url}/speed/down?bytes=10000001", timeout=10) as answer:
        assert len(answer.read()) == 10_000_001


def test_uploads_follow_one_another_on_a_connection(url: str) -> None:
    """In chunks, of a known length, with a bad chunk at last: counted to the byte, and refused."""
    authority = url.removeprefix("http://")
    host, port = authority.split(":")
    head = f"POST /speed/up HTTP/1.1\r\nHost: {authority}\r\n"
    sized = f"{head}Content-Length: 5\r\n\r\nhello".encode()
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall((sized + chunked) * 3)
        answers = client.makefile("rb")
        for number in range(6):
            assert answers.readline().startswith(b"HTTP/1.1 200")
            lines = iter(answers.readline, b"\r\n")
            length = next(
                int(line.split()[1]) for line in lines if line.lower().startswith(b"content-length")
            )
            for _ in lines:
                pass
            assert json.loads(answers.read(length))["received_bytes"] == (7 if number % 2 else 5)
        client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\nnonsense\r\n".encode())
        assert answers.readline().startswith(b"HTTP/1.1 400")


def test_speedtest_cli_is_served(url: str) -> None:
    """Its client ends with a figure for both ways."""
    rates = speedtest_mini(url, seconds=2)
    assert rates.down > 1e6 and rates.up > 1e6


def test_librespeeds_urls_are_served(url: str) -> None:
    """Garbage and empty, also below /backend, with the headers that let scripts of other sites in."""
    for folder in ("", "/backend"):
        rates = librespeed(url + folder)
        assert rates.down > 1e6 and rates.up > 1e6
    with _open(f"{url}/backend/garbage.php?ckSize=2&cors=1", timeout=5) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert len(answer.read()) == 2 << 20
    with _open(f"{url}/empty.php", timeout=5) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["download", "upload"])
def test_m_labs_ndt7_client_is_served(url: str, direction: str) -> None:
    """It ends well, and has got TCP_INFO from the server."""
    rate, said = ndt7(url, direction)
    assert rate > 1e6
    assert said["Origin"] == "server" and said["Test"] == direction
    assert said["TCPInfo"]["MinRTT"] > 0 and said["TCPInfo"]["ElapsedTime"] > 5e5
    counted = said["TCPInfo"]["BytesAcked" if direction == "download" else "BytesReceived"]
    assert counted == pytest.approx(said["AppInfo"]["NumBytes"], rel=0.2)


def test_no_subprotocol_is_no_ndt7(url: str) -> None:
    """A plain request, or a WebSocket that wants something else, is told so."""
    assert refused(f"{url}/ndt/v7/download")[0] == 400
    headers = {"Upgrade": "websocket", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "x" * 24}
    assert refused(f"{url}/ndt/v7/upload", **headers)[0] == 400


def test_tls_with_a_certificate_of_its_own_making() -> None:
    """wss for M-Lab's client, and HTTPS down and up."""
    with served("--workers", "1", "--max-seconds", "1", "--listen-tls", "127.0.0.1:0") as (url, _):
        assert url.startswith("https://")
        trusting_all = ssl.create_default_context()
        trusting_all.check_hostname, trusting_all.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting_all)
        ).open
        with opener(f"{url}/speed/down?bytes=3000001", timeout=5) as answer:
            assert len(answer.read()) == 3_000_001
        with opener(urllib.request.Request(f"{url}/speed/up", data=bytes(3_000_000)), timeout=5) as answer:
            assert json.loads(answer.read())["received_bytes"] == 3_000_000
        assert ndt7(url, "download")[0] > 1e6


async def test_a_worker_that_dies_is_replaced_and_the_end_is_clean() -> None:
    """kill -9 of one worker; then SIGTERM in the middle of a transfer: status 0, no process, no listener."""
    require("curl")
    with served("--workers", "2") as (url, process):
        first = workers(process.pid)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        await until(lambda: len(workers(process.pid)) == 2 and first[0] not in workers(process.pid))
        for _ in range(4):
            assert ask(f"{url}/speed/info")["slots"]["total"] == 8
        with _open(f"{url}/speed/down", timeout=5) as answer:
            answer.read(1000)
            living = workers(process.pid)
            process.terminate()
            assert process.wait(8) == 0
        assert not any(psutil.pid_exists(pid) for pid in living)
        assert process.stderr is not None and process.stderr.read() == ""


async def test_workers_end_with_a_parent_that_was_killed() -> None:
    """kill -9 of the parent leaves nobody behind."""
    with served("--workers", "2") as (_, process):
        living = workers(process.pid)
        process.kill()
        process.wait()
        await until(lambda: not any(psutil.pid_exists(pid) for pid in living))


def test_what_cannot_be_served_is_said_in_a_sentence(tmp_path: Any) -> None:
    """A taken port, an address that isn't ours, a certificate that is none."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        said = f"can't listen on 127.0.0.1, port {port}: Address already"
        with pytest.raises(RuntimeError, match=said), served("--listen", f"127.0.0.1:{port}"):
            pass
    nonsense = tmp_path / "cert.pem"
    nonsense.write_text("no certificate")
    options = ("--listen-tls", "127.0.0.1:0", "--cert", str(nonsense))
    with pytest.raises(RuntimeError, match="can't use certificate"), served(*options):
        pass
    with pytest.raises(RuntimeError, match="HOST:PORT"), served("--listen", "8080"):
        pass


def workers(parent: int) -> list[int]:
    """The children of a process."""
    return [child.pid for child in psutil.Process(parent).children()]
