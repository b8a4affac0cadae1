"""Pieces of text laid out in lines of a terminal, by display width: a Chinese character takes two columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

GAP = 3


def pad(text: Text, width: int) -> Text:
    """The text filled with spaces to a display width; never cut."""
    padded = text.copy()
    padded.append(" " * max(0, width - text.cell_len))
    return padded


def flow(pieces: Iterable[Text], width: int, *, gap: int = GAP) -> list[Text]:
    """Lines of whole pieces with a gap between them; a piece longer than a line is wrapped at words."""
    lines: list[Text] = []
    for piece in pieces:
        if not piece.plain:
            continue
        if lines and lines[-1].cell_len + gap + piece.cell_len <= width:
            lines[-1].append(" " * gap)
            lines[-1].append_text(piece)
        elif piece.cell_len <= width:
            lines.append(piece.copy())
        else:
            lines.extend(wrap(piece, width))
    return lines


def wrap(text: Text, width: int) -> list[Text]:
    """The text in lines of at most `width` columns, broken at spaces, inside a word only if it must be.

    At least one column, however little room there is.
    """
    width = max(1, width)
    lines: list[Text] = []
    for word in _words(text):
        while word.cell_len > width:
            cut = _fitting(word.plain, width)
            lines.append(word[:cut])
            word = word[cut:]
        if lines and lines[-1].cell_len + word.cell_len <= width:
            lines[-1].append_text(word)
        elif word.plain.strip():
            lines.append(word)
    for line in lines:
        line.rstrip()
    return lines


def hanging(head: Text, body: Sequence[Text], indent: int) -> list[Text]:
    """A head with the first line of the body beside it and the others below, all at the same column.

    A head that is too long for its column stands on a line of its own.
    """
    blank = Text(" " * indent)
    if not body:
        return [head]
    if head.cell_len + 1 > indent:
        return [head, *(blank + line for line in body)]
    return [pad(head, indent) + body[0], *(blank + line for line in body[1:])]


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, with an ellipsis where it was cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def _words(text: Text) -> list[Text]:
    """Words with the spaces behind them; every wide character may be followed by a break."""
    breaks: list[int] = []
    plain = text.plain
    for position in range(1, len(plain)):
        after_space = plain[position - 1] == " " and plain[position] != " "
        if after_space or (cell_len(plain[position - 1]) == 2 and plain[position] not in "，。；：、）％%"):
            breaks.append(position)
    return list(text.divide(breaks)) if breaks else [text.copy()]


def _fitting(text: str, width: int) -> int:
    """How many characters of a text fit into a width; at least one."""
    used = 0
    for position, char in enumerate(text):
        used += cell_len(char)
        if used > width:
            return max(1, position)
    return len(text)
