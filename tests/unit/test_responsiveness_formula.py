"""The draft's formulae with figures that can be checked by hand."""

from __future__ import annotations

import pytest

from ots.stats import responsiveness


def test_rpm_is_the_mean_of_foreign_and_own() -> None:
    """20, 30, 40 ms make F = 2000, 60 ms make L = 1000."""
    assert responsiveness.rpm([0.02], [0.03], [0.04], [0.06]) == pytest.approx(1500)


def test_without_tls_two_parts_count() -> None:
    """No zero stands in for a handshake that there isn't: 20 and 40 ms make F = 2000."""
    assert responsiveness.rpm([0.02], [], [0.04], [0.06]) == pytest.approx(1500)


def test_a_missing_part_makes_no_figure() -> None:
    """Neither new connections alone nor the load's alone are a responsiveness."""
    assert responsiveness.rpm([], [], [0.04], [0.06]) is None
    assert responsiveness.rpm([0.02], [], [0.04], []) is None


def test_the_slowest_twentieth_is_left_out() -> None:
    """19 of 20 are at 10 ms, one at 10 s: tm95 is 10 ms."""
    values = [0.01] * 19 + [10.0]
    assert responsiveness.rpm(values, [], values, values) == pytest.approx(6000)


def test_stability_needs_four_moving_averages_within_five_percent() -> None:
    """Three are too few, a step of a third is none, the same for eight intervals is."""
    assert not responsiveness.stable([100.0] * 3)
    assert responsiveness.stable([100.0] * 4)
    assert not responsiveness.stable([100, 100, 100, 100, 140, 180, 220])
    assert responsiveness.stable([50, 90, 100, 101, 99, 100, 100, 101, 99])
    assert not responsiveness.stable([0.0] * 8)
    assert responsiveness.moving_averages([4, 8, 12, 16, 20]) == [4, 6, 8, 10, 14]


@pytest.mark.parametrize(
    ("increase", "grade"),
    [(-0.001, "A+"), (0.0049, "A+"), (0.005, "A"), (0.03, "B"), (0.06, "C"), (0.2, "D"), (0.4, "F")],
)
def test_grades(increase: float, grade: str) -> None:
    """Each band begins where the one before ends."""
    assert responsiveness.grade(increase) == grade


@pytest.mark.parametrize(
    ("intervals", "stable", "expected"), [(3, True, "low"), (4, False, "medium"), (4, True, "high")]
)
def test_confidence(intervals: int, stable: bool, expected: str) -> None:
    """Few intervals are low whatever they say."""
    assert responsiveness.confidence(intervals, is_stable=stable) == expected
