"""The agent's line to its server: it dials out, comes back when the line is lost, and polls where it must.

What is said on a line may be lost with it; so nothing that matters is said only once. Each hello tells how
every command stands whose end the server has not noted yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import Protocol

import aiohttp
import msgspec

from ots.remote import control_wire as wire
from ots.remote.client import Client, Refused

log = logging.getLogger("ots.remote")

LONGEST = 300.0
"""Seconds between two tries to connect, at most."""

_FIRST_WORD = 30.0
_WEBSOCKET_AGAIN = 3600.0
"""Seconds of polling until a WebSocket is tried again."""

_MOST_UNSAID = 1000
_TURN = 1.0
"""Seconds from which on an answer that asks for patience is a turn that was given."""
_SHAKEN = (401, 403)
_BUSY = (429, 503)


class Listener(Protocol):
    """Whoever is to do what the server says."""

    def hello(self) -> wire.Hello:
        """The first message of a new line."""
        ...

    async def hear(self, message: wire.FromServer) -> None:
        """One message of the server, in order."""
        ...


class Channel:
    """Keeps a line to the server for as long as `run` runs."""

    def __init__(self, client: Client, listener: Listener) -> None:
        self._client = client
        self._listener = listener
        self._unsaid: asyncio.Queue[wire.FromAgent] = asyncio.Queue(_MOST_UNSAID)
        self._first_wait = 30.0
        self._ping = wire.PING
        self._poll_until = 0.0
        self.way: str | None = None

    def say(self, message: wire.FromAgent) -> None:
        """Sends it on the present line. Without one it is lost: the next hello says what matters."""
        if self.way is not None:
            with contextlib.suppress(asyncio.QueueFull):
                self._unsaid.put_nowait(message)

    async def run(self) -> None:
        """Connects, again and again, until it is cancelled."""
        failures = 0
        while True:
            before = time.monotonic()
            try:
                asked = await self._line()
                failures = 0
            except Refused as refused:
                log.info("no line to the server: %s (%s)", refused, refused.code)
                asked = refused.retry_after
                if time.monotonic() - before > LONGEST:
                    failures = 0
                elif asked is None or asked < _TURN:
                    failures += 1  # who is told when to come again has not failed
                if refused.decision == "stop":
                    asked = max(asked or 0.0, LONGEST)
            self.way = None
            await asyncio.sleep(pause(failures, asked, self._first_wait))

    async def _line(self) -> float | None:
        """One line from its beginning to its end; what the server asked for at its end. Raises Refused."""
        if time.monotonic() < self._poll_until:
            return await self._poll()
        try:
            socket = await self._client.websocket("/agent/channel", wire.MAX_FRAME)
        except Refused as refused:
            if refused.status in _SHAKEN:
                await self._client.call("GET", "/agent")  # says why, or puts our clock right
                raise
            if refused.status is None or refused.status in _BUSY:
                raise
            log.info("no WebSocket gets through (%s): polling instead", refused)
            self._poll_until = time.monotonic() + _WEBSOCKET_AGAIN
            return await self._poll()
        try:
            return await self._converse(socket)
        finally:
            with contextlib.suppress(asyncio.TimeoutError, OSError, aiohttp.ClientError):
                await socket.close()

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse) -> float | None:
        self._begin("websocket")
        await _send(socket, self._listener.hello())
        speaker = asyncio.create_task(self._speak(socket))
        try:
            patience = _FIRST_WORD
            while True:
                try:
                    frame = await socket.receive(timeout=patience)
                except TimeoutError:
                    raise Refused("line-dead", "the server has been silent for too long") from None
                patience = wire.DEAD * self._ping
                if frame.type is aiohttp.WSMsgType.PING:
                    await socket.pong(frame.data)
                elif frame.type is aiohttp.WSMsgType.TEXT:
                    message = _read(frame.data)
                    if isinstance(message, wire.Bye):
                        return message.after
                    if message is not None:
                        await self._hear(message)
                elif frame.type is not aiohttp.WSMsgType.PONG:
                    raise Refused("line-lost", "the line to the server was lost")
        except (aiohttp.ClientError, OSError) as error:
            raise Refused("line-lost", str(error) or type(error).__name__) from None
        finally:
            speaker.cancel()
            await asyncio.gather(speaker, return_exceptions=True)

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            message = await self._unsaid.get()
            try:
                await _send(socket, message)
            except (aiohttp.ClientError, OSError):
                return  # whoever receives meets the same

    async def _poll(self) -> float | None:
        """A line by polls. Raises Refused."""
        self._begin("poll")
        await self._tell([self._listener.hello()])
        speaker = asyncio.create_task(self._tell_on())
        try:
            while True:
                answer = await self._client.call("GET", "/agent/commands")
                for message in answer.read(wire.Waiting).messages:
                    if isinstance(message, wire.Bye):
                        return message.after
                    await self._hear(message)
                if speaker.done():
                    speaker.result()
                if time.monotonic() >= self._poll_until:
                    return 0.0
        finally:
            speaker.cancel()
            await asyncio.gather(speaker, return_exceptions=True)

    async def _tell_on(self) -> None:
        while True:
            messages = [await self._unsaid.get()]
            while not self._unsaid.empty() and len(messages) < 100:
                messages.append(self._unsaid.get_nowait())
            await self._tell(messages)

    async def _tell(self, messages: list[wire.FromAgent]) -> None:
        body = msgspec.json.encode(wire.Told(messages=messages))
        await self._client.call("POST", "/agent/commands", body, {"Content-Type": "application/json"})

    def _begin(self, way: str) -> None:
        """A new line; what was meant for the old one is in the hello."""
        while not self._unsaid.empty():
            self._unsaid.get_nowait()
        self.way = way

    async def _hear(self, message: wire.FromServer) -> None:
        if isinstance(message, wire.Welcome):
            self._ping = min(max(message.ping, 0.1), 600.0)
            self._first_wait = min(max(message.first_wait, 0.1), 600.0)
        await self._listener.hear(message)


def pause(failures: int, asked: float | None, first: float) -> float:
    """Seconds until the next try: what the server asked for, and at random within a bound that doubles.

    The bound begins with `first`, so that all agents of a server that went down come back spread.
    """
    bound = min(LONGEST, first * 2.0 ** min(failures, 12))
    return (0.0 if asked is None else min(max(asked, 0.0), 86_400.0)) + random.uniform(0, bound)


async def _send(socket: aiohttp.ClientWebSocketResponse, message: wire.FromAgent) -> None:
    await socket.send_str(msgspec.json.encode(message).decode())


def _read(text: str) -> wire.FromServer | None:
    """A message; None for one that this version does not know."""
    try:
        found: wire.FromServer = msgspec.json.decode(text, type=wire.FromServer)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    return found
