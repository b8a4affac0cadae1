"""Pieces that fill whole segments.

What is left over of a piece waits in the send queue for more, and where the kernel paces (tcp_pacing_check in
tcp_output.c, for BBR) it sets a timer, though there is nothing to send yet: on a virtual machine two exits
for every segment. Nothing is left over of a piece that is a multiple of what one segment carries.
"""

from __future__ import annotations

import socket

_OPTION = getattr(socket, "TCP_MAXSEG", None)


def whole(sock: socket.socket, size: int) -> int:
    """As many of `size` bytes as fill whole segments; all if they fill none or the system doesn't tell."""
    if _OPTION is None:
        return size
    try:
        segment = sock.getsockopt(socket.IPPROTO_TCP, _OPTION)
    except OSError:
        return size
    return size - size % segment if 0 < segment <= size else size
