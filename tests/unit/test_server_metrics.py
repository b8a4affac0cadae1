"""The server's own figures: what is counted where, and that no label can grow without bound."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ots.server.prometheus.registry import ServerMetrics

KNOWN_LABELS = {"outcome", "reason", "route", "method", "status", "prober", "result", "le", "version"}
OF_PYTHON = ("python_", "process_")


def figures(metrics: ServerMetrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = (generate_latest(metrics.registry) + generate_latest(metrics.whole)).decode()
    return {
        (sample.name.removeprefix("ots_server_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_fate_of_a_report_has_its_counter() -> None:
    metrics = ServerMetrics()
    metrics.report_accepted(0.003)
    metrics.report_accepted(0.003)
    metrics.report_delivered(20.0)
    metrics.report_delivered(-5.0)
    metrics.report_duplicate()
    metrics.report_conflict()
    metrics.report_rejected("bad-signature")
    found = figures(metrics)
    counted = {outcome: found["reports_total", (("outcome", outcome),)] for outcome in
               ("accepted", "duplicate", "conflict", "rejected")}  # fmt: skip
    assert counted == {"accepted": 2, "duplicate": 1, "conflict": 1, "rejected": 1}
    assert found["reports_rejected_total", (("reason", "bad-signature"),)] == 1
    assert found["ingest_seconds_count", ()] == 2
    # A run that ended in the future has a clock that is wrong, and no time of delivery.
    assert (found["delivery_seconds_count", ()], found["delivery_seconds_sum", ()]) == (1, 20)


def test_fates_that_have_not_happened_are_counted_as_none_and_not_missing() -> None:
    found = figures(ServerMetrics())
    assert found["reports_total", (("outcome", "conflict"),)] == 0
    assert found["audit_failures_total", ()] == 0


@pytest.mark.parametrize("reason", ["a b", "Über", "x" * 41, "", 'a"}\n', "3f1b0c9e"])
def test_a_reason_that_is_no_word_is_counted_as_other(reason: str) -> None:
    metrics = ServerMetrics()
    metrics.report_rejected(reason)
    assert figures(metrics)["reports_rejected_total", (("reason", "other"),)] == 1


def test_no_label_names_an_agent() -> None:
    metrics = ServerMetrics()
    metrics.report_rejected("too-large")
    metrics.request_answered("/api/v1/reports/{id}", "GET", 200, 0.01)
    metrics.agents_are({"active": 2, "revoked": 1})
    metrics.outboxes_are([3, 0, 9])
    metrics.probed("http", success=True)
    metrics.probe_refused("not-allowed")
    names = {label for (name, labels) in figures(metrics) if not name.startswith(OF_PYTHON)
             for label, _ in labels}  # fmt: skip
    assert names <= KNOWN_LABELS


def test_agents_of_a_status_that_is_no_more_are_gone_and_outboxes_are_summed() -> None:
    metrics = ServerMetrics()
    metrics.agents_are({"active": 2, "pending": 1})
    metrics.agents_are({"active": 3})
    metrics.outboxes_are([3, 0, 9])
    found = figures(metrics)
    assert [labels for (name, labels) in found if name == "agents"] == [(("status", "active"),)]
    assert found["agents", (("status", "active"),)] == 3
    assert (found["outbox_reports", ()], found["outbox_reports_max", ()]) == (12, 9)
