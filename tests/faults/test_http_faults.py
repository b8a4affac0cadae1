"""Servers that misbehave: the right class and phase, what was measured is kept, nothing is left."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ots.netio.transfer.intake import GULP
from ots.probe import Probe
from ots.probes.http_download import HTTPDownload
from ots.probes.http_upload import HTTPUpload
from ots.server.peers import http
from tests.faults.scripted_server import Script, request, reset, resets_after, says, scripted
from tests.peers.authority import Authority
from tests.recording import Recording, record

DOWN, UP = HTTPDownload(), HTTPUpload()

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PART = bytes(100_000)


def error_page(status: str, size: int = 2_000_000) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + bytes(size)


def redirect_to(place: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 5\r\n\r\nmoved".encode()


def descriptors() -> set[str]:
    """The open sockets of this process."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
async def nothing_left() -> Any:
    """No task and no socket of a test outlives it."""
    tasks, sockets = asyncio.all_tasks(), descriptors()
    yield
    for _ in range(500):
        gc.collect()
        left = (asyncio.all_tasks() - tasks - {asyncio.current_task()}, descriptors() - sockets)
        if not any(left):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"left behind: {left}")


def failure(recording: Recording) -> tuple[str, str, str]:
    """(class, phase, code) of the attempt's error."""
    error = recording.only.error
    assert error is not None
    return error.class_, error.phase, error.code


async def against(script: Script, probe: Probe = DOWN, path: str = "/file", **params: Any) -> Recording:
    """One attempt at a server that follows the script; afterwards it has no connection left."""
    async with scripted(script) as server:
        made = await record(probe, server.url + path, {"timeout": 0.5, "stall_limit": 0.3, **params})
        await server.empty()
    return made


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, and never says a word."""


async def dribbles_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A header that never ends, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


DOWNLOADS: dict[str, tuple[Script, tuple[str, str, str]]] = {
    "closes without an answer": (says(close=True), ("protocol", "first_byte", "EOF")),
    "resets without an answer": (resets_after(), ("cutoff", "first_byte", "ECONNRESET")),
    "never answers": (silent, ("timeout", "first_byte", "TIMEOUT")),
    "slow headers": (dribbles_header, ("timeout", "first_byte", "TIMEOUT")),
    "garbage status line": (
        says(b"\x00\xff garbage \r\n\r\n", close=True),
        ("protocol", "first_byte", "BAD_RESPONSE"),
    ),
    "another protocol": (
        says(b"220 mail.example ESMTP\r\n", close=True),
        ("protocol", "first_byte", "BAD_RESPONSE"),
    ),
    "endless status line": (
        says(b"HTTP/1.1 200 " + b"x" * 100_000),
        ("protocol", "first_byte", "BAD_RESPONSE"),
    ),
    "header cut": (says(b"HTTP/1.1 200 OK\r\nContent-Le", close=True), ("protocol", "first_byte", "EOF")),
    "short body": (says(OK, PART, close=True), ("cutoff", "transfer", "EOF")),
    "reset mid-transfer": (resets_after(OK, PART), ("cutoff", "transfer", "ECONNRESET")),
    "stall": (says(OK, PART), ("stalled", "transfer", "STALLED")),
    "short chunk": (says(CHUNKED, b"ffff\r\n", PART[:100], close=True), ("cutoff", "transfer", "EOF")),
    "garbage chunk": (
        says(CHUNKED, b"4\r\nabcd\r\n", b"zz\r\n", pause=0.1),
        ("protocol", "transfer", "BAD_CHUNK"),
    ),
    "empty body": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("content", "transfer", "EMPTY_BODY"),
    ),
    "no content": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), ("content", "transfer", "EMPTY_BODY")),
    "not found": (says(error_page("404 Not Found")), ("rejected", "first_byte", "404")),
    "server error": (says(error_page("503 Service Unavailable")), ("rejected", "first_byte", "503")),
    "unauthorised": (says(error_page("401 Unauthorized")), ("auth", "first_byte", "401")),
    "not modified": (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), ("rejected", "first_byte", "304")),
    "redirect without a place": (
        says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        ("protocol", "first_byte", "BAD_REDIRECT"),
    ),
    "redirect to a file": (
        says(redirect_to("file:///etc/passwd")),
        ("protocol", "first_byte", "BAD_REDIRECT"),
    ),
    "redirect loop": (
        says(redirect_to("/file"), again=True),
        ("rejected", "first_byte", "TOO_MANY_REDIRECTS"),
    ),
}


@pytest.mark.parametrize("fault", DOWNLOADS)
async def test_download_from_a_faulty_server(fault: str) -> None:
    """Each fault has its class, phase and code, and bytes of an error page never count."""
    script, expected = DOWNLOADS[fault]
    made = await against(script, duration=2.0)
    assert failure(made) == expected
    assert made.only.outcome == "failure"
    (counted,) = made.only.values("http_download_bytes_transferred")
    declined = expected[0] in ("rejected", "auth")
    assert counted == (None if declined else PART_OF.get(fault, 0))
    rate = made.metric("http_download_throughput_bits_per_second")
    assert rate.stats["median"] is None
    assert rate.nulls["stats.median"] == expected[0]
    assert "probe_limited" not in made.only.flags


PART_OF = {
    "short body": 100_000,
    "reset mid-transfer": 100_000,
    "stall": 100_000,
    "short chunk": 100,
    "garbage chunk": 4,
}
"""What had come before the fault is kept."""


async def test_what_was_measured_before_a_cutoff_is_kept() -> None:
    """The volume, the first byte and the generic KPIs survive: the transfer began and was cut off."""
    made = await against(resets_after(OK, PART), duration=2.0)
    assert made.metric("http_download_bytes_transferred").stats["value"] == 100_000
    assert made.metric("http_download_time_to_first_byte_seconds").stats["median"] is not None
    assert made.metric("http_download_data_transfer_cutoff_ratio").stats["value"] == 1.0
    assert made.metric("http_download_service_non_accessibility_ratio").stats["value"] == 0.0


async def test_one_connection_failing_fails_the_attempt_and_keeps_the_others_bytes() -> None:
    """Of three connections one is reset: `cutoff`, and what all three brought is there."""
    turn = iter(range(3))

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(turn) == 1:
            await resets_after(OK, PART, pause=0.3)(reader, writer)
        else:
            await says(OK, PART)(reader, writer)

    made = await against(script, duration=5.0, connections=3, stall_limit=2.0)
    assert failure(made)[0] == "cutoff"
    assert made.only.values("http_download_bytes_transferred") == [300_000]


async def test_longer_body_than_promised_does_not_count() -> None:
    """Bytes beyond Content-Length belong to no answer: with it they break HTTP, later they are ignored."""
    header, body, more = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", bytes(1000), bytes(5000)
    made = await against(says(header + body + more), whole=True)
    assert failure(made) == ("protocol", "first_byte", "BAD_RESPONSE")
    assert made.only.values("http_download_bytes_transferred") == [0]
    made = await against(says(header + body, more, pause=0.1), whole=True, expect_size=1000)
    assert made.only.error is None
    assert made.only.values("http_download_bytes_transferred") == [1000]


async def test_wrong_size_and_wrong_hash_are_content() -> None:
    """All bytes came, and they are the wrong ones."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    made = await against(says(answer), whole=True, expect_size=6)
    assert failure(made) == ("content", "verify", "SIZE")
    assert made.metric("http_download_content_valid").stats["value"] is False
    wrong = hashlib.sha256(b"other").hexdigest()
    made = await against(says(answer), whole=True, expect_sha256=wrong)
    assert failure(made) == ("content", "verify", "SHA256")
    right = hashlib.sha256(b"hello").hexdigest().upper()
    made = await against(says(answer), whole=True, expect_sha256=right)
    assert made.only.error is None


@pytest.mark.parametrize("probe", [DOWN, UP], ids=["down", "up"])
async def test_refused_and_unknown_host(probe: Probe) -> None:
    """No listener is `refused`; a name that no resolver knows is `dns`."""
    peer = await http.start("127.0.0.1")
    await peer.close()
    made = await record(probe, f"http://127.0.0.1:{peer.port}/", {"duration": 1.0})
    assert failure(made) == ("refused", "connect", "ECONNREFUSED")
    assert made.metric(f"{probe.kind}_ip_service_access_failure_ratio").stats["value"] == 1.0
    made = await record(probe, "http://no-such-name.invalid/", {"duration": 1.0, "timeout": 3.0})
    assert made.only.error is not None
    assert (made.only.error.class_, made.only.error.phase) in (("dns", "resolve"), ("timeout", "resolve"))


@pytest.fixture
def self_signed(tmp_path: Path, ca: Authority) -> Iterator[ssl.SSLContext]:
    """A server whose certificate is for another name."""
    chain, key = ca.issue(tmp_path, "other.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    yield context


@pytest.mark.parametrize("probe", [DOWN, UP], ids=["down", "up"])
async def test_wrong_certificate(probe: Probe, self_signed: ssl.SSLContext, ca: Authority) -> None:
    """An unknown authority and a wrong name are `tls` with OpenSSL's reason, and nothing was sent."""
    async with scripted(silent, self_signed) as server:
        made = await record(probe, server.url, {"duration": 1.0})
        assert failure(made)[:2] == ("tls", "tls")
        assert failure(made)[2].startswith("CERTIFICATE_VERIFY_FAILED")
        assert made.only.error is not None and made.only.error.remedy is not None
        made = await record(probe, server.url, {"duration": 1.0, "ca_file": str(ca.root)})
        assert failure(made)[2].endswith("MISMATCH")
        await server.empty()


async def test_handshake_with_a_plain_server_and_with_a_silent_one() -> None:
    """Plain text where TLS belongs is `tls`; silence is a timeout of phase `tls`."""
    async with scripted(says_at_once(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        made = await record(DOWN, f"https://127.0.0.1:{server.port}/", {"timeout": 0.5})
        assert failure(made)[:2] == ("tls", "tls")
    async with scripted(silent) as server:
        made = await record(DOWN, f"https://127.0.0.1:{server.port}/", {"timeout": 0.3})
        assert failure(made) == ("timeout", "tls", "TIMEOUT")
        await server.empty()


def says_at_once(text: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return script


async def test_ca_file_that_is_none_is_our_own_fault(tmp_path: Path) -> None:
    """A missing or senseless file is `config` and dials nobody."""
    made = await record(DOWN, "https://127.0.0.1:1/", {"ca_file": str(tmp_path / "none.pem")})
    assert made.only.outcome == "invalid"
    assert failure(made)[0] == "config"


def answers_upload(answer: bytes, after: int = 0, *, reset: bool = False) -> Script:
    """Reads `after` bytes of the body, answers, and goes on reading (or resets)."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        if after:
            await reader.readexactly(after)
        writer.write(answer)
        await writer.drain()
        if reset:
            writer.transport.abort()

    return script


async def reads_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Long enough for a stall; afterwards the server looks whether its client is still there."""
    await request(reader)
    await asyncio.sleep(1.5)


async def reads_all_and_is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1 << 16):
        pass


UPLOADS: dict[str, tuple[Script, tuple[str, str, str]]] = {
    "too large, said early": (
        answers_upload(error_page("413 Content Too Large", 10), after=10_000),
        ("rejected", "first_byte", "413"),
    ),
    "forbidden at once": (answers_upload(error_page("403 Forbidden", 10)), ("rejected", "first_byte", "403")),
    "accepted before the end": (
        answers_upload(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", after=10_000),
        ("protocol", "transfer", "EARLY_ANSWER"),
    ),
    "redirected": (answers_upload(redirect_to("/elsewhere")), ("rejected", "first_byte", "302")),
    "never reads": (reads_nothing, ("stalled", "transfer", "STALLED")),
    "never answers": (reads_all_and_is_silent, ("timeout", "first_byte", "TIMEOUT")),
    "garbage answer": (
        answers_upload(b"what?\r\n\r\n", after=10_000),
        ("protocol", "first_byte", "BAD_RESPONSE"),
    ),
}


@pytest.mark.parametrize("fault", UPLOADS)
async def test_upload_to_a_faulty_server(fault: str) -> None:
    """Each fault has its class and phase; there is no headline for what was never accepted."""
    script, expected = UPLOADS[fault]
    made = await against(script, UP, duration=0.4)
    assert failure(made) == expected
    assert made.metric("http_upload_throughput_bits_per_second").stats["median"] is None
    if expected[0] == "rejected":
        declined(made)


FIGURES = (
    "bytes_transferred",
    "test_bytes",
    "connections",
    "full_loading_seconds",
    "test_bytes_full_loading",
    "throughput_bits_per_second",
    "whole_bits_per_second",
    "interval_throughput_bits_per_second",
    "transfer_seconds",
)


def declined(made: Recording) -> None:
    """Nothing of a declined upload counts as tested, and each missing figure says why."""
    for name in FIGURES:
        assert all(value is None for value in made.only.values(f"http_upload_{name}"))
        metric = made.metric(f"http_upload_{name}")
        assert metric.n_valid == 0
        assert set(metric.stats.values()) == {None}
        if metric.type != "series":
            assert set(metric.nulls.values()) == {"rejected"}
    assert "probe_limited" not in made.only.flags


@pytest.mark.parametrize("size", [1_000_000, None], ids=["size", "duration"])
async def test_declined_upload_still_used_data(size: int | None) -> None:
    """Megabytes went out before the 413: no figure holds them, and the data budget does."""
    script = answers_upload(error_page("413 Content Too Large", 10), after=900_000)
    box = {"duration": 2.0} if size is None else {"size": size}
    made = await against(script, UP, **box)
    assert failure(made) == ("rejected", "first_byte", "413"), made.only.error
    declined(made)
    assert made.data.sent_bytes >= 400_000


async def test_a_failure_on_this_machine_is_not_its_limit() -> None:
    """An unknown secret ends the attempt before anything is sent: nothing can have been limited."""
    made = await record(DOWN, "http://127.0.0.1:1/", {"proxy_password": "${secret:none}"})
    assert made.only.outcome == "invalid"
    assert "probe_limited" not in made.only.flags


async def test_upload_reset_in_the_middle_is_a_cutoff() -> None:
    """What had been acknowledged until then is kept."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await reader.readexactly(500_000)
        reset(writer)

    made = await against(script, UP, duration=3.0)
    assert failure(made)[0] == "cutoff"
    (counted,) = made.only.values("http_upload_bytes_transferred")
    assert isinstance(counted, int) and counted > 0


async def test_peer_that_says_another_count_is_not_believed() -> None:
    """A server that received fewer bytes than were sent has not got the upload."""
    said = b'{"received_bytes": 5, "grain": 0.01, "series": {"t": [1.0, 2.0], "bytes": [1, 5]}}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await reader.readexactly(1_000_000)
        writer.write(answer)

    made = await against(script, UP, size=1_000_000)
    assert failure(made) == ("content", "verify", "SIZE")


@pytest.mark.parametrize(
    "said",
    [
        b"[]",
        b"{" * 100_000,
        b'{"received_bytes": "many"}',
        b'{"received_bytes": 1000000, "grain": 0.01, "series": {"t": [5, 4], "bytes": [1, 1000000]}}',
        b'{"received_bytes": 1000000, "grain": 0.01, "series": {"t": [0, 99999], "bytes": [1, 1000000]}}',
        b"\xff\xfe",
    ],
)
async def test_peer_that_talks_nonsense_is_counted_by_its_tcp(said: bytes) -> None:
    """An answer that isn't a peer's count leaves the kernel's acknowledgements."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await reader.readexactly(1_000_000)
        writer.write(answer)

    made = await against(script, UP, size=1_000_000)
    assert made.only.error is None
    assert made.only.method["counted_at"] == "tcp_acked"
    assert made.only.values("http_upload_bytes_transferred") == [1_000_000]


@pytest.mark.parametrize("probe", [DOWN, UP], ids=["down", "up"])
async def test_data_budget_ends_the_transfer(probe: Probe) -> None:
    """The budget used up while data moves: `resource`, invalid, with the rate until then.

    A download oversteps by two mebibytes at most, an upload by what is acknowledged within a tick or two.
    """
    peer = await http.start("127.0.0.1")
    try:
        path = "/speed/down" if probe is DOWN else "/speed/up"
        made = await record(
            probe, f"http://127.0.0.1:{peer.port}{path}", {"duration": 20.0}, max_bytes=BUDGET
        )
    finally:
        await peer.close()
    assert failure(made) == ("resource", "transfer", "DATA_BUDGET")
    assert made.only.outcome == "invalid"
    assert made.only.method["stop_reason"] == "data_budget"
    moved = made.data.received_bytes if probe is DOWN else made.data.sent_bytes
    assert BUDGET <= moved <= BUDGET + (ONE_READ if probe is DOWN else 40_000_000)
    assert made.metric(f"{probe.kind}_bytes_transferred").stats["value"] == moved
    rate = made.metric(f"{probe.kind}_throughput_bits_per_second")
    assert rate.n_valid == 1 and float(str(rate.stats["median"])) > 0
    ratio = made.metric(f"{probe.kind}_session_failure_ratio")
    assert ratio.n == 0


BUDGET = 30_000_000

ONE_READ = 2 * GULP
"""What is booked at once, and the read that made it so much."""


async def test_data_budget_of_several_connections_is_overstepped_by_little() -> None:
    """Four connections share one budget."""
    peer = await http.start("127.0.0.1")
    try:
        url = f"http://127.0.0.1:{peer.port}/speed/down"
        made = await record(DOWN, url, {"duration": 20.0, "connections": 4}, max_bytes=BUDGET)
    finally:
        await peer.close()
    assert failure(made)[0] == "resource"
    assert BUDGET <= made.data.received_bytes <= BUDGET + 4 * ONE_READ


@pytest.mark.parametrize("probe", [DOWN, UP], ids=["down", "up"])
async def test_data_budget_that_fits_exactly_ends_nothing(probe: Probe) -> None:
    """A size that is all of the budget may be moved."""
    peer = await http.start("127.0.0.1")
    try:
        path = "/speed/down" if probe is DOWN else "/speed/up"
        made = await record(
            probe, f"http://127.0.0.1:{peer.port}{path}", {"size": 1_000_000}, max_bytes=1_000_000
        )
    finally:
        await peer.close()
    assert made.only.error is None
    assert made.only.values(f"{probe.kind}_bytes_transferred") == [1_000_000]
    assert made.data.received_bytes + made.data.sent_bytes >= 1_000_000


STAGES: dict[str, tuple[Probe, Script]] = {
    "down, waiting": (DOWN, silent),
    "down, in the header": (DOWN, dribbles_header),
    "down, in the body": (DOWN, says(OK, PART)),
    "up, in the body": (UP, reads_all_and_is_silent),
    "up, blocked": (UP, silent),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("after", [0.0, 0.001, 0.02, 0.15])
async def test_cancelled_at_any_moment_nothing_stays(stage: str, after: float) -> None:
    """Whatever was going on: the attempt is `cancelled`, the server sees its connections closed."""
    probe, script = STAGES[stage]
    async with scripted(script) as server:
        made = await record(
            probe, server.url, {"duration": 20.0, "connections": 3, "timeout": 10.0}, cancel_after=after
        )
        await server.empty()
    assert failure(made)[0] == "cancelled"
    assert isinstance(made.metrics(), list)


@pytest.mark.parametrize("probe", [DOWN, UP], ids=["down", "up"])
async def test_engines_time_limit_keeps_what_was_measured(probe: Probe) -> None:
    """Ended from outside in the middle of a good transfer: timeout of phase `transfer`, with its samples."""
    peer = await http.start("127.0.0.1")
    try:
        path = "/speed/down" if probe is DOWN else "/speed/up"
        made = await record(probe, f"http://127.0.0.1:{peer.port}{path}", {"duration": 20.0}, limit=0.5)
    finally:
        await peer.close()
    assert failure(made)[:2] == ("timeout", "transfer")
    (counted,) = made.only.values(f"{probe.kind}_bytes_transferred")
    assert isinstance(counted, int) and counted > 0
    assert made.only.values(f"{probe.kind}_interval_throughput_bits_per_second")


async def test_size_not_reached_in_time() -> None:
    """A size box has a time limit; a file too slow for it is a timeout of the transfer."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK)
        while not reader.at_eof():
            writer.write(bytes(100))
            await writer.drain()
            await asyncio.sleep(0.02)

    made = await against(slow, whole=True, duration=0.4)
    assert failure(made) == ("timeout", "transfer", "TIME_LIMIT")


async def test_server_gone_between_two_requests_is_dialled_again() -> None:
    """A keep-alive connection that the server closes after each answer: new dials, and they are counted."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n" + PART
    made = await against(says(answer, close=True), duration=0.3)
    assert made.only.error is None
    assert made.only.method["dials"] == made.only.method["requests"]
    assert int(made.only.method["dials"] or 0) > 1
