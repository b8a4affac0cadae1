"""udp_echo against what is no responder, and a responder against who is no client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from ots.netio.udp_echo import wire
from ots.netio.udp_echo.wire import Type, Wish
from ots.probes.udp_echo import UDPEcho
from ots.server.peers import udp_echo
from ots.server.peers.echo_sessions import Limits
from tests.recording import Recording, record
from tests.udp_relay import Way, relay

QUICK = {"count": 20, "interval": 0.005, "timeout": 0.2, "connect_timeout": 0.4}
NONCE = b"8 bytes."
SILENCE = 0.15


async def echoed(port: int, **params: object) -> Recording:
    return await record(UDPEcho(), f"127.0.0.1:{port}", {**QUICK, **params})


def failure(recording: Recording) -> tuple[str, str, str]:
    error = recording.only.error
    assert error is not None
    recording.metrics()
    return error.class_, error.phase, error.code


@contextlib.asynccontextmanager
async def answering(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """A UDP server that answers as told; yields its port."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            reply = answer(data)
            if reply is not None:
                self.transport.sendto(reply, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_nobody_listens() -> None:
    """A closed port is refused at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert failure(await echoed(port)) == ("refused", "connect", "ECONNREFUSED")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda data: None, ("timeout", "connect", "TIMEOUT")),
        (lambda data: data, ("timeout", "connect", "TIMEOUT")),
        (lambda data: os.urandom(100), ("protocol", "connect", "NO_ECHO")),
        (lambda data: wire.challenge(b"somebody", bytes(16)), ("timeout", "connect", "TIMEOUT")),
        (lambda data: wire.write(Type.CHALLENGE, 0, b"", None), ("protocol", "connect", "NO_ECHO")),
    ],
    ids=["silent", "mirror", "garbage", "foreign", "short"],
)
async def test_what_is_no_responder(
    answer: Callable[[bytes], bytes | None], expected: tuple[str, str, str]
) -> None:
    """Silence is a timeout, something else that answers is named; neither makes a figure."""
    async with answering(answer) as port:
        recording = await echoed(port)
    assert failure(recording) == expected
    assert not recording.only.series


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(sessions=0), "BUSY"),
        (Limits(per_address=0), "BUSY"),
        (Limits(most=Wish(19, 0.001, 1472)), "LIMIT"),
        (Limits(most=Wish(100, 0.010, 1472)), "LIMIT"),
        (Limits(most=Wish(100, 0.001, 63)), "LIMIT"),
        (Limits(longest=0.05), "LIMIT"),
    ],
)
async def test_a_responders_limits_are_told_and_not_bent(limits: Limits, code: str) -> None:
    """What the responder does not grant fails with what it would grant; it never measures something else."""
    peer = await udp_echo.start("127.0.0.1", limits=limits)
    recording = await echoed(peer.port)
    await peer.close()
    assert failure(recording) == ("rejected", "login", code)


async def test_a_responder_that_dies_in_the_middle() -> None:
    """What was answered stands, the rest is lost, and on which way nobody can say."""
    peer = await udp_echo.start("127.0.0.1")
    task = asyncio.create_task(echoed(peer.port, count=60))
    await asyncio.sleep(0.15)
    await peer.close()
    recording = await task
    assert recording.only.error is None
    received = recording.metric("udp_echo_replies_received").stats["value"]
    assert isinstance(received, int | float) and 0 < received < 60
    reasons = {sample.reason for sample in recording.only.samples("udp_echo_rtt_seconds")}
    assert reasons <= {None, "loss", "refused"} and len(reasons) > 1
    assert recording.metric("udp_echo_ow_loss_ratio", direction="up").nulls["stats.value"] == "not_told"


async def test_no_reply_at_all_fails_with_the_way_it_was_lost_on() -> None:
    """All packets lost upwards: the attempt fails, and the responder's books say where they went."""
    peer = await udp_echo.start("127.0.0.1")
    async with relay(peer.port, up=Way(lose=lambda sequence: True)) as between:
        recording = await echoed(between.port)
    await peer.close()
    assert failure(recording) == ("loss", "first_byte", "NO_REPLY")
    assert recording.metric("udp_echo_ow_loss_ratio", direction="up").stats["value"] == 1
    assert recording.metric("udp_echo_ow_loss_ratio", direction="down").n == 0


@pytest.mark.parametrize("lie", ["held", "resized", "foreign", "unsigned"])
async def test_a_reply_that_lies_is_no_reply(lie: str) -> None:
    """One that claims to have been kept longer than it was away, or has another size, token or MAC."""
    key = "shared" if lie == "unsigned" else None
    peer = await udp_echo.start("127.0.0.1", key=key)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.connect(("127.0.0.1", peer.port))
        upstream.setblocking(False)
        loop = asyncio.get_running_loop()
        client: list[tuple[str, int]] = []

        def twisted(data: bytes) -> bytes:
            packet = wire.read(data, None)
            if packet.type is not Type.REPLY:
                return data
            echo = wire.Echo.of(packet.body)
            filling = wire.filling_of(packet.body)
            match lie:
                case "held":
                    echo = wire.Echo(echo.sequence, held=10**9)
                case "resized":
                    filling += b"more"
            token = packet.token ^ (lie == "foreign")
            return echo.write(Type.REPLY, token, filling, None)

        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.bind(("127.0.0.1", 0))
        near.setblocking(False)

        def upwards() -> None:
            data, address = near.recvfrom(65535)
            client[:] = [address]
            upstream.send(data)

        loop.add_reader(near, upwards)
        loop.add_reader(upstream, lambda: near.sendto(twisted(upstream.recv(65535)), client[0]))
        params: dict[str, object] = {**QUICK, "key": "${secret:k}" if key else None}
        target = f"127.0.0.1:{near.getsockname()[1]}"
        recording = await record(UDPEcho(), target, params, secrets={"${secret:k}": key or ""})
        loop.remove_reader(near)
        loop.remove_reader(upstream)
        near.close()
    await peer.close()
    assert failure(recording) == ("loss", "first_byte", "NO_REPLY")
    assert recording.only.method["strange_packets"] == 20


# The other side.


class Stranger:
    """A socket that talks to a responder as it likes, and never gets more than it gave."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", port))
        self.sent = self.got = 0

    async def says(self, packet: bytes) -> bytes | None:
        """The answer, or None if there is none; an answer longer than the question fails the test."""
        self.socket.send(packet)
        try:
            answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65535), SILENCE)
        except TimeoutError:
            return None
        assert len(answer) <= len(packet)
        return answer

    async def cookie(self, nonce: bytes = NONCE) -> bytes:
        answer = await self.says(wire.hello(nonce))
        assert answer is not None
        return wire.challenge_of(wire.read(answer, None).body)[1]

    async def opens(self, count: int = 10, size: int = 100) -> tuple[int, bytes]:
        """The token of a session, and the OPEN that made it."""
        opening = wire.Opening(NONCE, await self.cookie(), Wish(count, 0.01, size)).write(None)
        answer = await self.says(opening)
        assert answer is not None
        packet = wire.read(answer, None)
        assert packet.type is Type.ACCEPT
        return packet.token, opening

    def echo(self, token: int, sequence: int, size: int = 100) -> bytes:
        return wire.Echo(sequence).write(Type.ECHO, token, bytes(size - wire.SMALLEST), None)


@pytest.fixture
async def responder() -> AsyncIterator[int]:
    peer = await udp_echo.start("127.0.0.1", limits=Limits(handshakes=20))
    yield peer.port
    await peer.close()


@pytest.fixture
async def stranger(responder: int) -> AsyncIterator[Stranger]:
    someone = Stranger(responder)
    yield someone
    someone.socket.close()


async def test_a_guessed_token_gets_no_answer(stranger: Stranger) -> None:
    """Neither echo nor report nor close."""
    assert await stranger.says(stranger.echo(12345, 0)) is None
    assert await stranger.says(wire.ask(12345, 0, None)) is None
    assert await stranger.says(wire.write(Type.CLOSE, 12345, b"", None)) is None


async def test_a_token_serves_only_the_address_it_was_given_to(stranger: Stranger, responder: int) -> None:
    """A spoofed source with a stolen token reflects nothing and does not close the session."""
    token, _ = await stranger.opens()
    thief = Stranger(responder)
    assert await thief.says(thief.echo(token, 0)) is None
    assert await thief.says(wire.write(Type.CLOSE, token, b"", None)) is None
    thief.socket.close()
    assert await stranger.says(stranger.echo(token, 0)) is not None


async def test_a_cookie_serves_only_the_address_and_the_nonce_it_was_made_for(
    stranger: Stranger, responder: int
) -> None:
    """An OPEN with a stolen or made-up cookie gets no answer at all."""
    cookie = await stranger.cookie()
    thief = Stranger(responder)
    for nonce, stolen in ((NONCE, cookie), (NONCE, os.urandom(16))):
        assert await thief.says(wire.Opening(nonce, stolen, Wish(1, 0.01, 100)).write(None)) is None
    thief.socket.close()
    assert await stranger.says(wire.Opening(b"another.", cookie, Wish(1, 0.01, 100)).write(None)) is None


async def test_replays_make_the_responder_send_nothing(stranger: Stranger) -> None:
    """A request is answered once and then counted; an OPEN again is the same session, and none after it."""
    token, opening = await stranger.opens()
    request = stranger.echo(token, 4)
    assert await stranger.says(request) is not None
    assert await stranger.says(request) is None
    again = await stranger.says(opening)
    assert again is not None and wire.read(again, None).token == token
    answer = await stranger.says(wire.ask(token, 0, None))
    assert answer is not None
    report = wire.Report.of(wire.read(answer, None).body)
    assert (report.received, report.duplicates, report.has(4), report.has(3)) == (1, 1, True, False)
    assert await stranger.says(wire.write(Type.CLOSE, token, b"", None)) is not None
    assert await stranger.says(opening) is None
    assert await stranger.says(stranger.echo(token, 5)) is None


async def test_what_was_not_granted_is_not_echoed(stranger: Stranger) -> None:
    """Another size, a number beyond the count."""
    token, _ = await stranger.opens(count=10, size=100)
    assert await stranger.says(stranger.echo(token, 0, size=1400)) is None
    assert await stranger.says(stranger.echo(token, 10)) is None
    assert await stranger.says(stranger.echo(token, 2**32 - 1)) is None


async def test_a_small_hello_and_a_flood_of_hellos(stranger: Stranger) -> None:
    """What is shorter than its answer gets none, and strangers together no more than their budget."""
    assert await stranger.says(wire.write(Type.HELLO, 0, NONCE, None)) is None
    answers = 0
    for _ in range(200):
        stranger.socket.send(wire.hello(NONCE))
    with contextlib.suppress(TimeoutError):
        while await asyncio.wait_for(asyncio.get_running_loop().sock_recv(stranger.socket, 65535), SILENCE):
            answers += 1
    assert 1 <= answers <= 30


async def test_garbage_neither_stops_nor_fools_it(stranger: Stranger) -> None:
    """Random bytes, cut and bent packets get no answer beyond a challenge, and a client is served after."""
    dice = random.Random(4)
    token, opening = await stranger.opens()
    shapes = [opening, stranger.echo(token, 0), wire.ask(token, 0, None), wire.hello(NONCE)]
    for _ in range(400):
        packet = bytearray(dice.choice(shapes))
        for _ in range(dice.randrange(1, 6)):
            packet[dice.randrange(len(packet))] = dice.randrange(256)
        stranger.socket.send(bytes(packet[: dice.randrange(len(packet) + 1)]))
        stranger.socket.send(dice.randbytes(dice.randrange(200)))
    await asyncio.sleep(0)
    with contextlib.suppress(TimeoutError):
        while True:
            data = await asyncio.wait_for(
                asyncio.get_running_loop().sock_recv(stranger.socket, 65535), SILENCE
            )
            assert len(data) <= wire.REPORT_BYTES
    await asyncio.sleep(1.0)
    recording = await echoed(stranger.socket.getpeername()[1])
    assert recording.only.error is None
