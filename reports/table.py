"""Comma-separated values that a spreadsheet opens right, and that can't make it compute anything.

UTF-8 with a byte-order mark (without it Excel takes another charset) and CRLF (RFC 4180). A text that a
spreadsheet would take for a formula gets an apostrophe before it, which makes it text; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from ots.reports.plain import plain

BYTE_ORDER_MARK = "\ufeff"

Cell = str | int | float | bool | None

# Full-width signs count too: East Asian spreadsheets take them for their narrow ones. A semicolon begins a
# new cell where the reader's locale separates by it.
_FORMULA = re.compile(r"(^\s*|;\s*)(?=[=+\-@＝＋－＠])")


def document(rows: Iterable[Sequence[Cell]]) -> str:
    """The rows as one document; None is an empty cell, truth values are `true` and `false`."""
    out = io.StringIO()
    out.write(BYTE_ORDER_MARK)
    writer = csv.writer(out, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_written(cell) for cell in row])
    return out.getvalue()


def harmless(text: object) -> str:
    """A text as one line that no spreadsheet computes."""
    raw = str(text)
    safe = _FORMULA.sub(r"\1'", plain(raw))
    return f"'{safe}" if raw[:1] in ("\t", "\r", "\n") else safe


def _written(cell: Cell) -> str | int | float:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return cell if isinstance(cell, int | float) else harmless(cell)
