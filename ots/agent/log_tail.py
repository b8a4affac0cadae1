"""The last lines of this process's log, without secrets: what a diagnosis shows of it."""

from __future__ import annotations

import logging
from collections import deque

from ots.log import RedactingFormatter
from ots.remote.redaction import clean_text

LINES = 200
_LONGEST = 500


class LogTail(logging.Handler):
    """Keeps the last lines that the tree `ots` logged while it was attached."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(RedactingFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        self._lines: deque[str] = deque(maxlen=LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(clean_text(self.format(record))[:_LONGEST])

    def attach(self) -> None:
        logging.getLogger("ots").addHandler(self)

    def detach(self) -> None:
        logging.getLogger("ots").removeHandler(self)

    def lines(self, most: int = LINES) -> list[str]:
        return list(self._lines)[-most:]
