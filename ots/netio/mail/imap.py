"""A mailbox read by IMAP (RFC 3501, 9051): STARTTLS, IDLE, and a search that never lists the whole mailbox.

Folders are opened read-only and messages are peeked at, so that nothing changes for who reads them; only
`delete` opens for writing.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Literal

from ots.i18n import N_
from ots.model.outcome import Phase
from ots.netio.mail import imap_words as words
from ots.netio.mail.account import Account
from ots.netio.mail.connection import GOODBYE, Connection
from ots.netio.mail.download import Download
from ots.netio.mail.imap_dialogue import Dialogue, refusal
from ots.netio.mail.mailbox import LOOK_BACK, Arrival, Found
from ots.probe import Context, Failed

INBOX = "INBOX"

_OWN_LOOK_BACK = 50
"""Messages whose headers are looked through where the server knows no such search."""

_MOST_FOLDERS = 50
"""Folders beside the inbox in which a message is looked for."""

_REISSUE = 25 * 60.0
"""Seconds after which IDLE is asked anew: servers may end it after 30 minutes (RFC 2177)."""

_HEADERS = "BODY.PEEK[HEADER.FIELDS (DATE FROM TO SUBJECT MESSAGE-ID)]"


class IMAPMailbox:
    """Implements `ots.netio.mail.mailbox.Mailbox` over one session."""

    service: Literal["imap"] = "imap"

    def __init__(self, ctx: Context, account: Account) -> None:
        self._ctx = ctx
        self._account = account
        self._connection = Connection(ctx, account)
        self._dialogue = Dialogue(self._connection)
        self._open = ("", False)
        """The open folder, and whether it is open for writing."""
        self._folders: list[words.Folder] | None = None
        self._logged_in = False
        self.phases = self._connection.phases
        self.facts = self._connection.facts
        self.messages = 0

    async def open(self) -> None:
        ctx, account, connection, dialogue = self._ctx, self._account, self._connection, self._dialogue
        account.refuse_unencrypted()
        address = await ctx.net.resolve(account.target.host, account.route, timeout=account.timeout)
        self.facts["address"] = address.ip
        await connection.dial(address)
        with connection.heard("greeting", connection.ready):
            await dialogue.greeting()
        await self._capabilities()
        if account.must_upgrade("STARTTLS" in dialogue.capabilities):
            await self._upgrade()
        await self._log_in()
        self._logged_in = True
        ctx.mark("logged_in")
        await self._capabilities()
        self.facts["idle"] = "IDLE" in dialogue.capabilities
        if "ID" in dialogue.capabilities:
            # Some large providers open no folder for who has not said his name (RFC 2971).
            await dialogue.command('ID ("name" "ots")', "login")
        with connection.heard("inbox"):
            await self._select(INBOX)

    async def headers(self, count: int) -> int:
        if not self.messages:
            return 0
        first = max(1, self.messages - count + 1)
        answer = await self._dialogue.ask(f"FETCH {first}:* (UID RFC822.SIZE {_HEADERS})", "request")
        return len(words.sized(answer.untagged))

    async def newest(self) -> Found | None:
        await self._select(INBOX)
        if not self.messages:
            return None
        answer = await self._dialogue.ask("FETCH * (UID RFC822.SIZE)", "request")
        known = words.sized(answer.untagged)
        if not known:
            raise Failed("protocol", "request", "BAD_RESPONSE", "FETCH: no word of the newest message")
        return Found(INBOX, known[-1].uid, known[-1].size)

    async def find(self, token: str, *, everywhere: bool = False) -> list[Found]:
        found = await self._search(words.Folder(INBOX, spam=False), token)
        if everywhere:
            for folder in await self._others():
                found += await self._search(folder, token)
            await self._select(INBOX)
        return found

    async def arrival(self, token: str, until: float, poll: float) -> Arrival | None:
        inbox = words.Folder(INBOX, spam=False)
        dialogue, lines = self._dialogue, self._connection.lines
        can_idle = "IDLE" in dialogue.capabilities
        first, told = True, None
        while True:
            looked = self._connection.now
            if not first and told is None:
                for folder in await self._others():
                    if found := await self._search(folder, token):
                        return Arrival(found[0], lines.arrived, "poll", poll)
            await self._select(INBOX)
            known = dialogue.exists
            if found := await self._search(inbox, token):
                if told is not None:
                    return Arrival(found[0], told, "idle", 0.0)
                if first:
                    return Arrival(found[0], lines.arrived, "search", 0.0)
                # While the other folders were looked at, nobody told of it.
                return Arrival(found[0], lines.arrived, "poll", lines.arrived - looked if can_idle else poll)
            if looked >= until:
                return None
            first = False
            if dialogue.exists > known:
                # It came while the server was searching.
                told = lines.arrived
            else:
                told = await self._news(min(until, looked + poll), can_idle)

    async def _news(self, until: float, can_idle: bool) -> float | None:
        """Waits for a new message in the inbox, or the time of the next look; when the server told of one."""
        if can_idle:
            return await self._dialogue.idle(min(until, self._connection.now + _REISSUE))
        await asyncio.sleep(max(0.0, until - self._connection.now))
        await self._dialogue.ask("NOOP", "delivery")
        return None

    async def fetch(self, found: Found, download: Download) -> None:
        await self._select(found.folder)
        if found.size is not None:
            download.expect(found.size)
        try:
            await self._dialogue.ask(
                f"UID FETCH {found.number} (BODY.PEEK[])", "transfer", name="FETCH", download=download
            )
        except Failed as failure:
            raise download.failed(failure) from None
        if download.first is None:
            raise Failed("content", "transfer", "EMPTY_MESSAGE", "FETCH: the server sent no message")
        download.complete(self._connection.lines.arrived)

    async def delete(self, found: Found) -> None:
        await self._select(found.folder, write=True)
        dialogue, uid = self._dialogue, found.number
        alone = "UIDPLUS" in dialogue.capabilities or not await self._deleted_already()
        await dialogue.ask(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)", "teardown", name="STORE")
        if not alone:
            # EXPUNGE would remove what others have marked, too (RFC 4315 section 2.1).
            self._ctx.log.warning(f"message {uid} in {found.folder} is marked as deleted, not removed")
        elif "UIDPLUS" in dialogue.capabilities:
            await dialogue.ask(f"UID EXPUNGE {uid}", "teardown", name="EXPUNGE")
        else:
            await dialogue.ask("EXPUNGE", "teardown")

    async def close(self) -> None:
        try:
            if self._logged_in and self._connection.sound:
                await self._dialogue.command("LOGOUT", "teardown", timeout=GOODBYE)
        except Failed as failure:
            self._ctx.log.debug(f"LOGOUT: {failure}")
        finally:
            self._connection.close()

    async def _capabilities(self) -> None:
        if not self._dialogue.capabilities:
            await self._dialogue.ask("CAPABILITY", "login")

    async def _upgrade(self) -> None:
        connection = self._connection
        with connection.timing("starttls"):
            answer = await self._dialogue.command("STARTTLS", "tls")
            if answer.status != "OK":
                raise Failed("tls", "tls", answer.code or answer.status, f"STARTTLS: {answer.text}")
            await connection.upgrade()
        # What was said in plain text is not believed (RFC 3501 section 6.2.1).
        self._dialogue.capabilities = frozenset()
        await self._capabilities()

    async def _log_in(self) -> None:
        account, dialogue = self._account, self._dialogue
        if not account.user:
            raise Failed("config", "config", "NO_USER", "a mailbox needs a user", remedy=N_("Give a user."))
        password = "" if account.password is None else self._ctx.secret(account.password)
        plain = "AUTH=PLAIN" in dialogue.capabilities
        if not plain and "LOGINDISABLED" in dialogue.capabilities:
            raise Failed(
                "rejected",
                "login",
                "LOGINDISABLED",
                "the server takes no password here",
                remedy=N_("It may take one within TLS: let tls be auto or starttls, or use imaps://."),
            )
        self.facts["auth"] = "plain" if plain else "login"
        encoded = base64.b64encode(f"\0{account.user}\0{password}".encode()).decode()
        # A server may say anew what it can do, and has to be asked if it doesn't.
        offered, dialogue.capabilities = dialogue.capabilities, frozenset()
        more: bytes | None = None
        if not plain:
            name, text = "LOGIN", f"LOGIN {words.quoted(account.user)} {words.quoted(password)}"
        elif "SASL-IR" in offered:
            name, text = "AUTHENTICATE", f"AUTHENTICATE PLAIN {encoded}"
        else:
            name, text, more = "AUTHENTICATE", "AUTHENTICATE PLAIN", encoded.encode()
        with self._connection.heard("login"):
            answer = await dialogue.command(text, "login", name=name, more=more)
            if answer.status != "OK":
                raise refusal(answer, "login", name, hide=(password, encoded))

    async def _select(self, folder: str, *, write: bool = False, phase: Phase = "request") -> None:
        if self._open == (folder, write):
            return
        self._open = ("", False)
        self._dialogue.exists = 0
        verb = "SELECT" if write else "EXAMINE"
        await self._dialogue.ask(f"{verb} {words.quoted(folder)}", phase)
        self._open = (folder, write)
        if folder == INBOX:
            self.messages = self._dialogue.exists

    async def _search(self, folder: words.Folder, token: str) -> list[Found]:
        await self._select(folder.name)
        count = self._dialogue.exists
        if folder.name == INBOX:
            self.messages = count
        if not count:
            return []
        first = max(1, count - LOOK_BACK + 1)
        key = words.quoted(token)
        answer = await self._dialogue.command(
            f"UID SEARCH {first}:* OR HEADER Message-ID {key} SUBJECT {key}", "request", name="SEARCH"
        )
        if answer.status == "OK":
            numbers = words.numbers(answer.untagged)
        else:
            numbers = await self._look(max(first, count - _OWN_LOOK_BACK + 1), token)
        return [Found(folder.name, uid, spam=folder.spam) for uid in numbers[::-1]]

    async def _look(self, first: int, token: str) -> list[int]:
        """The UIDs of a search that the server won't do for us."""
        self.facts["search"] = "own"
        answer = await self._dialogue.ask(
            f"FETCH {first}:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT MESSAGE-ID)])", "request"
        )
        mentioned = [line for line in answer.untagged if token.lower() in line.lower()]
        return [message.uid for message in words.sized(mentioned)]

    async def _others(self) -> list[words.Folder]:
        if self._folders is None:
            # Some servers mark the folder for spam only when asked to (RFC 6154 section 2).
            marked = {"LIST-EXTENDED", "SPECIAL-USE"} <= self._dialogue.capabilities
            wish = " RETURN (SPECIAL-USE)" if marked else ""
            answer = await self._dialogue.ask(f'LIST "" "*"{wish}', "request")
            self._folders = words.folders(answer.untagged)[:_MOST_FOLDERS]
        return self._folders

    async def _deleted_already(self) -> bool:
        answer = await self._dialogue.ask("SEARCH DELETED", "teardown")
        return bool(words.numbers(answer.untagged))
