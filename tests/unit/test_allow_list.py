"""What may be probed: nothing that is not listed, and some addresses never, however they are spelled."""

from __future__ import annotations

import pytest

from ots.server.prometheus.allow_file import read_allow_list
from ots.server.prometheus.allow_list import AllowList, NotAllowed
from ots.strictyaml import YamlError


def listed(*entries: str) -> AllowList:
    return read_allow_list("allow:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries), "allow.yml")


def allows(allowed: AllowList, host: str, *addresses: str, port: int | None = 443) -> bool:
    """Whether a host may be probed that leads to these addresses; an address leads to itself."""
    try:
        allowed.check_host(host, port)
        for address in addresses:
            allowed.check_address(host, address, port, named=True)
    except NotAllowed:
        return False
    return True


@pytest.mark.parametrize("host", ["www.example.org", "93.184.216.34", "127.0.0.1", "::1", "localhost"])
def test_without_an_entry_nothing_is_allowed(host: str) -> None:
    assert not allows(AllowList(), host)
    assert not allows(read_allow_list("allow: []", ""), host)


def test_a_name_is_allowed_with_its_public_addresses() -> None:
    allowed = listed("host: www.example.org")
    assert allows(allowed, "www.example.org", "93.184.216.34", "2606:2800:220:1::1")
    assert allows(allowed, "WWW.Example.ORG.", "93.184.216.34")
    assert not allows(allowed, "example.org", "93.184.216.34")
    assert not allows(allowed, "www.example.org.evil.test", "93.184.216.34")
    # Its address spelled out is another thing: a network.
    assert not allows(allowed, "93.184.216.34")


def test_a_star_stands_for_first_labels_and_not_for_none() -> None:
    allowed = listed("host: '*.example.org'")
    assert allows(allowed, "www.example.org", "93.184.216.34")
    assert allows(allowed, "a.b.example.org", "93.184.216.34")
    assert not allows(allowed, "example.org", "93.184.216.34")
    assert not allows(allowed, "badexample.org", "93.184.216.34")
    assert not allows(allowed, ".example.org", "93.184.216.34")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "fd00::1",
        "fec0::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2002:a00:1::1",
        "::127.0.0.1",
        "198.18.0.1",
        "240.0.0.1",
    ],
)
def test_a_listed_name_that_leads_to_a_private_address_is_refused_unless_that_is_listed_too(
    address: str,
) -> None:
    assert not allows(listed("host: '*'"), "rebound.example.org", address)
    assert not allows(listed("host: '*'", "network: 0.0.0.0/0", "network: '::/0'"), "x.example.org", address)
    assert not allows(listed("host: '*'"), "rebound.example.org", "93.184.216.34", address)


def test_a_listed_private_network_is_allowed_also_as_mapped() -> None:
    allowed = listed("host: '*.lan'", "network: 10.1.0.0/16", "network: fd12::/16", "network: '::1'")
    assert allows(allowed, "db.lan", "10.1.2.3", "fd12::1", "::1", "::ffff:10.1.2.3")
    assert allows(allowed, "10.1.2.3")
    assert allows(allowed, "::ffff:10.1.2.3")
    assert allows(allowed, "[fd12::1]")
    assert not allows(allowed, "10.2.0.1")
    assert not allows(allowed, "db.lan", "10.1.2.3", "10.2.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_some_addresses_are_never_allowed_whatever_is_listed(address: str) -> None:
    everything = listed(
        "host: '*'",
        *(f"network: {net}" for net in ("0.0.0.0/0", "'::/0'", "100.64.0.0/10", "fd00::/8", "192.0.0.0/24")),
    )
    assert not allows(everything, address, port=80)
    assert not allows(everything, "metadata.example.org", address.partition("%")[0], port=80)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "x.0x1"])
def test_an_address_in_disguise_is_no_name(host: str) -> None:
    assert not allows(listed("host: '*'", "network: 127.0.0.0/8"), host)


def test_ports_are_those_of_the_entry_and_a_ping_has_none() -> None:
    allowed = listed("host: www.example.org, ports: [443, 8000-8099]", "network: 10.0.0.0/8, ports: 22")
    assert allows(allowed, "www.example.org", "93.184.216.34", port=8080)
    assert not allows(allowed, "www.example.org", "93.184.216.34", port=22)
    assert allows(allowed, "10.0.0.1", port=22)
    assert not allows(allowed, "10.0.0.1", port=443)
    assert allows(allowed, "10.0.0.1", port=None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty"),
        ("allowed: []", "1:1: unknown key 'allowed': did you mean 'allow'?"),
        ("allow:\n  - {}", "2:5: an entry has either a host or a network"),
        ("allow:\n  - {host: a.b, network: 10.0.0.0/8}", "2:5: an entry has either"),
        ("allow:\n  - host: 10.0.0.1", "2:11: 10.0.0.1 is an address: write network: 10.0.0.1"),
        ("allow:\n  - host: 'a.*.b'", "2:11: 'a.*.b' is no host name"),
        ("allow:\n  - host: http://a.b/", "2:11: 'http://a.b/' is no host name"),
        ("allow:\n  - host: 0x7f.1", "2:11: '0x7f.1' is no host name"),
        ("allow:\n  - network: 10.0.0.1/8", "2:14: '10.0.0.1/8' is no network: 10.0.0.1/8 has host bits set"),
        ("allow:\n  - network: 169.254.0.0/16", "2:14: 169.254.0.0/16: link-local addresses are never"),
        ("allow:\n  - network: 100.100.100.200", "2:14: 100.100.100.200: metadata addresses are never"),
        ("allow:\n  - network: ::ffff:10.0.0.0/104", "2:14: ::ffff:10.0.0.0/104: list the IPv4 network"),
        ("allow:\n  - {host: a.b, ports: [0]}", "2:25: 0 is no port"),
        ("allow:\n  - {host: a.b, ports: 90-80}", "is no port"),
        ("allow:\n  - {host: a.b, ports: []}", "must have at least 1 entry"),
        ("allow:\n  - {host: a.b, port: 1}", "2:17: unknown key 'port': did you mean 'ports'?"),
    ],
)
def test_a_faulty_list_is_refused_at_its_line(text: str, said: str) -> None:
    with pytest.raises(YamlError) as raised:
        read_allow_list(text, "allow.yml")
    assert said in str(raised.value)
