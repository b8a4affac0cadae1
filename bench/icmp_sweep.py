"""How fast networks are swept, beside fping and icmplib: all addresses answer, or one in sixteen."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.child import run
from bench.contest import OURS, Contender, Contest, Goal, Reading
from bench.netns import mine, pair
from bench.product import measure

_FULL, _FULL_HOSTS = "127.0.0.0/16", 65_534
_SPARSE, _SPARSE_HOSTS, _SPARSE_ALIVE = "10.50.0.0/18", 16_382, 1_023
_LIVE = "10.50.0.0/22"
_TIMEOUT = 1.0
_EVERYBODY = "0 2147483647"
"""The groups that may have ICMP datagram sockets as systemd sets them at boot; a bare kernel says nobody."""

_FASTEST = 1_000_000
_FLOOR = "one timeout and the packets at the rate asked for"
_LIBRARY_NAME = "icmplib async_multiping"
_LIBRARY = """
import asyncio, sys, time, ipaddress, icmplib
addresses = [str(ip) for ip in ipaddress.ip_network(sys.argv[1]).hosts()]
start = time.perf_counter()
hosts = asyncio.run(icmplib.async_multiping(addresses, count=1, timeout=1))
print(time.perf_counter() - start, sum(host.is_alive for host in hosts))
"""


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    with pair(mine("near"), mine("far"), "10.49.0") as link:
        link.far("ip", "route", "add", "local", _LIVE, "dev", "lo")
        link.near("ip", "route", "add", _SPARSE, "via", link.far_address)
        link.near("sysctl", "-q", "-w", f"net.ipv4.ping_group_range={_EVERYBODY}")
        yield [
            Contest(
                area="ICMP sweep, 65,534 hosts",
                work=f"One echo to each address of {_FULL} as fast as it goes, in a namespace where ICMP "
                "datagram sockets are allowed as systemd sets it; all answer. fping and the whole command "
                "count from start to exit, icmplib (50 hosts at a time, its default) and OTS without the "
                "start of Python.",
                unit="hosts/s",
                contenders=[
                    Contender("fping -i0", lambda: _fping(_FULL, _FULL_HOSTS, link.prefix)),
                    Contender(_LIBRARY_NAME, lambda: _icmplib(link.prefix)),
                    Contender(OURS, lambda: _ots(_FULL, _FULL_HOSTS, link.prefix)),
                    Contender(
                        f"{OURS}: whole command", lambda: _ots(_FULL, _FULL_HOSTS, link.prefix, whole=True)
                    ),
                ],
                goals=[Goal(1.0, "at least", "fping -i0"), Goal(30.0, "at least", _LIBRARY_NAME)],
            ),
            Contest(
                area="ICMP sweep, 16,382 hosts of which 1,023 answer",
                work=f"One echo to each address of {_SPARSE} in a namespace, timeout {_TIMEOUT:g} s.",
                unit="s",
                contenders=[
                    Contender("fping -i0", lambda: _seconds(_fping(_SPARSE, _SPARSE_ALIVE, link.prefix))),
                    Contender(OURS, lambda: _seconds(_ots(_SPARSE, _SPARSE_ALIVE, link.prefix))),
                    Contender(_FLOOR, lambda: Reading(_TIMEOUT + _SPARSE_HOSTS / _FASTEST)),
                ],
                goals=[Goal(1.1, "at most", "fping -i0"), Goal(1.1, "at most", _FLOOR)],
            ),
        ]


def _seconds(reading: Reading) -> Reading:
    return Reading(_SPARSE_HOSTS / reading.figure, reading.cpu)


def _ots(network: str, alive: int, prefix: Sequence[str], *, whole: bool = False) -> Reading:
    measured = measure(
        ["ping", network, "--sweep-count", "1", "--sweep-rate", str(_FASTEST)]
        + ["--interval", "10 ms", "--timeout", f"{_TIMEOUT} s"],
        prefix=prefix,
    )
    found, asked = measured.value("sweep_hosts_up"), measured.value("sweep_hosts_scanned")
    if found != alive:
        raise RuntimeError(f"ots found {found:g} hosts of {alive}")
    took = measured.done.seconds if whole else measured.value("sweep_duration_seconds", "value")
    return Reading(asked / took, measured.done.cpu)


def _fping(network: str, alive: int, prefix: Sequence[str]) -> Reading:
    program = shutil.which("fping") or "fping"
    done = run([*prefix, program, "-i0", "-r0", f"-t{_TIMEOUT * 1e3:.0f}", "-a", "-g", network], ok=(0, 1))
    found = done.output.count("\n")
    if found != alive:
        raise RuntimeError(f"fping found {found} hosts of {alive}")
    asked = {_FULL: _FULL_HOSTS, _SPARSE: _SPARSE_HOSTS}[network]
    return Reading(asked / done.seconds, done.cpu)


def _icmplib(prefix: Sequence[str]) -> Reading:
    done = run([*prefix, sys.executable, "-c", _LIBRARY, _FULL])
    seconds, alive = done.output.split()
    if int(alive) != _FULL_HOSTS:
        raise RuntimeError(f"icmplib found {alive} hosts of {_FULL_HOSTS}")
    return Reading(_FULL_HOSTS / float(seconds), done.cpu)
