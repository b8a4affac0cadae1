"""The generic ETSI KPIs, from attempts made up by hand."""

from __future__ import annotations

import pytest

from ots.model.metric import Metric
from ots.model.outcome import Outcome
from ots.stats.service import Access, definitions, kpis

FULL = {
    "connect_start": 10.1,
    "connected": 10.2,
    "request_sent": 10.2,
    "first_content": 10.5,
    "completed": 12.5,
}


def reaching(last: str | None, outcome: Outcome = "failure", content: int | None = None) -> Access:
    """An attempt begun at 10.0 that got as far as `last`."""
    names = list(FULL)
    reached = {} if last is None else {name: FULL[name] for name in names[: names.index(last) + 1]}
    return Access(outcome, 10.0, reached, content)


def by_key(*accesses: Access) -> dict[str, Metric]:
    return {metric.key: metric for metric in kpis("ftp_download", accesses, labels={"target": "x"})}


def test_one_complete_session_gives_every_time() -> None:
    """T5-T0, T5-T2, T6-T2 and the mean data rate over T5..T6."""
    made = by_key(reaching("completed", "success", 1_000_000))
    assert made["ftp_download_setup_time_seconds"].stats["median"] == pytest.approx(0.5)
    assert made["ftp_download_ip_service_setup_time_seconds"].stats["median"] == pytest.approx(0.4)
    assert made["ftp_download_session_time_seconds"].stats["median"] == pytest.approx(2.4)
    assert made["ftp_download_mean_data_rate_bits_per_second"].stats["median"] == pytest.approx(4e6)
    for name in ("service_non_accessibility", "ip_service_access_failure", "session_failure"):
        assert made[f"ftp_download_{name}_ratio"].stats["value"] == 0
    assert made["ftp_download_data_transfer_cutoff_ratio"].stats["value"] == 0
    assert all(metric.labels == {"target": "x"} for metric in made.values())
    assert all(metric.method["etsi_method"] == "A" for metric in made.values())


def test_ratios_have_the_right_denominators() -> None:
    """Of a DNS failure, a refused, a cut-off and a complete one, each ratio counts those that got so far."""
    made = by_key(
        reaching(None),
        reaching("connect_start"),
        reaching("first_content", content=10),
        reaching("completed", "success", 100),
    )

    def ratio(name: str) -> tuple[object, int]:
        metric = made[f"ftp_download_{name}_ratio"]
        return metric.stats["value"], metric.n

    assert ratio("service_non_accessibility") == (0.5, 4)
    assert ratio("ip_service_access_failure") == (pytest.approx(1 / 3), 3)
    assert ratio("session_failure") == (pytest.approx(2 / 3), 3)
    assert ratio("data_transfer_cutoff") == (0.5, 2)


def test_non_accessibility_is_never_below_access_failure() -> None:
    """What fails before the first SYN counts in the first and not in the second."""
    made = by_key(reaching(None), reaching("completed", "success", 1))
    first = made["ftp_download_service_non_accessibility_ratio"].stats["value"]
    second = made["ftp_download_ip_service_access_failure_ratio"].stats["value"]
    assert isinstance(first, float) and isinstance(second, float)
    assert first >= second


@pytest.mark.parametrize("outcome", ["invalid", "skipped"])
def test_attempts_of_our_own_making_are_in_no_denominator(outcome: Outcome) -> None:
    """A tool error must not make the service look worse."""
    made = by_key(reaching("connect_start", outcome), reaching("completed", "success", 1))
    for name in ("service_non_accessibility", "ip_service_access_failure", "session_failure"):
        metric = made[f"ftp_download_{name}_ratio"]
        assert (metric.stats["value"], metric.n) == (0, 1)


def test_pooled_rate_weighs_by_bytes_and_the_mean_by_attempts() -> None:
    """A fast small one and a slow big one: the two averages differ, and have names of their own."""
    slow = Access("success", 0.0, {"connect_start": 0.0, "first_content": 1.0, "completed": 11.0}, 1_000_000)
    fast = Access("success", 0.0, {"connect_start": 0.0, "first_content": 1.0, "completed": 1.1}, 100_000)
    made = by_key(slow, fast)
    assert made["ftp_download_mean_data_rate_bits_per_second"].stats["mean"] == pytest.approx(4.4e6)
    pooled = made["ftp_download_mean_data_rate_pooled_bits_per_second"].stats["value"]
    assert pooled == pytest.approx(8 * 1_100_000 / 10.1)


def test_nothing_measured_is_null_with_a_reason() -> None:
    """Of no attempt there is no ratio and no time, and never a zero."""
    for metric in by_key().values():
        assert all(value is None for name, value in metric.stats.items() if not name.startswith("ci95"))
        assert metric.nulls


def test_keys_made_are_the_keys_declared() -> None:
    """What `definitions` promises, `kpis` makes, in the same order."""
    declared = [definition.key for definition in definitions("ftp_download")]
    assert [metric.key for metric in kpis("ftp_download", [])] == declared
