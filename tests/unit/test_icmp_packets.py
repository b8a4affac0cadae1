"""Echo packets: built so that others accept them, read so that nothing foreign is taken for ours."""

from __future__ import annotations

import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.icmp.packet import EchoCodec
from ots.netio.icmp.stream import Refusal

IPV4 = bytes([0x45]) + bytes(7) + bytes([57]) + bytes(11)
IPV6 = bytes([0x60]) + bytes(5) + bytes([58, 64]) + bytes(32)


def _words(packet: bytes) -> int:
    """Ones' complement sum over a packet: 0xFFFF where its checksum is right (RFC 1071)."""
    padded = packet + b"\0" * (len(packet) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _reply(request: bytes, kind: int = 0) -> bytes:
    return bytes([kind]) + request[1:]


@given(st.integers(0, 0xFFFFFFFF), st.integers(16, 300))
def test_the_checksum_is_right(number: int, size: int) -> None:
    """Built from parts that were summed once, it is the checksum of the whole packet, odd sizes too."""
    packet = EchoCodec("4", size).request(number)
    assert len(packet) == size + 8
    assert packet[:2] == b"\x08\x00"
    assert _words(packet) == 0xFFFF


@pytest.mark.parametrize(("family", "kind"), [("4", 0), ("6", 129)])
def test_our_reply_is_recognised(family: Literal["4", "6"], kind: int) -> None:
    """A reply carries back number, sequence and identifier; the identifier may have been rewritten."""
    codec = EchoCodec(family, 56)
    packet = _reply(codec.request(0x12345), kind)
    message = codec.read(packet, ip_header=False)
    assert message is not None and message.echo is not None
    assert (message.echo.number, message.echo.sequence) == (0x12345, 0x2345)
    assert message.echo.identifier == codec.identifier
    assert message.echo.whole
    rewritten = codec.read(packet[:4] + b"\xab\xcd" + packet[6:], ip_header=False)
    assert rewritten is not None and rewritten.echo is not None
    assert rewritten.echo.number == 0x12345


def test_the_ip_header_is_skipped_and_its_ttl_read() -> None:
    """A raw IPv4 socket hands over the header, options included."""
    codec = EchoCodec("4", 16)
    packet = _reply(codec.request(7))
    for header in (IPV4, bytes([0x46]) + IPV4[1:] + bytes(4)):
        message = codec.read(header + packet, ip_header=True)
        assert message is not None and message.echo is not None
        assert (message.ttl, message.echo.number) == (57, 7)


def test_another_runs_reply_is_not_ours() -> None:
    """Cookie and identifier are new in each run: the reply to an earlier one is foreign."""
    mine, other = EchoCodec("4", 56), EchoCodec("4", 56)
    assert mine.cookie != other.cookie
    message = mine.read(_reply(other.request(1)), ip_header=False)
    assert message is not None and message.echo is None


def test_a_changed_filling_is_told() -> None:
    """A reply whose payload was changed behind the token is ours, but not whole."""
    codec = EchoCodec("4", 56)
    packet = bytearray(_reply(codec.request(1)))
    packet[-1] ^= 1
    message = codec.read(bytes(packet), ip_header=False)
    assert message is not None and message.echo is not None and not message.echo.whole


@pytest.mark.parametrize(
    ("family", "kind", "header"),
    [
        ("4", 3, IPV4),
        ("4", 11, bytes([0x46]) + IPV4[1:] + bytes(4)),
        ("6", 1, IPV6),
        ("6", 3, IPV6[:6] + b"\0" + IPV6[7:] + bytes([44, 0]) + bytes(6) + bytes([58, 0]) + bytes(6)),
    ],
)
def test_the_request_in_an_error_is_found(family: Literal["4", "6"], kind: int, header: bytes) -> None:
    """Errors quote the request behind an IP header with options or extension headers."""
    codec = EchoCodec(family, 56)
    quote = header + codec.request(99)
    message = codec.read(bytes([kind, 1, 0, 0]) + bytes(4) + quote, ip_header=False)
    assert message is not None and message.echo is not None
    assert message.echo.number == 99
    brief = codec.read(bytes([kind, 1, 0, 0]) + bytes(4) + quote[: len(header) + 8], ip_header=False)
    assert brief is not None and brief.echo is not None
    assert (brief.echo.number, brief.echo.sequence, brief.echo.identifier) == (None, 99, codec.identifier)


def test_requests_and_other_messages_are_no_answer() -> None:
    """Our own request heard on loopback, redirects and router advertisements are passed over."""
    codec = EchoCodec("4", 56)
    assert codec.read(codec.request(1), ip_header=False) is None
    for kind in (4, 5, 9, 10, 13, 14):
        assert codec.read(bytes([kind]) + bytes(40), ip_header=False) is None


@given(st.binary(max_size=200), st.booleans(), st.sampled_from(["4", "6"]))
def test_any_bytes_are_survived(packet: bytes, header: bool, family: Literal["4", "6"]) -> None:
    """Whatever arrives is read without an exception and never taken for ours."""
    message = EchoCodec(family, 56).read(packet, ip_header=header and family == "4")
    assert message is None or message.echo is None or message.echo.number is None


@given(st.binary(max_size=80), st.integers(0, 80), st.sampled_from(["4", "6"]))
def test_mangled_replies_are_survived(noise: bytes, place: int, family: Literal["4", "6"]) -> None:
    """A real reply or quoted request with bytes overwritten or cut off never breaks the reader."""
    codec = EchoCodec(family, 56)
    good = bytes([3 if family == "4" else 1, 0, 0, 0]) + bytes(4) + (IPV4 if family == "4" else IPV6)
    packet = good + codec.request(5)
    mangled = (packet[:place] + noise + packet[place + len(noise) :])[: len(packet) - place]
    message = codec.read(mangled, ip_header=False)
    assert message is None or message.echo is None or message.echo.number in (None, 5)


def test_too_small_a_payload_is_refused() -> None:
    """Without room for the token a reply could not be told from another program's."""
    with pytest.raises(ValueError, match="token"):
        EchoCodec("4", 15)


@pytest.mark.parametrize(
    ("family", "kind", "code", "words"),
    [
        ("4", 3, 1, "host unreachable"),
        ("4", 11, 0, "Time to live exceeded"),
        ("6", 1, 3, "Address unreachable"),
        ("6", 2, 0, "too big"),
        ("4", 12, 0, "Parameter problem"),
        ("4", 3, 200, "unreachable"),
    ],
)
def test_errors_have_words(family: Literal["4", "6"], kind: int, code: int, words: str) -> None:
    """An ICMP error becomes class unreachable with its type, code, meaning and sender."""
    error = Refusal(0, family, kind, code, "192.0.2.9").failure().error
    assert error.class_ == "unreachable"
    assert error.code == f"{'ICMP' if family == '4' else 'ICMPv6'} {kind}/{code}"
    assert words in error.message and "192.0.2.9" in error.message
