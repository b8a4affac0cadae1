"""Text in the columns of a terminal, where a Chinese character takes two."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

_NARROWEST = 20
"""The last column gets at least this, however wide the others are."""


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


def in_columns(rows: Sequence[Sequence[str]], width: int, *, widest: int) -> Iterator[str]:
    """Rows as lines in columns, indented by two; a text longer than its column goes on below.

    The first column, which names, takes what it needs and the others at most `widest`; the last one takes the
    rest of `width`.
    """
    from rich.text import Text

    from ots.reports.flow import wrap

    if not rows:
        return
    longest = [max(cells(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths = [longest[0], *(min(widest, needed) for needed in longest[1:-1])]
    widths.append(max(_NARROWEST, width - 2 - sum(column + 2 for column in widths)))
    for row in rows:
        stacks = [
            [line.plain for line in wrap(Text(text), column)]
            for text, column in zip(row, widths, strict=True)
        ]
        for level in range(max(map(len, stacks))):
            parts = [stack[level] if level < len(stack) else "" for stack in stacks]
            yield "  " + "  ".join(map(padded, parts, widths)).rstrip()
