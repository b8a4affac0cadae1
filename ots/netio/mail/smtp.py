"""One SMTP session over a connection that we dialled (RFC 5321, 3207, 4954, 8314).

The dialogue is ours, so that each phase begins and ends where METRICS says, an answer is heard in the middle
of the content, and every wait has an end. aiosmtplib reads EHLO's extensions and encodes the login.
"""

from __future__ import annotations

import socket

from aiosmtplib.esmtp import parse_esmtp_extensions

from ots.i18n import N_
from ots.model.outcome import Phase
from ots.netio.mail import smtp_metrics
from ots.netio.mail.account import Account
from ots.netio.mail.connection import GOODBYE, GREETING, Connection
from ots.netio.mail.login import Mechanism, choose, encoded, prove
from ots.netio.mail.message import Letter
from ots.netio.mail.outgoing import Answer, Outgoing
from ots.netio.mail.smtp_replies import read_answer, refusal
from ots.probe import Context, Failed

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
        self._connection = Connection(ctx, account)
        self._extensions: dict[str, str] = {}
        self._mechanisms: list[str] = []
        self._hidden: list[str] = []
        """Secrets that a server might repeat."""

    async def open(self) -> None:
        """Dials, waits for the banner, upgrades to TLS and logs in as the account says."""
        ctx, account, connection = self._ctx, self._account, self._connection
        account.refuse_unencrypted()
        ctx.mark(smtp_metrics.START)
        try:
            address = await ctx.net.resolve(account.target.host, account.route, timeout=account.timeout)
            connection.facts["address"] = address.ip
            await connection.dial(address)
            with connection.heard("banner", connection.ready):
                await self._ask("", "220", "login", name=GREETING)
            await self._hello()
            if account.must_upgrade("starttls" in self._extensions):
                await self._upgrade()
            if account.password is not None:
                await self._log_in(account.password)
        finally:
            ctx.method(**connection.facts)
            for phase, (start, seconds) in connection.phases.items():
                ctx.record(smtp_metrics.key_of(phase), seconds, t=start)

    async def send(self, letter: Letter, *, stall: float, timeout: float) -> None:
        """Hands the message over and returns once the server has accepted it. `Failed` otherwise."""
        ctx, lines = self._ctx, self._connection.lines
        ctx.record(smtp_metrics.CONTENT.key, len(letter.data))
        size = f" SIZE={len(letter.data)}" if "size" in self._extensions else ""
        await self._ask(f"MAIL FROM:<{letter.sender}>{size}", "2", "request", name="MAIL")
        await self._ask(f"RCPT TO:<{letter.recipient}>", "2", "request", name="RCPT")
        ctx.mark("request_sent")
        await self._ask("DATA", "354", "request")
        content = Outgoing(ctx, lines.socket, stall=stall, timeout=timeout)
        try:
            await content.send(letter.data, self._final_answer)
        except Failed as failure:
            # A refusal is an answer: the server has not taken it (RFC 5321 section 4.2.1).
            self.uncertain = content.handed and failure.error.class_ != "rejected"
            raise
        except BaseException:
            self.uncertain = content.handed
            raise
        finally:
            if content.begin is not None:
                ctx.mark("first_content", t=content.begin, source="socket")
        self.accepted = lines.arrived
        ctx.mark("completed", t=self.accepted, source="socket")
        assert content.left is not None
        ctx.record(smtp_metrics.ACCEPT.key, max(0.0, self.accepted - content.left))

    async def quit(self) -> None:
        """Says goodbye, if the dialogue got as far as that, and hangs up."""
        try:
            if self.accepted is not None:
                await self._ask("QUIT", "", "teardown", timeout=GOODBYE)
                self._ctx.mark("closed")
        except Failed as failure:
            self._ctx.log.debug(f"QUIT: {failure}")
        finally:
            self.close()

    def close(self) -> None:
        """Hangs up at once. The server throws away what has not ended with a dot (RFC 5321 section 3.9)."""
        self._connection.close()

    async def _hello(self) -> None:
        """EHLO, or HELO where that is not known (RFC 5321 section 3.2)."""
        name = _address_literal(self._connection.lines.socket)
        with self._connection.heard("ehlo"):
            try:
                _, lines = await self._ask(f"EHLO {name}", "2", "login")
            except Failed as failure:
                if failure.error.code not in ("500", "502", "504"):
                    raise
                _, lines = await self._ask(f"HELO {name}", "2", "login")
                lines = lines[:1]
        self._extensions, mechanisms = parse_esmtp_extensions("\n".join(lines))
        self._mechanisms = [mechanism.lower() for mechanism in mechanisms]

    async def _upgrade(self) -> None:
        """STARTTLS. What the server said before is forgotten (RFC 3207 section 4.2)."""
        with self._connection.timing("starttls"):
            await self._ask("STARTTLS", "220", "tls")
            await self._connection.upgrade()
        await self._hello()

    async def _log_in(self, reference: str) -> None:
        user, connection = self._account.user, self._connection
        if not user:
            raise Failed("config", "config", "NO_USER", "a password needs a user", remedy=N_("Give a user."))
        password = self._ctx.secret(reference)
        mechanism = choose(self._mechanism, self._mechanisms, encrypted=connection.facts["tls"] != "none")
        connection.facts["auth"] = mechanism
        self._hidden = [password, *encoded(user, password)]
        with connection.heard("login"):
            await prove(mechanism, user, password, self._exchange)
        self._ctx.mark("logged_in", t=connection.lines.arrived, source="socket")

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
        asked = name or command.partition(" ")[0]
        if command and self._connection.lines.waiting:
            await self._unasked(phase)
        with self._connection.asking(phase, asked, timeout=timeout):
            if command:
                await self._connection.lines.write(command.encode() + b"\r\n")
            code, lines = await read_answer(self._readline, phase, asked)
        if not code.startswith(expected):
            raise refusal(code, lines, phase, asked)
        return code, lines

    async def _unasked(self, phase: Phase) -> None:
        """Something was said that answers no command: a goodbye (421), or answers in advance."""
        with self._connection.asking(phase, "server"):
            code, lines = await read_answer(self._readline, phase, "server")
        if code[:1] in ("4", "5"):
            raise refusal(code, lines, phase, "server")
        raise Failed("protocol", phase, "UNASKED", f"an answer to nothing: {code} {lines[-1]}"[:200])

    async def _readline(self) -> str:
        line = (await self._connection.lines.readline()).decode().rstrip("\n")
        for secret in filter(None, self._hidden):
            line = line.replace(secret, "***")
        return line


def _address_literal(sock: socket.socket) -> str:
    """Who says hello: our address, for nobody knows a client's name (RFC 5321 section 4.1.3)."""
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
