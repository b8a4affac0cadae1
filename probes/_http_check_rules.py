"""Which answers http_check takes for good: statuses, a text, and where a redirect may lead."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

from ots.netio.fanout.response import Response
from ots.probe import Failed
from ots.schema.target import Target, TargetError, Targets

REDIRECTS = frozenset({301, 302, 303, 307, 308})

_PART = re.compile(r"([1-5])xx|([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_END = "\r\n"
_ASCII = re.compile(r"[!-~]+")
_PLAIN = "".join(chr(code) for code in range(33, 127))
"""What may stand in a request line as it is; everything else is percent-encoded."""


def statuses(text: str) -> frozenset[int]:
    """The statuses that `2xx, 301, 400-404` names; ValueError if it is not written like that."""
    found: set[int] = set()
    for part in text.lower().split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is no status: write 200, 2xx or 400-404")
        if match[1]:
            found.update(range(int(match[1]) * 100, int(match[1]) * 100 + 100))
        elif match[3] and match[3] < match[2]:
            raise ValueError(f"{part.strip()!r} ends before it begins")
        else:
            found.update(range(int(match[2]), int(match[3] or match[2]) + 1))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Rules:
    """What an answer must be like. `text` is the one looked for, for the message."""

    statuses: frozenset[int]
    text: str | None

    def judge(self, target: Target, answer: Response) -> Failed | None:
        """Why an answer is not as expected, or None if it is."""
        status = answer.status
        if status not in self.statuses:
            said = f"{shown(target)} answered {status} {answer.reason}".rstrip()
            if status < 400:
                return Failed("content", "verify", str(status), said)
            refused = status in (401, 407)
            again = status in (408, 425, 429) or status >= 500
            return Failed("auth" if refused else "rejected", "first_byte", str(status), said, retryable=again)
        if answer.found is False:
            return Failed("content", "verify", "TEXT", f"{shown(target)} does not contain {self.text!r}")
        return None


def shown(target: Target) -> str:
    """A URL as it may stand in a message: no user, no query."""
    return f"{target.scheme}://{target.authority}{target.path.partition('?')[0]}"


def redirected(target: Target, location: str | None, status: int, grammar: Targets) -> Target:
    """Where an answer leads; `Failed`, class `protocol`, if to no usable URL (RFC 9110 section 10.2.2)."""
    try:
        found = grammar.parse(quote(urljoin(_url(target), location or ""), safe=_PLAIN)) if location else None
    except (TargetError, ValueError):
        found = None
    if found is None or found.user is not None:
        raise Failed("protocol", "first_byte", "BAD_REDIRECT", f"status {status} without a usable Location")
    return found


def credentials(user: str, password: str) -> str:
    """The Authorization field's value (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def same_origin(one: Target, other: Target) -> bool:
    """Whether what was meant for one may be told to the other (RFC 6454 section 5)."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def request(target: Target, method: str, agent: str, authorization: str | None = None) -> bytes:
    """The request's bytes: a connection of its own, nothing compressed, nothing from a cache."""
    default = {"http": 80, "https": 443}[target.scheme or "http"]
    host = f"[{target.host.partition('%')[0]}]" if ":" in target.host else target.host
    if target.port not in (None, default):
        host = f"{host}:{target.port}"
    return (
        f"{method} {target.path if _ASCII.fullmatch(target.path) else quote(target.path, safe=_PLAIN)}"
        " HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        f"User-Agent: {agent}\r\n"
        "Accept: */*\r\n"
        "Accept-Encoding: identity\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n"
        f"{'' if authorization is None else f'Authorization: {authorization}{_END}'}"
        "\r\n"
    ).encode("ascii")


def _url(target: Target) -> str:
    return f"{target.scheme}://{target.authority}{target.path}"
