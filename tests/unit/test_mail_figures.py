"""From attempts at a delivery to its figures: which attempt counts where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ots.model.outcome import Outcome
from ots.model.report import Error
from ots.probe import AttemptData, Sample
from ots.probes.mail_delivery import MailDelivery
from ots.probes.mail_send import MailSend

PARAMS = {"recipient": "a@ots.test", "mailbox": "imap://ots.test"}

SENT = {"sending_start": 1.0, "connect_start": 1.1, "first_content": 1.5, "completed": 2.0}


def attempt(
    index: int,
    outcome: Outcome,
    triggers: Mapping[str, float],
    samples: Mapping[str, float | None] | None = None,
) -> AttemptData:
    classes: dict[Outcome, Any] = {"failure": "loss", "invalid": "cancelled", "skipped": "unsupported"}
    error = None
    if outcome != "success":
        error = Error(class_=classes[outcome], phase="delivery", code="X", message="x")
    return AttemptData(
        index=index,
        cycle=0,
        target="smtp://ots.test",
        outcome=outcome,
        error=error,
        t=0.0,
        duration=3.0,
        triggers=triggers,
        series={
            (key, ()): [Sample(2.0, value, None if value is not None else "loss")]
            for key, value in (samples or {}).items()
        },
        method={},
        flags=(),
    )


def figures(attempts: list[AttemptData]) -> dict[str, Any]:
    probe = MailDelivery()
    metrics = probe.summarise(attempts, probe.Params.model_validate(PARAMS))
    return {metric.key: metric for metric in metrics}


def test_only_what_was_accepted_can_fail_to_arrive() -> None:
    """Refused, cancelled and never sent are in no ratio of the delivery; each is where it belongs."""
    arrived = {"mail_end_to_end_seconds": 0.5, "smtp_content_bytes": 1000.0}
    made = figures(
        [
            attempt(0, "success", SENT, arrived),
            attempt(1, "failure", SENT, {"mail_end_to_end_seconds": None}),
            # Refused at RCPT: an SMTP failure, no delivery's.
            attempt(2, "failure", {"sending_start": 1.0, "connect_start": 1.1}),
            # The mailbox did not open: neither.
            attempt(3, "failure", {}),
            # Cancelled while it was waited for.
            attempt(4, "invalid", SENT),
        ]
    )
    failures = made["mail_end_to_end_failure_ratio"]
    assert (failures.stats["value"], failures.n) == (0.5, 2)
    assert (made["mail_end_to_end_seconds"].n_valid, made["mail_end_to_end_seconds"].n_lost) == (1, 1)
    access = made["smtp_service_non_accessibility_ratio"]
    assert (access.stats["value"], access.n) == (pytest.approx(1 / 3), 3)
    session = made["smtp_session_failure_ratio"]
    assert (session.stats["value"], session.n) == (pytest.approx(1 / 3), 3)


def test_set_up_begins_where_sending_begins() -> None:
    """Composing a large message or opening a mailbox takes its time before T0."""
    made = figures([attempt(0, "success", SENT, {"mail_end_to_end_seconds": 0.1})])
    assert made["smtp_setup_time_seconds"].stats["median"] == pytest.approx(0.5)
    assert made["smtp_ip_service_setup_time_seconds"].stats["median"] == pytest.approx(0.4)
    assert made["smtp_session_time_seconds"].stats["median"] == pytest.approx(0.9)


def test_phases_that_were_not_gone_through_are_left_out() -> None:
    """Without STARTTLS and log-in there are no such figures; acceptance is there, and null."""
    probe = MailSend()
    metrics = probe.summarise(
        [attempt(0, "failure", {"sending_start": 1.0})], probe.Params.model_validate({"recipient": "a@b"})
    )
    made = {metric.key: metric for metric in metrics}
    assert not {"smtp_starttls_seconds", "smtp_login_seconds", "smtp_tls_handshake_seconds"} & set(made)
    assert made["smtp_accept_seconds"].stats["median"] is None
    assert made["smtp_accept_seconds"].nulls["stats.median"]
