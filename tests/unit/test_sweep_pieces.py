"""The pieces of a sweep: a network's members, and batches that say just what single packets would."""

from __future__ import annotations

import ipaddress
import itertools
import math
import os
import socket
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.netio.icmp import mmsg
from ots.netio.icmp.ledger import Ledger
from ots.netio.icmp.members import Members, count
from ots.netio.icmp.mmsg import BATCH, Inbox, Outbox
from ots.netio.icmp.packet import EchoCodec
from ots.netio.icmp.sockets import ICMPSocket, Options, open_socket
from ots.netio.icmp.stream import Refusal, Stream
from ots.netio.icmp.sweep import _share, shards
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
        sock.hear_only(codec.identifier)
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


def asked(sock: ICMPSocket, members: Members, codec: EchoCodec, count: int) -> Inbox:
    """An inbox with the replies to `count` requests to the first members, numbered from 7 on."""
    sock.hear_only(codec.identifier)
    outbox = Outbox(codec, checksum=sock.ip_header)
    inbox = Inbox(members.family, ip_header=sock.ip_header)
    outbox.aim(members.prefix, members.scope)
    outbox.write(7, members.low, count)
    assert outbox.send(sock.socket, 0, count) == count
    sock.socket.settimeout(5)
    sock.socket.recv(1, socket.MSG_PEEK)
    sock.socket.setblocking(False)
    assert inbox.receive(sock.socket) == count
    return inbox


def test_replies_in_a_row_are_told_from_any_others() -> None:
    """A row is one; with any byte of any packet changed that tells whose answer it is, it is none."""
    members = Members(ipaddress.ip_network("127.0.3.0/24"))
    codec = EchoCodec("4", 56)
    with open_socket("4", "auto", Options(), send_stamps=False) as sock:
        inbox = asked(sock, members, codec, 20)
        at = mmsg._NAME + mmsg._CONTROL + (20 if sock.ip_header else 0)
        telling = [*range(4, 8), *range(mmsg._TIME - 8, mmsg._TIME), at, at + 1, *range(at + 4, at + 24)]
        assert inbox.rises(20, 7, members.low)
        assert not inbox.rises(20, 8, members.low)
        assert not inbox.rises(20, 7, members.low + 1)
        for place in (1, 13, 19):
            for byte in telling:
                inbox._block[place * mmsg._RECORD + byte] ^= 0x10
                assert not inbox.rises(20, 7, members.low), (place, byte)
                inbox._block[place * mmsg._RECORD + byte] ^= 0x10
        inbox._lengths[5] -= 1
        assert not inbox.rises(20, 7, members.low)
        stamps = [stamp for _, stamp, _ in inbox.read(20)]
        assert inbox.arrivals(20, 5.0) == [whole - 5.0 + part * 1e-9 for _, _, whole, part in stamps]


@pytest.mark.parametrize("target", ["127.0.3.0/24", "::1/128"])
def test_a_socket_hears_only_its_own_replies(target: str) -> None:
    """Of two sockets with different identifiers; a datagram socket's kernel sees to that by itself."""
    members = Members(ipaddress.ip_network(target))
    codec = EchoCodec(members.family, 56)
    with (
        open_socket(members.family, "auto", Options(), send_stamps=False) as own,
        open_socket(members.family, "auto", Options(), send_stamps=False) as other,
    ):
        other.hear_only(codec.identifier ^ 1)
        asked(own, members, codec, 1)
        with pytest.raises(BlockingIOError):
            other.socket.recv(1)


def ledger(network: str) -> tuple[Ledger, Swept]:
    members = Members(ipaddress.ip_network(network))
    swept = Swept(members, Stream(0, 1, 1.0, len(members), 1e-4))
    books = Ledger([swept], 1.0)
    books.book(100, 5.0, 5.0 + 100e-5)
    books.book(50, 5.1, 5.1 + 50e-5)
    return books, swept


@given(st.integers(0, 120), st.lists(st.floats(-3e-5, 1.2), min_size=1, max_size=30))
def test_replies_in_a_row_are_booked_as_single_ones_are(first: int, delays: list[float]) -> None:
    """Also those that a stamp puts before the interpolated sending, or after the timeout."""
    together, swept = ledger("192.0.2.0/24")
    apart, others = ledger("192.0.2.0/24")
    left = list(together._rounds[0].sent)
    arrived = [left[first + place] + delay for place, delay in enumerate(delays)]
    seen = max(arrived) + 1e-6
    booked = together.answer_run(together.place(first), arrived, seen)
    if not booked:
        assert max(delays) > 0.9
        return
    for place, at in enumerate(arrived):
        apart.answer(apart.place(first + place), at, seen)
    assert swept.rtts == others.rtts and swept.times.tobytes() == others.times.tobytes()
    assert (swept.replies, swept.last_reply) == (others.replies, others.last_reply)
    assert swept.late == others.late == swept.duplicates == others.duplicates == 0
    assert (together._open, together.received, together.unstamped) == (apart._open, apart.received, 0)
    assert not together.answer_run(together.place(first), arrived, seen)
    assert together.received == len(arrived)


def test_a_stamp_just_before_a_request_that_left_alone_is_no_time_at_all() -> None:
    """Two clocks are compared to within microseconds; no call of several can be asked when it began."""
    members = Members(ipaddress.ip_network("192.0.2.0/24"))
    swept = Swept(members, Stream(0, 1, 1.0, len(members), 1e-3))
    books = Ledger([swept], 1.0)
    books.book(1, 5.0, 5.00001)
    books.answer(books.place(0), 5.0 - 1e-5, 5.001)
    assert (swept.rtts[0], swept.replies, books.unstamped) == (0.0, 1, 0)


def test_what_was_not_asked_is_not_answered() -> None:
    """A reply with a number that is yet to be sent counts for nothing, alone or in a row."""
    books, swept = ledger("192.0.2.0/24")
    assert not books.answer_run(books.place(140), [6.0] * 20, 6.0)
    books.answer(books.place(150), 6.0, 6.0)
    assert (swept.replies, books.received, books._open) == (0, 0, 150)


@given(st.integers(1, 6), st.integers(24, 32))
def test_parts_of_a_sweep_make_the_whole(of: int, prefix: int) -> None:
    """Every address stands in one part, at its place; counts add up; the parts' places fill the schedule."""
    members = Members(ipaddress.ip_network(f"192.0.2.0/{prefix}", strict=False))
    whole = Swept(members, Stream(0, 1, 1.0, len(members), 0.01))
    parts = [part for (part,) in (_share([whole], number, of) for number in range(of))]
    assert [one.ip for part in parts for one in part.members] == [one.ip for one in members]
    due = sorted(
        part.stream.start + place * part.stream.spacing
        for part in parts
        for place in range(len(part.members))
    )
    assert (
        all(later - earlier >= 0.01 - 1e-9 for earlier, later in itertools.pairwise(due))
        and due[-1] <= (len(members) + of) * 0.01
    )
    for number, part in enumerate(parts):
        for place, one in enumerate(part.members):
            part.times[place], part.rtts[place] = 1.0, int(one.ip.split(".")[3]) * 0.001
        part.sent, part.first_sent, part.last_sent = len(part.members), 1.0 + number, 2.0 + number
        if len(part.members):
            part.refuse(len(part.members) - 1, Refusal(0, "4", 3, 1, "192.0.2.254"))
    whole.join(parts)
    assert [host.rtt for host in whole.hosts()] == [int(one.ip.split(".")[3]) * 0.001 for one in members]
    assert (whole.sent, whole.first_sent, whole.last_sent) == (len(members), 1.0, 1.0 + of)
    assert len(whole.reasons) == whole.refusals[3, 1] == sum(len(part.members) > 0 for part in parts)


def test_only_a_large_fast_sweep_has_several_threads() -> None:
    assert shards(65_534, 1000) == shards(254, 1_000_000) == 1
    assert shards(65_534, 1_000_000) == min(4, len(os.sched_getaffinity(0)))
