"""When how much of a body arrived, thinned so that it stays small however long the body is."""

from __future__ import annotations

SERIES_GRAIN = 0.01
SERIES_POINTS = 20_000


class Arrivals:
    """Cumulative bytes over the monotonic clock: of the first read, then of the last one in each `grain`.

    So a body of several reads has a beginning and an end, however fast it came.
    """

    def __init__(self) -> None:
        self.grain = SERIES_GRAIN
        self.first: float | None = None
        self.t: list[float] = []
        self.total: list[int] = []
        self.bytes = 0
        self._bucket_end = 0.0

    def add(self, t: float, count: int) -> None:
        self.bytes += count
        if self.first is None:
            self.first = self._bucket_end = t
        elif t <= self._bucket_end:
            self.t[-1], self.total[-1] = t, self.bytes
            return
        else:
            self._bucket_end = t + self.grain
        if len(self.t) >= SERIES_POINTS:
            self.t, self.total = self.t[:1] + self.t[1::2], self.total[:1] + self.total[1::2]
            self.grain *= 2
        self.t.append(t)
        self.total.append(self.bytes)

    def document(self) -> dict[str, object]:
        """`seconds` lie between the first read and the last."""
        last = self.t[-1] if self.t else None
        return {
            "received_bytes": self.bytes,
            "seconds": None if last is None or self.first is None else last - self.first,
            "first": self.first,
            "last": last,
            "grain": self.grain,
            "series": {"t": self.t, "bytes": self.total},
        }
