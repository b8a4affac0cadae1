"""The dialogue of POP3: one command, one line, sometimes many more (RFC 1939 section 3)."""

from __future__ import annotations

import re

from ots.i18n import N_
from ots.model.outcome import ErrorClass, Phase
from ots.netio.mail.connection import Connection
from ots.netio.mail.dots import Undotted
from ots.probe import Failed

PIECE = 64 << 10
"""Bytes of content that are looked at in one go."""

_CODE = re.compile(r"\[([A-Za-z0-9/_-]+)\]")
_BY_CODE: dict[str, ErrorClass] = {
    "AUTH": "auth",
    "IN-USE": "rejected",
    "LOGIN-DELAY": "rejected",
    "SYS/TEMP": "rejected",
    "SYS/PERM": "rejected",
}
"""Response codes of RFC 2449 section 8 and RFC 3206."""

_RETRYABLE = frozenset({"IN-USE", "LOGIN-DELAY", "SYS/TEMP"})


class Dialogue:
    """Commands one after the other over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ask(
        self,
        command: str,
        phase: Phase,
        *,
        name: str | None = None,
        hide: tuple[str, ...] = (),
        timeout: float | None = None,
    ) -> str:
        """Sends a command (none, if empty) and returns what follows +OK; `Failed` for anything else.

        `name` stands for the command in messages; `hide` are secrets that a server might repeat.
        """
        asked = name or command.partition(" ")[0]
        with self._connection.asking(phase, asked, timeout=timeout):
            if command:
                await self._connection.lines.write(f"{command}\r\n".encode())
            line = (await self._connection.lines.readline()).decode().rstrip("\n")
        status, _, text = line.partition(" ")
        if status == "+OK":
            return text
        for secret in filter(None, hide):
            text = text.replace(secret, "***")
        if status == "-ERR":
            raise refusal(text, phase, asked)
        raise Failed("protocol", phase, "BAD_RESPONSE", f"{asked}: {status} {text}"[:200])

    async def many(self, asked: str, phase: Phase, most: int) -> bytes:
        """The lines of an answer, to the one with a dot alone."""
        lines, dots, data = self._connection.lines, Undotted(), bytearray()
        with self._connection.asking(phase, asked):
            while True:
                content, rest = dots.feed(await lines.content(PIECE))
                data += content
                if len(data) > most:
                    text = f"{asked}: an answer of more than {most} bytes"
                    raise Failed("protocol", phase, "LONG_ANSWER", text)
                if rest is not None:
                    lines.give_back(rest)
                    return bytes(data)


def number_in(text: str, place: int, asked: str) -> int:
    """The word at `place` of what follows +OK, as a number; `Failed`, class `protocol`, if it is none."""
    words = text.split()
    if len(words) <= place or not re.fullmatch(r"\d{1,10}", words[place]):
        raise Failed("protocol", "request", "BAD_RESPONSE", f"{asked}: no number in +OK {text}"[:200])
    return int(words[place])


def refusal(text: str, phase: Phase, asked: str) -> Failed:
    """The `Failed` of -ERR. In POP3 a refused login says no more than that, if not by a response code."""
    match = _CODE.match(text)
    code = match[1].upper() if match else ""
    login = phase == "login" and asked in ("USER", "PASS", "AUTH")
    error_class = _BY_CODE.get(code, "auth" if login else "rejected")
    return Failed(
        error_class,
        phase,
        code or "-ERR",
        f"{asked}: -ERR {text}".rstrip(),
        retryable=code in _RETRYABLE,
        remedy=N_("Check the user and the password.") if error_class == "auth" else None,
    )
