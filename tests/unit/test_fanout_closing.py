"""Closing beside the engine: all that is handed over and nothing else, and no event of what was closed."""

from __future__ import annotations

import os
import random
import select
import socket
import threading

import pytest

from ots.clock import SystemClock
from ots.netio.fanout.closing import Closing, ranges
from ots.netio.fanout.engine import Fanout
from ots.netio.fanout.job import Job
from ots.netio.tcpinfo import syn_round_trip
from ots.netio.worker import Worker
from ots.probe import Address, Route
from tests.hostile import deaf_port


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def opened(count: int) -> list[int]:
    return [os.eventfd(0) for _ in range(count)]


def test_ranges_hold_the_same_numbers() -> None:
    """In whatever order they come; the longest runs possible."""
    dice = random.Random(7)
    for _ in range(200):
        numbers = dice.sample(range(60), dice.randint(0, 60))
        found = list(ranges(numbers))
        assert [number for low, high in found for number in range(low, high)] == sorted(numbers)
        assert all(before[1] < after[0] for before, after in zip(found, found[1:], strict=False))


@pytest.mark.parametrize("room", [1000, 20, 0])
def test_what_was_handed_over_is_closed_and_nothing_between(room: int) -> None:
    """A descriptor of somebody else in the middle of a run stays open, however much room the thread has."""
    theirs: list[int] = []
    closing = Closing(room, lambda: None)
    ours: list[int] = []
    for count in (30, 3, 12, 1):
        ours += opened(count)
        theirs += opened(1)
    random.Random(room).shuffle(ours)
    closing.take(ours)
    assert closing.left <= room
    closing.finish()
    assert closing.left == 0
    assert not any(map(is_open, ours))
    assert all(map(is_open, theirs))
    assert "ots-closing" not in [thread.name for thread in threading.enumerate()]
    for descriptor in theirs:
        os.close(descriptor)


def test_who_waits_for_room_is_told() -> None:
    """`closed` comes when it is asked for, and the count is right by then."""
    told = threading.Event()
    counts: list[int] = []

    def closed() -> None:
        counts.append(closing.left)
        told.set()

    closing = Closing(100, closed)
    closing.tell = True
    closing.take(opened(40))
    assert told.wait(10)
    closing.finish()
    assert counts == [0]


class Watched(Fanout):
    """Knows the descriptors that it was told are connected."""

    seen: tuple[int, ...] = ()

    def _connected(self, job: Job, now: float, *, broken: bool) -> None:
        assert job.sock is not None
        self.seen += (job.sock.fileno(),)
        super()._connected(job, now, broken=broken)


async def test_an_event_of_a_closed_connection_is_not_the_new_one_s() -> None:
    """The kernel frees a descriptor before it forgets who watched it: for a moment the number has two owners.

    A second descriptor of the old connection holds that moment still.
    """
    ended: list[Job] = []
    with deaf_port() as deaf:
        job = Job(0, Address("127.0.0.1", "4", "127.0.0.1"), deaf.number, 0.0, 0.3)
        fanout = Watched(iter([job]), ended.append, route=Route(), window=10, clock=SystemClock())
        worker = Worker("test")
        old, peer = socket.socketpair()
        number = old.fileno()
        fanout._epoll.register(number, select.EPOLLIN)
        still = old.dup()
        old.close()
        peer.send(b"of the old one")
        fanout.finish()
        await worker.run(lambda: fanout.run(worker), lambda: None)
        fanout.close()
        still.close()
        peer.close()
    assert number in fanout.seen
    assert ended == [job]
    assert job.connected is None
    assert job.failure is not None
    assert job.failure.error.class_ == "timeout"


def test_the_kernel_says_whether_the_syn_was_answered() -> None:
    with deaf_port() as deaf, socket.socket() as waiting:
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", deaf.number))
        assert (syn_round_trip(waiting) or (None,))[0] is False
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            with socket.create_connection(listener.getsockname()) as standing:
                assert (syn_round_trip(standing) or (None,))[0] is True
