"""The arithmetic of throughput: windows, warm-up, intervals."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.stats.throughput import (
    Curve,
    Span,
    Warmup,
    full_loading,
    grouped,
    headline,
    interval_rates,
    merge,
    rate,
    settled,
    steady_from,
    sufficient_window,
    whole,
)


def steady_curve(bytes_per_second: float, seconds: float, start: float = 100.0, step: float = 0.01) -> Curve:
    """Arrivals every `step` seconds at a constant rate."""
    curve = Curve(step)
    for k in range(round(seconds / step) + 1):
        curve.t.append(start + k * step)
        curve.total.append(round(bytes_per_second * step * (k + 1)))
    return curve


def of(points: list[tuple[float, int]], grain: float = 0.01) -> Curve:
    return Curve(grain, [t for t, _ in points], [total for _, total in points])


def test_curve_between_points_is_linear_within_the_grain() -> None:
    """The bytes of a point arrived within the grain before it, and never before the point in front of it."""
    curve = of([(1.0, 100), (2.0, 300)], grain=0.1)
    assert curve.at(0.85) == 0
    assert curve.at(0.95) == pytest.approx(50)
    assert curve.at(1.0) == 100
    assert curve.at(1.5) == 100
    assert curve.at(1.95) == pytest.approx(200)
    assert curve.at(9.0) == 300
    assert Curve(0.1).at(5.0) == 0


def test_full_loading_is_latest_begin_to_earliest_end() -> None:
    """TR-143's period of full loading; connections that never ran together have none."""
    assert full_loading([Span(1, 5), Span(2, 4), Span(0, 9)]) == Span(2, 4)
    assert full_loading([Span(1, 2), Span(3, 4)]) is None
    assert full_loading([]) is None
    assert whole([Span(1, 5), Span(0, 2)]) == Span(0, 5)
    assert whole([]) is None


def test_connections_of_unequal_length_are_not_summed_by_their_own_rates() -> None:
    """Two connections at 1 MB/s, the second for half the time: 2 MB/s while both ran, not a sum of means."""
    first = steady_curve(1e6, 4.0)
    second = steady_curve(1e6, 2.0, start=101.0)
    loaded = full_loading([Span(100, 104), Span(101, 103)])
    assert loaded is not None
    found = rate(merge([first, second]), loaded)
    assert found is not None
    assert found[0] == pytest.approx(16e6, rel=0.01)


def test_constant_rate_is_found_exactly() -> None:
    """A constant 10 Mbit/s reads 10 Mbit/s, whatever the warm-up rule."""
    curve = steady_curve(1.25e6, 3.0)
    for rule in (Warmup(), Warmup(auto=False), Warmup(0.5, auto=False)):
        found = headline(curve, Span(100.0, 103.0), rule, 0.001)
        assert found is not None
        assert found.bits_per_second == pytest.approx(10e6, rel=1e-6)
        assert found.steady and found.sufficient
        assert found.warmup == rule.name


def test_first_burst_of_a_shaper_is_not_in_the_headline() -> None:
    """A burst at the start reads high in the whole and not at all in the steady part."""
    curve = steady_curve(1.25e6, 2.0)
    curve.total = [total + 200_000 for total in curve.total]
    found = headline(curve, Span(100.0, 102.0), Warmup(), 0.001)
    assert found is not None
    assert found.bits_per_second == pytest.approx(10e6, rel=1e-6)
    assert 8 * curve.total[-1] / 2.0 > 10.7e6


def test_slow_start_is_left_out_until_growth_stops() -> None:
    """A rate that doubles every 100 ms until 8 Mbit/s is steady from 0.8 s on."""
    curve, total, t = Curve(0.01), 0.0, 0.0
    while t < 4.0:
        total += min(1e6, 1e4 * 2 ** (t / 0.1)) * 0.01
        t += 0.01
        curve.t.append(t)
        curve.total.append(round(total))
    start, steady = steady_from(curve, Span(0.0, 4.0), 0.02)
    assert steady
    assert 0.55 <= start <= 0.8
    found = headline(curve, Span(0.0, 4.0), Warmup(), 0.02)
    assert found is not None
    assert found.bits_per_second == pytest.approx(8e6, rel=0.01)


def test_loss_and_its_repair_at_the_start_are_no_growth() -> None:
    """A gap of 0.2 s whose bytes come in one burst: leaving out the gap alone would read 7 % high."""
    curve = steady_curve(1.25e6, 3.0)
    held = curve.total[10]
    for k in range(10, 30):
        curve.total[k] = held
    start, steady = steady_from(curve, Span(100.0, 103.0), 0.001)
    assert steady
    assert start == pytest.approx(100.075)
    found = headline(curve, Span(100.0, 103.0), Warmup(), 0.001)
    assert found is not None
    assert found.bits_per_second == pytest.approx(10e6, rel=0.01)


def test_rate_still_growing_at_the_middle_is_said() -> None:
    """A line that never settles gives a figure from its second half and says that it was not steady."""
    curve = Curve(0.01)
    for k in range(400):
        curve.t.append(k * 0.01)
        curve.total.append(100 * k * k)
    found = headline(curve, Span(0.0, 3.99), Warmup(), 0.001)
    assert found is not None
    assert not found.steady
    assert found.window.start == pytest.approx(2.0, abs=0.15)


def test_warmup_grows_with_the_round_trip() -> None:
    """At least 75 ms and at least twelve round trips are skipped."""
    curve = steady_curve(1e6, 10.0)
    assert steady_from(curve, Span(100.0, 110.0), 0.0)[0] == pytest.approx(100.075)
    assert steady_from(curve, Span(100.0, 110.0), 0.1)[0] == pytest.approx(101.2)


def test_transfer_shorter_than_its_warmup_is_read_whole_and_marked() -> None:
    """50 ms of transfer have no steady part: the whole is given, the method says so, and it isn't trusted."""
    curve = steady_curve(1e6, 0.05)
    found = headline(curve, Span(100.0, 100.05), Warmup(), 0.0)
    assert found is not None
    assert found.warmup == "too_short"
    assert not found.steady and not found.sufficient


def test_nothing_gives_no_headline() -> None:
    """No bytes, or no time, is no rate."""
    assert headline(Curve(0.01), Span(0.0, 1.0), Warmup(), None) is None
    assert headline(of([(1.0, 5)]), Span(1.0, 1.0), Warmup(), None) is None
    assert rate(of([(1.0, 5)]), Span(2.0, 3.0)) is None


def test_window_edge_in_a_gap_moves_to_bytes_but_not_over_an_outage() -> None:
    """A repair of 0.3 s at the end is left out, an outage of 2 s is not: a dead link is no steady one."""
    short_gap = of([(k * 0.1, k * 1000) for k in range(11)])
    bridged = rate(short_gap, Span(0.0, 1.3))
    assert bridged is not None
    assert bridged[0] == pytest.approx(8 * 10000)
    assert bridged[1].end == pytest.approx(1.0)
    outage = rate(short_gap, Span(0.0, 3.0))
    assert outage is not None
    assert outage[0] == pytest.approx(8 * 10000 / 3.0)


def held_back(seed: int, seconds: float = 12.0) -> Curve:
    """A full link of 10 Mbit/s, segment by segment in turn to four connections that each lose now and then.

    From a loss to its repair a connection delivers nothing, then all of it at once.
    """
    draw = random.Random(seed)
    segment, connections = 1500 * 8 / 10e6, 4
    holes = []
    for _ in range(connections):
        t, own = draw.uniform(-0.5, 0.5), []
        while t < seconds + 1:
            own.append((t, t + draw.uniform(0.2, 0.7)))
            t = own[-1][1] + draw.uniform(0.5, 3.0)
        holes.append(own)
    arrivals = []
    for k in range(int((seconds + 1) / segment)):
        t = k * segment
        hole = next((each for each in holes[k % connections] if each[0] <= t < each[1]), None)
        arrivals.append(t if hole is None else hole[1])
    curve, total = Curve(0.01), 0
    for t in sorted(arrivals):
        total += 1448
        if curve.t and t == curve.t[-1]:
            curve.total[-1] = total
        elif t <= seconds:
            curve.t.append(t)
            curve.total.append(total)
    return curve


@pytest.mark.parametrize("seed", range(8))
def test_what_losses_hold_back_at_the_edges_neither_adds_nor_lacks(seed: int) -> None:
    """Up to 400 kB of 12 MB are held back at any instant; the rate is that of the link all the same."""
    curve = held_back(seed)
    found = rate(curve, Span(2.4, 12.0), 0.2)
    assert found is not None
    assert found[0] == pytest.approx(10e6 * 1448 / 1500, rel=1e-3)


def test_a_repair_behind_a_deep_queue_takes_a_loaded_round_trip() -> None:
    """1 Mbit/s with a queue of 0.6 s and next to no delay: what a loss holds back at the end doesn't lack."""
    curve = steady_curve(125_000, 9.4)
    found = rate(curve, Span(100.0, 110.0), 0.001, loaded_rtt=0.6)
    assert found is not None
    assert found[0] == pytest.approx(1e6, rel=1e-3)
    assert found[1].end == pytest.approx(109.4)


def test_edges_taken_as_they_come_would_be_off_by_a_hundredth() -> None:
    """The curves above do what they are for: read at the edges alone, most are wrong."""
    errors = [
        8 * (curve.at(12.0) - curve.at(2.4)) / 9.6 / (10e6 * 1448 / 1500) - 1
        for curve in map(held_back, range(8))
    ]
    assert max(map(abs, errors)) > 0.01


def test_a_rate_that_falls_half_way_reads_as_its_mean() -> None:
    """12 Mbit/s, then 8: the edges don't favour the faster half."""
    curve = steady_curve(1.5e6, 5.0)
    last = curve.total[-1]
    for k in range(1, 501):
        curve.t.append(105.0 + k * 0.01)
        curve.total.append(last + k * 10_000)
    found = rate(curve, Span(100.0, 110.0), 0.2)
    assert found is not None
    assert found[0] == pytest.approx(10e6, rel=0.002)


def test_intervals_account_for_every_byte() -> None:
    """Σ rate × length of the intervals is the bytes of the span; a rest below half an interval is dropped."""
    curve = steady_curve(1e6, 1.0)
    rates = interval_rates(curve, Span(100.0, 100.96), 0.1)
    assert len(rates) == 10
    assert [t for t, _ in rates][-1] == pytest.approx(100.96)
    assert all(value == pytest.approx(8e6, rel=1e-6) for _, value in rates)
    assert len(interval_rates(curve, Span(100.0, 100.94), 0.1)) == 9


def test_stall_shows_as_intervals_of_zero() -> None:
    """Time without bytes isn't skipped."""
    curve = of([(0.0, 0), (0.1, 1000), (0.5, 5000)])
    assert [round(value) for _, value in interval_rates(curve, Span(0.0, 0.5), 0.1)] == [
        80000,
        0,
        0,
        0,
        320000,
    ]


@given(st.lists(st.tuples(st.floats(0.001, 0.5), st.integers(0, 10**6)), min_size=2, max_size=60))
def test_intervals_never_lose_or_invent_bytes(steps: list[tuple[float, int]]) -> None:
    """For any arrivals the intervals together hold what arrived in the time they cover."""
    curve, t, total = Curve(0.01), 0.0, 0
    for gap, count in steps:
        t, total = t + gap, total + count
        curve.t.append(t)
        curve.total.append(total)
    span = Span(curve.t[0], curve.t[-1])
    rates = interval_rates(curve, span, 0.1)
    begin, counted = span.start, 0.0
    for end, value in rates:
        assert value >= 0
        counted += value * (end - begin) / 8
        begin = end
    assert counted == pytest.approx(curve.at(begin) - curve.at(span.start), abs=1e-3)


def test_window_needed_depends_on_the_rate() -> None:
    """1.5 s hold a loss and its repair at 20 Mbit/s, 0.25 s at 100."""
    assert sufficient_window(1e6) == 1.5
    assert sufficient_window(20e6) == 1.5
    assert sufficient_window(60e6) == pytest.approx(0.875)
    assert sufficient_window(1e9) == 0.25


def test_grouping_makes_reported_intervals_of_sampled_ones() -> None:
    """Ten samples of 0.1 s are one second; a rest that fills none is left out; a short test is one value."""
    assert grouped([float(k) for k in range(25)], 0.1, 1.0) == [4.5, 14.5]
    assert grouped([1.0, 3.0], 0.1, 1.0) == [2.0]
    assert grouped([], 0.1, 1.0) == []


@pytest.mark.parametrize(
    ("bytes_per_second", "enough"),
    [(125e6, 1.2), (1e6, 1.7)],
    ids=["1 Gbit/s", "8 Mbit/s"],
)
def test_a_steady_rate_settles_after_four_intervals(bytes_per_second: float, enough: float) -> None:
    """Four quarter seconds behind the warm-up on a fast path, one and a half seconds on a slow one."""
    curve = steady_curve(bytes_per_second, 3.0)
    settles = [
        k / 100 for k in range(1, 300) if settled(curve, Span(100.0, 100.0 + k / 100), 0.001, band=0.05)
    ]
    assert settles[0] == pytest.approx(enough, abs=0.15)


def test_a_rate_that_grows_or_jumps_has_not_settled() -> None:
    """Slow start, and a rate that alternates by a fifth, are not within five hundredths."""
    growing, jumping = Curve(0.01), Curve(0.01)
    for k in range(301):
        t = 100.0 + k * 0.01
        growing.t.append(t)
        growing.total.append(round(1e6 * (k * 0.01) ** 3))
        jumping.t.append(t)
        jumping.total.append(round(1e6 * k * 0.01) + (100_000 if (k // 30) % 2 else 0))
    for curve in (growing, jumping):
        assert not any(settled(curve, Span(100.0, 100.0 + k / 100), 0.001, band=0.05) for k in range(1, 301))


def test_nothing_that_moves_is_nothing_that_settled() -> None:
    """A path that has gone dead is not stable at nought."""
    curve = of([(100.0, 1_000_000), (100.5, 2_000_000)])
    assert not settled(curve, Span(100.0, 103.0), 0.001, band=0.05)
