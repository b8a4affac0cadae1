"""Text in the columns of a terminal, where a Chinese character takes two."""

from __future__ import annotations

import unicodedata


def cells(text: str) -> int:
    """How many columns the text takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, width: int) -> str:
    """The text with spaces up to this many columns."""
    return text + " " * (width - cells(text))


def cut(text: str, width: int) -> str:
    """The text, ended by `…` where it takes more than this many columns."""
    if cells(text) <= width:
        return text
    while cells(text) > width - 1:
        text = text[:-1]
    return text + "…"
