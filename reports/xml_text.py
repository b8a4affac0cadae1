"""Text from outside as XML 1.0 may hold it."""

from __future__ import annotations

import re

from ots.reports.plain import plain

_FORBIDDEN = re.compile("[^\\x09\\x0a\\x0d\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def one_line(text: object) -> str:
    """A line without control characters, direction overrides and what XML has no place for."""
    return _FORBIDDEN.sub("", plain(text).replace("\ufffd", ""))


def lines(texts: list[str]) -> str:
    """Several lines, each made safe."""
    return "\n".join(one_line(text) for text in texts)
