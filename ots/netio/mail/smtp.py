"""One SMTP session over a connection that we dialled (RFC 5321, 3207, 4954, 8314).

The dialogue is ours, so that each phase begins and ends where METRICS says, an answer is heard in the middle
of the content, and every wait has an end. aiosmtplib reads EHLO's extensions and encodes the login.
"""

from __future__ import annotations

import socket

from aiosmtplib.esmtp import parse_esmtp_extensions

from ots.i18n import N_
from ots.model.outcome import Phase
from ots.netio.connection_metrics import TCP_CONNECT_SECONDS
from ots.netio.dial import connect_time
from ots.netio.errors import classify
from ots.netio.lines import Lines
from ots.netio.mail import smtp_metrics
from ots.netio.mail.account import Account
from ots.netio.mail.login import Mechanism, choose, prove
from ots.netio.mail.message import Letter
from ots.netio.mail.outgoing import Answer, Outgoing
from ots.netio.mail.smtp_replies import read_answer, refusal
from ots.netio.tls import client_context
from ots.probe import Context, Failed

_PORT = 25
_GOODBYE = 1.0
"""Seconds that a server gets to answer QUIT."""

_FOR_EVER = float(1 << 30)


class SMTPSession:
    """From dialling to QUIT. Marks the trigger points of the attempt and records the phases."""

    def __init__(self, ctx: Context, account: Account, mechanism: Mechanism) -> None:
        self.accepted: float | None = None
        """When the server said 250 to the message."""
        self.uncertain = False
        """All of the message was sent, and whether the server took it is not known."""
        self._ctx = ctx
        self._account = account
        self._mechanism = mechanism
        self._lines: Lines | None = None
        self._extensions: dict[str, str] = {}
        self._mechanisms: list[str] = []
        self._encrypted = False

    async def open(self) -> None:
        """Dials, waits for the banner, upgrades to TLS and logs in as the account says."""
        ctx, account = self._ctx, self._account
        account.refuse_unencrypted()
        address = await ctx.net.resolve(account.target.host, account.route, timeout=account.timeout)
        ctx.method(address=address.ip)
        dialled = ctx.clock.monotonic()
        sock = await ctx.net.dial(
            address, account.target.port or _PORT, account.route, timeout=account.timeout
        )
        self._lines = Lines(sock, ctx.clock)
        connected = ctx.clock.monotonic()
        took, stamps = connect_time(sock, connected - dialled)
        ctx.record(TCP_CONNECT_SECONDS.key, took)
        ctx.method(connect_stamps=stamps)
        if account.implicit:
            handshake = await self._shake_hands()
            ctx.record(smtp_metrics.HANDSHAKE.key, handshake)
            connected = ctx.clock.monotonic()
        await self._greeting()
        ctx.record(smtp_metrics.BANNER.key, self._lines.arrived - connected)
        await self._hello()
        if account.must_upgrade("starttls" in self._extensions):
            await self._upgrade()
        ctx.method(tls="implicit" if account.implicit else "starttls" if self._encrypted else "none")
        if account.password is not None:
            await self._log_in(account.password)

    async def send(self, letter: Letter, *, stall: float, timeout: float) -> None:
        """Hands the message over and returns once the server has accepted it. `Failed` otherwise."""
        ctx = self._ctx
        assert self._lines is not None
        ctx.record(smtp_metrics.CONTENT.key, len(letter.data))
        size = f" SIZE={len(letter.data)}" if "size" in self._extensions else ""
        await self._ask(f"MAIL FROM:<{letter.sender}>{size}", "2", "request", name="MAIL")
        await self._ask(f"RCPT TO:<{letter.recipient}>", "2", "request", name="RCPT")
        ctx.mark("request_sent")
        await self._ask("DATA", "354", "request")
        content = Outgoing(ctx, self._lines.socket, stall=stall, timeout=timeout)
        try:
            await content.send(letter.data, self._final_answer)
        finally:
            if content.begin is not None:
                ctx.mark("first_content", t=content.begin, source="socket")
            self.uncertain = content.handed
        self.uncertain = False
        self.accepted = self._lines.arrived
        ctx.mark("completed", t=self.accepted, source="socket")
        assert content.left is not None
        ctx.record(smtp_metrics.ACCEPT.key, max(0.0, self.accepted - content.left))

    async def quit(self) -> None:
        """Says goodbye, if the dialogue got as far as that, and hangs up."""
        if self._lines is None:
            return
        try:
            if self.accepted is not None:
                await self._ask("QUIT", "", "teardown", timeout=_GOODBYE)
                self._ctx.mark("closed")
        except Failed as failure:
            self._ctx.log.debug(f"QUIT: {failure}")
        finally:
            self.close()

    def close(self) -> None:
        """Hangs up at once. The server throws away what has not ended with a dot (RFC 5321 section 3.9)."""
        if self._lines is not None:
            self._lines.close()

    async def _greeting(self) -> None:
        try:
            await self._ask("", "220", "login", name="banner")
        except Failed as failure:
            if failure.error.class_ == "timeout" and not self._account.implicit:
                raise Failed(
                    "timeout",
                    "login",
                    failure.error.code,
                    failure.error.message,
                    retryable=True,
                    remedy=N_("A server that says nothing may expect TLS from the start: try smtps://."),
                ) from None
            raise

    async def _hello(self) -> None:
        """EHLO, or HELO where that is not known (RFC 5321 section 3.2)."""
        assert self._lines is not None
        name = _address_literal(self._lines.socket)
        started = self._ctx.clock.monotonic()
        try:
            _, lines = await self._ask(f"EHLO {name}", "2", "login")
        except Failed as failure:
            if failure.error.code not in ("500", "502", "504"):
                raise
            _, lines = await self._ask(f"HELO {name}", "2", "login")
            lines = lines[:1]
        self._ctx.record(smtp_metrics.EHLO.key, self._lines.arrived - started)
        extensions, mechanisms = parse_esmtp_extensions("\n".join(lines))
        self._extensions = extensions
        self._mechanisms = [mechanism.lower() for mechanism in mechanisms]

    async def _upgrade(self) -> None:
        """STARTTLS. What the server said before is forgotten (RFC 3207 section 4.2)."""
        clock = self._ctx.clock
        started = clock.monotonic()
        await self._ask("STARTTLS", "220", "tls")
        await self._shake_hands()
        self._ctx.record(smtp_metrics.STARTTLS.key, clock.monotonic() - started)
        await self._hello()

    async def _shake_hands(self) -> float:
        assert self._lines is not None
        account = self._account
        context = client_context(verify=account.verify, ca_file=account.ca_file)
        stream = await self._ctx.net.tls(
            self._lines.socket, account.target.host, context, timeout=account.timeout
        )
        self._lines.upgrade(stream.socket)
        self._encrypted = True
        self._ctx.method(tls_version=stream.version, tls_cipher=stream.cipher)
        return stream.seconds

    async def _log_in(self, reference: str) -> None:
        ctx, user = self._ctx, self._account.user
        assert self._lines is not None
        if not user:
            raise Failed("config", "config", "NO_USER", "a password needs a user", remedy=N_("Give a user."))
        password = ctx.secret(reference)
        mechanism = choose(self._mechanism, self._mechanisms, encrypted=self._encrypted)
        ctx.method(auth=mechanism)
        started = ctx.clock.monotonic()
        await prove(mechanism, user, password, self._exchange)
        ctx.record(smtp_metrics.LOGIN.key, self._lines.arrived - started)
        ctx.mark("logged_in", t=self._lines.arrived, source="socket")

    async def _exchange(self, line: str, expected: str) -> str:
        _, lines = await self._ask(line, expected, "login", name="AUTH")
        return lines[-1]

    async def _final_answer(self) -> Answer:
        return await self._ask("", "2", "transfer", name="message", timeout=_FOR_EVER)

    async def _ask(
        self,
        command: str,
        expected: str,
        phase: Phase,
        *,
        name: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Sends a command (none, if empty) and returns code and lines of the answer.

        `Failed` where the code does not begin with `expected`, or none comes in time. `name` stands for the
        command in messages, for it may hold a secret.
        """
        assert self._lines is not None
        asked = name or command.partition(" ")[0]
        limit = timeout or self._account.timeout
        self._lines.expect(self._ctx.clock.monotonic() + limit)
        try:
            if command:
                await self._lines.write(command.encode() + b"\r\n")
            code, lines = await read_answer(self._lines.readline)
        except Failed as failure:
            error_class, code = failure.error.class_, failure.error.code
            raise Failed(error_class, phase, code, f"{asked}: {failure.error.message}") from None
        except (OSError, EOFError) as error:
            raise classify(error, phase, _broken(error, asked, limit)) from None
        if not code.startswith(expected):
            raise refusal(code, lines, phase, asked)
        return code, lines


def _broken(error: OSError | EOFError, asked: str, limit: float) -> str:
    if isinstance(error, EOFError):
        return f"{asked}: the server closed the connection"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"{asked}: no answer within {limit:g} s"
    return ""


def _address_literal(sock: socket.socket) -> str:
    """Who says hello: our address, for nobody knows a client's name (RFC 5321 section 4.1.3)."""
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
