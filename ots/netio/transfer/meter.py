"""Where bytes of a transfer count: as they arrive (download), or as acknowledged (upload)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from ots.netio.tcpinfo import Connection, TCPInfo, tcp_info
from ots.stats.throughput import Curve, Span, settled

BUCKET = 0.01
"""Seconds of a bucket of arrivals."""

POINTS = 60_000
"""Points after which a curve is thinned to half: memory stays constant however long the transfer."""

TICK = 0.02
"""Seconds between two looks at a transfer."""

SAMPLE = 0.1
"""Seconds between two samples of what the kernel knows of a connection."""


@dataclass(slots=True)
class Flow:
    """One connection's share: instants of the request, the first and the last content, and its bytes."""

    number: int
    connect_start: float | None = None
    connected: float | None = None
    requested: float | None = None
    begin: float | None = None
    end: float | None = None
    bytes: int = 0
    came: int = 0
    """Content bytes read so far, and when the last of them came. The thread that reads writes this, nobody
    else; the meter collects it."""
    came_at: float = 0.0
    moved: int = 0
    """Content bytes that came or went, also those that don't count: what the data budget is charged with."""
    polled: float = 0.0
    """Seconds for which a thread has looked again and again whether more had come, and was not preempted."""
    overhead: int = 0
    """Bytes of headers and framing around the content."""
    requests: int = 0
    dials: int = 0
    finished: bool = False
    """It ended by itself and is not to be watched any longer."""
    connection: Connection | None = field(default=None, repr=False)
    first_window: int = 0
    """What the peer offered to take when the content began; 0 where the kernel doesn't tell."""
    info: TCPInfo | None = None
    """The last look at the connection, which survives its end."""
    slowest_rtt: float = 0.0
    """The longest round trip of all looks."""

    def look(self) -> TCPInfo | None:
        """What the kernel says of the connection now; None if it is gone."""
        if self.connection is None or self.connection.fileno() < 0:
            return None
        self.info = tcp_info(self.connection) or self.info
        if self.info is not None:
            self.slowest_rtt = max(self.slowest_rtt, self.info.rtt, self.info.receive_rtt or 0.0)
        return self.info

    @property
    def span(self) -> Span | None:
        return None if self.begin is None or self.end is None else Span(self.begin, self.end)


class Meter:
    """Counts content where it arrives, in any thread. Constant in memory; after `close` nothing counts."""

    def __init__(self, connections: int, *, size: int | None = None, sampled: bool = False) -> None:
        """`size` makes it `full` once so many bytes have arrived, and nothing counts beyond it.

        `sampled`: bytes come through `delivered`.
        """
        self.flows = [Flow(number) for number in range(connections)]
        self._bucket = 0.0 if sampled else BUCKET
        # Between two samples the bytes are taken to have come evenly.
        self.curve = Curve(SAMPLE if sampled else BUCKET)
        self.full = False
        self.filled = asyncio.Event()
        """Set by whoever sees on the loop that it is full."""
        self._lock = threading.Lock()
        self._size = size
        self._closed_at: float | None = None
        self._bucket_end = 0.0

    @property
    def bytes(self) -> int:
        return sum(flow.bytes for flow in self.flows)

    @property
    def moved(self) -> int:
        return sum(flow.moved for flow in self.flows)

    def collect(self, flow: Flow) -> None:
        """Books what has come on a connection since the last time."""
        with self._lock:
            count, t = flow.came - flow.moved, flow.came_at
            if count:
                flow.moved += count
                self._arrived(flow, t, count)

    def collect_all(self) -> None:
        """Books what has come on all of them."""
        for flow in self.flows:
            if flow.came > flow.moved:
                self.collect(flow)

    def _arrived(self, flow: Flow, t: float, count: int) -> None:
        total = self.curve.total[-1] if self.curve.total else 0
        if self._size is not None:
            count = min(count, self._size - total)
        if self._closed_at is not None or not count:
            return
        if flow.begin is None:
            flow.begin = t
        flow.bytes += count
        flow.end = t
        self._point(t, total + count)
        if total + count == self._size:
            self.full = True

    def delivered(self, t: float, counts: Sequence[int]) -> None:
        """Books what had been delivered on each connection by `t`; it never shrinks."""
        if self._closed_at is not None:
            return
        for flow, count in zip(self.flows, counts, strict=True):
            if count > flow.bytes:
                flow.bytes, flow.moved, flow.end = count, count, t
        self._point(t, self.bytes)

    def settled(self, t: float, band: float) -> bool:
        """Whether the rate of all connections together has settled by now, within a band around its mean."""
        begins = [flow.begin for flow in self.flows if flow.begin is not None]
        if len(begins) < len(self.flows) or not begins:
            return False
        with self._lock:
            return settled(self.curve, Span(max(begins), t), self.min_rtt or 0.0, band)

    @property
    def loaded_rtt(self) -> float:
        """The longest round trip that the kernel saw, queues included; 0 where it saw none."""
        return max((flow.slowest_rtt for flow in self.flows), default=0.0)

    @property
    def min_rtt(self) -> float | None:
        """The least round trip that the kernel saw, else the time of a handshake."""
        infos = [flow.info for flow in self.flows if flow.info is not None]
        known = [info.min_rtt for info in infos if info.min_rtt is not None]
        if known:
            return min(known)
        dialled = [
            flow.connected - flow.connect_start
            for flow in self.flows
            if flow.connected is not None and flow.connect_start is not None
        ]
        return min(dialled, default=None)

    def close(self, t: float) -> None:
        """The instant at which all connections are cut."""
        self.collect_all()
        if self._closed_at is None:
            self._closed_at = t

    @property
    def closed(self) -> bool:
        return self._closed_at is not None

    def _point(self, t: float, total: int) -> None:
        curve = self.curve
        # Arrivals of two connections may be read in another order than they were stamped.
        t = max(t, curve.t[-1]) if curve.t else t
        if curve.t and t < self._bucket_end:
            curve.t[-1], curve.total[-1] = t, total
            return
        if len(curve.t) >= POINTS:
            curve.t, curve.total = curve.t[1::2], curve.total[1::2]
            self._bucket = max(2 * self._bucket, 2 * TICK)
            curve.grain = max(curve.grain, self._bucket)
        curve.t.append(t)
        curve.total.append(total)
        self._bucket_end = t + self._bucket
