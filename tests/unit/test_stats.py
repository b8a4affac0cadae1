"""Statistics against known values: percentiles of RFC 2330, Wilson intervals, what is refused and why."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ots.model.metric import MetricDef
from ots.stats import distribution, interval, summary

TEN = sorted([*range(10, 19), 40])

RTT = MetricDef(
    key="x_rtt_seconds",
    unit="s",
    type="sample",
    title="Round-trip time",
    definition="request sent to reply received",
    stats=("median", "min", "p95", "max", "stddev", "first"),
)

numbers = st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=300)


def test_percentiles_are_samples_and_never_interpolated() -> None:
    """The catalogue's golden vector: {10..18, 40}."""
    assert distribution.compute("median", TEN) == (14.5, None)
    assert distribution.compute("p90", TEN) == (18, None)
    assert distribution.compute("p95", TEN) == (None, "too_few_samples")
    assert distribution.percentile(TEN, 0.5) == 14
    assert distribution.percentile(TEN, 0.95) == 40


@pytest.mark.parametrize(
    ("stat", "n"), [("p95", 20), ("p99", 100), ("p999", 1000), ("p05", 20), ("p10", 10), ("median", 1)]
)
def test_a_percentile_needs_its_number_of_samples(stat: str, n: int) -> None:
    """p95 of 19 samples would silently be the maximum."""
    assert distribution.needed(stat) == n
    assert distribution.compute(stat, [1.0] * n)[1] is None
    if n > 1:
        assert distribution.compute(stat, [1.0] * (n - 1)) == (None, "too_few_samples")


@given(numbers, st.sampled_from([0.05, 0.25, 0.5, 0.9, 0.95, 0.99]))
def test_the_percentile_is_the_smallest_sample_with_enough_below(values: list[float], p: float) -> None:
    """F(x) >= p for the percentile, and for no smaller sample."""
    ordered = sorted(values)
    found = distribution.percentile(ordered, p)
    at_most = sum(value <= found for value in ordered) / len(ordered)
    below = sum(value < found for value in ordered) / len(ordered)
    assert at_most >= p - 1e-9
    assert below < p + 1e-9


@given(numbers.filter(lambda values: len(values) > 1))
def test_deviations_agree_with_the_standard_library(values: list[float]) -> None:
    """stddev divides by n-1, mdev by n as iputils does."""
    assert distribution.stddev(values) == pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6)
    assert distribution.mdev(values) == pytest.approx(statistics.pstdev(values), rel=1e-6, abs=1e-6)


def test_wilson_gives_the_published_intervals() -> None:
    """0 of 20 is [0, 0.161]; 2 of 100 is [0.0055, 0.070]; of nothing there is none."""
    assert interval.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert interval.wilson(2, 100) == pytest.approx((0.0055, 0.0700), abs=1e-4)
    assert interval.wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert interval.wilson(0, 0) is None


def test_the_median_interval_is_made_of_samples() -> None:
    """For 100 samples the ranks are 40 and 61 (binomial); for five there is none with 95 %."""
    ordered = [float(value) for value in range(1, 101)]
    assert interval.of_percentile(ordered, 0.5) == (40.0, 61.0)
    assert interval.of_percentile(ordered[:5], 0.5) is None


@pytest.mark.parametrize("n", [50, 500, 5000, 100_000])
def test_the_percentile_interval_encloses_the_percentile(n: int) -> None:
    """Also where the binomial's first term is below what a float can hold."""
    ordered = [float(value) for value in range(n)]
    bounds = interval.of_percentile(ordered, 0.5)
    assert bounds is not None
    assert bounds[0] < distribution.percentile(ordered, 0.5) < bounds[1]
    assert (bounds[1] - bounds[0]) / n == pytest.approx(1.96 / math.sqrt(n), rel=0.2)


def test_student_interval_of_a_mean() -> None:
    """{1, 2, 3}: 2 ± 4.303/√3."""
    assert interval.of_mean([1, 2, 3]) == pytest.approx((2 - 2.4843, 2 + 2.4843), abs=1e-3)
    assert interval.of_mean([1.0]) is None


def test_lost_samples_are_counted_and_named() -> None:
    """A statistic over nothing but losses is null because of loss."""
    metric = summary.of_samples(RTT, [None, None])
    assert (metric.n, metric.n_valid, metric.n_lost) == (2, 0, 2)
    assert metric.stats["median"] is None
    assert metric.nulls["stats.median"] == "loss"
    assert summary.of_samples(RTT, []).nulls["stats.median"] == "no_samples"


def test_every_declared_statistic_is_there_with_a_value_or_a_reason() -> None:
    """And n = n_valid + n_lost + n_invalid."""
    metric = summary.of_samples(RTT, [0.01, None, 0.02], invalid=2)
    assert (metric.n, metric.n_valid, metric.n_lost) == (5, 2, 1)
    assert metric.stats["first"] == 0.01
    for stat in RTT.stats:
        assert metric.stats[stat] is not None or f"stats.{stat}" in metric.nulls


def test_numbers_that_json_can_not_hold_are_refused() -> None:
    """A NaN must not become a null without a reason."""
    with pytest.raises(ValueError, match="finite"):
        summary.of_samples(RTT, [math.nan])
    with pytest.raises(ValueError, match="finite"):
        summary.of_value(RTT, math.inf)
    with pytest.raises(ValueError, match="reason"):
        summary.of_value(RTT, None)


def test_states_are_counted() -> None:
    """Strings and booleans have a mode and a histogram, not a mean."""
    state = MetricDef(
        key="x_rcode", unit="", type="state", title="Code", definition="", stats=("mode", "histogram")
    )
    metric = summary.of_samples(state, ["NOERROR", "NXDOMAIN", "NOERROR", None])
    assert metric.stats == {"mode": "NOERROR", "histogram": {"NOERROR": 2, "NXDOMAIN": 1}}
    assert (metric.n_valid, metric.n_lost) == (3, 1)
