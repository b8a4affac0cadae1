"""One session that uploads one file under a name of its own, checks it, and deletes it again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import socket
from collections.abc import Callable
from typing import Literal

from ots.netio.errors import classify
from ots.netio.ftp import session_metrics
from ots.netio.ftp.control import Control
from ots.netio.ftp.data import DataChannel, Mode, Opened, abort
from ots.netio.ftp.params import FTPParams
from ots.netio.ftp.paths import path_of
from ots.netio.ftp.receive import receive
from ots.netio.ftp.send import FileSending
from ots.netio.transfer.meter import TICK, Flow, Meter
from ots.netio.transfer.payload import RandomPage
from ots.probe import Address, Context, Failed, Target

_WORD = 1.0
"""Seconds that a server gets to say why it broke a data connection."""

_TIDY = 1.5
"""Seconds for deleting what a failed upload left; a cancelled probe does not get much more."""

_UNTIL_DRAINED = 1e6


class Upload:
    """One file on one session."""

    def __init__(
        self,
        ctx: Context,
        target: Target,
        params: FTPParams,
        address: Address,
        flow: Flow,
        page: RandomPage,
        cut: Callable[[], bool],
        share: int | None,
    ) -> None:
        self.completed: float | None = None
        """When the server said that the file is complete."""
        self.valid: bool | None = None
        self.unknown = "not_reached"
        """Why `valid` is not known."""
        self._ctx = ctx
        self._target = target
        self._params = params
        self._address = address
        self._flow = flow
        self._share = share
        self._cut = cut
        self._sending = FileSending(flow, page, ctx.clock, cut, share)
        self._control = Control(ctx, target, params, address)
        self._channel: DataChannel | None = None
        self._data: socket.socket | None = None
        self._path = path_of(target) + f"ots-{secrets.token_hex(8)}.bin"
        self._stored = False
        """The server may hold a file under our name."""

    def delivered(self) -> int:
        """Bytes that have arrived as far as anybody can know."""
        return self._sending.delivered()

    async def run(self, mode: Mode, resume_at: int | None) -> None:
        """Uploads the file and returns when the server has confirmed it. `Failed` otherwise."""
        ctx, params = self._ctx, self._params
        if not path_of(self._target).endswith("/") and path_of(self._target):
            raise Failed(
                "config", "config", "NO_FOLDER", "the target of an upload is a folder: end it with /"
            )
        await self._control.open()
        ctx.record(session_metrics.LOGIN.key, self._control.login_seconds)
        ctx.method(**self._control.tls_facts)
        self._channel = DataChannel(ctx, self._control, mode, params.route, params.timeout)
        start = 0
        if resume_at is not None:
            start = await self._broken_off(self._channel, resume_at)
        await self._store(self._channel, start, None)
        self.completed = ctx.clock.monotonic()
        self._flow.finished = True
        self._flow.look()
        self._sending.confirm()

    async def check(self, how: Literal["size", "content", "none"]) -> None:
        """Compares what the server has with what was sent. `Failed`, class `content`, if it differs."""
        if how == "none":
            self.unknown = "not_asked"
        elif how == "size":
            size = await self._control.size_of(self._path)
            if size is None:
                self.unknown = "unsupported"
                return
            self.valid = size == self._sending.handed
            if not self.valid:
                raise Failed(
                    "content",
                    "verify",
                    "SIZE",
                    f"the server's file has {size} of {self._sending.handed} bytes",
                )
        else:
            self.valid = await self._read_back() == self._sending.sha256()
            if not self.valid:
                raise Failed("content", "verify", "SHA256", "what the server holds is not what was sent")

    async def close(self, *, keep: bool) -> None:
        """Ends the session and leaves nothing behind; what had to stay is said in log and method."""
        if self._data is not None:
            abort(self._data)
        try:
            if self._stored and not keep:
                async with asyncio.timeout(_TIDY):
                    await self._delete()
        except (Failed, TimeoutError) as error:
            self._ctx.log.warning(f"left on the server: {self._path} ({error or 'no answer in time'})")
            self._ctx.method(left_behind=True)
        finally:
            if self.completed is not None:
                await self._control.quit()
            self._control.close()

    async def _store(self, channel: DataChannel, start: int, stop: int | None) -> None:
        """One data connection: from byte `start` to the end (or to `stop`, where it is broken off)."""
        self._stored = True
        opened = await channel.transfer(f"STOR {self._path}", offset=start)
        self._data = opened.socket
        self._note(channel, opened)
        try:
            await self._send(opened.socket, start, stop)
        finally:
            abort(opened.socket)

    async def _send(self, sock: socket.socket, start: int, stop: int | None) -> None:
        """Sends, and listens all the while: a server that says no, says it in the middle."""
        answer = asyncio.create_task(
            self._control.ask("", "2xx", "transfer", name="STOR", timeout=_UNTIL_DRAINED)
        )
        sender = asyncio.create_task(self._sending.run(sock, start=start, stop=stop))
        try:
            await asyncio.wait({answer, sender}, return_when=asyncio.FIRST_COMPLETED)
            if not sender.done():
                await answer
                raise Failed("protocol", "transfer", "EARLY_ANSWER", "226 before the file had ended")
            try:
                sender.result()
            except (OSError, EOFError) as error:
                await asyncio.wait({answer}, timeout=_WORD)
                if answer.done():
                    answer.result()
                raise classify(error, "transfer") from None
            if stop is None:
                self._sending.end()
                await self._confirmed(answer)
        finally:
            answer.cancel()
            sender.cancel()
            await asyncio.gather(answer, sender, return_exceptions=True)

    async def _confirmed(self, answer: asyncio.Task[tuple[str, list[str]]]) -> None:
        """Waits for 226: as long as bytes are on their way the watch decides, from then on our timer."""
        deadline: float | None = None
        clock = self._ctx.clock
        while not answer.done():
            await asyncio.wait({answer}, timeout=TICK)
            if deadline is None and self._sending.drained:
                self._flow.finished = True
                deadline = clock.monotonic() + self._params.timeout
            if deadline is not None and clock.monotonic() > deadline and not answer.done():
                raise Failed(
                    "cutoff",
                    "transfer",
                    "NO_TRANSFER_COMPLETE",
                    "all was sent, and the server never said that the file is complete (226)",
                    retryable=True,
                )
        answer.result()

    async def _broken_off(self, channel: DataChannel, place: int) -> int:
        """Uploads the beginning, breaks the connection, and returns how much of it the server kept."""
        await self._store(channel, 0, place)
        # The broken transfer's own answer, whatever it is (426, 451, or 226 from a server that shrugs).
        with contextlib.suppress(Failed):
            await self._control.ask("", "2xx", "transfer", name="STOR")
        held = await self._control.size_of(self._path) or 0
        self._ctx.method(resumed_at=held)
        if held > self._sending.handed:
            raise Failed("content", "verify", "SIZE", f"the server holds {held} bytes, more than were sent")
        return held

    def _note(self, channel: DataChannel, opened: Opened) -> None:
        ctx, flow = self._ctx, self._flow
        flow.requests += 1
        flow.dials += 1
        ctx.record(session_metrics.DATA_CONNECT.key, opened.seconds)
        if flow.requested is None:
            flow.connect_start, flow.connected = opened.connect_start, opened.connected
            flow.requested = opened.asked
            ctx.mark("request_sent", t=opened.asked)
            ctx.method(data_connection=channel.mode)

    async def _read_back(self) -> str:
        assert self._channel is not None
        digest = hashlib.sha256()
        opened = await self._channel.transfer(f"RETR {self._path}")
        flow, meter, booked = Flow(0), Meter(1), 0

        def book() -> None:
            nonlocal booked
            self._ctx.budget.spend(received=flow.moved - booked)
            booked = flow.moved

        clock = self._ctx.clock
        try:
            async with asyncio.timeout(self._params.expected + self._params.timeout):
                await receive(
                    opened.socket,
                    flow,
                    meter,
                    clock,
                    clock.monotonic() + self._params.timeout,
                    digest.update,
                    book,
                )
        except (OSError, EOFError) as error:
            raise classify(error, "verify") from None
        finally:
            abort(opened.socket)
        await self._control.ask("", "2xx", "verify", name="RETR")
        return digest.hexdigest()

    async def _delete(self) -> None:
        """Over the session if it came to a good end, else over one of its own: nobody knows what the old one
        still wants to say."""
        if self.completed is not None:
            await self._control.ask(f"DELE {self._path}", "2xx", "teardown", timeout=_TIDY)
            return
        self._control.close()
        again = Control(self._ctx, self._target, self._params, self._address)
        try:
            await again.open()
            await again.ask(f"DELE {self._path}", "2xx", "teardown", timeout=_TIDY)
        except Failed as failure:
            # 550: it never came to be.
            if failure.error.code != "550":
                raise
        finally:
            again.close()
