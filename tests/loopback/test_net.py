"""The network as probes see it: addresses, connections, routes, trigger points, and nothing left behind."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ots.clock import SystemClock
from ots.netio.net import SystemNet
from ots.netio.tcpinfo import tcp_info
from ots.probe import Failed, Route
from tests.peers.process import has_ipv6
from tests.peers.require import not_applicable


@dataclass
class Marks:
    """Trigger points in the order in which they were noted."""

    seen: dict[str, float] = field(default_factory=dict)

    def __call__(self, trigger: str, *, t: float | None = None, source: str = "app") -> None:
        self.seen.setdefault(trigger, time.monotonic() if t is None else t)


@pytest.fixture
def marks() -> Marks:
    return Marks()


@pytest.fixture
def net(marks: Marks) -> SystemNet:
    return SystemNet(SystemClock(), marks)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


async def test_a_literal_passes_through_in_no_time(net: SystemNet, marks: Marks) -> None:
    """Both trigger points are there, at the same moment."""
    address = await net.resolve("127.0.0.9", Route(), timeout=1)
    assert (address.ip, address.family, address.lookup) == ("127.0.0.9", "4", 0.0)
    assert marks.seen["resolve_start"] == marks.seen["resolved"]


async def test_a_name_gives_one_address_of_the_family_asked(net: SystemNet, marks: Marks) -> None:
    """localhost is in every hosts file, in IPv4 at least."""
    address = await net.resolve("localhost", Route(family="4"), timeout=5)
    assert (address.ip, address.family, address.name) == ("127.0.0.1", "4", "localhost")
    assert address.lookup == pytest.approx(marks.seen["resolved"] - marks.seen["resolve_start"])
    assert address.lookup > 0


async def test_a_literal_of_the_other_family_is_a_contradiction(net: SystemNet) -> None:
    """`127.0.0.1` by IPv6: class config, and nothing is sent."""
    with pytest.raises(Failed) as failed:
        await net.resolve("127.0.0.1", Route(family="6"), timeout=1)
    assert (failed.value.error.class_, failed.value.error.code) == ("config", "FAMILY")
    with pytest.raises(Failed) as failed:
        await net.resolve("localhost", Route(family="6", source="127.0.0.1"), timeout=1)
    assert (failed.value.error.class_, failed.value.error.code) == ("config", "FAMILY")


async def test_the_source_address_decides_the_family(net: SystemNet) -> None:
    """`auto` with an IPv4 source asks for IPv4."""
    assert (await net.resolve("localhost", Route(source="127.0.0.1"), timeout=5)).family == "4"


async def test_a_link_local_address_needs_its_interface(net: SystemNet) -> None:
    """By a zone or by the route; without either it is a mistake of the case."""
    index = socket.if_nametoindex("lo")
    assert (await net.resolve("fe80::1%lo", Route(), timeout=1)).scope == index
    assert (await net.resolve("fe80::1", Route(interface="lo"), timeout=1)).sockaddr(7) == (
        "fe80::1",
        7,
        0,
        index,
    )
    for host, code in (("fe80::1", "ZONE"), ("fe80::1%nowhere0", "ENODEV")):
        with pytest.raises(Failed) as failed:
            await net.resolve(host, Route(), timeout=1)
        assert (failed.value.error.class_, failed.value.error.code) == ("config", code)


async def test_a_resolver_that_never_answers_is_a_timeout_and_holds_nothing_up(
    net: SystemNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lookup is abandoned in its daemon thread; it may end later without harm."""
    released = threading.Event()

    def stuck(*_args: object, **_more: object) -> list[object]:
        released.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    began = time.monotonic()
    with pytest.raises(Failed) as failed:
        await net.resolve("www.ots.test", Route(), timeout=0.1)
    assert time.monotonic() - began < 2
    assert (failed.value.error.class_, failed.value.error.phase) == ("timeout", "resolve")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "ots-resolve"]
    assert thread.daemon
    released.set()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


async def test_a_connection_is_marked_where_it_begins_and_ends(
    net: SystemNet, marks: Marks, listener: socket.socket
) -> None:
    """The kernel's own round trip of the SYN lies inside the two stamps."""
    address = await net.resolve("127.0.0.1", Route(), timeout=1)
    with await net.dial(address, listener.getsockname()[1], Route(), timeout=2) as connection:
        assert connection.getpeername() == listener.getsockname()
        assert connection.gettimeout() == 0
        info = tcp_info(connection)
        assert info is not None
        assert 0 < info.rtt < marks.seen["connected"] - marks.seen["connect_start"] < 2


async def test_a_route_binds_interface_and_source(net: SystemNet, listener: socket.socket) -> None:
    """The peer sees the source address; the socket is tied to the interface."""
    address = await net.resolve("127.0.0.1", Route(), timeout=1)
    route = Route(interface="lo", source="127.0.0.5")
    with await net.dial(address, listener.getsockname()[1], route, timeout=2) as connection:
        assert connection.getsockname()[0] == "127.0.0.5"
        device = connection.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert device.rstrip(b"\0") == b"lo"
    with net.udp(address, route) as datagrams:
        assert datagrams.getsockname()[0] == "127.0.0.5"
        assert datagrams.gettimeout() == 0


@pytest.mark.parametrize(
    ("route", "code"),
    [
        (Route(interface="nowhere0"), "ENODEV"),
        (Route(source="192.0.2.77"), "EADDRNOTAVAIL"),
        (Route(source="not-an-address"), "EINVAL"),
        (Route(source="::1"), "FAMILY"),
    ],
)
async def test_a_route_that_this_machine_has_not_is_a_mistake_of_the_case(
    net: SystemNet, listener: socket.socket, route: Route, code: str
) -> None:
    """Class config with a remedy, and no socket is left open."""
    with pytest.raises(Failed) as failed:
        address = await net.resolve("127.0.0.1", route, timeout=1)
        await net.dial(address, listener.getsockname()[1], route, timeout=1)
    assert (failed.value.error.class_, failed.value.error.code) == ("config", code)
    assert failed.value.error.remedy


async def test_an_interface_that_leads_elsewhere_carries_nothing(
    net: SystemNet, listener: socket.socket
) -> None:
    """Bound to another interface, the loopback listener is out of reach: binding is no decoration."""
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not others:
        not_applicable("this machine has no interface but the loopback")
    address = await net.resolve("127.0.0.1", Route(), timeout=1)
    with pytest.raises(Failed) as failed:
        await net.dial(address, listener.getsockname()[1], Route(interface=others[0]), timeout=0.5)
    assert failed.value.error.class_ in ("unreachable", "timeout", "connect")


async def test_ipv6_works_like_ipv4(net: SystemNet) -> None:
    """The same calls, with ::1."""
    if not has_ipv6():
        not_applicable("this machine has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        address = await net.resolve("::1", Route(family="6"), timeout=1)
        with await net.dial(address, server.getsockname()[1], Route(source="::1"), timeout=2) as connection:
            assert connection.getpeername()[0] == "::1"
