"""How much of an upload the peer's TCP has acknowledged: bytes handed to the kernel are not uploaded."""

from __future__ import annotations

from ots.netio.tcpinfo import Connection, sending, unacknowledged
from ots.netio.transfer.meter import Flow

_TLS_RECORD = 16384 / 16406
"""Content in a full TLS 1.3 record (RFC 8446 §5.2): header 5, type 1, tag 16."""


class Acknowledged:
    """Looks at one connection from the instant on at which its content begins."""

    def __init__(self, flow: Flow, *, tls: bool) -> None:
        self._flow = flow
        self._tls = tls
        self._base = 0

    def begin(self, connection: Connection | None) -> None:
        """Notes where the count stands: handshakes and requests are no content."""
        self._flow.connection = connection
        acked = self._count()
        if acked is not None and connection is not None:
            self._base = acked + (unacknowledged(connection) or 0)
            side = sending(connection)
            self._flow.first_window = 0 if side is None else side.window

    def content(self, handed: int, framing: int = 0) -> int | None:
        """Content bytes that arrived of `handed` with `framing` around them; None if nobody can know."""
        acked = self._count()
        if acked is None or not handed:
            return None
        content = (acked - self._base) * handed / (handed + framing)
        return max(0, min(handed, int(content * _TLS_RECORD if self._tls else content)))

    def _count(self) -> int | None:
        info = self._flow.look() or self._flow.info
        return None if info is None else info.bytes_acked
