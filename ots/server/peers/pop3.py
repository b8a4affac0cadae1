"""A POP3 server for the mail probes (RFC 1939, 2449): gives out what the SMTP peer took in.

Any user name opens the mailbox of that name, with any password: it holds test messages only. What a session
sees is what was there when it logged in; what it deletes is gone once it has said QUIT.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from ots.server.peers.peer import Peer
from ots.server.peers.postboxes import Postboxes, Stored

_IDLE = 60.0
_LONGEST_LINE = 512
_CONNECTIONS = 64


class _Session:
    """One connection from greeting to QUIT."""

    def __init__(self, boxes: Postboxes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._boxes = boxes
        self._reader = reader
        self._writer = writer
        self._user = ""
        self._messages: list[Stored] | None = None
        self._gone: set[int] = set()

    async def converse(self) -> None:
        """Answers commands until QUIT, silence, or the end of the connection."""
        await self._say(b"+OK OTS test peer")
        while True:
            async with asyncio.timeout(_IDLE):
                line = await self._reader.readline()
            if not line.endswith(b"\n"):
                return
            command, _, argument = line.decode("ascii", "replace").strip().partition(" ")
            command = command.upper()
            if command == "QUIT":
                self._boxes.remove([self._all[place] for place in self._gone])
                await self._say(b"+OK bye")
                return
            await self._answer(command, argument)

    @property
    def _all(self) -> list[Stored]:
        return self._messages or []

    async def _answer(self, command: str, argument: str) -> None:
        if command == "CAPA":
            await self._list(b"+OK", [b"USER", b"UIDL", b"TOP"])
        elif command == "USER":
            self._user = argument
            await self._say(b"+OK")
        elif command == "PASS" and self._user and self._messages is None:
            self._messages = self._boxes.look(self._user)
            await self._say(b"+OK %d messages" % len(self._all))
        elif self._messages is None:
            await self._say(b"-ERR log in first")
        elif command == "NOOP":
            await self._say(b"+OK")
        elif command == "RSET":
            self._gone.clear()
            await self._say(b"+OK")
        elif command == "STAT":
            sizes = [len(stored.data) for _, stored in self._left()]
            await self._say(b"+OK %d %d" % (len(sizes), sum(sizes)))
        elif command in ("LIST", "UIDL"):
            await self._listing(command, argument)
        elif command in ("RETR", "TOP", "DELE"):
            await self._with_message(command, argument)
        else:
            await self._say(b"-ERR what?")

    def _left(self) -> Iterator[tuple[int, Stored]]:
        """Messages by their number in this session, those that are deleted left out."""
        return ((place + 1, stored) for place, stored in enumerate(self._all) if place not in self._gone)

    async def _listing(self, command: str, argument: str) -> None:
        lines = {
            number: b"%d %d" % (number, stored.number if command == "UIDL" else len(stored.data))
            for number, stored in self._left()
        }
        if not argument:
            await self._list(b"+OK", list(lines.values()))
        elif argument.isdecimal() and int(argument) in lines:
            await self._say(b"+OK " + lines[int(argument)])
        else:
            await self._say(b"-ERR no such message")

    async def _with_message(self, command: str, argument: str) -> None:
        words = argument.split()
        number = int(words[0]) if words and words[0].isdecimal() else 0
        stored = dict(self._left()).get(number)
        if stored is None:
            await self._say(b"-ERR no such message")
        elif command == "DELE":
            self._gone.add(number - 1)
            await self._say(b"+OK")
        elif command == "RETR":
            lines = stored.data.removesuffix(b"\r\n").split(b"\r\n")
            await self._list(b"+OK %d octets" % len(stored.data), lines)
        else:
            head, _, body = stored.data.partition(b"\r\n\r\n")
            count = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
            await self._list(b"+OK", [*head.split(b"\r\n"), b"", *body.split(b"\r\n")[:count]])

    async def _say(self, line: bytes) -> None:
        self._writer.write(line + b"\r\n")
        await self._writer.drain()

    async def _list(self, first: bytes, lines: list[bytes]) -> None:
        """An answer of many lines, ended by a dot of its own (RFC 1939 section 3)."""
        stuffed = (b"." + line if line.startswith(b".") else line for line in lines)
        self._writer.write(b"\r\n".join((first, *stuffed, b".", b"")))
        await self._writer.drain()


async def start(boxes: Postboxes, host: str, port: int = 0) -> Peer:
    """Listens. OSError if the port can't be had."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            if len(tasks) <= _CONNECTIONS:
                await _Session(boxes, reader, writer).converse()
        except (TimeoutError, ValueError, ConnectionError, asyncio.CancelledError):
            # A line too long is a ValueError. Only `close` cancels; Python 3.11's streams would complain.
            return
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, host, port, limit=_LONGEST_LINE)

    async def close() -> None:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    return Peer("pop3", host, server.sockets[0].getsockname()[1], close)
