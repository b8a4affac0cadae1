"""What a peer may do with the frames of a line, said by another WebSocket than ours; and what it may not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from ots.clock import rfc3339
from ots.remote import control_wire as wire
from ots.server.control import socket_line
from ots.server.control.socket_line import SocketLine
from ots.server.services import Services
from ots.signing.request import signed_headers
from tests.cloud_kit import CloudServer, HandAgent, cloud_server
from tests.loopback.test_control_processes import process

HELLO = msgspec.json.encode(wire.Hello(version="0", boot_id="b", time=rfc3339(0.0))).decode()
PATH = "/api/v1/agent/channel"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    with cloud_server(tmp_path_factory.mktemp("server"), options=["--rates", "1000"]) as found:
        yield found


@pytest.fixture
async def agent(server: CloudServer) -> HandAgent:
    made = HandAgent(server.url)
    async with aiohttp.ClientSession() as session:
        assert (await made.enrol(session, server.open_token()))[0] == 201
    return made


def line(agent: HandAgent, **options: Any) -> connect:
    signed = signed_headers(
        "GET", PATH, "", b"", key=agent.key, key_id=agent.agent_id, created=int(time.time())
    )
    url = agent.url.replace("http", "ws", 1) + PATH
    return connect(url, additional_headers=signed, proxy=None, **options)


async def heard(connection: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return dict(msgspec.json.decode(await connection.recv()))


async def end_of(connection: ClientConnection) -> tuple[list[str], int | None]:
    """The reasons of the goodbyes that were said, and the code with which the server closed."""
    reasons = []
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            said = await heard(connection)
            reasons += [said["reason"]] if said["is"] == "bye" else []
    received = closed.value.rcvd
    return reasons, None if received is None else received.code


async def test_a_hello_in_pieces_with_a_ping_between_them_is_one(agent: HandAgent) -> None:
    async with line(agent) as connection:
        connection.protocol.send_text(HELLO[:10].encode(), fin=False)
        pong = await connection.ping(b"?")
        connection.protocol.send_continuation(HELLO[10:30].encode(), fin=False)
        connection.protocol.send_continuation(HELLO[30:].encode(), fin=True)
        await asyncio.wait_for(pong, 10)
        assert (await heard(connection))["is"] == "welcome"
        assert not connection.protocol.extensions, "no compression, though it was offered"


def raw(*frames: Frame) -> bytes:
    return b"".join(frame.serialize(mask=True) for frame in frames)


def compressed(text: bytes) -> bytes:
    """A frame with the bit of a compression that was not agreed on."""
    first, *rest = raw(Frame(Opcode.TEXT, text))
    return bytes([first | 0x40, *rest])


HALF = b"x" * (wire.MAX_FRAME // 2 + 1)


@pytest.mark.parametrize(
    ("sent", "reasons", "code"),
    [
        (raw(Frame(Opcode.TEXT, b'"\xff"')), [], 1007),
        (raw(Frame(Opcode.BINARY, HELLO.encode())), ["protocol"], 1008),
        (raw(Frame(Opcode.TEXT, HALF + HALF)), [], 1009),
        (raw(Frame(Opcode.TEXT, HALF, fin=False), Frame(Opcode.CONT, HALF)), [], 1009),
        (raw(Frame(Opcode.CONT, b"x")), [], 1002),
        (compressed(HELLO.encode()), [], 1002),
        (raw(*[Frame(Opcode.PING, b"")] * 300), ["protocol"], 1008),
        (raw(Frame(Opcode.TEXT, b"", fin=False), *[Frame(Opcode.CONT, b"", fin=False)] * 300),
         ["protocol"], 1008),
    ],
    ids=["bytes", "binary", "large", "large in pieces", "no beginning", "compressed", "pings", "pieces"],
)  # fmt: skip
async def test_what_is_no_message_ends_the_line(
    agent: HandAgent, sent: bytes, reasons: list[str], code: int
) -> None:
    begun = time.monotonic()
    async with line(agent, compression=None) as connection:
        connection.transport.write(sent)
        assert await end_of(connection) == (reasons, code)
    assert time.monotonic() - begun < 3, "nobody waited for the other to hang up"


async def test_who_says_goodbye_is_answered_and_is_gone(agent: HandAgent, server: CloudServer) -> None:
    async with line(agent) as connection:
        await connection.send(HELLO)
        assert (await heard(connection))["is"] == "welcome"
        await connection.close(4000, "enough")
        assert connection.close_code == 4000


async def test_a_handshake_that_lacks_something_is_a_problem(agent: HandAgent) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    async with aiohttp.ClientSession() as session:
        status, problem = await agent.send(session, "GET", PATH, headers=upgrade)
    assert (status, problem["code"]) == (400, "invalid-request")
    assert "Sec-WebSocket-Key" in problem["detail"]


async def test_a_line_over_tls_is_one_as_well(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key, root = (tmp_path / name for name in ("cert.pem", "key.pem", "root.pem"))
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(root))
    trusting = ssl.create_default_context(cafile=str(root))
    with cloud_server(tmp_path / "server", options=["--cert", str(cert), "--key", str(key)]) as server:
        agent = HandAgent(server.url)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session:
            assert (await agent.enrol(session, server.open_token()))[0] == 201
        async with line(agent, ssl=trusting) as connection:
            await connection.send(HELLO)
            assert (await heard(connection))["is"] == "welcome"
            await connection.close()


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    found = await process(tmp_path)
    yield found
    await found.control.gateway.close()
    await found.database.close()


async def quiet_peer(services: Services) -> tuple[SocketLine, socket.socket]:
    """A line in this process, and the agent's end of it, that does nothing by itself."""
    made = SocketLine(str(uuid.uuid4()), 60.0, services.control.reception)
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: made, ours)
    services.control.gateway.hold(made)
    return made, peer


async def test_who_says_nothing_is_not_waited_for(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_line, "_FIRST_WORD", 0.2)
    monkeypatch.setattr(socket_line, "_GOODBYE", 0.2)
    services.control.gateway.start()
    made, peer = await quiet_peer(services)
    with peer:
        loop, said = asyncio.get_running_loop(), b""
        async with asyncio.timeout(10):
            while piece := await loop.sock_recv(peer, 4096):
                said += piece
    assert b'"protocol"' in said and said.endswith(b"\x88\x02\x03\xf0"), "a close frame with 1008"
    assert made.gone and made.closed


async def test_what_nobody_fetches_does_not_pile_up(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_line, "_SEND_PATIENCE", 0.2)
    made, peer = await quiet_peer(services)
    with peer:
        services.control.gateway.open(made)
        message = wire.Deliver(command="x" * 50_000)
        sent = 0
        while await made.send(message):
            sent += 1
            assert sent < 1000, "the kernel never holds that much"
        assert made._unsent() < 64_000 + 2 * 51_000
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(made.send(message))
        async with asyncio.timeout(10):
            while not waiting.done():
                await loop.sock_recv(peer, 1 << 20)
        assert waiting.result()
