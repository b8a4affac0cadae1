"""What disturbs a measurement: other traffic, a changed network, a late process, clocks that nobody keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.stats.circumstances import Circumstances, Passage, Passed
from ots.stats.validity import graded

MB = 1_000_000


@dataclass(frozen=True)
class Seen:
    method: Mapping[str, Value | None]
    flags: Sequence[QualityFlag] = field(default=())


TRANSFER = Seen({"steady": True})
KERNEL = Seen({"timestamp_source": "kernel", "count": 100, "schedule_slips": 0})
USER = Seen({"timestamp_source": "user"})


def passage(received: int | None, sent: int | None, own_received: int, own_sent: int = 0) -> Passage:
    return Passage(10.0, Passed(received, sent), own_received, own_sent)


def codes(attempt: Seen, around: Circumstances, latency: float | None = None) -> tuple[str, list[str]]:
    validity = graded([attempt], around, latency=latency)
    assert validity is not None
    return validity.grade, [finding.code for finding in validity.findings]


@pytest.mark.parametrize(
    ("seen", "disturbed"),
    [
        # Full segments of IPv6 over Ethernet, acknowledged one by two.
        (passage(10_630_000, 310_000, 10 * MB), False),
        (passage(11_400_000, 300_000, 10 * MB), True),
        # Somebody's upload beside our download.
        (passage(10_500_000, 1_500_000, 10 * MB), True),
        # A handshake and a neighbour's question beside next to nothing.
        (passage(60_000, 5_000, 100), False),
        (passage(None, None, 10 * MB), False),
    ],
)
def test_what_the_interfaces_moved_beyond_our_own_bytes(seen: Passage, disturbed: bool) -> None:
    _grade, found = codes(TRANSFER, Circumstances(passages=[seen]))
    assert ("cross_traffic" in found) is disturbed


def test_the_evidence_counts_the_least_that_was_not_ours() -> None:
    validity = graded([TRANSFER], Circumstances(passages=[passage(21 * MB, 0, 10 * MB)]))
    assert validity is not None
    (finding,) = validity.findings
    assert finding.evidence["other_sent_bytes"] == 0
    assert finding.evidence["other_received_bytes"] == pytest.approx(10.2 * MB, rel=0.01)
    assert finding.evidence["seconds"] == 10.0


def test_a_quiet_link_and_the_kernels_stamps_make_a_latency_sure() -> None:
    around = Circumstances(passages=[passage(12_000, 12_000, 8_400, 8_400)], lag=0.05)
    assert codes(KERNEL, around, 0.01) == ("high", [])


@pytest.mark.parametrize("around", [Circumstances(), Circumstances(passages=[passage(None, None, 0)])])
def test_without_counters_nobody_knows_whether_the_link_was_quiet(around: Circumstances) -> None:
    assert codes(KERNEL, around, 0.01) == ("medium", [])


def test_a_latency_beside_a_megabit_per_second_is_disturbed() -> None:
    loaded, calm = passage(1_400_000, 9_000, 8_400, 8_400), passage(1_100_000, 9_000, 8_400, 8_400)
    assert codes(KERNEL, Circumstances(passages=[loaded]), 0.01) == ("medium", ["cross_traffic"])
    assert codes(KERNEL, Circumstances(passages=[calm]), 0.01) == ("high", [])


def test_headers_of_a_sweep_are_no_other_traffic() -> None:
    """A thousand addresses: 28 bytes of IP each, 42 on the wire, booked by one call for many targets."""
    sweep = Passage(1.0, Passed(420_000, 420_000), 280_000, 280_000, attempts=1000)
    assert codes(KERNEL, Circumstances(passages=[sweep]), 0.01) == ("high", [])


@pytest.mark.parametrize(
    ("attempt", "lag", "limited"),
    [
        (USER, 0.004, True),
        (USER, 0.0015, False),
        (USER, None, False),
        (KERNEL, 0.5, False),
        (Seen({**KERNEL.method, "schedule_slips": 9}), None, False),
        (Seen({**KERNEL.method, "schedule_slips": 10}), None, True),
    ],
)
def test_a_late_process_stands_in_what_it_stamps_itself(
    attempt: Seen, lag: float | None, limited: bool
) -> None:
    grade, found = codes(attempt, Circumstances(lag=lag), 0.01)
    assert ("probe_limited" in found) is limited
    assert (grade == "low") is limited


def test_a_change_within_an_attempt_counts_like_one_between_two() -> None:
    moved = Passage(10.0, Passed(0, 0, ("address", "gateway")), 0, 0)
    validity = graded([KERNEL], Circumstances(passages=[moved, moved], attachments=2), latency=0.01)
    assert validity is not None
    assert validity.grade == "low"
    (finding,) = validity.findings
    assert (finding.code, finding.evidence) == (
        "changed_network",
        {"attachments": 2, "changes": "address gateway"},
    )


@pytest.mark.parametrize(
    ("attempt", "found"),
    [
        (Seen({**KERNEL.method, "clocks": "unsynchronised"}), ["unsynchronised_clock"]),
        (Seen({**KERNEL.method, "clocks": "synchronised"}), []),
        (Seen({**KERNEL.method, "clocks": "same"}), []),
        (Seen(KERNEL.method, ("clock_step",)), ["unsynchronised_clock"]),
    ],
)
def test_clocks_matter_where_two_of_them_stand_in_a_figure(attempt: Seen, found: list[str]) -> None:
    assert codes(attempt, Circumstances(passages=[passage(0, 0, 0)]), 0.01)[1] == found
