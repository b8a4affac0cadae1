"""An IMAP and a POP3 server that do as their RFC says, but for what a test has them do otherwise.

Each holds any number of messages that take no room: they are made when asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.listening import listening
from tests.faults.scripted_server import reset

TOKEN = "token"
CONTENT = f"From: a@ots.test\r\nSubject: Test {TOKEN}\r\n\r\n".encode() + b"Hello, this is a line.\r\n" * 400
"""What every message is: 10 kB."""

HEADER = CONTENT.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

Service = Literal["imap", "pop3"]
Act = Callable[["Session"], Awaitable[None]]


@dataclass
class Session:
    """One connection. `tag` and `argument` are those of the command that is being answered."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: LyingMail
    tag: str = ""
    argument: str = ""

    async def say(self, *lines: str | bytes) -> None:
        """Sends text as lines, and bytes as they are."""
        for line in lines:
            self.writer.write(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        await self.writer.drain()

    async def ok(self, *lines: str | bytes) -> None:
        """The lines, and then that the command succeeded."""
        await self.say(*lines, f"{self.tag} OK done")


@dataclass
class LyingMail:
    """Where it listens, how many messages it holds, and what was asked of it."""

    service: Service
    messages: int
    tls: bool
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.service}{'s' if self.tls else ''}://127.0.0.1:{self.port}/"


# IMAP.


async def _examine(session: Session) -> None:
    await session.ok(f"* {session.server.messages} EXISTS", "* OK [UIDVALIDITY 1] .")


async def _fetch(session: Session) -> None:
    """`*` or `n:*` by number with headers, or a UID with the body."""
    which = session.argument.partition(" ")[0]
    last = session.server.messages
    if "BODY.PEEK[]" in session.argument:
        await session.ok(
            f"* {which} FETCH (UID {which} BODY[] {{{len(CONTENT)}}}".encode() + b"\r\n" + CONTENT + b")\r\n"
        )
    elif which == "*":
        await session.ok(f"* {last} FETCH (UID {last} RFC822.SIZE {len(CONTENT)})")
    else:
        for number in range(int(which.removesuffix(":*")), last + 1):
            start = (
                f"* {number} FETCH (UID {number} RFC822.SIZE {len(CONTENT)} BODY[HEADER.FIELDS (SUBJECT)] "
            )
            await session.say(f"{start}{{{len(HEADER)}}}".encode() + b"\r\n" + HEADER + b")\r\n")
        await session.ok()


async def _search(session: Session) -> None:
    """The newest message and one of those just before have the token."""
    last = session.server.messages
    await session.ok(f"* SEARCH {last - 3} {last}")


def reply(*lines: str | bytes) -> Act:
    """Says just that."""

    async def act(session: Session) -> None:
        await session.say(*lines)

    return act


def tagged(status: str, *before: str) -> Act:
    """Says that the command has this status."""

    async def act(session: Session) -> None:
        await session.say(*before, f"{session.tag} {status}")

    return act


HONEST_IMAP: Mapping[str, Act] = {
    "": reply("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS IDLE] hello"),
    "CAPABILITY": tagged("OK done", "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS IDLE"),
    "AUTHENTICATE": tagged("OK welcome"),
    "LOGIN": tagged("OK welcome"),
    "EXAMINE": _examine,
    "SELECT": _examine,
    "FETCH": _fetch,
    "SEARCH": _search,
    "LIST": tagged("OK done", '* LIST () "/" INBOX', '* LIST (\\Junk) "/" Junk'),
    "STORE": tagged("OK done"),
    "EXPUNGE": tagged("OK done"),
    "LOGOUT": tagged("OK bye", "* BYE"),
}


def body(*pieces: bytes, size: int = len(CONTENT), silent: bool = False) -> Act:
    """FETCH of a message whose literal is said to have `size` bytes, or of which nothing is said."""

    async def act(session: Session) -> None:
        if "BODY.PEEK[]" not in session.argument:
            await session.ok(f"* 20 FETCH (UID 20 RFC822.SIZE {len(CONTENT)})")
            return
        if not silent:
            await session.say(f"* 20 FETCH (UID 20 BODY[] {{{size}}}".encode() + b"\r\n", *pieces)

    return act


def able(capabilities: str) -> dict[str, Act]:
    """What it says that it can do, in the greeting and when asked."""
    return {
        "": reply(f"* OK [CAPABILITY IMAP4rev1 {capabilities}] hello"),
        "CAPABILITY": tagged("OK done", f"* CAPABILITY IMAP4rev1 {capabilities}"),
    }


# POP3.


def many(*lines: bytes) -> bytes:
    """An answer of many lines, its dots doubled."""
    stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in lines)
    return b"+OK\r\n" + stuffed + b".\r\n"


async def _stat(session: Session) -> None:
    count = session.server.messages
    await session.say(f"+OK {count} {count * len(CONTENT)}")


async def _list(session: Session) -> None:
    assert session.argument, "nobody lists a whole mailbox"
    await session.say(f"+OK {session.argument} {len(CONTENT)}")


HONEST_POP3: Mapping[str, Act] = {
    "": reply("+OK hello"),
    "CAPA": reply(many(b"USER\r\n", b"TOP\r\n", b"UIDL\r\n")),
    "USER": reply("+OK"),
    "PASS": reply("+OK welcome"),
    "STAT": _stat,
    "LIST": _list,
    "TOP": reply(many(HEADER)),
    "RETR": reply(many(CONTENT)),
    "DELE": reply("+OK"),
    "QUIT": reply("+OK bye"),
}


@contextlib.asynccontextmanager
async def lying_mail(
    service: Service,
    lies: Mapping[str, Act],
    *,
    messages: int = 20,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[LyingMail]:
    """Serves until the block ends. `lies` maps commands (`""`: the greeting) to what is done instead."""
    server = LyingMail(service, messages, tls is not None)
    acts = {**(HONEST_IMAP if service == "imap" else HONEST_POP3), **lies}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer, server)
        try:
            await acts[""](session)
            while line := (await reader.readline()).decode().strip():
                if service == "imap":
                    session.tag, _, line = line.partition(" ")
                    line = line.removeprefix("UID ")
                command, _, session.argument = line.partition(" ")
                server.asked.append(command)
                act = acts.get(command)
                unknown = f"{session.tag} BAD what?" if service == "imap" else "-ERR what?"
                await (act(session) if act else session.say(unknown))
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.CancelledError):
            # Only the end of the server cancels; Python 3.11's streams would report that as an error.
            pass
        finally:
            writer.transport.abort()

    async with listening(serve, tls=tls) as server.port:
        yield server


async def hang_up(session: Session) -> None:
    """Ends the connection with RST."""
    reset(session.writer)


async def silence(session: Session) -> None:
    """Says nothing to this command."""


def endless(piece: bytes, *, first: bytes = b"") -> Act:
    """Never stops talking."""

    async def act(session: Session) -> None:
        await session.say(first.replace(b"TAG", session.tag.encode()))
        while True:
            await session.say(piece)

    return act
