"""A long run that is counted on the way comes to what the kept samples would have come to."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import pytest

from ots.model.metric import Metric
from ots.probe import AttemptData, Sample
from ots.probes.ping import Ping, PingParams
from ots.stats.histogram import Histogram
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
    assert exact.keys() == tallied.keys()
    for key, metric in exact.items():
        found = tallied[key]
        assert (found.n, found.n_valid, found.n_lost) == (metric.n, metric.n_valid, metric.n_lost), key
        assert found.nulls == metric.nulls
        for stat, value in metric.stats.items():
            got = found.stats[stat]
            if key in ("ping_rtt_seconds", "ping_ipdv_seconds") and stat not in ("min", "max", "first"):
                assert isinstance(value, float) and isinstance(got, float)
                assert abs(got - value) <= max(0.6e-6, 0.0011 * abs(value)), (key, stat)
            elif key == "ping_pdv_seconds":
                assert got == pytest.approx(value, rel=0.0015), stat
            else:
                assert got == pytest.approx(value, rel=1e-9), (key, stat)
    assert exact["ping_reordered_ratio"].stats["value"] != 0


def test_histogram_states_its_error() -> None:
    """Every value is within 0.5 µs or 0.1 % of the one it stands for, from nothing to hours."""
    values = [sign * 10 ** (exponent / 40) for exponent in range(-320, 160) for sign in (-1, 1)] + [0.0]
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for value, stands in zip(sorted(values), histogram.values(), strict=True):
        assert math.isclose(value, stands, rel_tol=0.00101, abs_tol=0.501e-6)


def test_memory_does_not_grow_with_the_run() -> None:
    """A hundred times as many requests need no more than the bins that their spread has."""
    tally = EchoTally()
    for place in range(200_000):
        tally.answered(place, 0.010 + (place * 7919 % 1000) * 1e-6, 64)
    assert tally.received == 200_000
    assert tally._others.allocated <= 192
    assert tally.differences.allocated <= 1_600
    assert not tally._waiting
