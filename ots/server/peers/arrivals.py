"""When how much of a body arrived, thinned so that it stays small however long the body is."""

from __future__ import annotations

SERIES_GRAIN = 0.01
SERIES_POINTS = 20_000


class Arrivals:
    """Cumulative bytes over the monotonic clock, one point for the last read of each `grain` seconds."""

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
            self.first = t
        if self.t and t < self._bucket_end:
            self.t[-1], self.total[-1] = t, self.bytes
            return
        if len(self.t) >= SERIES_POINTS:
            self.t, self.total = self.t[1::2], self.total[1::2]
            self.grain *= 2
        self.t.append(t)
        self.total.append(self.bytes)
        self._bucket_end = t + self.grain

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
