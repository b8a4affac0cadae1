"""The pieces of a sweep: a network's members, and batches that say just what single packets would."""

from __future__ import annotations

import ipaddress
import math
import socket
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.icmp import mmsg
from ots.netio.icmp.members import Members, count
from ots.netio.icmp.mmsg import BATCH, Inbox, Outbox
from ots.netio.icmp.packet import EchoCodec
from ots.netio.icmp.sockets import Options, open_socket
from ots.netio.icmp.stream import Refusal, Stream
from ots.netio.icmp.swept import Host, Swept
from ots.probe import Failed


@pytest.mark.parametrize(
    "network",
    ["192.0.2.0/28", "192.0.2.0/31", "192.0.2.7/32", "2001:db8::/120", "2001:db8::/127", "2001:db8::7/128"],
)
def test_members_are_the_hosts_of_a_network(network: str) -> None:
    """The same addresses that the standard library lists, each found again, none beside them."""
    parsed = ipaddress.ip_network(network)
    members = Members(parsed)
    assert [address.ip for address in members] == [str(ip) for ip in parsed.hosts()]
    assert len(members) == count(parsed)
    assert all(address in members for address in members)
    assert Members(ipaddress.ip_network("198.51.100.0/30"))[0] not in members
    with pytest.raises(IndexError):
        members[len(members)]


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(1, BATCH), st.integers(16, 90))
def test_a_batch_of_requests_is_what_single_ones_are(high: int, low: int, size: int, payload: int) -> None:
    """Numbers, sequence numbers and checksums of every packet, to the byte."""
    size = min(size, 0x10000 - low)
    number = (high << 16) + low
    codec = EchoCodec("4", payload)
    outbox = Outbox(codec, checksum=True)
    outbox.aim(b"", 0)
    outbox.write(number, 0x7F000001, size)
    stride = payload + 8
    for place in range(size):
        packet = bytes(outbox._packets[place * stride : (place + 1) * stride])
        assert packet == codec.request(number + place)


@pytest.mark.parametrize("calls", ["batched", "single"])
@pytest.mark.parametrize("network", ["127.0.3.0/24", "::1/128"])
def test_a_batch_goes_out_and_comes_back(calls: str, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real socket: every reply has sender, stamp and number; also without mmsg calls."""
    if calls == "single":
        monkeypatch.setattr(mmsg, "_send", None)
        monkeypatch.setattr(mmsg, "_receive", None)
    members = Members(ipaddress.ip_network(network))
    asked = min(len(members), 100)
    codec = EchoCodec(members.family, 56)
    with open_socket(members.family, "auto", Options(), send_stamps=False) as sock:
        outbox = Outbox(codec, checksum=sock.ip_header)
        inbox = Inbox(members.family, ip_header=sock.ip_header)
        outbox.aim(members.prefix, members.scope)
        outbox.write(7, members.low, asked)
        assert outbox.send(sock.socket, 0, asked) == asked
        sock.socket.settimeout(5)
        sock.socket.recv(1, socket.MSG_PEEK)
        sock.socket.setblocking(False)
        found = []
        got = inbox.receive(sock.socket)
        for place, (length, stamp, fields) in enumerate(inbox.read(got)):
            assert length >= 8 + 56
            assert stamp[:2] == (1, 35) and stamp[2] > 1_600_000_000
            assert fields[7] == codec.cookie
            found.append((inbox.sender(place), fields[8]))
        assert found == [(members[place].ip, 7 + place) for place in range(asked)]


def test_a_batch_that_cannot_leave_raises() -> None:
    """An address that no packet may go to without asking for it: the error of sending, not silence."""
    codec = EchoCodec("4", 56)
    with open_socket("4", "auto", Options(), send_stamps=False) as sock:
        outbox = Outbox(codec, checksum=sock.ip_header)
        outbox.aim(b"", 0)
        outbox.write(0, 0xFFFFFFFF, 1)
        with pytest.raises(OSError, match="denied|unreachable"):
            outbox.send(sock.socket, 0, 1)


def test_what_is_known_of_each_address() -> None:
    """Answered, refused, silent, asked too late before the end, and never asked."""
    swept = Swept(Members(ipaddress.ip_network("192.0.2.0/29")), Stream(0, 1, 1.0, 6, 0.1))
    swept.times = array("d", [1.0, 1.1, 1.2, 9.9, math.nan, math.nan])
    swept.rtts[0] = 0.02
    swept.refuse(1, Refusal(0, "4", 3, 1, "192.0.2.254"))
    swept.cut = 9.0
    assert list(swept.hosts()) == [
        Host(0, 1.0, 0.02, ""),
        Host(1, 1.1, None, "unreachable"),
        Host(2, 1.2, None, "loss"),
    ]
    failure = swept.commonest()
    assert isinstance(failure, Failed) and failure.error.code == "ICMP 3/1"
    assert swept.refusals == {(3, 1): 1}


def test_how_long_a_sweep_took() -> None:
    """To the last reply if everybody answered, else to the last timeout; nothing if nothing was sent."""
    swept = Swept(Members(ipaddress.ip_network("192.0.2.0/30")), Stream(0, 1, 1.0, 2, 0.1))
    assert swept.duration(1.0) is None
    swept.first_sent, swept.last_sent, swept.last_reply = 5.0, 5.1, 5.3
    assert swept.duration(1.0) == pytest.approx(1.1)
    swept.rtts[0] = swept.rtts[1] = 0.2
    assert swept.duration(1.0) == pytest.approx(0.3)
