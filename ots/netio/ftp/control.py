"""The control connection: aioftp leads the dialogue, over a connection that we dialled.

Every command has a deadline, every way in which it can go wrong becomes one `Failed` with its phase.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import aioftp

from ots.model.outcome import Phase
from ots.netio.errors import classify
from ots.netio.ftp.params import ANONYMOUS, FTPParams
from ots.netio.ftp.replies import refusal
from ots.netio.lines import Lines
from ots.netio.tls import client_context
from ots.probe import Address, Context, Failed, Target

_GOODBYE = 1.0
"""Seconds that a server gets to answer QUIT."""

NOT_IMPLEMENTED = ("500", "501", "502", "503", "504", "522")
"""Replies of a server that does not know a command (RFC 959, RFC 2428 section 3)."""


class _Dialogue(aioftp.Client):
    """aioftp's client on lines of ours; it never opens a connection of its own."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(encoding="utf-8")
        # Typed as aioftp's own stream; what a dialogue uses of it (readline, write, close) is here.
        stream: Any = lines
        self._stream = stream
        self.fresh = True
        """The next line is the first of an answer."""

    async def parse_line(self) -> tuple[aioftp.Code, str]:
        """One line; the first of an answer has to begin with a code (RFC 959 section 4.2)."""
        code, rest = await super().parse_line()
        if self.fresh and not (code.isascii() and code.isdigit()):
            raise Failed("protocol", "request", "BAD_REPLY", f"no FTP: {code}{rest}"[:200])
        self.fresh = False
        return code, rest


class Control:
    """One control connection, from its dialling to QUIT."""

    def __init__(self, ctx: Context, target: Target, params: FTPParams, address: Address) -> None:
        self.address = address
        self.connect_start: float | None = None
        self.connected: float | None = None
        self.login_seconds: float | None = None
        self.tls: ssl.SSLContext | None = None
        self.tls_facts: dict[str, Any] = {}
        self._ctx = ctx
        self._target = target
        self._params = params
        self._lines: Lines | None = None
        self._dialogue: _Dialogue | None = None

    async def open(self) -> None:
        """Dials, upgrades to TLS if asked, logs in, and asks for the binary type. Marks `logged_in`."""
        ctx, params = self._ctx, self._params
        implicit = self._target.scheme == "ftps"
        if implicit or params.tls == "explicit":
            # A data connection resumes the session of its control connection: many servers insist on it.
            self.tls = client_context(verify=params.verify, ca_file=params.ca_file, resumable=True)
        self.connect_start = ctx.clock.monotonic()
        sock = await ctx.net.dial(self.address, self._target.port or 21, params.route, timeout=params.timeout)
        self.connected = ctx.clock.monotonic()
        self._lines = Lines(sock, ctx.clock)
        self._dialogue = _Dialogue(self._lines)
        if implicit:
            await self._shake_hands()
        await self.ask("", "2xx", "login", name="greeting", wait=("120",))
        if params.tls == "explicit" and not implicit:
            await self._upgrade()
        if self.tls is not None:
            await self.ask("PBSZ 0", "2xx", "tls")
            await self.ask("PROT P", "2xx", "tls")
        await self._log_in()
        self.login_seconds = ctx.clock.monotonic() - self.connect_start
        ctx.mark("logged_in")
        await self.ask("TYPE I", "2xx", "request")

    async def ask(
        self,
        command: str,
        expected: str | tuple[str, ...],
        phase: Phase,
        *,
        name: str | None = None,
        wait: str | tuple[str, ...] = (),
        timeout: float | None = None,
    ) -> tuple[str, list[str]]:
        """Sends a command (none, if empty) and returns code and lines of the answer.

        `Failed` where the code is not `expected` (aioftp's masks: `2xx`), or none comes in time. `wait` are
        codes after which another answer follows. `name` stands for the command in messages.
        """
        assert self._dialogue is not None and self._lines is not None
        asked = name or command.partition(" ")[0]
        self._dialogue.fresh = True
        self._lines.expect(self._ctx.clock.monotonic() + (timeout or self._params.timeout))
        try:
            answer = await self._dialogue.command(command or None, expected, wait)
        except aioftp.StatusCodeError as error:
            raise refusal(str(error.received_codes[-1]), error.info, phase, asked) from None
        except Failed as failure:
            # The lines know what is wrong with them, not when.
            error_class, code = failure.error.class_, failure.error.code
            raise Failed(error_class, phase, code, f"{asked}: {failure.error.message}") from None
        except (OSError, EOFError) as error:
            raise classify(error, phase, self._broken(error, asked)) from None
        except aioftp.AIOFTPException:
            raise Failed("config", "config", "BAD_PATH", "a path can't hold the end of a line") from None
        assert answer is not None
        return str(answer[0]), answer[1]

    async def size_of(self, path: str) -> int | None:
        """Bytes of a file by SIZE (RFC 3659 section 4), None where the server can't or won't tell."""
        try:
            _, lines = await self.ask(f"SIZE {path}", "213", "request")
        except Failed as failure:
            if failure.error.code[:1] == "5":
                return None
            raise
        text = lines[-1].strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    @property
    def socket(self) -> socket.socket:
        assert self._lines is not None
        return self._lines.socket

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session as it is now: TLS 1.3 brings it after the handshake."""
        sock = None if self._lines is None else self._lines.socket
        return sock.session if isinstance(sock, ssl.SSLSocket) else None

    @property
    def server_name(self) -> str:
        """The name that the server's certificate has to hold."""
        return self._target.host

    async def quit(self) -> None:
        """Says goodbye if there is somebody to say it to, and closes."""
        if self._lines is None:
            return
        try:
            await self.ask("QUIT", "xxx", "teardown", timeout=_GOODBYE)
        except Failed as failure:
            self._ctx.log.debug(f"QUIT: {failure}")
        finally:
            self.close()

    def close(self) -> None:
        """Hangs up at once."""
        if self._lines is not None:
            self._lines.close()

    async def _upgrade(self) -> None:
        try:
            await self.ask("AUTH TLS", "234", "tls")
        except Failed as failure:
            if failure.error.code[:1] in ("4", "5"):
                raise Failed(
                    "tls", "tls", failure.error.code, f"the server offers no TLS: {failure.error.message}"
                ) from None
            raise
        await self._shake_hands()

    async def _shake_hands(self) -> None:
        assert self._lines is not None and self.tls is not None
        stream = await self._ctx.net.tls(
            self._lines.socket, self._target.host, self.tls, timeout=self._params.timeout
        )
        self._lines.upgrade(stream.socket)
        self.tls_facts = {"tls_version": stream.version, "tls_cipher": stream.cipher}

    async def _log_in(self) -> None:
        params = self._params
        user = params.user or self._target.user or ANONYMOUS
        if params.password is not None:
            password = self._ctx.secret(params.password)
        else:
            # What servers have expected of anonymous users since RFC 1635: something like an address.
            password = "ots@" if user == ANONYMOUS else ""
        code, lines = await self.ask(f"USER {user}", ("230", "33x"), "login")
        if code == "331":
            code, lines = await self.ask(f"PASS {password}", ("2xx", "33x"), "login")
        if code[:1] != "2":
            raise refusal(code, lines, "login", "PASS")

    def _broken(self, error: OSError | EOFError, asked: str) -> str:
        if isinstance(error, EOFError):
            return f"{asked}: the server closed the control connection"
        if isinstance(error, TimeoutError) and error.errno is None:
            return f"{asked}: no answer within {self._params.timeout:g} s"
        return ""
