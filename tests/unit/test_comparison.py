"""Whether two sets of observations differ: published examples, symmetry, and what can't be told."""

from __future__ import annotations

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.stats import comparison, interval
from ots.stats.comparison import Finding

samples = st.lists(st.floats(-1e6, 1e6), min_size=8, max_size=40)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), -0.3339, -0.0524),
        ((9, 10), (3, 10), -0.8090, -0.1705),
        ((6, 7), (2, 7), -0.8062, -0.0582),
        ((5, 56), (0, 29), -0.1926, 0.0381),
        ((10, 10), (0, 20), -1.0, -0.6791),
    ],
)
def test_the_interval_of_a_difference_of_ratios(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """The worked examples of Newcombe 1998, table II, method 10."""
    bounds = comparison.difference_of_ratios(first, second)
    assert bounds is not None
    assert bounds == pytest.approx((low, high), abs=6e-5)


def test_two_ratios_differ_if_their_interval_leaves_zero_out() -> None:
    """0 of 100 against 10 of 100 is a difference, against 1 of 100 it is not, against nothing unknown."""
    assert comparison.of_ratios((0, 100), (10, 100)) == Finding(True, "score_interval")
    assert comparison.of_ratios((0, 100), (1, 100)) == Finding(False, "score_interval")
    assert comparison.of_ratios((0, 100), (0, 0)).different is None


def test_mann_whitney_is_computed_as_defined() -> None:
    """U counted pair by pair, and p by the normal approximation with ties and continuity."""
    first = [0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    second = [1.15, 0.88, 0.9, 0.74, 1.21, 1.64, 2.2, 2.4]
    pairs = sum((b > a) + (b == a) / 2 for a, b in product(first, second))
    found = comparison.of_samples(first, second)
    assert found.superiority == pytest.approx(pairs / 80)
    # Mean 40, variance 10·8/12·(19 - 6/(18·17)) for one tie of two, less 0.5 for continuity.
    distance = (abs(pairs - 40) - 0.5) / math.sqrt(80 / 12 * (19 - 6 / (18 * 17)))
    assert found.p == pytest.approx(math.erfc(distance / math.sqrt(2)))
    assert found.p == pytest.approx(0.85888, abs=1e-5)


@given(first=samples, second=samples)
def test_swapping_the_sides_turns_the_direction_and_nothing_else(
    first: list[float], second: list[float]
) -> None:
    """The same p, the mirrored share of pairs."""
    there, back = comparison.of_samples(first, second), comparison.of_samples(second, first)
    assert there.p == pytest.approx(back.p)
    assert there.different == back.different
    assert there.superiority is not None and back.superiority is not None
    assert there.superiority + back.superiority == pytest.approx(1)


@given(values=samples)
def test_a_set_does_not_differ_from_itself(values: list[float]) -> None:
    """Whatever its ties."""
    found = comparison.of_samples(values, values)
    assert found.different is False
    assert found.superiority == pytest.approx(0.5)


def test_a_shift_is_found_and_noise_alone_is_rarely_taken_for_one() -> None:
    """Of 400 pairs of equal sets some 5 % at most are called different; of shifted ones nearly all."""
    source = random.Random(17)

    def draw(centre: float) -> list[float]:
        return [source.gauss(centre, 1) for _ in range(40)]

    alarms = sum(bool(comparison.of_samples(draw(0), draw(0)).different) for _ in range(400))
    found = sum(bool(comparison.of_samples(draw(0), draw(1)).different) for _ in range(400))
    assert alarms <= 32
    assert found >= 380


def test_a_tiny_shift_of_very_many_samples_is_no_clear_difference() -> None:
    """p alone would call it one; less than 56 % of the pairs agree."""
    source = random.Random(18)
    first = [source.gauss(0, 1) for _ in range(20_000)]
    second = [source.gauss(0.05, 1) for _ in range(20_000)]
    found = comparison.of_samples(first, second)
    assert found.p is not None and found.p < 0.01
    assert found.different is False


def test_too_few_samples_tell_nothing() -> None:
    """Seven on one side, a hundred on the other."""
    assert comparison.of_samples([1.0] * 7, [2.0] * 100) == comparison.CANT_TELL


def test_intervals_differ_if_they_do_not_touch() -> None:
    """A common point is enough to be silent; a missing interval too."""
    assert comparison.of_intervals((1, 2), (3, 4)).different is True
    assert comparison.of_intervals((3, 4), (1, 2)).different is True
    assert comparison.of_intervals((1, 3), (3, 4)).different is False
    assert comparison.of_intervals(None, (3, 4)).different is None


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_the_count_behind_a_counted_ratio_is_found(n: int, share: float) -> None:
    """From value, n and interval as a report has them."""
    hits = round(n * share)
    assert comparison.hits_of(hits / n, n, interval.wilson(hits, n)) == hits


def test_a_ratio_that_was_not_counted_has_no_count() -> None:
    """A share of time, another interval, no interval."""
    assert comparison.hits_of(0.333, 20, interval.wilson(7, 20)) is None
    assert comparison.hits_of(0.35, 20, (0.3, 0.4)) is None
    assert comparison.hits_of(0.35, 20, None) is None
    assert comparison.hits_of(0.35, 0, (0.0, 1.0)) is None
