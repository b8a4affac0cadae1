"""An SMTP server that does as RFC 5321 says, but for what a test has it do otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.listening import listening

Act = Callable[["Session"], Awaitable[None]]


@dataclass
class LyingSMTP:
    """Where it listens, the commands that it heard, and the messages that it took."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def empty(self) -> None:
        """Waits until every client has hung up; fails after a while."""
        async with asyncio.timeout(5):
            await self.idle.wait()


@dataclass
class Session:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: LyingSMTP
    line: str = ""

    async def say(self, text: str | bytes) -> None:
        self.writer.write(text if isinstance(text, bytes) else text.encode() + b"\r\n")
        await self.writer.drain()

    async def content(self) -> bytes:
        """The message after DATA, its dots undone."""
        lines = []
        while (line := await self.reader.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    async def data(self) -> None:
        """354, the message, and it is kept."""
        await self.say("354 go on")
        self.server.taken.append(await self.content())


def reply(*texts: str | bytes) -> Act:
    """Says just that, on the first time the first, and so on; the last one for ever."""
    left = list(texts)

    async def act(session: Session) -> None:
        await session.say(left.pop(0) if len(left) > 1 else left[0])

    return act


async def _data(session: Session) -> None:
    await session.data()
    await session.say("250 taken")


HONEST: Mapping[str, Act] = {
    "": reply("220 hello"),
    "EHLO": reply(b"250-peer\r\n250-SIZE 30000000\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n"),
    "AUTH": reply("235 welcome"),
    "MAIL": reply("250 ok"),
    "RCPT": reply("250 ok"),
    "DATA": _data,
    "QUIT": reply("221 bye"),
}


@contextlib.asynccontextmanager
async def lying_smtp(
    lies: Mapping[str, Act], tls: ssl.SSLContext | None = None, *, buffer: int | None = None
) -> AsyncIterator[LyingSMTP]:
    """Serves until the block ends. `lies` maps commands (`""`: the banner) to what is done instead.

    With `tls` it speaks TLS from the start; `buffer` bounds the bytes that its kernel takes in advance.
    """
    server = LyingSMTP()
    acts = {**HONEST, **lies}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer, server)
        try:
            await acts[""](session)
            while line := await reader.readline():
                session.line = line.decode("ascii", "replace").strip()
                command = session.line.partition(" ")[0]
                server.asked.append(command)
                act = acts.get(command)
                await (act(session) if act else session.say("500 what?"))
        except (ConnectionError, ssl.SSLError, ValueError, asyncio.CancelledError):
            # Only the end of the server cancels; Python 3.11's streams would report that as an error.
            pass
        finally:
            writer.transport.abort()

    async with listening(serve, tls=tls, buffer=buffer, idle=server.idle) as server.port:
        yield server


async def silence(session: Session) -> None:
    """Says nothing to this command."""
