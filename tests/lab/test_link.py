"""The lab's own equipment: a link keeps to what it was asked, and the table says when a row is missed."""

from __future__ import annotations

import statistics
import subprocess
from dataclasses import replace

import pytest

from tests.lab.delays import requests, true_round_trips
from tests.lab.link import DOWN, UP, link, wire
from tests.lab.page import line, page
from tests.lab.references import fping, ping
from tests.lab.row import Row
from tests.peers.require import require
from tests.ping_lab import lab

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module", autouse=True)
def _equipment() -> None:
    for name in ("ip", "gcc", "ping", "fping"):
        require(name)
    with lab():
        pass


def test_delay_and_loss_are_what_was_asked_and_in_the_books() -> None:
    """Ping loses what the books say, packet for packet; the delay is kept to a fraction of a millisecond."""
    with link(delay=0.004, loss=0.1, seed=5) as ends:
        theirs = ping(ends, 300, 0.002)
        truth = true_round_trips(ends.fates())
        books = ends.books()
    assert [rtt is None for rtt in theirs] == [rtt is None for rtt in truth]
    assert theirs.count(None) == books[UP]["lost"] + books[DOWN]["lost"] > 30
    median = statistics.median(rtt for rtt in truth if rtt is not None)
    assert median == pytest.approx(0.008, abs=0.0005)


def test_the_same_seed_loses_the_same_packets() -> None:
    def fates(seed: int) -> list[str]:
        with link(loss=0.2, seed=seed) as ends:
            fping(ends, 100, 0.002)
            return [fate.fate for fate in requests(ends.fates())]

    assert fates(1) == fates(1) != fates(2)


def test_a_rate_serves_its_queue_and_drops_what_does_not_fit() -> None:
    """Ten packets at once through 1 Mbit/s with room for five: each waits for those before it."""
    with link(rate_up=1e6, queue=5 * 1028) as ends:
        ping_flood = [require("ping"), "-n", "-q", "-c", "10", "-l", "10", "-s", "1000", "-W", "1"]
        subprocess.run([*ends.prefix, *ping_flood, ends.far_address], capture_output=True, check=False)
        up = [fate for fate in ends.fates() if fate.direction == UP]
        books = ends.books()[UP]
    left = sorted(fate.left for fate in up if fate.left is not None)
    assert len(left) + books["queue_lost"] == 10 and books["queue_lost"] >= 3
    apart = statistics.median(b - a for a, b in zip(left, left[1:], strict=False))
    assert apart == pytest.approx(8 * 1028 / 1e6, abs=0.0005)


def test_a_shaped_wire_carries_packets() -> None:
    with wire(rate_down=1e9, rate_up=1e9) as ends:
        assert None not in ping(ends, 5, 0.01)


def test_programs_that_go_ahead_are_first_in_a_session_that_is_first() -> None:
    """As the kernel says it itself, at both ends."""
    with wire(rate_down=1e9, rate_up=1e9) as made:
        ends = replace(made, ahead=True)
        show = ("sh", "-c", "nice; cat /proc/self/autogroup 2>/dev/null || true")
        for prefix in (ends.prefix, ends.far_prefix):
            said = subprocess.run([*prefix, *show], capture_output=True, text=True, check=True).stdout.split()
            assert said[0] == "-20"
            assert len(said) == 1 or said[-1] == "-20"


def test_a_row_is_met_within_its_tolerance_and_not_worse_than_the_reference() -> None:
    """Every way in which a row can be missed, and that the page says so."""

    def row(
        ots: float | None,
        said: float | None = None,
        tolerance: float | None = None,
        never_above: float | None = None,
    ) -> Row:
        return Row("S", "c", "f", "ms", 10.0, ots, "ping", said, tolerance=tolerance, never_above=never_above)

    assert row(10.1, tolerance=0.2).met
    assert not row(10.3, tolerance=0.2).met
    assert not row(None, tolerance=0.2).met
    assert row(9.9, tolerance=0.2, never_above=0.01).met
    assert not row(10.1, tolerance=0.2, never_above=0.01).met
    assert row(10.5, said=10.6).met
    assert not row(10.7, said=10.6).met
    missed = row(10.3, said=10.0, tolerance=0.2)
    assert "MISSED" in line(missed) and "**missed**" in page([missed])
    assert "0 of 1 rows are met" in page([missed])
