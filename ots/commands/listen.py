"""Where to listen, as options say it."""

from __future__ import annotations

from ots.commands.output import CommandError
from ots.i18n import _


def address_of(text: str) -> tuple[str, int]:
    """Host and port; an IPv6 address stands in brackets."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise CommandError(
            _("{text!r} is no HOST:PORT").format(text=text), remedy=_("as 192.0.2.7:8080 or [::]:8080")
        )
    return host, int(port)
