"""The dialogue of IMAP4rev1: tagged commands, and responses with literals (RFC 3501 section 2.2).

Everything that a server may make long is bounded: lines, answers, the literals that we keep in memory. The
message itself goes through a `Download`, piece by piece, and is bounded there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ots.i18n import N_
from ots.model.outcome import ErrorClass, Phase
from ots.netio.lines import LONGEST_ANSWER
from ots.netio.mail import imap_words as words
from ots.netio.mail.connection import GREETING, Connection
from ots.netio.mail.download import Download
from ots.probe import Failed

_LITERAL = re.compile(r"\{(\d{1,20})\+?\}$")
_BODY = re.compile(r"\* \d{1,10} FETCH \((?:.* )?BODY\[\] (.*)", re.IGNORECASE)
_STATUS = re.compile(r"(OK|NO|BAD|BYE|PREAUTH)(?: (.*))?", re.IGNORECASE)
_PIECE = 64 << 10
_MOST_KEPT = 2 << 20
"""Bytes of literals in one answer that are kept in memory."""

_BY_CODE: dict[str, tuple[ErrorClass, bool]] = {
    "AUTHENTICATIONFAILED": ("auth", False),
    "AUTHORIZATIONFAILED": ("auth", False),
    "EXPIRED": ("auth", False),
    "UNAVAILABLE": ("rejected", True),
    "INUSE": ("rejected", True),
    "LIMIT": ("rejected", True),
    "SERVERBUG": ("rejected", True),
    "CONTACTADMIN": ("rejected", False),
    "PRIVACYREQUIRED": ("rejected", False),
}
"""Response codes of RFC 5530: class, and whether it may go better another time."""

_REMEDY = N_("Check the user and the password.")


@dataclass(slots=True)
class Answer:
    """The tagged status of a command, and the untagged responses before it."""

    status: str
    text: str
    untagged: list[str] = field(default_factory=list)

    @property
    def code(self) -> str:
        return words.code_of(self.text)


class Dialogue:
    """Commands one after the other over a connection."""

    def __init__(self, connection: Connection) -> None:
        self.capabilities: frozenset[str] = frozenset()
        """What the server last said that it can do."""
        self.exists = 0
        """Messages in the open folder."""
        self._connection = connection
        self._number = 0
        self._kept = 0
        """Bytes of literals in the answer to the last command."""

    async def greeting(self) -> None:
        """The server's first word. `Failed` if it is a refusal, no IMAP, or takes us for somebody."""
        with self._connection.asking("login", GREETING):
            line = await self._response(None)
            star, _, rest = line.partition(" ")
            status = _STATUS.fullmatch(rest)
            if star != "*" or status is None:
                raise Failed("protocol", "login", "BAD_RESPONSE", f"no IMAP: {line}"[:200])
            if status[1].upper() in ("BYE", "NO", "BAD"):
                raise Failed("rejected", "login", status[1].upper(), f"{GREETING}: {line}", retryable=True)
            if status[1].upper() == "PREAUTH":
                raise Failed("protocol", "login", "PREAUTH", "the server takes us for somebody already")
            self._note(line)

    async def command(
        self,
        text: str,
        phase: Phase,
        *,
        name: str | None = None,
        more: bytes | None = None,
        download: Download | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Sends a command and returns its answer, whatever the status.

        `name` stands for it in messages. `more` is sent when the server asks for it. A literal that is the
        message's body goes into `download`.
        """
        asked = name or text.partition(" ")[0]
        with self._connection.asking(phase, asked, timeout=timeout):
            tag = await self.send(text, download)
            untagged: list[str] = []
            while True:
                line = await self._response(download)
                if line.startswith("+") and more is not None:
                    await self._connection.lines.write(more + b"\r\n")
                    more = None
                    continue
                if line.startswith(f"{tag} "):
                    break
                self._untagged(line, asked, phase)
                untagged.append(line)
            status = _STATUS.fullmatch(line[len(tag) + 1 :])
            if status is None or status[1].upper() not in ("OK", "NO", "BAD"):
                raise Failed("protocol", phase, "BAD_RESPONSE", f"{asked}: {line}"[:200])
            self._note(line)
            return Answer(status[1].upper(), status[2] or "", untagged)

    async def ask(
        self, text: str, phase: Phase, *, name: str | None = None, download: Download | None = None
    ) -> Answer:
        """The same; `Failed` unless the answer is OK."""
        answer = await self.command(text, phase, name=name, download=download)
        if answer.status != "OK":
            raise refusal(answer, phase, name or text.partition(" ")[0])
        return answer

    async def send(self, text: str, download: Download | None = None) -> str:
        """Writes a command; returns its tag."""
        self._number += 1
        self._kept = 0
        tag = f"A{self._number}"
        if download is not None:
            download.ask()
        await self._connection.lines.write(f"{tag} {text}\r\n".encode())
        return tag

    async def idle(self, until: float) -> float | None:
        """Waits until the server says that the open folder has more messages than it had, or until `until`.

        Returns when that was there to be read, on the monotonic clock; None if nothing came (RFC 2177).
        """
        connection = self._connection
        known = self.exists
        told: float | None = None
        with connection.asking("delivery", "IDLE"):
            tag = await self.send("IDLE")
            while not (line := await self._response(None)).startswith("+"):
                if line.startswith(f"{tag} "):
                    raise refusal(Answer("NO", line.partition(" ")[2]), "delivery", "IDLE")
                self._untagged(line, "IDLE", "delivery")
        if self.exists > known:
            told = connection.lines.arrived
        try:
            while told is None and connection.now < until:
                with connection.asking("delivery", "IDLE", timeout=until - connection.now):
                    self._untagged(await self._response(None), "IDLE", "delivery")
                if self.exists > known:
                    told = connection.lines.arrived
                # A server that talks all the time would keep the loop from everybody else.
                await asyncio.sleep(0)
        except Failed as failure:
            if failure.error.code != "TIMEOUT":
                raise
        with connection.asking("delivery", "DONE"):
            await connection.lines.write(b"DONE\r\n")
            while not (line := await self._response(None)).startswith(f"{tag} "):
                self._untagged(line, "DONE", "delivery")
        return told

    def _untagged(self, line: str, asked: str, phase: Phase) -> None:
        if not line.startswith("* "):
            raise Failed("protocol", phase, "BAD_RESPONSE", f"{asked}: {line}"[:200])
        if line[2:5].upper() == "BYE" and asked != "LOGOUT":
            raise Failed("rejected", phase, "BYE", f"{asked}: {line[2:]}"[:200], retryable=True)
        self._note(line)

    def _note(self, line: str) -> None:
        self.capabilities = words.capabilities(line) or self.capabilities
        count = words.exists(line)
        if count is not None:
            self.exists = count
        elif re.fullmatch(r"\* \d{1,10} EXPUNGE", line, re.IGNORECASE):
            self.exists = max(0, self.exists - 1)

    async def _response(self, download: Download | None) -> str:
        """One response, its literals as quoted strings; the body of a message goes into `download`."""
        lines = self._connection.lines
        text = ""
        while True:
            text += (await lines.readline()).decode().rstrip("\n")
            if len(text) > LONGEST_ANSWER + _MOST_KEPT:
                raise Failed("protocol", "request", "LONG_ANSWER", "a response without an end")
            body = _BODY.match(text) if download is not None and download.first is None else None
            literal = _LITERAL.search(text)
            if literal is None or _STATUS.match(text.partition(" ")[2]):
                if body is not None and download is not None and body[1].startswith('"'):
                    download.take(_quoted_body(body[1]), lines.arrived)
                return text
            size = int(literal[1])
            text = text[: literal.start()]
            if body is not None and download is not None:
                await self._stream(size, download)
                text += '""'
            else:
                text += words.literal_as_quoted(await self._held(size))

    async def _stream(self, size: int, download: Download) -> None:
        """The message: as long as some of it comes in time, it is not late."""
        connection = self._connection
        download.expect(size)
        while size:
            connection.lines.until = connection.now + connection.account.timeout
            try:
                piece = await connection.lines.content(min(size, _PIECE))
            except (TimeoutError, EOFError, OSError) as error:
                raise connection.broken(error, download) from None
            download.take(piece, connection.lines.arrived)
            size -= len(piece)
            # A sender that is always ahead would keep the loop from everybody else.
            await asyncio.sleep(0)
        connection.lines.until = connection.now + connection.account.timeout

    async def _held(self, size: int) -> bytes:
        self._kept += size
        if self._kept > _MOST_KEPT:
            raise Failed("protocol", "request", "LONG_ANSWER", f"literals of more than {_MOST_KEPT} bytes")
        data = bytearray()
        while len(data) < size:
            data += await self._connection.lines.content(size - len(data))
        return bytes(data)


def _quoted_body(text: str) -> bytes:
    match = re.match(r'"(?:[^"\\]|\\.)*"', text)
    return words.unquoted(match[0]).encode() if match else b""


def refusal(answer: Answer, phase: Phase, asked: str, *, hide: Sequence[str] = ()) -> Failed:
    """The `Failed` of an answer that is not OK. `hide` are secrets that a server might repeat."""
    default: ErrorClass = "auth" if phase == "login" and answer.status == "NO" else "rejected"
    error_class, retryable = _BY_CODE.get(answer.code, (default, False))
    text = answer.text
    for secret in filter(None, hide):
        text = text.replace(secret, "***")
    return Failed(
        error_class,
        "login" if error_class == "auth" else phase,
        answer.code or answer.status,
        f"{asked}: {answer.status} {text}".rstrip(),
        retryable=retryable,
        remedy=_REMEDY if error_class == "auth" else None,
    )
