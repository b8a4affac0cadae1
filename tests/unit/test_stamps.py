"""Kernel stamps on the monotonic clock, also when somebody steps the wall clock."""

from __future__ import annotations

import pytest

from ots.netio.stamps import Placement


class SteppedClock:
    """Clocks that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.offset = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset


def test_a_stamp_is_placed() -> None:
    """On an even clock a wall-clock stamp falls where it happened."""
    clock = SteppedClock()
    placement = Placement(clock)
    stamp = clock.wall()
    clock.now += 0.005
    now = placement.renew()
    assert placement.place(stamp, 99.9, now) == pytest.approx(100.0, abs=1e-5)
    assert not placement.stepped


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.02, -0.02])
def test_a_step_spoils_the_stamps_in_between_only(step: float) -> None:
    """Stamps around a step are refused and the step is told; the next ones are good again."""
    clock = SteppedClock()
    placement = Placement(clock)
    stamp = clock.wall()
    clock.offset += step
    clock.now += 0.2
    assert placement.place(stamp, 99.9, placement.renew()) is None
    assert placement.stepped
    stamp = clock.wall()
    clock.now += 0.001
    assert placement.place(stamp, 100.0, placement.renew()) == pytest.approx(100.2, abs=1e-5)


def test_slewing_is_no_step() -> None:
    """NTP's 0.5 ms a second goes unremarked."""
    clock = SteppedClock()
    placement = Placement(clock)
    for _ in range(100):
        clock.now += 1.0
        clock.offset += 0.0005
        placement.renew()
    assert not placement.stepped


def test_an_impossible_stamp_is_refused() -> None:
    """A stamp before the sending or after the reading cannot be true."""
    clock = SteppedClock()
    placement = Placement(clock)
    assert placement.place(clock.wall() - 1.0, 99.9, 100.0) is None
    assert placement.place(clock.wall() + 1.0, 99.9, 100.0) is None
    assert placement.place(None, 0.0, 100.0) is None
