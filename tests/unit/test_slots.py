"""Places of the test server: given, bounded, shared, and run out."""

from __future__ import annotations

import os

import pytest

from ots.server.peers import slots as module
from ots.server.peers.guests import Guests, client_key
from ots.server.peers.slots import Busy, Slots

ONE, OTHER = client_key("192.0.2.1"), client_key("192.0.2.2")


class Clock:
    """Stands for the module's time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_place_is_bounded_and_runs_out(clock: Clock) -> None:
    """More seconds than there may be are cut; afterwards the token is worth nothing, the place free."""
    slots = Slots(1, 1, 30.0)
    slot = slots.take(ONE, 1e9)
    assert slot.seconds == 30.0 and slots.free() == 0
    assert slots.left(slot.token) == slot.expires_in
    clock.now += slot.expires_in
    assert slots.left(slot.token) is None and slots.free() == 1
    assert not slots.give_back(slot.token)
    slots.close()


def test_full_says_how_long(clock: Clock) -> None:
    """The wait is until the first place runs out; one given back is free at once."""
    slots = Slots(2, 2, 60.0)
    first = slots.take(ONE, 10)
    clock.now += 5
    slots.take(OTHER, 10)
    with pytest.raises(Busy) as busy:
        slots.take(OTHER, 10)
    assert busy.value.wait == 10
    assert slots.give_back(first.token) and not slots.give_back(first.token)
    slots.take(OTHER, 10)
    slots.close()


def test_one_client_cannot_hold_all_places() -> None:
    """What is left stays for others."""
    slots = Slots(8, 2, 60.0)
    slots.take(ONE, 60)
    slots.take(ONE, 60)
    with pytest.raises(Busy):
        slots.take(ONE, 60)
    slots.take(OTHER, 60)
    slots.close()


def test_visitors_of_one_address_share_a_place(clock: Clock) -> None:
    """However many transfers; it is free a moment after the last one has ended."""
    slots = Slots(1, 1, 60.0)
    with slots.visit(ONE, 60), slots.visit(ONE, 60):
        assert slots.free() == 0
        with pytest.raises(Busy), slots.visit(OTHER, 60):
            pass
    clock.now += 1.01
    with slots.visit(OTHER, 60):
        pass
    slots.close()


def test_a_visitors_place_is_no_token() -> None:
    """Whoever sends an empty or strange token holds nothing."""
    slots = Slots(1, 1, 60.0)
    with slots.visit(ONE, 60):
        for token in ("", "\0" * 16, "x" * 4000, "\udcff"):
            assert slots.left(token) is None and not slots.give_back(token)
    slots.close()


def test_places_and_guests_are_shared_with_forked_processes() -> None:
    """What a worker takes is taken for all; a dead worker's guests can be forgotten."""
    slots, guests = Slots(1, 1, 60.0), Guests(2)
    pid = os.fork()
    if not pid:
        slots.take(ONE, 60)
        guests.came(1, ONE)
        os._exit(0)
    os.waitpid(pid, 0)
    guests.came(0, ONE)
    assert slots.free() == 0 and guests.of(ONE) == 2
    guests.forget(1)
    assert guests.of(ONE) == 1
    guests.left(0, ONE)
    assert guests.of(ONE) == 0
    slots.close()


def test_what_counts_as_one_client() -> None:
    """An IPv4 address however it is written, and a /64 of IPv6."""
    assert client_key("::ffff:192.0.2.1") == client_key("192.0.2.1") != client_key("192.0.2.2")
    assert (
        client_key("2001:db8::1") == client_key("2001:db8:0:0:ffff::9%eth0") != client_key("2001:db8:0:1::1")
    )
