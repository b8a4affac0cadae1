"""What OTS says of its own figures, where what limits or disturbs them is known."""

from __future__ import annotations

from collections.abc import Iterator

from bench.netns import do
from ots.netio.attachment.clock_trust import read_discipline
from tests.lab import paced_server as pace
from tests.lab.graded import Graded, Machine, iperf3_beside, machine, paced_server
from tests.lab.link import Ends, link, wire
from tests.lab.row import Row
from tests.lab.servers import servers

_WAYS = ("down", "up")
_SECONDS = ("--duration", "5 s")
_LONG = 0.05

_FULL = (
    ("2 Mbit/s, 1 ms one way", 2e6, 0.001, 60_000, "1"),
    ("20 Mbit/s, 5 ms one way", 20e6, 0.005, 250_000, "1"),
    ("20 Mbit/s, 20 ms one way, 4 connections", 20e6, 0.02, 250_000, "4"),
    ("100 Mbit/s, 10 ms one way", 100e6, 0.01, 800_000, "1"),
)
"""Condition, rate, delay, queue in bytes, connections."""


def validity() -> Iterator[Row]:
    """The findings of transfers and round trips, each where it must be found and where it must not."""
    with machine() as own:
        yield from _links(own)
        yield from _windows(own)
        yield from _servers(own)
        yield from _machine(own)
        yield from _unsteady(own)
        yield from _others(own)
        yield from _changes(own)
        yield from _clocks(own)


def transfer(
    own: Machine, ends: Ends, way: str, port: int, path: str, *more: str, starved: bool = False
) -> Graded:
    """An HTTP transfer of five seconds to a port of the far end."""
    url = f"http://{ends.far_address}:{port}{path}"
    return own.measure(
        ends, f"http-{'download' if way == 'down' else 'upload'}", url, *_SECONDS, *more, starved=starved
    )


def _of_peers(own: Machine, ends: Ends, way: str, *more: str) -> Graded:
    with servers(ends) as far:
        return transfer(own, ends, way, far.ports["http"], f"/speed/{way}", *more)


def _links(own: Machine) -> Iterator[Row]:
    for words, rate, delay, queue, connections in _FULL:
        for way in _WAYS:
            with link(rate_down=rate, rate_up=rate, delay=delay, queue=queue) as ends:
                found = _of_peers(own, ends, way, "--connections", connections)
            yield _row(f"{words}, filled {way}", found, "link_limited", grade="high")
    with link(rate_down=20e6, rate_up=20e6, delay=0.005, queue=250_000) as slow, servers(slow) as far:
        found = own.measure(slow, "speedtest", far.http("/"), "--duration", "4 s")
        yield _row("20 Mbit/s, 5 ms one way, speed test", found, "link_limited", grade="high")
    with wire(rate_down=100e9, rate_up=100e9) as ends:
        for way in _WAYS:
            found = _of_peers(own, ends, way)
            yield _row(f"no bottleneck but this machine, {way}", found, "link_limited", expected=False)


def _windows(own: Machine) -> Iterator[Row]:
    for way in _WAYS:
        with link(rate_down=100e6, rate_up=100e6, delay=_LONG) as ends:
            for prefix in (ends.prefix, ends.far_prefix):
                _set(prefix, "net.ipv4.tcp_rmem", "4096 32768 65536")
            found = _of_peers(own, ends, way)
        yield _row(f"receiver's buffer of 64 KiB, 50 ms one way, {way}", found, "window_limited")


def _servers(own: Machine) -> Iterator[Row]:
    with link(rate_down=50e6, rate_up=50e6, delay=0.01) as ends, paced_server(ends):
        for words, way, port, expected in (
            ("server sends 4 Mbit/s in bursts", "down", pace.BURSTS, True),
            ("server sends 4 Mbit/s evenly", "down", pace.EVENLY, False),
            ("server reads 4 Mbit/s", "up", pace.READS, True),
        ):
            found = transfer(own, ends, way, port, "/", "--stall-limit", "10 s", "--timeout", "20 s")
            if expected:
                yield _row(words, found, "server_limited")
            else:
                yield _row(words, found, "link_limited", expected=False)


def _machine(own: Machine) -> Iterator[Row]:
    with link(rate_down=100e6, rate_up=100e6, delay=_LONG) as slow:
        _set(slow.prefix, "net.ipv4.tcp_wmem", "4096 32768 65536")
        found = _of_peers(own, slow, "up")
    yield _row("own send buffer of 64 KiB, 50 ms one way, up", found, "probe_limited")
    with wire(rate_down=2e9, rate_up=2e9) as fast, servers(fast) as far:
        found = transfer(own, fast, "down", far.ports["http"], "/speed/down", starved=True)
        yield _row("our process runs a twentieth of the time, down", found, "probe_limited")
    with link(delay=_LONG) as slow, servers(slow) as far:
        target = f"{far.host}:{far.ports['http']}"
        asked = ("tcp-connect", target, "--count", "100", "--interval", "30 ms")
        yield _row("the same, TCP connects", own.measure(slow, *asked, starved=True), "probe_limited")
        yield _row("left alone, TCP connects", own.measure(slow, *asked), "probe_limited", expected=False)


def _unsteady(own: Machine) -> Iterator[Row]:
    with wire(rate_down=20e6, rate_up=20e6) as ends, servers(ends) as far:
        slower = (*ends.far_prefix, "tc", "qdisc", "change", "dev", "wire", "root", "tbf", "rate", "5mbit")
        url = f"http://{far.host}:{far.ports['http']}/speed/down"
        found = own.measure(
            ends, "http-download", url, "--duration", "4 s",
            meanwhile=[("sleep", "1"), (*slower, "burst", "16000", "limit", "141000")],
        )  # fmt: skip
    yield _row("20 Mbit/s, then 5 Mbit/s, down", found, "not_stabilised")


def _others(own: Machine) -> Iterator[Row]:
    with link(rate_down=20e6, rate_up=20e6, delay=0.005, queue=250_000) as ends, servers(ends) as far:
        asked = ("ping", ends.far_address, "--count", "100", "--interval", "20 ms", "--timeout", "1 s")
        yield _row("quiet link, ping", own.measure(ends, *asked), "cross_traffic", expected=False)
        for rate, expected in ((0.5e6, False), (2e6, True)):
            with iperf3_beside(ends, rate, down=True):
                found = own.measure(ends, *asked)
            yield _row(f"{rate / 1e6:g} Mbit/s of others, ping", found, "cross_traffic", expected=expected)
        for way in _WAYS:
            yield _row(
                f"no others, 20 Mbit/s filled {way}",
                transfer(own, ends, way, far.ports["http"], f"/speed/{way}"),
                "cross_traffic",
                expected=False,
            )
            with iperf3_beside(ends, 3e6, down=way == "down"):
                found = transfer(own, ends, way, far.ports["http"], f"/speed/{way}")
            yield _row(f"3 Mbit/s of others, 20 Mbit/s filled {way}", found, "cross_traffic")


def _changes(own: Machine) -> Iterator[Row]:
    asked = ("--count", "150", "--interval", "20 ms", "--timeout", "1 s")
    with wire(rate_down=100e6, rate_up=100e6) as ends:
        found = own.measure(ends, "ping", ends.far_address, *asked)
        yield _row("nothing changes, ping", found, "changed_network", expected=False)
        renumber = [
            (*ends.prefix, "ip", "address", "add", "10.78.0.7/24", "dev", "wire"),
            (*ends.prefix, "ip", "address", "del", f"{ends.near_address}/24", "dev", "wire"),
        ]
        found = own.measure(ends, "ping", ends.far_address, *asked, meanwhile=renumber)
        yield _row("our address is replaced, ping", found, "changed_network")
    with wire(rate_down=100e6, rate_up=100e6) as ends:
        flap = [(*ends.far_prefix, "ip", "link", "set", "wire", state) for state in ("down", "up")]
        found = own.measure(ends, "ping", ends.far_address, *asked, meanwhile=flap)
        yield _row("the link is gone for half a second, ping", found, "changed_network")


def _clocks(own: Machine) -> Iterator[Row]:
    """A process in a time namespace of its own has a monotonic clock that ours is not."""
    kept = read_discipline().synchronised
    for words, within in (("one clock", ()), ("two clocks", ("unshare", "--time"))):
        with link(delay=0.005) as ends, servers(ends, within=within) as far:
            target = f"{far.host}:{far.ports['udp_echo']}"
            found = own.measure(ends, "udp-echo", target, "--count", "50", "--interval", "20 ms")
        nobodys = bool(within) and not kept
        words = f"{words}, {'kept' if kept else 'kept by nobody'}, UDP echo"
        yield _row(words, found, "unsynchronised_clock", expected=nobodys)


def _row(words: str, found: Graded, code: str, *, expected: bool = True, grade: str | None = None) -> Row:
    """1 if the finding is there, and the grade is as it should be; else 0."""
    said = code in found.codes and grade in (None, found.grade)
    return Row(
        "Validity",
        words,
        code if grade is None else f"{code}, grade {grade}",
        "found",
        float(expected),
        float(said),
        tolerance=0.0,
        why=f"{found.grade}: {' '.join(found.codes) or 'nothing found'}",
    )


def _set(prefix: tuple[str, ...], name: str, value: str) -> None:
    do(*prefix, "sysctl", "-qw", f"{name}={value}")
