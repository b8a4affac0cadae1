"""One message on its way to us, and its trigger points."""

from __future__ import annotations

from collections.abc import Callable

from ots.clock import Clock
from ots.model.outcome import ErrorClass
from ots.probe import Failed


class Download:
    """Counts the bytes of one message as they come, and notes when what happened, on the monotonic clock.

    `largest` bounds them: `Failed`, class `content`. `book` is told of each piece and may raise `Failed`.
    """

    def __init__(
        self, clock: Clock, largest: int, book: Callable[[int], object], *, keep: bool = False
    ) -> None:
        self.asked: float | None = None
        """The command was written (T4)."""
        self.first: float | None = None
        """The first octet of the message was there (T5)."""
        self.completed: float | None = None
        """The server has said that this was all (T6)."""
        self.size = 0
        self.data = bytearray()
        """The message, if it is to be kept."""
        self._clock = clock
        self._largest = largest
        self._book = book
        self._keep = keep

    def ask(self) -> None:
        """The command is about to be written."""
        self.asked = self._clock.monotonic()

    def expect(self, size: int) -> None:
        """Refuses a message of which the server says that it is too large."""
        if size > self._largest:
            raise Failed("content", "transfer", "TOO_BIG", f"the message has more than {self._largest} bytes")

    def take(self, piece: bytes, t: float) -> None:
        """The next bytes, and when they were there to be read."""
        if not piece:
            return
        if self.first is None:
            self.first = t
        self.size += len(piece)
        self.expect(self.size)
        if self._keep:
            self.data += piece
        self._book(len(piece))

    def failed(self, failure: Failed) -> Failed:
        """The failure at its place: what breaks off before the first octet never came to the transfer."""
        error = failure.error
        if self.first is not None or error.phase != "transfer" or error.class_ not in ("timeout", "cutoff"):
            return failure
        error_class: ErrorClass = "protocol" if error.code == "EOF" else error.class_
        return Failed(error_class, "first_byte", error.code, error.message, retryable=error.retryable)

    def complete(self, t: float) -> None:
        self.completed = t
