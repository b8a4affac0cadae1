"""The packets of a trace: probes that routers can't tell apart, and ICMP errors from strangers."""

from __future__ import annotations

import socket
import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.trace.echo import LEAST_PAYLOAD, EchoCodec
from ots.netio.trace.quote import UDP, checksum, mpls_labels, read_error
from ots.netio.trace.wire import meaning_of
from ots.probe import Address

DESTINATION = Address("192.0.2.9", "4", "192.0.2.9")
DESTINATION6 = Address("2001:db8::9", "6", "2001:db8::9")


@given(st.integers(0, 0xFFFF), st.integers(LEAST_PAYLOAD, 300))
def test_all_echo_probes_of_a_size_have_one_checksum(number: int, payload: int) -> None:
    """It is right, the same for every number, and the number is read back."""
    codec = EchoCodec("4", 4711)
    first, other = codec.request(0, payload), codec.request(number, payload)
    assert checksum(other) == 0
    assert first[:6] == other[:6]
    assert codec.number_of(other, own_identifier=True) == number
    assert codec.number_of(other[:8], own_identifier=True) == number
    assert codec.number_of(other[:7], own_identifier=True) is None


def test_an_echo_of_another_run_is_not_ours() -> None:
    """Another cookie, another identifier, another number in the payload."""
    mine, other = EchoCodec("4", 1), EchoCodec("4", 1)
    assert mine.number_of(other.request(5, 32), own_identifier=True) is None
    assert mine.number_of(EchoCodec("4", 2).request(5, 32)[:8], own_identifier=True) is None
    wrong = bytearray(mine.request(5, 32))
    wrong[7] = 6
    assert mine.number_of(bytes(wrong), own_identifier=True) is None


def quote(length: int = 36) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 1, UDP, 0)
    addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.9")
    return (header + addresses + bytes(range(200)))[:length]


def extension(*words: int) -> bytes:
    body = struct.pack("!HBB", 4 + 4 * len(words), 1, 1) + struct.pack(f"!{len(words)}I", *words)
    raw = b"\x20\0\0\0" + body
    return raw[:2] + struct.pack("!H", checksum(raw)) + raw[4:]


def test_an_error_says_what_it_quotes() -> None:
    """Protocol, destination, transport part; of "fragmentation needed" the MTU."""
    found = read_error(struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + quote(), "4")
    assert found is not None
    assert (found.type, found.code, found.mtu) == (3, 4, 1400)
    assert (found.protocol, found.destination, found.transport) == (UDP, "192.0.2.9", bytes(range(16)))


@pytest.mark.parametrize("words", [0, 32])
def test_labels_behind_a_padded_quote(words: int) -> None:
    """With its length said (RFC 4884) and, as older routers do it, without."""
    body = quote(60).ljust(128, b"\0") + extension(16001 << 12 | 5 << 9 | 1 << 8 | 7)
    found = read_error(struct.pack("!BBHBBH", 11, 0, 0, 0, words, 0) + body, "4")
    assert found is not None
    assert found.labels == "L=16001,E=5,S=1,T=7"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        extension(1)[:7],
        b"\x10" + extension(1)[1:],
        extension(1)[:-1] + b"\xff",
        b"\x20\0\0\0" + struct.pack("!HBB", 2, 1, 1) + bytes(4),
        b"\x20\0\0\0" + struct.pack("!HBB", 900, 1, 1) + bytes(4),
    ],
)
def test_a_broken_extension_has_no_labels(data: bytes) -> None:
    """Cut, of another version, with a wrong checksum, with objects of impossible sizes."""
    assert mpls_labels(data) == ""


def test_labels_are_bounded() -> None:
    """A stack of hundreds is cut: nobody stacks that high."""
    assert mpls_labels(extension(*range(300))).count("/") == 15


@given(st.binary(max_size=700), st.sampled_from(["4", "6"]))
def test_any_bytes_are_survived(data: bytes, family: Literal["4", "6"]) -> None:
    """No packet raises."""
    read_error(data, family)
    mpls_labels(data)
    EchoCodec(family, 1).number_of(data, own_identifier=True)


@pytest.mark.parametrize(
    ("kind", "code", "offender", "port", "meaning", "sign"),
    [
        (11, 0, "192.0.2.1", False, "on the way", ""),
        (3, 0, "192.0.2.1", False, "refused", "!N"),
        (3, 1, "192.0.2.1", False, "refused", "!H"),
        (3, 13, "192.0.2.1", False, "refused", "!X"),
        (3, 12, "192.0.2.1", False, "refused", "!12"),
        (3, 3, "192.0.2.1", True, "reply", ""),
        (3, 3, "192.0.2.1", False, "refused", "!p"),
        (3, 13, "192.0.2.9", False, "reply", ""),
        (3, 4, "192.0.2.1", False, "too big", ""),
    ],
)
def test_what_an_error_means(
    kind: int, code: int, offender: str, port: bool, meaning: str, sign: str
) -> None:
    """Signs are traceroute's; whatever comes from the destination shows that the probe got there."""
    found = meaning_of(kind, code, offender, DESTINATION, port_means_arrival=port)
    assert found is not None
    assert found[:2] == (meaning, sign)


@pytest.mark.parametrize(("kind", "code"), [(11, 1), (12, 0), (0, 0), (5, 0)])
def test_what_says_nothing_of_the_path(kind: int, code: int) -> None:
    """Reassembly time exceeded, parameter problems and redirects are no answers."""
    assert meaning_of(kind, code, "192.0.2.1", DESTINATION, port_means_arrival=True) is None


def test_the_same_in_ipv6() -> None:
    """Codes have other numbers there."""
    said = [
        meaning_of(kind, code, "2001:db8::1", DESTINATION6, port_means_arrival=True)
        for kind, code in ((3, 0), (1, 0), (1, 1), (1, 3), (1, 4), (2, 0))
    ]
    assert [None if found is None else found[:2] for found in said] == [
        ("on the way", ""),
        ("refused", "!N"),
        ("refused", "!X"),
        ("refused", "!H"),
        ("reply", ""),
        ("too big", ""),
    ]
