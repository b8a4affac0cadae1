"""The words of IMAP (RFC 3501 section 9): strings to send, and what a server's lines hold."""

from __future__ import annotations

import re
from typing import NamedTuple

from ots.netio.lines import clean
from ots.probe import Failed

MOST_NUMBERS = 1000
"""Numbers that are read of a SEARCH; we never ask for more than half of that."""

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_LIST = re.compile(rf"\* LIST \(([^()]*)\) (?:{_QUOTED}|NIL) ({_QUOTED}|[^ ]+)(?: .*)?", re.IGNORECASE)
_NUMBER = r"(\d{1,10})"
_EXISTS = re.compile(rf"\* {_NUMBER} EXISTS", re.IGNORECASE)
_SEARCH = re.compile(r"\* SEARCH((?: \d{1,10})*) ?", re.IGNORECASE)
_UID = re.compile(rf"[( ]UID {_NUMBER}(?=[ )])", re.IGNORECASE)
_SIZE = re.compile(rf"[( ]RFC822\.SIZE {_NUMBER}(?=[ )])", re.IGNORECASE)
_CAPABILITIES = re.compile(r"(?:\* |\[)CAPABILITY ([^\]]*)", re.IGNORECASE)
_CODE = re.compile(r"\[([A-Za-z0-9.-]+)[^\]]*\]")

_SPAM_NAMES = frozenset(
    {"junk", "spam", "bulk", "bulk mail", "junk e-mail", "junk email", "&V4NXPpCuTvY-", "&V4NXPnux-"}
)
"""What the folder for spam is called where the server does not mark it; the last two are Chinese (RFC 3501
section 5.1.3)."""

_SKIPPED = frozenset({"\\noselect", "\\nonexistent", "\\all", "\\sent", "\\drafts", "\\flagged"})
"""Folders that can't be opened, hold the same messages again, or only what was written here."""


class Folder(NamedTuple):
    """A folder by the name that the server has for it."""

    name: str
    spam: bool


class Sized(NamedTuple):
    """What FETCH says of a message: its UID, and its size in bytes if it was asked for."""

    uid: int
    size: int | None


def quoted(text: str) -> str:
    """A quoted string. `Failed`, class `config`, for what it can't hold."""
    if not text.isascii() or any(char < " " or char == "\x7f" for char in text):
        raise Failed("config", "config", "BAD_TEXT", "IMAP takes only printable ASCII here")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(word: str) -> str:
    """An atom or a quoted string as text."""
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def literal_as_quoted(data: bytes) -> str:
    """A literal as a quoted string, what is not printable ASCII replaced by `?`."""
    return '"' + re.sub(r'(["\\])', r"\\\1", clean(data)) + '"'


def capabilities(line: str) -> frozenset[str] | None:
    """The capabilities that a line names, in capitals; None if it names none."""
    match = _CAPABILITIES.search(line)
    return frozenset(match[1].upper().split()) if match else None


def code_of(text: str) -> str:
    """The response code of a status: `AUTHENTICATIONFAILED` of `[AUTHENTICATIONFAILED] no`; else empty."""
    match = _CODE.match(text)
    return match[1].upper() if match else ""


def exists(line: str) -> int | None:
    """How many messages a folder has, if the line says so."""
    match = _EXISTS.fullmatch(line)
    return int(match[1]) if match else None


def numbers(lines: list[str]) -> list[int]:
    """The numbers of all SEARCH responses, in order."""
    found: list[int] = []
    for line in lines:
        if match := _SEARCH.fullmatch(line):
            found += map(int, match[1].split())
    return found[:MOST_NUMBERS]


def sized(lines: list[str]) -> list[Sized]:
    """What FETCH responses say, those that hold a UID."""
    made = []
    for line in lines:
        if (uid := _UID.search(line)) is not None:
            size = _SIZE.search(line)
            made.append(Sized(int(uid[1]), int(size[1]) if size else None))
    return made


def folders(lines: list[str]) -> list[Folder]:
    """The folders beside the inbox in which mail may come in, that for spam first."""
    made = []
    for line in lines:
        match = _LIST.fullmatch(line)
        if match is None:
            continue
        flags, name = set(match[1].lower().split()), unquoted(match[2])
        if flags & _SKIPPED or name.upper() == "INBOX":
            continue
        last = re.split(r"[/.]", name)[-1]
        spam = "\\junk" in flags or last in _SPAM_NAMES or last.lower() in _SPAM_NAMES
        made.append(Folder(name, spam))
    return sorted(made, key=lambda folder: not folder.spam)
