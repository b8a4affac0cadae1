"""WebSocket frames of a client (RFC 6455, 5.2): counted, and dropped without being unmasked or kept.

Only control frames are looked into, since a close must be answered and a ping as well; they are at most 125
bytes long.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTROL = 8
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTROL_BYTES = 125


def accept_key(key: str) -> str:
    """What proves to the client that its handshake was understood (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1") + _GUID).digest()).decode()


def header(opcode: int, size: int) -> bytes:
    """The header of a whole message from a server, which masks nothing."""
    first = bytes([0x80 | opcode])
    if size < 126:
        return first + bytes([size])
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big")
    return first + b"\x7f" + size.to_bytes(8, "big")


class Frames:
    """A consumer for a doorway; it is through when the client has said close.

    `count` hears how many bytes of messages came, `ping` of each ping's content. ValueError for what a client
    may not send, and for a frame of more than `most` bytes.
    """

    def __init__(self, most: int, count: Callable[[int], None], ping: Callable[[bytes], None]) -> None:
        self._most = most
        self._count = count
        self._ping = ping
        self._header = bytearray()
        self._left = 0
        self._control: bytearray | None = None
        self._opcode = 0
        self._mask = b""

    @property
    def droppable(self) -> int:
        return self._left if self._control is None else 0

    def dropped(self, count: int) -> bool:
        self._count(count)
        self._left -= count
        return False

    def __call__(self, view: memoryview) -> int | None:
        at = 0
        while at < len(view):
            if not self._left:
                self._header.append(view[at])
                at += 1
                if self._open() and not self._left and self._close():
                    return at
                continue
            own = min(len(view) - at, self._left)
            if self._control is None:
                self._count(own)
            else:
                self._control += view[at : at + own]
            self._left -= own
            at += own
            if not self._left and self._close():
                return at
        return None

    def _open(self) -> bool:
        """Whether the header is complete; then its frame is begun."""
        head = self._header
        if len(head) < 2:
            return False
        if not head[1] & 0x80:
            raise ValueError("a client's frames are masked")
        short = head[1] & 0x7F
        extra = {126: 2, 127: 8}.get(short, 0)
        if len(head) < 2 + extra + 4:
            return False
        size = int.from_bytes(head[2 : 2 + extra], "big") if extra else short
        self._opcode = head[0] & 0x0F
        control = bool(self._opcode & _CONTROL)
        if head[0] & 0x70 or size > (_CONTROL_BYTES if control else self._most):
            raise ValueError("a frame is too long, or has a form that was not agreed")
        self._mask = bytes(head[2 + extra :])
        self._left, self._control = size, bytearray() if control else None
        self._header = bytearray()
        return True

    def _close(self) -> bool:
        """A frame is whole; True if it was the last."""
        content, self._control = self._control, None
        if content is None:
            return False
        if self._opcode == PING:
            self._ping(bytes(byte ^ self._mask[k % 4] for k, byte in enumerate(content)))
        return self._opcode == CLOSE
