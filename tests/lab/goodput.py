"""HTTP and FTP goodput, down and up, against what a link of a known rate leaves for TCP's payload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.product import measure
from tests.lab.link import Ends, link, wire
from tests.lab.references import curl, iperf3, iperf3_server
from tests.lab.row import Row
from tests.lab.servers import Far, servers

_PAYLOAD, _PACKET, _FRAME = 1448, 1500, 1514
"""A full segment with timestamps: payload, IP packet, Ethernet frame without preamble and check sequence."""

_TOLERANCE = 0.01
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
    """More than one where a single TCP does not keep the line full: then its rate is not the line's."""

    def open(self) -> AbstractContextManager[Ends]:
        if self.shaped:
            return wire(rate_down=self.down, rate_up=self.up)
        return link(
            rate_down=self.down,
            rate_up=self.up,
            delay=self.delay,
            queue=max(20_000, int(max(self.down, self.up) / 8 * self.queue)),
        )

    def ceiling(self, rate: float) -> float:
        return rate * _PAYLOAD / (_FRAME if self.shaped else _PACKET)


_LINES = (
    _Line("1 Mbit/s", 1e6, 1e6, 10, queue=0.6),
    _Line("10 Mbit/s", 10e6, 10e6, 6),
    _Line("100 Mbit/s", 100e6, 100e6, 5, queue=0.05),
    _Line("1 Gbit/s", 1e9, 1e9, 4, shaped=True),
    _Line("10 Mbit/s, 20 ms one way", 10e6, 10e6, 6, delay=0.02),
    _Line("10 Mbit/s, 100 ms one way, 4 connections", 10e6, 10e6, 12, 0.1, 0.2, connections=4),
)
_ASYMMETRIC = _Line("20 Mbit/s down, 5 Mbit/s up", 20e6, 5e6, 5, queue=0.03)


def goodput() -> Iterator[Row]:
    """All four transfers over all lines, beside iperf3's receiver and curl."""
    for line in _LINES:
        with line.open() as ends, servers(ends) as far, iperf3_server(ends):
            yield from _rows(line, ends, far, ("http", "ftp"))


def asymmetric() -> Iterator[Row]:
    """A line that is four times as fast down as up."""
    with _ASYMMETRIC.open() as ends, servers(ends) as far, iperf3_server(ends):
        yield from _rows(_ASYMMETRIC, ends, far, ("http",))


def _rows(line: _Line, ends: Ends, far: Far, protocols: tuple[str, ...]) -> Iterator[Row]:
    for upload, rate in ((False, line.down), (True, line.up)):
        ceiling = line.ceiling(rate)
        said = iperf3(ends, upload=upload, seconds=line.seconds, skip=1, connections=line.connections)
        for protocol in protocols:
            kind = f"{protocol}_{'upload' if upload else 'download'}"
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


def _ots(kind: str, ends: Ends, far: Far, line: _Line) -> tuple[float | None, str]:
    """Mbit/s by the product's own headline, or why there is none."""
    url = {
        "http_download": far.http("/speed/down"),
        "http_upload": far.http("/speed/up"),
        "ftp_download": far.ftp("/speed/down"),
        "ftp_upload": far.ftp("/in/"),
    }[kind]
    try:
        options = ["--duration", f"{line.seconds:g} s", "--connections", str(line.connections)]
        measured = measure([kind.replace("_", "-"), url, *options], prefix=ends.prefix)
        return measured.value(f"{kind}_throughput_bits_per_second", "median") / 1e6, ""
    except RuntimeError as error:
        return None, str(error)[:200]
