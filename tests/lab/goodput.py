"""HTTP and FTP goodput, down and up, against what a link of a known rate leaves for TCP's payload.

Both ends run before other programs of the machine, OTS and the reference tools alike: other work is no
property of the link.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from bench.product import Measured, measure
from tests.lab.link import CONGESTION_CONTROL, DOWN, UP, EmulatedLink, Ends, link, wire
from tests.lab.references import curl, iperf3, iperf3_server
from tests.lab.row import Row
from tests.lab.servers import Far, servers

_PAYLOAD, _PACKET, _FRAME = 1448, 1500, 1514
"""A full segment with timestamps: payload, IP packet, Ethernet frame without preamble and check sequence."""

_TOLERANCE, _CARRIED_TOLERANCE = 0.01, 0.0025
_ABOVE = 0.001
"""An upload may exceed the ceiling by what the edges of its window can be off."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A link, its words, and how long a transfer over it lasts."""

    words: str
    down: float
    up: float
    seconds: float
    delay: float = 0.0
    queue: float = 0.1
    shaped: bool = False
    connections: int = 1
    congestion_control: str = CONGESTION_CONTROL

    @contextmanager
    def open(self) -> Iterator[Ends]:
        if self.shaped:
            with wire(rate_down=self.down, rate_up=self.up) as ends:
                yield replace(ends, ahead=True)
        else:
            with self.emulated() as emulated:
                yield emulated

    @contextmanager
    def emulated(self) -> Iterator[EmulatedLink]:
        with link(
            rate_down=self.down,
            rate_up=self.up,
            delay=self.delay,
            queue=max(20_000, int(max(self.down, self.up) / 8 * self.queue)),
            congestion_control=self.congestion_control,
        ) as ends:
            yield replace(ends, ahead=True)

    def ceiling(self, rate: float) -> float:
        return rate * _PAYLOAD / (_FRAME if self.shaped else _PACKET)


_LINES = (
    _Line("1 Mbit/s", 1e6, 1e6, 10, queue=0.6),
    _Line("10 Mbit/s", 10e6, 10e6, 6),
    _Line("100 Mbit/s", 100e6, 100e6, 5, queue=0.05),
    _Line("1 Gbit/s", 1e9, 1e9, 8, shaped=True),
    _Line("10 Mbit/s, 20 ms one way", 10e6, 10e6, 6, delay=0.02),
    _Line("10 Mbit/s, 100 ms one way", 10e6, 10e6, 12, 0.1, 0.2),
    _Line("10 Mbit/s, 100 ms one way, 4 connections", 10e6, 10e6, 12, 0.1, 0.2, connections=4),
)
_PAUSING = _Line("10 Mbit/s, 100 ms one way, BBR", 10e6, 10e6, 12, 0.1, 0.2, congestion_control="bbr")
"""BBR empties the queue every ten seconds to see the bare round trip (draft-cardwell-iccrg-bbr, ProbeRTT)."""
_ASYMMETRIC = _Line("20 Mbit/s down, 5 Mbit/s up", 20e6, 5e6, 5, queue=0.03)


def goodput() -> Iterator[Row]:
    """All four transfers over all lines, beside iperf3's receiver and curl."""
    for line in _LINES:
        with line.open() as ends, servers(ends) as far, iperf3_server(ends):
            yield from _rows(line, ends, far, ("http", "ftp"))


def pausing() -> Iterator[Row]:
    """A TCP that leaves the line idle by itself: OTS against what the line carried while it measured.

    The truth is what came through for the first time, by the emulator's log; the words say what share of the
    ceiling it was.
    """
    line = _PAUSING
    with line.emulated() as ends, servers(ends) as far, iperf3_server(ends):
        for upload in (False, True):
            said = iperf3(ends, upload=upload, seconds=line.seconds, skip=1)
            for protocol in ("http", "ftp"):
                kind = _kind(protocol, upload=upload)
                got, carried, why = None, 0.0, ""
                try:
                    measured = _measure(kind, ends, far, line)
                    got = measured.value(f"{kind}_throughput_bits_per_second", "median")
                    carried = _carried(ends, measured, kind, line)
                except RuntimeError as error:
                    why = str(error)[:200]
                ceiling = line.ceiling(line.up if upload else line.down)
                yield Row(
                    "Goodput where TCP pauses",
                    f"{line.words}: the line carried {carried / ceiling:.1%} of the ceiling",
                    kind,
                    "Mbit/s",
                    carried / 1e6,
                    None if got is None else got / 1e6,
                    "iperf3",
                    said / 1e6,
                    tolerance=_CARRIED_TOLERANCE * ceiling / 1e6,
                    why=why,
                )


def asymmetric() -> Iterator[Row]:
    """A line that is four times as fast down as up."""
    with _ASYMMETRIC.open() as ends, servers(ends) as far, iperf3_server(ends):
        yield from _rows(_ASYMMETRIC, ends, far, ("http",))


def _rows(line: _Line, ends: Ends, far: Far, protocols: tuple[str, ...]) -> Iterator[Row]:
    for upload, rate in ((False, line.down), (True, line.up)):
        ceiling = line.ceiling(rate)
        said = iperf3(ends, upload=upload, seconds=line.seconds, skip=1, connections=line.connections)
        for protocol in protocols:
            kind = _kind(protocol, upload=upload)
            got, why = _ots(kind, ends, far, line)
            references = {"iperf3": said}
            if kind == "http_download":
                references["curl"] = curl(ends, far.http("/speed/down"), line.seconds)
            for name, value in references.items():
                yield Row(
                    "Goodput",
                    line.words,
                    kind,
                    "Mbit/s",
                    ceiling / 1e6,
                    got,
                    name,
                    value / 1e6,
                    tolerance=_TOLERANCE * ceiling / 1e6,
                    never_above=_ABOVE * ceiling / 1e6 if upload else None,
                    why=why,
                )


def _kind(protocol: str, *, upload: bool) -> str:
    return f"{protocol}_{'upload' if upload else 'download'}"


def _ots(kind: str, ends: Ends, far: Far, line: _Line) -> tuple[float | None, str]:
    """Mbit/s by the product's own headline, or why there is none."""
    try:
        measured = _measure(kind, ends, far, line)
        return measured.value(f"{kind}_throughput_bits_per_second", "median") / 1e6, ""
    except RuntimeError as error:
        return None, str(error)[:200]


def _measure(kind: str, ends: Ends, far: Far, line: _Line) -> Measured:
    url = {
        "http_download": far.http("/speed/down"),
        "http_upload": far.http("/speed/up"),
        "ftp_download": far.ftp("/speed/down"),
        "ftp_upload": far.ftp("/in/"),
    }[kind]
    options = ["--duration", f"{line.seconds:g} s", "--connections", str(line.connections)]
    return measure([kind.replace("_", "-"), url, *options], prefix=ends.prefix)


def _carried(ends: EmulatedLink, measured: Measured, kind: str, line: _Line) -> float:
    """bit/s of TCP's payload, each segment once, that left the line in the window that OTS measured in."""
    method = measured.method(f"{kind}_throughput_bits_per_second")
    start = datetime.fromisoformat(method["window_start_timestamp"]).timestamp()
    start += time.monotonic() - time.time()
    if method["counted_at"] == "tcp_acked":
        # Bytes count when the acknowledgement is back.
        start -= line.delay
    end = start + method["window_seconds"]
    way = UP if kind.endswith("upload") else DOWN
    seen: set[tuple[int, int]] = set()
    payload = 0
    for fate in ends.fates():
        segment = fate.tcp_ports, fate.tcp_sequence
        if fate.direction == way and fate.left is not None and fate.tcp_payload and segment not in seen:
            seen.add(segment)
            payload += fate.tcp_payload if start < fate.left <= end else 0
    return 8 * payload / float(method["window_seconds"])
