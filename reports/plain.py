"""Text from outside made safe to show: what could steer a terminal or turn a line around is replaced."""

from __future__ import annotations

import unicodedata

_REPLACEMENT = "\ufffd"
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_HARMLESS = frozenset({"\u200d", "\u00ad"})


def plain(text: object) -> str:
    """One line without control characters, escape sequences, direction overrides or lone surrogates."""
    flat = str(text).replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    if flat.isascii() and flat.isprintable():
        return flat
    return "".join(
        _REPLACEMENT if unicodedata.category(char) in _DROPPED and char not in _HARMLESS else char
        for char in flat
    )


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut in the middle, where names differ least."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"
