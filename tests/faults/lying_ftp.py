"""An FTP server that does as RFC 959 says, but for what a test has it do otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.listening import listening
from tests.faults.scripted_server import reset

CONTENT = bytes(range(256)) * 4096
"""What every file holds: 1 MiB."""

Data = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[["Session"], Awaitable[None]]


@dataclass
class Session:
    """One control connection, and its data connection once there is one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: LyingFTP
    argument: str = ""
    data: asyncio.Future[Data] | None = None
    listener: asyncio.Server | None = None
    offset: int = 0

    async def say(self, text: str | bytes) -> None:
        line = text if isinstance(text, bytes) else text.encode() + b"\r\n"
        self.writer.write(line)
        await self.writer.drain()

    async def listen(self) -> int:
        """Opens a port for the next data connection."""
        self.data = future = asyncio.get_running_loop().create_future()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if future.done():
                writer.transport.abort()
            else:
                future.set_result((reader, writer))
                self.server.writers.append(writer)

        if self.listener is not None:
            self.listener.close()
        self.listener = await asyncio.start_server(connected, "127.0.0.1", 0)
        port: int = self.listener.sockets[0].getsockname()[1]
        return port

    async def connection(self) -> Data:
        assert self.data is not None
        async with asyncio.timeout(5):
            return await self.data

    async def send_file(self, content: bytes) -> None:
        """150, the content, the end of the data connection."""
        _, writer = await self.connection()
        await self.say("150 here it comes")
        writer.write(content)
        await writer.drain()
        writer.close()

    async def take_file(self) -> int:
        """150, and reads to the end; returns the bytes."""
        reader, writer = await self.connection()
        await self.say("150 go on")
        count = 0
        while piece := await reader.read(1 << 16):
            count += len(piece)
        writer.close()
        self.server.stored[self.argument] = count
        return count


@dataclass
class LyingFTP:
    """Where it listens, what was asked of it, and what it holds."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ftp://127.0.0.1:{self.port}"


async def _epsv(session: Session) -> None:
    await session.say(f"229 extended passive (|||{await session.listen()}|)")


async def _pasv(session: Session) -> None:
    port = await session.listen()
    await session.say(f"227 passive (127,0,0,1,{port >> 8},{port & 255})")


async def _retr(session: Session) -> None:
    await session.send_file(CONTENT[session.offset :])
    await session.say("226 complete")


async def _stor(session: Session) -> None:
    await session.take_file()
    await session.say("226 complete")


async def _size(session: Session) -> None:
    size = session.server.stored.get(session.argument, len(CONTENT))
    await session.say(f"213 {size}")


async def _dele(session: Session) -> None:
    session.server.stored.pop(session.argument, None)
    await session.say("250 gone")


async def _rest(session: Session) -> None:
    session.offset = int(session.argument)
    await session.say("350 from there")


def reply(text: str | bytes) -> Act:
    """Says just that."""

    async def act(session: Session) -> None:
        await session.say(text)

    return act


HONEST: Mapping[str, Act] = {
    "": reply("220 hello"),
    "USER": reply("331 password"),
    "PASS": reply("230 welcome"),
    "TYPE": reply("200 binary"),
    "EPSV": _epsv,
    "PASV": _pasv,
    "SIZE": _size,
    "RETR": _retr,
    "STOR": _stor,
    "DELE": _dele,
    "REST": _rest,
    "QUIT": reply("221 bye"),
}


@contextlib.asynccontextmanager
async def lying_ftp(lies: Mapping[str, Act], tls: ssl.SSLContext | None = None) -> AsyncIterator[LyingFTP]:
    """Serves until the block ends. `lies` maps commands (`""`: the greeting) to what is done instead."""
    server = LyingFTP()
    acts = {**HONEST, **lies}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer, server)
        try:
            await acts[""](session)
            while line := await reader.readline():
                command, _, session.argument = line.decode().strip().partition(" ")
                server.asked.append(command)
                act = acts.get(command)
                await (act(session) if act else session.say("502 what?"))
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.CancelledError):
            # Only the end of the server cancels; Python 3.11's streams would report that as an error.
            pass
        finally:
            if session.listener is not None:
                session.listener.close()
            writer.transport.abort()

    try:
        async with listening(serve, tls=tls) as server.port:
            yield server
    finally:
        for writer in server.writers:
            writer.transport.abort()


async def hang_up(session: Session) -> None:
    """Ends the control connection with RST."""
    reset(session.writer)


async def silence(session: Session) -> None:
    """Says nothing to this command."""
