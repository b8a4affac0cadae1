"""The echo responder's books and limits, with a clock of our own."""

from __future__ import annotations

import pytest

from ots.netio.udp_echo import wire
from ots.netio.udp_echo.wire import Opening, Refusal, Wish
from ots.server.peers.echo_sessions import Bucket, Limits, Session, Sessions

NONCE = b"8 bytes."
HERE = ("192.0.2.1", 4000)


def opened(
    sessions: Sessions, now: float, address: tuple[str, int] = HERE, wish: Wish | None = None
) -> Session | Refusal | None:
    cookie = sessions.cookie(address, NONCE, now)
    opening = Opening(NONCE, cookie, wish or Wish(1000, 0.01, 100))
    return sessions.open(address, opening, opening.write(None), now)


def test_a_bucket_fills_at_its_rate_and_no_further_than_its_burst() -> None:
    """Two at once, then one each half second; a long rest brings two again."""
    bucket = Bucket(2.0, 2.0, 0.0)
    assert [bucket.admit(0.0) for _ in range(3)] == [True, True, False]
    assert [bucket.admit(0.5), bucket.admit(0.5)] == [True, False]
    assert [bucket.admit(99.0) for _ in range(3)] == [True, True, False]


def test_more_than_was_granted_is_counted_and_not_answered() -> None:
    """At 100 a second, 64 and ten seconds' worth may come at once; of 2000 in no time the rest is dropped."""
    session = opened(Sessions(Limits(), None, 0.0), 0.0, wish=Wish(3000, 0.01, 100))
    assert isinstance(session, Session)
    answered = sum(session.arrived(sequence, 0.0) for sequence in range(2000))
    assert (answered, session.limited) == (1064, 936)
    assert session.received == 1064


def test_books_tell_arrival_copies_and_order() -> None:
    """0, 2, 1, 2 again: three arrived, one out of order, one twice; 3 never."""
    session = opened(Sessions(Limits(), None, 0.0), 0.0)
    assert isinstance(session, Session)
    assert [session.arrived(n, 0.0) for n in (0, 2, 1, 2)] == [True, True, True, False]
    report = session.report(0)
    assert (report.received, report.duplicates, report.reordered) == (3, 1, 1)
    assert [report.has(n) for n in range(4)] == [True, True, True, False]
    assert session.window(3) == 0b1110
    again = wire.Report.of(wire.read(report.write(7, None), None).body)
    assert again == report


def test_a_cookie_lasts_for_half_a_minute_at_least_and_a_minute_at_most() -> None:
    """Later the handshake begins anew."""
    sessions = Sessions(Limits(), None, 0.0)
    opening = Opening(NONCE, sessions.cookie(HERE, NONCE, 29.0), Wish(10, 0.01, 100))
    assert isinstance(sessions.open(HERE, opening, opening.write(None), 59.0), Session)
    other = Opening(NONCE, sessions.cookie(HERE, NONCE, 1.0), Wish(10, 0.01, 100))
    assert sessions.open(HERE, other, other.write(None), 61.0) is None


def test_silent_sessions_are_forgotten_and_give_their_place_free() -> None:
    """One place: taken, refused to the next, free after half a minute of silence."""
    sessions = Sessions(Limits(sessions=1), None, 0.0)
    assert isinstance(opened(sessions, 0.0), Session)
    assert opened(sessions, 10.0, ("192.0.2.2", 1)) is Refusal.BUSY
    assert isinstance(opened(sessions, 41.0, ("192.0.2.2", 1)), Session)
    assert len(sessions) == 1


@pytest.mark.parametrize(
    ("others", "granted"),
    [(("2001:db8::2", 1), False), (("2001:db8:0:1::2", 1), True), (("192.0.2.9", 1), True)],
)
def test_one_client_is_an_ipv4_address_or_an_ipv6_site(others: tuple[str, int], granted: bool) -> None:
    """Whoever has a /64 has not 2^64 clients' worth of places."""
    sessions = Sessions(Limits(per_address=1), None, 0.0)
    assert isinstance(opened(sessions, 0.0, ("2001:db8::1", 1)), Session)
    assert isinstance(opened(sessions, 0.0, others), Session) == granted
