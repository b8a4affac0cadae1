"""A long run that is counted on the way comes to what the kept samples would have come to."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import pytest

from ots.model.metric import Metric
from ots.netio.icmp.answered import Answered, Past
from ots.probe import AttemptData, Sample
from ots.probes._ping_params import PingParams
from ots.probes.ping import Ping
from ots.stats.histogram import MOST_BINS, Histogram
from ots.stats.tally import EchoTally

INTERVAL = 0.02


def trips(count: int) -> list[float | str]:
    """Round trips with a long tail, some losses in gaps, some requests that never left."""
    chance = random.Random(4)
    found: list[float | str] = []
    while len(found) < count:
        kind = chance.random()
        if kind < 0.02:
            found += ["loss"] * chance.randint(1, 4)
        elif kind < 0.03:
            found.append("resource")
        else:
            found.append(0.0002 + chance.lognormvariate(-6, 1))
    return found[:count]


def summary(values: Sequence[float | str], *, tallied: bool) -> dict[str, Metric]:
    series: dict[tuple[str, tuple[tuple[str, str], ...]], Sequence[Sample]] = {
        ("ping_rtt_seconds", ()): [
            Sample(place * INTERVAL, None, value)
            if isinstance(value, str)
            else Sample(place * INTERVAL, value)
            for place, value in enumerate(values)
        ],
        ("ping_ttl_hops", ()): [Sample(0.0, 64) for value in values if not isinstance(value, str)],
    }
    kept = AttemptData(0, 0, "192.0.2.1", "success", None, 0.0, 1.0, {}, series, {}, ())
    if tallied:
        thinned: Mapping[tuple[str, tuple[tuple[str, str], ...]], Sequence[Sample]] = {
            key: samples[::50] for key, samples in series.items()
        }
        kept = AttemptData(
            0, 0, "192.0.2.1", "success", None, 0.0, 1.0, {}, thinned, {}, (), tally=tally_of(values)
        )
    return {metric.key: metric for metric in Ping().summarise([kept], PingParams())}


def tally_of(values: Sequence[float | str]) -> EchoTally:
    """Settled in the order of arrival; losses after a second."""
    tally = EchoTally()
    events = sorted(
        (place * INTERVAL + (1.0 if isinstance(value, str) else value), place)
        for place, value in enumerate(values)
    )
    for _, place in events:
        value = values[place]
        if isinstance(value, str):
            tally.unanswered(place, sent=value == "loss")
        else:
            tally.answered(place, value, 64)
    tally.finish()
    return tally


def test_tallied_figures_are_those_of_the_kept_samples() -> None:
    """Counts, extremes, jitters, gaps and order agree exactly, distributions to what the histogram states."""
    values = trips(20_000)
    exact, tallied = summary(values, tallied=False), summary(values, tallied=True)
    width = tally_of(values).width
    assert width <= 16
    assert exact.keys() == tallied.keys()
    for key, metric in exact.items():
        found = tallied[key]
        assert (found.n, found.n_valid, found.n_lost) == (metric.n, metric.n_valid, metric.n_lost), key
        assert found.nulls == metric.nulls
        for stat, value in metric.stats.items():
            got = found.stats[stat]
            if key in ("ping_rtt_seconds", "ping_ipdv_seconds") and stat not in ("min", "max", "first"):
                assert isinstance(value, float) and isinstance(got, float)
                assert abs(got - value) <= width * max(0.6e-6, 0.0011 * abs(value)), (key, stat)
            elif key == "ping_pdv_seconds":
                assert got == pytest.approx(value, rel=0.0015 * width), stat
            else:
                assert got == pytest.approx(value, rel=1e-9), (key, stat)
    assert exact["ping_reordered_ratio"].stats["value"] != 0


def test_histogram_states_its_error() -> None:
    """Every value is within 0.5 µs or 0.1 % of the one it stands for, from nothing to hours."""
    values = [sign * 10 ** (exponent / 40) for exponent in range(-320, 160) for sign in (-1, 1)] + [0.0]
    for few in (values[::2], values[1::2]):
        histogram = filled(few)
        assert histogram.width == 1
        for value, stands in zip(sorted(few), histogram.values(), strict=True):
            assert math.isclose(value, stands, rel_tol=0.00101, abs_tol=0.501e-6)


def filled(values: Sequence[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@pytest.mark.parametrize("order", ["scattered", "outwards", "inwards"])
def test_a_histogram_has_a_size_that_no_values_exceed(order: str) -> None:
    """A minute either way, every bin hit, in any order: 512 bins, 32 times as wide at most, and so true."""
    sizes = [1e-6 * 1.0009**power for power in range(19_900)]
    values = [0.0, *sizes, *[-size for size in sizes]]
    assert 59 < max(values) < 60
    if order == "scattered":
        random.Random(7).shuffle(values)
    else:
        values.sort(key=abs, reverse=order == "inwards")
    histogram, most = Histogram(), 0
    for value in values:
        histogram.add(value)
        most = max(most, histogram.allocated)
    assert most <= 2 * (1.15 * 4 * MOST_BINS + 100)
    assert histogram.width <= 32
    for value, stands in zip(sorted(values), histogram.values(), strict=True):
        assert abs(stands - value) <= histogram.width * max(0.501e-6, 0.00105 * abs(value))


def test_memory_does_not_grow_with_the_run() -> None:
    """A hundred times as many requests, and outliers that are all different, in the same few kilobytes."""
    tally = EchoTally()
    chance = random.Random(3)
    for place in range(200_000):
        outlier = chance.paretovariate(0.7) * 0.001 if place % 20 == 0 else 0.0
        tally.answered(place, 0.010 + (place * 7919 % 1000) * 1e-6 + min(outlier, 50.0), 64)
    assert tally.received == 200_000
    assert tally.allocated <= 10_000
    assert not tally._waiting


def test_settled_requests_are_remembered_in_a_ring() -> None:
    """The last 65,536 of them, whatever was settled before; a number that never was is not known."""
    past = Answered()
    for number in (0, 7, 65_535):
        past.remember(number, Past(number % 5, number * 0.5, number == 7))
    assert past.find(7) == Past(2, 3.5, answered=True)
    assert past.find(65_535) == Past(0, 32_767.5, answered=False)
    past.remember(65_536 + 7, Past(1, 9.0, answered=False))
    assert past.find(7) is None
    assert past.find(65_536 + 7) == Past(1, 9.0, answered=False)
    assert past.find(8) is None
    assert past.find(0xFFFFFFFF) is None
