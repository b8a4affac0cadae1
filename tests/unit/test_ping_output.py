"""The lines that the system's ping prints, as an echo run understands them."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.icmp.program import Refused, Reply, local_error, parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "[1700000000.250000] 64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=0.041 ms",
            Reply(1, 1700000000.25, 0.000041, 64, False),
        ),
        (
            "64 bytes from 192.0.2.1: icmp_seq=20 ttl=51 time=12 ms (DUP!)",
            Reply(20, None, 0.012, 51, True),
        ),
        (
            "[1700000000.250000] 64 bytes from fe80::1%eth0: icmp_seq=3 ttl=255 time=1.20 ms",
            Reply(3, 1700000000.25, 0.0012, 255, False),
        ),
        ("24 bytes from 127.0.0.1: icmp_seq=7 ttl=64", Reply(7, None, None, 64, False)),
        (
            "[1700000000.250000] From 10.9.0.254 icmp_seq=2 Destination Host Unreachable",
            Refused(2, 3, 1, "10.9.0.254"),
        ),
        ("From 10.9.0.254 icmp_seq=1 Time to live exceeded", Refused(1, 11, 0, "10.9.0.254")),
        (
            "From 10.9.0.254 icmp_seq=1 Frag needed and DF set (mtu = 1400)",
            Refused(1, 3, 4, "10.9.0.254"),
        ),
        ("From fd09::fe icmp_seq=4 Time exceeded: Hop limit", Refused(4, 3, 0, "fd09::fe")),
        ("From fd09::fe icmp_seq=4 Packet too big: mtu=1280", Refused(4, 2, 0, "fd09::fe")),
    ],
)
def test_lines_about_a_request(line: str, expected: Reply | Refused) -> None:
    """Replies and errors, with and without a stamp, IPv4 and IPv6."""
    found = parse(line)
    assert found == expected or (
        isinstance(found, Reply)
        and isinstance(expected, Reply)
        and found.rtt == pytest.approx(expected.rtt)
        and (found.sequence, found.ttl, found.at) == (expected.sequence, expected.ttl, expected.at)
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.",
        "--- 127.0.0.1 ping statistics ---",
        "5 packets transmitted, 5 received, 0% packet loss, time 804ms",
        "From 10.9.0.254 icmp_seq=1 Something nobody ever heard of",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    """Headings, totals and unknown messages are no events."""
    assert parse(line) is None


@given(st.text(max_size=200))
def test_any_line_is_survived(line: str) -> None:
    """No output of a strange ping raises."""
    parse(line)
    local_error(line)


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        ("ping: connect: Network is unreachable\n", errno.ENETUNREACH),
        ("ping: socket: Operation not permitted\n", errno.EPERM),
        ("/usr/bin/ping: connect: Network is unreachable\n", errno.ENETUNREACH),
        ("/usr/bin/ping: bind: Cannot assign requested address\n", errno.EADDRNOTAVAIL),
        (
            "/bin/ping: socktype: SOCK_RAW\n/bin/ping: socket: Operation not permitted\n"
            "/bin/ping: => missing cap_net_raw+p capability or setuid?\n",
            errno.EPERM,
        ),
        ("ping: cannot flood; minimal interval allowed for user is 2ms\n", None),
        ("", None),
    ],
)
def test_pings_own_complaints(stderr: str, expected: int | None) -> None:
    """A complaint that ends in the system's words for an errno is that errno."""
    assert local_error(stderr) == expected
