"""Attachment, machine and clock: what the kernel and its files say. Bytes and texts are captured."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ots.model.report import Context
from ots.netio.attachment import machine, netlink, routing
from ots.netio.attachment import snapshot as attachment
from ots.netio.attachment.clock_trust import Discipline, clock_trust, interpret, zone_name
from ots.netio.attachment.interface import (
    Interface,
    InterfaceAddress,
    parse_address,
    parse_interfaces,
    parse_link,
)
from ots.netio.attachment.routing import Way, parse_route
from ots.netio.attachment.wifi import channel, keyed_hash
from ots.netio.attachment.wifi import interpret as interpret_wifi
from ots.netio.dns import servers as name_servers
from ots.probe import Route
from ots.schema.target import Target

LOOPBACK_4 = "020880fe01000000080001007f000001080002007f000001070003006c6f0000080008008000000014000600" + (
    "ffffffffffffffff1200000012000000"
)
ETHERNET_4 = (
    "021880000400000008000100c000020208000200c000020208000400c00002ff0900030065746830000000000800080080000000"
    "14000600ffffffffffffffff1200000012000000"
)
LINK_LOCAL_6 = (
    "0a4080fd0400000014000100fe8000000000000000fc00fffe00000114000600ffffffffffffffff120000001200000008000800"
    "8000000005000b0003000000"
)
DEFAULT_4 = (
    "02200000fe0000010002000008000f00fe00000008000100c6336401080004000400000008000700c000020208000500c0000201"
    "080019000000000024000c0002000000009990500000000000000000000000000000000000000000000000000000"
)
DEFAULT_6 = (
    "0a808000fe0300010000000008000f00fe0000001400010020010db8ffff0000000000000000000114000200000000000000000000"
    "0000000000000014000700fd000000000000000000000000000002080006000004000014000500fd0000000000000000000000000000"
    "01080004000400000024000c0002000000d59805000000000000000000000000000000000000000000000000000500140000000000"
)
LOCAL_4 = (
    "02200000fe0000020002008008000f00fe000000080001007f0000010800040001000000080007007f0000010800190000000000"
    "24000c0002000000ee990500000000000000000000000000000000000000000000000000"
)
KEY = b"5b0e3a52-6f0a-4b0e-9f57-52a8d6f0c001"


@pytest.mark.parametrize(
    ("captured", "index", "expected"),
    [
        (LOOPBACK_4, 1, InterfaceAddress("127.0.0.1", 8, "4", "host")),
        (ETHERNET_4, 4, InterfaceAddress("192.0.2.2", 24, "4", "global")),
        (LINK_LOCAL_6, 4, InterfaceAddress("fe80::fc:ff:fe00:1", 64, "6", "link")),
    ],
)
def test_address(captured: str, index: int, expected: InterfaceAddress) -> None:
    """Address, prefix, family and scope of captured messages."""
    assert parse_address(bytes.fromhex(captured)) == (index, expected)


def test_address_flags_and_far_end() -> None:
    """A privacy address is temporary; on a point-to-point link ours is IFA_LOCAL, not the other end."""
    header = struct.pack("=BBBBI", socket.AF_INET6, 64, 0, 0, 7)
    six = netlink.attribute(1, socket.inet_pton(socket.AF_INET6, "2001:db8::7"))
    flags = netlink.attribute(8, struct.pack("=I", 0x01 | 0x20 | 0x40))
    _, address = parse_address(header + six + flags)
    assert address == InterfaceAddress("2001:db8::7", 64, "6", "global", True, True, True)
    point = netlink.attribute(1, bytes([192, 0, 2, 1])) + netlink.attribute(2, bytes([192, 0, 2, 9]))
    _, address = parse_address(struct.pack("=BBBBI", socket.AF_INET, 32, 0x01, 0, 8) + point)
    assert address == InterfaceAddress("192.0.2.9", 32, "4", "global")
    assert parse_address(struct.pack("=BBBBI", 17, 0, 0, 0, 9)) == (9, None)


@pytest.fixture
def interface_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_indextoname", {1: "lo", 4: "eth0"}.__getitem__)


@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        (DEFAULT_4, Way("eth0", "192.0.2.1", "192.0.2.2")),
        (DEFAULT_6, Way("eth0", "fd00::1", "fd00::2")),
        (LOCAL_4, Way("lo", None, "127.0.0.1")),
    ],
)
def test_route(interface_names: None, captured: str, expected: Way) -> None:
    """Interface, gateway and source of captured answers."""
    assert parse_route(bytes.fromhex(captured)) == expected


@pytest.mark.parametrize("kind", [6, 7, 8, 9])
def test_route_to_nowhere(kind: int) -> None:
    """Blackhole, unreachable, prohibit and throw routes lead nowhere."""
    header = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, kind, 0)
    with pytest.raises(OSError, match="no route"):
        parse_route(header + netlink.attribute(4, struct.pack("=I", 1)))


def test_route_through_the_other_family(interface_names: None) -> None:
    """An IPv4 route may have an IPv6 next hop (RFC 8950)."""
    header = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
    hop = struct.pack("=H", socket.AF_INET6) + socket.inet_pton(socket.AF_INET6, "fe80::1")
    body = netlink.attribute(4, struct.pack("=I", 4)) + netlink.attribute(18, hop)
    assert parse_route(header + body) == Way("eth0", "fe80::1", None)


def link_message(name: str, hardware: int = 1, kind: str | None = None, *, flags: int = 1) -> bytes:
    """An interface as the kernel would send it."""
    counters = struct.pack("=24Q", 10, 20, 3000, 4000, *[0] * 20)
    info = netlink.attribute(18, netlink.attribute(1, kind.encode() + b"\0")) if kind else b""
    return (
        struct.pack("=BxHiII", 0, hardware, 5, flags, 0)
        + netlink.attribute(3, name.encode() + b"\0")
        + netlink.attribute(4, struct.pack("=I", 1400))
        + netlink.attribute(16, b"\6")
        + info
        + netlink.attribute(23, counters)
    )


@pytest.mark.parametrize(
    ("name", "hardware", "kind", "expected"),
    [
        ("eth0", 1, None, "ethernet"),
        ("lo", 772, None, "loopback"),
        ("wg0", 65534, "wireguard", "tunnel"),
        ("tun0", 65534, "tun", "tunnel"),
        ("ppp0", 512, "ppp", "ppp"),
        ("br0", 1, "bridge", "bridge"),
        ("eth0.7", 1, "vlan", "vlan"),
        ("bond0", 1, "bond", "bond"),
        ("veth1", 1, "veth", "virtual"),
        ("wwan0", 519, None, "wwan"),
        ("sit0", 776, "sit", "tunnel"),
        ("odd0", 40000, None, "other"),
    ],
)
def test_interface_type(tmp_path: Path, name: str, hardware: int, kind: str | None, expected: str) -> None:
    """The type follows the driver's kind, else the hardware type."""
    assert parse_link(link_message(name, hardware, kind), tmp_path).type == expected


def test_radio_interfaces_are_known_by_their_device(tmp_path: Path) -> None:
    """Wi-Fi and mobile broadband look like Ethernet until sysfs is asked."""
    (tmp_path / "wlp3s0" / "phy80211").mkdir(parents=True)
    (tmp_path / "wwp0s20").mkdir()
    (tmp_path / "wwp0s20" / "uevent").write_text("DEVTYPE=wwan\nINTERFACE=wwp0s20\nIFINDEX=5\n")
    assert parse_link(link_message("wlp3s0"), tmp_path).type == "wifi"
    assert parse_link(link_message("wwp0s20"), tmp_path).type == "wwan"


def test_interface(tmp_path: Path) -> None:
    """State, MTU, counters, negotiated speed and addresses come together."""
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0" / "speed").write_text("2500\n")
    header = struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, 5)
    address = header + netlink.attribute(2, bytes([192, 0, 2, 77]))
    assert parse_interfaces([link_message("eth0")], [address], tmp_path) == [
        Interface(
            index=5,
            name="eth0",
            type="ethernet",
            kind=None,
            up=True,
            state="up",
            mtu=1400,
            addresses=(InterfaceAddress("192.0.2.77", 24, "4", "global"),),
            received_bytes=3000,
            sent_bytes=4000,
            speed=2.5e9,
        )
    ]


@pytest.mark.parametrize("speed", ["-1\n", "", "fast"])
def test_speed_that_no_driver_told(tmp_path: Path, speed: str) -> None:
    """-1 and rubbish are no speed."""
    (tmp_path / "eth0").mkdir()
    (tmp_path / "eth0" / "speed").write_text(speed)
    assert parse_link(link_message("eth0", flags=0), tmp_path).speed is None


def test_truncated_netlink_data_ends_quietly() -> None:
    """What a broken length would run past is not read."""
    whole = netlink.attribute(1, b"abcd") + netlink.attribute(2, b"x")
    assert netlink.attributes(whole) == {1: b"abcd", 2: b"x"}
    for cut in range(len(whole)):
        assert set(netlink.attributes(whole[:cut]).items()) <= {(1, b"abcd"), (2, b"x")}
    assert netlink.attributes(b"\x00\x00\x01\x00") == {}
    assert list(netlink.messages(b"\x08\x00\x00\x00" + bytes(12))) == []


RESOLV = """\
# made by hand
domain example.net
nameserver 192.0.2.53   # first
nameserver 2001:db8::53
nameserver fe80::1%eth0
nameserver not-an-address
options edns0
;nameserver 192.0.2.99
nameserver
"""


def test_resolv_conf() -> None:
    """Only name servers that are addresses count, in their order."""
    assert name_servers.parse_resolv_conf(RESOLV) == ["192.0.2.53", "2001:db8::53", "fe80::1%eth0"]


def test_name_servers_behind_the_stub(tmp_path: Path) -> None:
    """Behind systemd-resolved's stub, the servers that it asks are shown; the stub if nobody knows them."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 127.0.0.53\noptions edns0 trust-ad\n")
    assert name_servers.name_servers(tmp_path) == ["127.0.0.53"]
    upstream = tmp_path / "run/systemd/resolve/resolv.conf"
    upstream.parent.mkdir(parents=True)
    upstream.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    assert name_servers.name_servers(tmp_path) == ["192.0.2.1", "192.0.2.2"]
    assert name_servers.name_servers(tmp_path / "empty") == []


def wifi_messages() -> tuple[bytes, bytes]:
    """nl80211's answers about an associated interface."""
    head = struct.pack("=BBxx", 5, 1)
    own = (
        netlink.attribute(3, struct.pack("=I", 3))
        + netlink.attribute(52, b"office")
        + netlink.attribute(38, struct.pack("=I", 5180))
        + netlink.attribute(159, struct.pack("=I", 3))
    )
    rate = netlink.attribute(1, struct.pack("=H", 4333)) + netlink.attribute(5, struct.pack("=I", 4333))
    link = (
        netlink.attribute(7, struct.pack("=b", -61))
        + netlink.attribute(8, rate)
        + netlink.attribute(14, netlink.attribute(1, struct.pack("=H", 60)))
    )
    peer = netlink.attribute(6, bytes.fromhex("020000000001")) + netlink.attribute(21, link)
    return head + own, head + peer


def test_wifi() -> None:
    """Channel, signal and rates are read; names leave only as keyed hashes."""
    own, peer = wifi_messages()
    facts = interpret_wifi(own, peer, KEY)
    assert facts == {
        "ssid_hash": keyed_hash(b"office", KEY),
        "bssid_hash": keyed_hash(bytes.fromhex("020000000001"), KEY),
        "frequency_hertz": 5_180_000_000,
        "channel": 36,
        "width_hertz": 80_000_000,
        "signal_dbm": -61,
        "sending_bits_per_second": 433.3e6,
        "receiving_bits_per_second": 6e6,
    }
    assert len(facts["ssid_hash"]) == 16
    assert facts["ssid_hash"] != keyed_hash(b"office", b"another installation")


def test_wifi_without_access_point() -> None:
    """Not associated: nothing is made up."""
    own, _ = wifi_messages()
    facts = interpret_wifi(own[:4] + netlink.attribute(3, struct.pack("=I", 3)), None, KEY)
    assert set(facts.values()) == {None}


@pytest.mark.parametrize(
    ("megahertz", "number"),
    [(2412, 1), (2472, 13), (2484, 14), (5180, 36), (5825, 165), (5955, 1), (7115, 233), (4000, None)],
)
def test_wifi_channel(megahertz: int, number: int | None) -> None:
    """Channel numbers of the three bands."""
    assert channel(megahertz) == number


def test_operating_system() -> None:
    """The pretty name, whatever quotes it has."""
    assert machine.operating_system('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n') == (
        "Debian GNU/Linux 12 (bookworm)"
    )
    assert machine.operating_system("PRETTY_NAME=OpenWrt\n") == "OpenWrt"
    assert machine.operating_system("ID=x\n") is None


CPUINFO_VM = (
    "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu vme hypervisor lahf_lm\n\nprocessor\t: 1\n"
)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("proc/cpuinfo", CPUINFO_VM, "vm"),
        ("proc/cpuinfo", CPUINFO_VM.replace("hypervisor ", ""), "none"),
        (".dockerenv", "", "docker"),
        ("run/.containerenv", "", "podman"),
        ("run/systemd/container", "lxc\n", "lxc"),
        ("sys/hypervisor/type", "xen\n", "vm"),
    ],
)
def test_virtualisation(tmp_path: Path, file: str, text: str, expected: str) -> None:
    """Containers and virtual machines by the traces they leave."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert machine.virtualisation(tmp_path) == expected


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, (None, None)),
        ({"AC": {"type": "Mains", "online": "1"}}, ("ac", None)),
        (
            {
                "AC": {"type": "Mains", "online": "0"},
                "BAT0": {"type": "Battery", "capacity": "81", "status": "Discharging"},
            },
            ("battery", 0.81),
        ),
        ({"BAT0": {"type": "Battery", "capacity": "100", "status": "Full"}}, ("ac", 1.0)),
        (
            {"mouse": {"type": "Battery", "scope": "Device", "capacity": "40", "status": "Discharging"}},
            (None, None),
        ),
    ],
)
def test_power(
    tmp_path: Path, supplies: dict[str, dict[str, str]], expected: tuple[str | None, float | None]
) -> None:
    """Mains or battery, and its charge; a mouse's battery is not the machine's."""
    for name, files in supplies.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text + "\n")
    assert machine.power(tmp_path) == expected


def test_device_names_what_is_missing(tmp_path: Path) -> None:
    """Every null of the machine has its reason, and nothing else has."""
    facts, nulls = machine.device(tmp_path)
    assert {name for name, value in facts.items() if value is None} == set(nulls)
    firmware = tmp_path / "sys/class/dmi/id"
    firmware.mkdir(parents=True)
    (firmware / "product_name").write_text("Default string\n")
    (firmware / "sys_vendor").write_text("ACME\n")
    facts, nulls = machine.device(tmp_path)
    assert (facts["model"], facts["manufacturer"]) == (None, "ACME")


def test_clock_discipline() -> None:
    """Microseconds, or nanoseconds where the kernel says so; unsynchronised by flag or by state."""
    assert interpret(0, 0x2001, -1_500_000, 3000, 12) == Discipline(True, -0.0015, 0.003, 1.2e-05)
    assert interpret(0, 0x0001, -1500, 3000, 12).offset == -0.0015
    assert not interpret(0, 0x0040, 0, 16_000_000, 16_000_000).synchronised
    assert not interpret(5, 0x0001, 0, 0, 0).synchronised


def failing() -> Discipline:
    raise OSError(1, "not permitted")


@pytest.mark.parametrize(
    ("read", "source", "reason"),
    [
        (lambda: Discipline(True, 0.001, 0.003, 0.0001), "ntp", None),
        (lambda: Discipline(False, 0.0, 16.0, 16.0), "none", "not_synchronised"),
        (failing, "none", "unreadable:EPERM"),
    ],
)
def test_clock_record(read: Callable[[], Discipline], source: str, reason: str | None) -> None:
    """Unknown offsets are null with their reason, never zero; every null is explained."""
    record = clock_trust(read)
    assert record["source"] == source
    assert record["nulls"].get("offset_seconds") == reason
    assert (record["offset_seconds"] is None) == (reason is not None)
    assert {name for name, value in record.items() if value is None} == set(record["nulls"])
    assert record["wall"].endswith("Z")


def test_zone_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TZ, then the link /etc/localtime, then /etc/timezone."""
    monkeypatch.delenv("TZ", raising=False)
    (tmp_path / "etc").mkdir()
    assert zone_name(tmp_path) is None
    (tmp_path / "etc/timezone").write_text("Europe/Vienna\n")
    assert zone_name(tmp_path) == "Europe/Vienna"
    os.symlink("/usr/share/zoneinfo/Asia/Shanghai", tmp_path / "etc/localtime")
    assert zone_name(tmp_path) == "Asia/Shanghai"
    monkeypatch.setenv("TZ", "America/Argentina/Ushuaia")
    assert zone_name(tmp_path) == "America/Argentina/Ushuaia"
    monkeypatch.setenv("TZ", "CST-8")
    assert zone_name(tmp_path) == "Asia/Shanghai"


ETH0 = Interface(4, "eth0", "ethernet", None, True, "up", 1400, (), 10, 20, None)
WG0 = Interface(5, "wg0", "tunnel", "wireguard", True, "unknown", 1420, (), 1, 2, None)
LO = Interface(
    1, "lo", "loopback", None, True, "up", 65536, (InterfaceAddress("127.0.0.1", 8, "4", "host"),), 5, 5, None
)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, Way]:
    """The default ways, as the test puts them in."""
    found: dict[str, Way] = {}
    monkeypatch.setattr(attachment, "default_way", found.get)
    return found


def test_network_of_the_default_route(ways: dict[str, Way], monkeypatch: pytest.MonkeyPatch) -> None:
    """The default route's interface is described, both gateways, tunnels, and proxies by name only."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@192.0.2.8:3128")
    ways |= {"4": Way("eth0", "192.0.2.1", "192.0.2.2"), "6": Way("eth0", "fe80::1", None)}
    facts, nulls = attachment.network([LO, ETH0, WG0], None, KEY)
    assert (facts["interface"], facts["type"], facts["mtu"]) == ("eth0", "ethernet", 1400)
    assert [way["address"] for way in facts["gateway"]] == ["192.0.2.1", "fe80::1"]
    assert facts["vpn"] == ["wg0"]
    assert "https_proxy" in facts["proxy"]
    assert "password" not in str(facts)
    assert {name for name, value in facts.items() if value is None} == set(nulls)


def test_network_of_a_named_interface(ways: dict[str, Way]) -> None:
    """A gateway belongs to the interface that leads to it."""
    ways["4"] = Way("eth0", "192.0.2.1", None)
    facts, _ = attachment.network([LO, ETH0, WG0], "lo", KEY)
    assert (facts["interface"], facts["gateway"]) == ("lo", [])
    assert facts["addresses"][0]["address"] == "127.0.0.1"


def test_network_without_any_way(ways: dict[str, Way]) -> None:
    """No route: the loopback; no interface at all: everything null, each with its reason."""
    assert attachment.network([LO, ETH0], None, KEY)[0]["interface"] == "lo"
    facts, nulls = attachment.network([], None, KEY)
    assert (facts["interface"], nulls["interface"]) == (None, "no_route")
    assert {name for name, value in facts.items() if value is None} == set(nulls)


def test_snapshot_explains_every_null(ways: dict[str, Way], monkeypatch: pytest.MonkeyPatch) -> None:
    """A context's nulls are all explained, also those inside its sections."""
    monkeypatch.setattr(attachment, "interfaces", lambda: [LO, ETH0])
    seen = attachment.snapshot(1.5, None, KEY, machine.device(), machine.LoadMeter())
    assert isinstance(seen, Context)
    assert (seen.radio, seen.position) == (None, None)
    missing = {"radio", "position"}
    for section in ("device", "network", "load"):
        values = getattr(seen, section)
        missing |= {f"{section}.{name}" for name, value in values.items() if value is None}
    assert set(seen.nulls) == missing


@pytest.mark.parametrize(
    ("target", "route", "expected"),
    [
        (Target("localhost", "localhost"), Route(), "lo"),
        (Target("127.0.0.1:80", "127.0.0.1", 80), Route(), "lo"),
        (Target("192.0.2.9", "192.0.2.9"), Route(), "eth0"),
        (Target("192.0.2.9", "192.0.2.9"), Route(interface="wg0"), "wg0"),
        (Target("www.example.net", "www.example.net"), Route(), "eth4"),
        (Target("www.example.net", "www.example.net"), Route("6"), "eth6"),
        (Target("fe80::1%eth7", "fe80::1%eth7"), Route(), "eth7"),
        (Target("203.0.113.1", "203.0.113.1"), Route(), "none"),
    ],
)
async def test_egress(
    monkeypatch: pytest.MonkeyPatch, ways: dict[str, Way], target: Target, route: Route, expected: str
) -> None:
    """The interface towards a target; a name is not looked up, it takes the default route."""
    ways |= {"4": Way("eth4", None, None), "6": Way("eth6", None, None)}
    table = {"127.0.0.1": "lo", "192.0.2.9": "eth0"}

    def ask(address: object) -> Way:
        if str(address) not in table:
            raise OSError(101, "unreachable")
        return Way(table[str(address)], None, None)

    monkeypatch.setattr(routing, "_ask", ask)
    assert await attachment.egress(target, route) == expected
