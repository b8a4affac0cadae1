"""The message that a mail probe sends, and the look at what became of it on its way.

A random token stands in Message-ID, Subject and body, so that the message can be found wherever it ends up.
An attachment is random bytes: nothing on the way can make them smaller, and their SHA-256 tells if they came
through unchanged.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import MessageError
from email.parser import BytesParser
from email.policy import compat32
from email.utils import format_datetime
from typing import Literal

Flaw = Literal["UNREADABLE", "BODY", "NO_ATTACHMENT", "SHA256"]
"""What is wrong with a message that came: it can't be parsed, its text was changed, the attachment is missing
or another one."""

_MOST_MULTIPARTS = 10
_MOST_BOUNDARIES = 200
_LONGEST_FIELD = 4096
"""What a message may hold that came: ours has one multipart of two parts, and others may wrap it in more."""

_CONTENT_FIELD = re.compile(rb"^content-[a-z-]*:[^\n]*(?:\n[ \t][^\n]*)*", re.I | re.M)

FRAMING = 2000
"""Bytes of header and text that a message has at most beside its attachment."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One composed message. `data` is its wire form, lines ended by CRLF, dots not yet doubled.

    `text` is what its readable part says; `sha256` (hex) is that of the decoded attachment, None without one.
    """

    token: str
    sender: str
    recipient: str
    subject: str
    text: str
    data: bytes
    sha256: str | None


def compose(sender: str, recipient: str, size: int, wall: float) -> Letter:
    """A new message with a token of its own, and with `size` random bytes attached if that isn't 0.

    Both addresses must be ones that `sending_params` lets through. `wall` is the time of its Date, in seconds
    since 1970.
    """
    token = secrets.token_hex(12)
    content = os.urandom(size)
    digest = hashlib.sha256(content).hexdigest() if size else None
    text = f"A test message of OTS. It may be deleted.\n\nToken: {token}\n"
    if digest is not None:
        text += f"Attachment: {size} bytes, SHA-256 {digest}\n"
    subject = f"OTS test {token}"
    head = (
        f"Date: {format_datetime(datetime.fromtimestamp(wall, UTC))}\n"
        f"From: <{sender}>\n"
        f"To: <{recipient}>\n"
        f"Subject: {subject}\n"
        f"Message-ID: <{token}@{sender.rpartition('@')[2]}>\n"
        # Nobody's vacation programme is to answer (RFC 3834 section 2).
        "Auto-Submitted: auto-generated\n"
        "MIME-Version: 1.0\n"
    )
    readable = f"Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n\n{text}"
    if digest is None:
        return Letter(token, sender, recipient, subject, text, _lines(head + readable), None)
    before = (
        f'{head}Content-Type: multipart/mixed; boundary="{token}"\n\n--{token}\n{readable}--{token}\n'
        "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
        f'Content-Disposition: attachment; filename="ots-{token}.bin"\n\n'
    )
    # The generator of the standard library takes 35 ms and several copies for each megabyte.
    attached = base64.encodebytes(content).replace(b"\n", b"\r\n")
    data = b"".join((_lines(before), attached, _lines(f"--{token}--\n")))
    return Letter(token, sender, recipient, subject, text, data, digest)


def _lines(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("ascii")


def wire_size(size: int) -> int:
    """About how many bytes a message with such an attachment has: base64 in lines of 76 (RFC 2045)."""
    return FRAMING + -(-size // 57) * 78


def flaw_of(letter: Letter, received: bytes) -> Flaw | None:
    """What is wrong with a message as it was found in the mailbox; None if it is the one that was sent.

    Wrapping, another encoding, more headers and a footer below the text are no flaw: servers may do that.
    """
    if _outlandish(received):
        return "UNREADABLE"
    try:
        message = BytesParser(policy=compat32).parsebytes(received)
        parts = [part for part in message.walk() if not part.is_multipart()]
        contents = [
            (part.get_content_type() == "text/plain", part.get_payload(decode=True)) for part in parts
        ]
    except (MessageError, LookupError, ValueError, TypeError, RecursionError):
        # The parser of the standard library has more ways to stumble over a hostile message than it names.
        return "UNREADABLE"
    texts = [content for readable, content in contents if readable and isinstance(content, bytes)]
    if not any(_plain(letter.text) in _plain(text.decode("ascii", "replace")) for text in texts):
        return "BODY"
    if letter.sha256 is None:
        return None
    attached = [content for readable, content in contents if not readable and isinstance(content, bytes)]
    if not attached:
        return "NO_ATTACHMENT"
    found = (hashlib.sha256(content).hexdigest() for content in attached)
    return None if letter.sha256 in found else "SHA256"


def _outlandish(received: bytes) -> bool:
    """What no server makes of our message, and what the parser would brood over for minutes: it compares
    every line with the boundaries of all parts around it."""
    return (
        received.lower().count(b"multipart") > _MOST_MULTIPARTS
        or received.count(b"\n--") > _MOST_BOUNDARIES
        or any(match.end() - match.start() > _LONGEST_FIELD for match in _CONTENT_FIELD.finditer(received))
    )


def _plain(text: str) -> str:
    """Text without what a server may change about it: ends of lines and spaces before them."""
    return "\n".join(line.rstrip() for line in text.splitlines())
