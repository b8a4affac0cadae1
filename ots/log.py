"""Logging: one tree `ots` of the standard library, to stderr, with every secret blotted out."""

from __future__ import annotations

import logging
import os
import sys
import threading

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_SHORTEST = 4
"""A shorter secret is not blotted out: it would turn up in half of all words."""

_hidden: set[str] = set()
_lock = threading.Lock()


def hide(secret: str) -> None:
    """From now on this text appears in no log line."""
    with _lock:
        _hidden.update(part for part in secret.splitlines() if len(part) >= _SHORTEST)


def redact(text: str) -> str:
    """The text with every hidden secret replaced by `***`."""
    with _lock:
        secrets = sorted(_hidden, key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


class RedactingFormatter(logging.Formatter):
    """Blots secrets out of the finished line, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure(verbosity: int = 0) -> None:
    """Sends the tree `ots` to stderr: warnings; with 1 more, progress; with 2 or more, everything.

    `OTS_LOG` (a level's name) counts where nothing more talkative was asked. May be called again.
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    named = logging.getLevelNamesMapping().get(os.environ.get("OTS_LOG", "").strip().upper())
    root = logging.getLogger("ots")
    root.setLevel(min(level, named) if named else level)
    for handler in list(root.handlers):
        if isinstance(handler.formatter, RedactingFormatter):
            root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(_FORMAT))
    root.addHandler(handler)
