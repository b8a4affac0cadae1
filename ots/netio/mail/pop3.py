"""A mailbox read by POP3 (RFC 1939, 2449, 2595, 5034): every look at it is a session of its own.

A session sees the mailbox as it was when it logged in (RFC 1939 section 3), so that new mail shows only in
the next one. The newest message is the one with the highest number, as all servers do it; nothing is listed
that isn't needed, however many messages there are.
"""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Literal

from ots.i18n import N_
from ots.netio.mail.account import Account
from ots.netio.mail.connection import GOODBYE, GREETING, Connection, Span
from ots.netio.mail.dots import Undotted
from ots.netio.mail.download import Download
from ots.netio.mail.mailbox import Arrival, Found
from ots.netio.mail.pop3_dialogue import PIECE, Dialogue, number_in
from ots.probe import Address, Context, Failed

INBOX = "INBOX"

LOOK_BACK = 50
"""Messages that a search looks at, the newest. Fewer than with IMAP, for each costs a round trip."""

_LONGEST_HEADER = 256 << 10
_MOST_CAPABILITIES = 64 << 10


class POP3Mailbox:
    """Implements `ots.netio.mail.mailbox.Mailbox`, one session after the other."""

    service: Literal["pop3"] = "pop3"

    def __init__(self, ctx: Context, account: Account) -> None:
        self._ctx = ctx
        self._account = account
        self._address: Address | None = None
        self._connection = Connection(ctx, account)
        self._dialogue = Dialogue(self._connection)
        self._capabilities: dict[str, str] = {}
        self._logged_in = False
        self._deleting = False
        self.phases: dict[str, Span] = self._connection.phases
        self.facts = self._connection.facts
        self.messages = 0

    async def open(self) -> None:
        ctx, account = self._ctx, self._account
        account.refuse_unencrypted()
        self._address = await ctx.net.resolve(account.target.host, account.route, timeout=account.timeout)
        self.facts["address"] = self._address.ip
        await self._session()
        ctx.mark("logged_in")

    async def headers(self, count: int) -> int:
        listed = range(self.messages, max(0, self.messages - count), -1)
        for number in listed:
            await self._header(number)
        return len(listed)

    async def newest(self) -> Found | None:
        return await self._found(self.messages) if self.messages else None

    async def find(self, token: str, *, everywhere: bool = False) -> list[Found]:
        return await self._look(token, max(0, self.messages - LOOK_BACK))

    async def arrival(self, token: str, until: float, poll: float) -> Arrival | None:
        first, known = True, max(0, self.messages - LOOK_BACK)
        while True:
            looked = self._connection.now
            try:
                if not first:
                    await self._again()
            except Failed as failure:
                if not failure.error.retryable or looked >= until:
                    raise
                self._ctx.log.info(f"looking again later: {failure}")
                await self._pause(looked, until, poll)
                continue
            seen = self._connection.lines.arrived
            if self.messages < known:
                # Somebody has deleted messages, and the numbers of the others have changed.
                known = max(0, self.messages - LOOK_BACK)
            if found := await self._look(token, known):
                return Arrival(found[0], seen, "search" if first else "poll", 0.0 if first else poll)
            if looked >= until:
                return None
            first, known = False, self.messages
            await self._pause(looked, until, poll)

    async def fetch(self, found: Found, download: Download) -> None:
        if found.size is not None:
            download.expect(found.size)
        download.ask()
        try:
            await self._dialogue.ask(f"RETR {found.number}", "transfer")
            with self._connection.asking("transfer", "RETR"):
                await self._receive(download)
        except Failed as failure:
            raise download.failed(failure) from None
        if download.first is None:
            raise Failed("content", "transfer", "EMPTY_MESSAGE", "RETR: the server sent no message")
        download.complete(self._connection.lines.arrived)

    async def _receive(self, download: Download) -> None:
        """The message: as long as some of it comes in time, it is not late."""
        lines, dots = self._connection.lines, Undotted()
        rest: bytes | None = None
        while rest is None:
            lines.until = self._connection.now + self._account.timeout
            try:
                piece = await lines.content(PIECE)
            except (OSError, EOFError) as error:
                raise self._connection.broken(error, download) from None
            content, rest = dots.feed(piece)
            download.take(content, lines.arrived)
            # A sender that is always ahead would keep the loop from everybody else.
            await asyncio.sleep(0)
        lines.give_back(rest)

    async def delete(self, found: Found) -> None:
        """Marks it; the server removes it when the session ends with QUIT (RFC 1939 section 6)."""
        await self._dialogue.ask(f"DELE {found.number}", "teardown")
        self._deleting = True

    async def close(self) -> None:
        try:
            if self._logged_in and self._connection.sound:
                await self._dialogue.ask("QUIT", "teardown", timeout=None if self._deleting else GOODBYE)
        except Failed as failure:
            if self._deleting:
                raise
            self._ctx.log.debug(f"QUIT: {failure}")
        finally:
            self._logged_in = self._deleting = False
            self._connection.close()

    async def _pause(self, looked: float, until: float, poll: float) -> None:
        await asyncio.sleep(max(0.0, min(until, looked + poll) - self._connection.now))

    async def _again(self) -> None:
        """A new session, which sees what has come meanwhile."""
        await self.close()
        self._connection = Connection(self._ctx, self._account)
        self._dialogue = Dialogue(self._connection)
        await self._session()

    async def _session(self) -> None:
        """Connects, secures, logs in, and asks how many messages there are."""
        assert self._address is not None
        connection, account = self._connection, self._account
        await connection.dial(self._address)
        with connection.heard("greeting", connection.ready):
            await self._dialogue.ask("", "login", name=GREETING)
        await self._ask_capabilities()
        if account.must_upgrade("STLS" in self._capabilities):
            await self._upgrade()
        await self._log_in()
        self._logged_in = True
        with connection.heard("inbox"):
            text = await self._dialogue.ask("STAT", "request")
        self.messages = number_in(text, 0, "STAT")

    async def _ask_capabilities(self) -> None:
        """CAPA, which old servers don't know (RFC 2449)."""
        self._capabilities = {}
        try:
            await self._dialogue.ask("CAPA", "login")
        except Failed as failure:
            if failure.error.class_ != "rejected":
                raise
            return
        listed = await self._dialogue.many("CAPA", "login", _MOST_CAPABILITIES)
        for line in listed.decode("ascii", "replace").upper().splitlines():
            name, _, arguments = line.partition(" ")
            self._capabilities[name] = arguments

    async def _upgrade(self) -> None:
        with self._connection.timing("starttls"):
            try:
                await self._dialogue.ask("STLS", "tls")
            except Failed as failure:
                error = failure.error
                if error.class_ != "rejected":
                    raise
                raise Failed("tls", "tls", error.code, error.message) from None
            await self._connection.upgrade()
        # What was said in plain text is not believed (RFC 2595 section 4).
        await self._ask_capabilities()

    async def _log_in(self) -> None:
        account = self._account
        if not account.user:
            raise Failed("config", "config", "NO_USER", "a mailbox needs a user", remedy=N_("Give a user."))
        password = "" if account.password is None else self._ctx.secret(account.password)
        if any(char in account.user + password for char in "\r\n\0"):
            raise Failed("config", "config", "BAD_TEXT", "user and password can't hold the end of a line")
        offered = self._capabilities
        plain = "USER" not in offered and "PLAIN" in offered.get("SASL", "").split()
        self.facts["auth"] = "plain" if plain else "user/pass"
        encoded = base64.b64encode(f"\0{account.user}\0{password}".encode()).decode()
        with self._connection.heard("login"):
            if plain:
                await self._dialogue.ask(f"AUTH PLAIN {encoded}", "login", hide=(password, encoded))
            else:
                await self._dialogue.ask(f"USER {account.user}", "login")
                await self._dialogue.ask(f"PASS {password}", "login", hide=(password,))

    async def _look(self, token: str, above: int) -> list[Found]:
        """The messages numbered above `above` whose subject or Message-ID holds the token, newest first."""
        found = []
        for number in range(self.messages, above, -1):
            if _mentions(await self._header(number), token):
                found.append(await self._found(number))
        return found

    async def _found(self, number: int) -> Found:
        text = await self._dialogue.ask(f"LIST {number}", "request")
        return Found(INBOX, number, number_in(text, 1, "LIST"))

    async def _header(self, number: int) -> bytes:
        try:
            await self._dialogue.ask(f"TOP {number} 0", "request")
        except Failed as failure:
            if failure.error.class_ == "rejected" and "TOP" not in self._capabilities:
                raise Failed("unsupported", "request", "TOP", failure.error.message) from None
            raise
        return await self._dialogue.many("TOP", "request", _LONGEST_HEADER)


def _mentions(header: bytes, token: str) -> bool:
    """Whether the Subject or the Message-ID of a header holds the token, folded or not (RFC 5322 2.2.3)."""
    unfolded = re.sub(rb"\r?\n[ \t]+", b" ", header).decode("latin-1").lower()
    return any(
        token.lower() in line
        for line in unfolded.splitlines()
        if line.startswith(("subject:", "message-id:"))
    )
