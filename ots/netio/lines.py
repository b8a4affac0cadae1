"""A dialogue in lines over a dialled connection, plain or TLS: what FTP, SMTP, IMAP and POP3 have in common.

Every wait ends at `until`, every line and every answer has a largest size: a peer that talks for ever is cut
off. Text of a peer is cleaned before anybody sees it.
"""

from __future__ import annotations

import socket
import ssl

from ots.clock import Clock
from ots.netio.ready import readable, writable
from ots.netio.stream import send
from ots.probe import Failed

LONGEST_LINE = 8 << 10
LONGEST_ANSWER = 256 << 10
_READ = 16 << 10


class Lines:
    """Lines each way over a connected non-blocking socket.

    Errors are the socket's own, TimeoutError after `until`, EOFError where the peer has hung up, and `Failed`
    (`protocol`) for a line or an answer that does not end.
    """

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self.socket = sock
        self.until = clock.monotonic()
        """When the next wait ends, on the monotonic clock; whoever asks sets it."""
        self.arrived = self.until
        """When the newest bytes of the peer were there to be read."""
        self._clock = clock
        self._held = bytearray()
        self._answer = 0

    def expect(self, until: float) -> None:
        """Opens the count of a new answer, which has to come before `until`."""
        self.until = until
        self._answer = 0

    async def readline(self) -> bytes:
        """The next line with its end, cleaned of what can't be printed."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > LONGEST_LINE:
                raise Failed("protocol", "request", "LONG_LINE", f"a line of more than {LONGEST_LINE} bytes")
            self._held += await self._read()
        if end > LONGEST_LINE:
            raise Failed("protocol", "request", "LONG_LINE", f"a line of more than {LONGEST_LINE} bytes")
        line = bytes(self._held[: end + 1])
        del self._held[: end + 1]
        self._answer += len(line)
        if self._answer > LONGEST_ANSWER:
            raise Failed(
                "protocol", "request", "LONG_ANSWER", f"an answer of more than {LONGEST_ANSWER} bytes"
            )
        return clean(line).encode() + b"\n"

    async def content(self, most: int) -> bytes:
        """At least one byte and at most `most`, as the peer sent them: what comes between lines."""
        if not self._held:
            self._held += await self._read()
        piece = bytes(self._held[:most])
        del self._held[:most]
        return piece

    def give_back(self, rest: bytes) -> None:
        """Puts bytes of `content` back that belong to what comes after it."""
        self._held[:0] = rest

    async def write(self, data: bytes) -> None:
        """Hands all of it to the kernel."""
        await send(self.socket, data, self._clock, self.until)

    @property
    def waiting(self) -> bool:
        """Whether the peer has said something that nobody has read yet."""
        return bool(self._held)

    def upgrade(self, sock: socket.socket) -> None:
        """Goes on over TLS. What the peer said before in plain text is not believed (RFC 3207 section 6)."""
        self._held.clear()
        self.socket = sock

    def close(self) -> None:
        self.socket.close()

    async def _read(self) -> bytes:
        seen: float | None = None
        while True:
            try:
                data = self.socket.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                seen = await readable(self.socket, self._clock, self.until)
            except ssl.SSLWantWriteError:
                await writable(self.socket, self._clock, self.until)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                raise EOFError from None
            else:
                if not data:
                    raise EOFError
                self.arrived = self._clock.monotonic() if seen is None else seen
                return data


def clean(line: bytes) -> str:
    """A line of a peer as text without its end, everything that is not printable ASCII replaced by `?`."""
    text = line.rstrip(b"\r\n").decode("ascii", "replace")
    return "".join(char if " " <= char <= "~" else "?" for char in text)
