"""What a transfer was limited by, from figures as known links have given them (tests/lab), and around each
bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.stats.circumstances import Circumstances
from ots.stats.course import drift, paused
from ots.stats.throughput import Curve, Span
from ots.stats.validity import graded


@dataclass(frozen=True)
class Seen:
    method: Mapping[str, Value | None]
    flags: Sequence[QualityFlag] = field(default=())


def download(*flags: QualityFlag, **changes: Value | None) -> Seen:
    """20 Mbit/s, 10 ms there and back, a queue that stands; `changes` replace figures."""
    figures: dict[str, Value | None] = {
        "steady": True,
        "ceiling_bits_per_second": 1e10,
        "watched_seconds": 4.0,
        "window_seconds": 3.0,
        "window_full_seconds": 0.0,
        "unread_seconds": 0.0,
        "paused_seconds": 0.0,
        "loaded_rtt_seconds": 0.0202,
        "min_rtt_seconds": 0.0101,
        "quiet_mean_seconds": 0.0002,
        "rate_drift": 1.0,
    }
    return Seen({**figures, **changes}, flags)


def upload(**changes: Value | None) -> Seen:
    """An upload whose connection had something to send all the time."""
    figures: dict[str, Value | None] = {
        "steady": True,
        "ceiling_bits_per_second": 1e10,
        "sender_seconds": 5.0,
        "sender_busy_seconds": 5.0,
        "window_limited_seconds": 0.0,
        "send_buffer_limited_seconds": 0.0,
        "watched_seconds": 4.0,
        "window_full_seconds": 0.0,
        "loaded_rtt_seconds": 0.02,
        "min_rtt_seconds": 0.01,
        "peer_window_share": 0.95,
    }
    return Seen({**figures, **changes})


def found(*attempts: Seen) -> tuple[str, list[str]]:
    validity = graded(attempts)
    assert validity is not None
    return validity.grade, [finding.code for finding in validity.findings]


@pytest.mark.parametrize(
    ("attempt", "grade", "codes"),
    [
        (download(), "high", ["link_limited"]),
        (download(ceiling_bits_per_second=None), "medium", []),
        # Round trips that do not grow, or grow by the sender's own pauses only.
        (download(loaded_rtt_seconds=0.0115), "medium", []),
        (download(loaded_rtt_seconds=0.0117), "high", ["link_limited"]),
        (download(loaded_rtt_seconds=0.0252, min_rtt_seconds=0.002, quiet_mean_seconds=0.0127), "medium", []),
        (download(paused_seconds=1.4), "high", ["link_limited"]),
        (download(paused_seconds=1.5), "low", ["server_limited"]),
        (download(window_full_seconds=2.0, loaded_rtt_seconds=0.0102), "low", ["window_limited"]),
        (download(window_full_seconds=1.9, loaded_rtt_seconds=0.0102), "medium", []),
        # A full window before a queue only makes the queue longer.
        (download(window_full_seconds=4.0), "high", ["link_limited"]),
        (download(unread_seconds=2.0), "low", ["probe_limited"]),
        (download("probe_limited"), "low", ["probe_limited"]),
        (download(rate_drift=0.79), "low", ["link_limited", "not_stabilised"]),
        (download(rate_drift=1.26), "low", ["link_limited", "not_stabilised"]),
        (download(rate_drift=0.81), "high", ["link_limited"]),
    ],
)
def test_a_receiver_knows_this_much(attempt: Seen, grade: str, codes: list[str]) -> None:
    assert found(attempt) == (grade, codes)


@pytest.mark.parametrize(
    ("attempt", "codes"),
    [
        (upload(), ["link_limited"]),
        (upload(window_full_seconds=2.0, loaded_rtt_seconds=0.0105), ["window_limited"]),
        (upload(window_limited_seconds=2.5, loaded_rtt_seconds=0.0105), ["window_limited"]),
        (upload(window_full_seconds=4.0, loaded_rtt_seconds=0.016), ["link_limited"]),
        (
            upload(window_full_seconds=3.0, loaded_rtt_seconds=0.05, peer_window_share=0.49),
            ["server_limited"],
        ),
        (upload(sender_busy_seconds=2.0), ["probe_limited"]),
        (upload(send_buffer_limited_seconds=2.5), ["probe_limited"]),
        (upload(all_sent_seconds=2.0), ["probe_limited"]),
        (upload(all_sent_seconds=1.9), ["link_limited"]),
    ],
)
def test_a_sender_knows_more(attempt: Seen, codes: list[str]) -> None:
    assert found(attempt)[1] == codes


def test_a_process_that_stands_still_can_not_blame_the_server() -> None:
    paced = download(paused_seconds=3.0)
    for share, code in ((0.49, "server_limited"), (0.5, "probe_limited")):
        validity = graded([paced], Circumstances(stood_still=share))
        assert validity is not None
        assert [finding.code for finding in validity.findings] == [code]


def test_each_direction_of_a_speed_test_is_graded() -> None:
    down = {f"down_{name}": value for name, value in download().method.items()}
    up = {f"up_{name}": value for name, value in upload(sender_busy_seconds=2.0).method.items()}
    assert found(Seen(down)) == ("high", ["link_limited"])
    assert found(Seen({**down, **up})) == ("low", ["link_limited", "probe_limited"])
    slow_up = {f"up_{name}": value for name, value in upload(ceiling_bits_per_second=None).method.items()}
    assert found(Seen({**down, **slow_up})) == ("medium", ["link_limited"])
    validity = graded([Seen({**down, **up})])
    assert validity is not None
    assert validity.findings[1].evidence["up_sender_busy_seconds"] == 2.0


def curve(*points: tuple[float, int]) -> Curve:
    return Curve(0.01, [t for t, _ in points], [count for _, count in points])


def test_pauses_are_followed_by_bursts() -> None:
    """Sixteen kilobytes every 100 ms are paced; a segment every 100 ms is a slow line."""
    window = Span(0.0, 1.0)
    paced = curve(*((0.1 * k, 16_000 * k) for k in range(1, 11)))
    assert paused(paced, window, 0.01) == pytest.approx(9 * 0.09)
    assert paused(paced, window, 0.05) == 0.0
    slow = curve(*((0.1 * k, 1448 * k) for k in range(1, 11)))
    assert paused(slow, window, 0.01) == 0.0
    full = curve(*((0.01 * k, 25_000 * k) for k in range(1, 101)))
    assert paused(full, window, 0.001) == 0.0
    assert paused(curve(), window, 0.01) == 0.0


def test_drift_is_the_second_half_over_the_first() -> None:
    halved = curve((0.5, 1000), (1.0, 3000), (1.5, 4000), (2.0, 5000))
    assert drift(halved, Span(0.5, 1.5)) == pytest.approx(0.5)
    assert drift(curve(), Span(0.0, 1.0)) is None
