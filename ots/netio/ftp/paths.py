"""What a URL means to an FTP server (RFC 1738 section 3.2.2)."""

from __future__ import annotations

from urllib.parse import unquote

from ots.probe import Failed, Target


def path_of(target: Target) -> str:
    """The path for RETR and STOR: relative to where the log-in leads, `%2F` at its start is the root.

    `Failed`, class `config`, where it can't be part of a command.
    """
    path = unquote(target.path.removeprefix("/"))
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        raise Failed("config", "config", "BAD_PATH", "the path holds a control character")
    return path
