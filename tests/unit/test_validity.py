"""The validity grade: what each finding is decided from, and that nothing found is no high grade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from ots.model.metric import Value
from ots.model.outcome import QualityFlag
from ots.model.validity import Validity
from ots.stats.circumstances import Circumstances
from ots.stats.validity import graded


@dataclass(frozen=True)
class Seen:
    method: Mapping[str, Value | None]
    flags: Sequence[QualityFlag] = field(default=())


def upload(busy: float, window: float, buffer: float, *flags: QualityFlag, steady: bool = True) -> Seen:
    return Seen(
        {
            "steady": steady,
            "process_cpu_ratio": 0.9,
            "ceiling_bits_per_second": 1e9,
            "sender_seconds": 10.0,
            "sender_busy_seconds": busy,
            "window_limited_seconds": window,
            "send_buffer_limited_seconds": buffer,
        },
        flags,
    )


DOWNLOAD = Seen({"steady": True})


def found(*attempts: Seen, attachments: int = 1, concurrent: bool = False) -> tuple[str, list[str]]:
    validity = graded(attempts, Circumstances(attachments=attachments, concurrent=concurrent))
    assert validity is not None
    return validity.grade, [finding.code for finding in validity.findings]


@pytest.mark.parametrize(
    ("attempt", "grade", "codes"),
    [
        (upload(10, 1, 1), "high", ["link_limited"]),
        (upload(10, 5, 0), "low", ["window_limited"]),
        (upload(10, 2, 0), "high", ["link_limited"]),
        (upload(10, 2.1, 0), "medium", []),
        (upload(10, 3, 3), "medium", []),
        (upload(4, 0, 0), "low", ["probe_limited"]),
        (upload(7, 0, 2), "low", ["probe_limited"]),
        (upload(10, 1, 1, "probe_limited"), "low", ["link_limited", "probe_limited"]),
        (upload(10, 1, 1, "few_samples"), "medium", ["link_limited", "few_samples"]),
        (upload(10, 1, 1, steady=False), "low", ["link_limited", "not_stabilised"]),
        (DOWNLOAD, "medium", []),
    ],
)
def test_each_finding_lowers_the_grade_as_it_should(attempt: Seen, grade: str, codes: list[str]) -> None:
    assert found(attempt) == (grade, codes)


def test_what_happened_around_the_attempts_counts() -> None:
    assert found(upload(10, 0, 0), attachments=2) == ("low", ["link_limited", "changed_network"])
    assert found(upload(10, 0, 0), concurrent=True) == ("medium", ["link_limited", "cross_traffic"])


def test_the_kernel_must_have_told_of_every_attempt() -> None:
    assert found(upload(10, 0, 0), DOWNLOAD) == ("medium", [])


def test_without_this_machines_ceiling_the_link_is_not_named() -> None:
    known = upload(10, 0, 0)
    unknown = Seen({**known.method, "ceiling_bits_per_second": None})
    assert found(known) == ("high", ["link_limited"])
    assert found(unknown) == ("medium", [])


def test_without_a_throughput_there_is_no_grade() -> None:
    assert graded([]) is None
    assert graded([Seen({"steady": None}), Seen({})], latency=0.01) is None


def test_the_evidence_stands_in_the_report() -> None:
    validity = graded([upload(10, 6, 1, "probe_limited")])
    assert validity is not None
    again = msgspec.json.decode(msgspec.json.encode(validity), type=Validity)
    assert [finding.evidence for finding in again.findings] == [
        {
            "sender_seconds": 10.0,
            "sender_busy_seconds": 10.0,
            "window_limited_seconds": 6.0,
            "send_buffer_limited_seconds": 1.0,
        },
        {"attempts": 1, "process_cpu_ratio": 0.9, "ceiling_bits_per_second": 1e9},
    ]
