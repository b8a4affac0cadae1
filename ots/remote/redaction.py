"""Blots secrets out of what leaves this machine: in JSON by the names of members, in text by its form. Pure.

A second line of defence: what OTS itself is told as a secret never gets into a report. This is for what
people write where it does not belong (a password in a URL, a header in a note) and what servers say back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

BLOT = "***"

_NAMES = (
    r"(?:proxy[-_]?)?authorization|(?:set[-_]?)?cookie2?|pass(?:word|wd|phrase)?|pwd|secret|token|"
    r"api[-_]?key|private[-_]?key|shared[-_]?key|psk|credentials?"
)
_SECRET_NAME = re.compile(rf"(?:[a-z0-9]{{1,40}}[-_.]){{0,4}}(?:{_NAMES})", re.I)
_REFERENCE = re.compile(r"\$\{secret:[A-Za-z0-9_.-]{1,64}\}|(?:env|file):\S+|prompt")

_USERINFO = re.compile(r"(?<=://)[^\s/?#@\"'<>]+(?=@)")
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|\b(?:set-)?cookie2?|\bx-(?:api-key|auth-token|access-token))"
    r"(?P<between>\s*[:=]\s*)(?P<value>[^\r\n\"'*][^\r\n\"']*)",
    re.I,
)
_SCHEME = re.compile(
    r"(?P<name>\b(?:bearer|basic|digest|negotiate|ntlm))(?P<between>\s+)"
    # What no word of a sentence has: a digit, padding, a capital after a small letter.
    r"(?P<value>(?=\S*(?:[0-9=]|(?-i:[a-z][A-Z])))[A-Za-z0-9+/_.~=-]{8,})",
    re.I,
)
_ASSIGNED = re.compile(
    rf"(?<!\$\{{)(?P<name>\b(?:[a-z0-9]{{1,40}}[-_.]){{0,4}}(?:{_NAMES}|sig|signature))(?P<between>[\"']?\s?[:=]\s?[\"']?)"
    r"(?P<value>[^\s&;,\"'*)\]}]+)",
    re.I,
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]*")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S)

Known = Callable[[str], str]
"""Blots out the secrets that this process was given."""


def clean_text(text: str) -> str:
    """The text without what looks like a secret."""
    if len(text) < 4:
        return text
    text = _USERINFO.sub(BLOT, text)
    for form in (_HEADER, _SCHEME, _ASSIGNED):
        text = form.sub(_blotted, text)
    text = _JWT.sub(BLOT, text)
    return _KEY.sub(BLOT, text)


def clean(value: Any, known: Known, pointer: str = "") -> Iterator[str]:
    """Blots a JSON value in place and gives the pointer (RFC 6901) of every member that was changed."""
    if isinstance(value, dict):
        named = value.get("name")
        for key, inner in value.items():
            place = f"{pointer}/{_escaped(key)}"
            # A header or a cookie of a HAR stands as {"name": "Cookie", "value": "…"}.
            telling = named if key == "value" and isinstance(named, str) else key
            if _is_secret(telling, inner):
                value[key] = BLOT
                yield place
            else:
                yield from _member(value, key, inner, known, place)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if not isinstance(inner, int | float):
                yield from _member(value, index, inner, known, f"{pointer}/{index}")


def _member(holder: Any, key: Any, inner: Any, known: Known, place: str) -> Iterator[str]:
    if isinstance(inner, str):
        blotted = known(clean_text(inner)) if not _REFERENCE.fullmatch(inner) else inner
        if blotted != inner:
            holder[key] = blotted
            yield place
    else:
        yield from clean(inner, known, place)


def _is_secret(name: str, value: Any) -> bool:
    if not isinstance(value, str) or not value or value == BLOT:
        return False
    return _SECRET_NAME.fullmatch(name) is not None and not _REFERENCE.fullmatch(value)


def _blotted(found: re.Match[str]) -> str:
    if _REFERENCE.fullmatch(found["value"]) or found["value"].startswith("${secret:"):
        return found[0]
    return found["name"] + found["between"] + BLOT


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
