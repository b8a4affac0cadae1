"""Reports of what did not run: missed, skipped, refused, interrupted; a reason where a result would be."""

from __future__ import annotations

import hashlib
import logging
import time

from ots.agent.order import Order
from ots.agent.work import tags_of
from ots.clock import rfc3339
from ots.config import Settings
from ots.model.report import CaseRef, DataUse, Report, Run, Schema
from ots.netio.attachment.clock_trust import clock_trust
from ots.remote.assignment_wire import UNTIL_TAG
from ots.remote.enrolled import queue_of_run
from ots.session.identity import uuid7
from ots.session.job import job_of_run
from ots.store import Store, StoreError

log = logging.getLogger("ots.agent")

COUNT_TAG = "ots.planned-count"
"""Tag of a report for several moments that were missed together: how many."""


def record(
    order: Order,
    what: str,
    reason: str,
    settings: Settings,
    *,
    count: int = 1,
    until: float | None = None,
) -> str | None:
    """Stores the report of an order that did not run, and returns its id; None (and a log line) where the
    store can't take it. `what` is missed, skipped, refused or interrupted."""
    tags = {**order.tags, **tags_of(order)}
    if count > 1:
        tags[COUNT_TAG] = str(count)
        tags[UNTIL_TAG] = rfc3339(until or order.not_before)
    try:
        report = _report(order, f"{what}: {reason}", tags, settings)
        with (
            Store.open(settings.data_dir) as store,
            store.begin(report, queue=queue_of_run(settings, asked=None, by_hand=False)) as writer,
        ):
            report.run.state = "aborted"
            writer.finish(report)
    except StoreError as error:
        log.error("%s was %s (%s), which could not be recorded: %s", order.case.name, what, reason, error)
        return None
    return report.report_id


def _report(order: Order, reason: str, tags: dict[str, str], settings: Settings) -> Report:
    wall = time.time()
    case = order.case
    return Report(
        schema=Schema(),
        report_id=uuid7(wall),
        seq=0,
        revision=1,
        verdict="skipped",
        agent=settings.agent(),
        job=job_of_run(settings, None),
        case=CaseRef(
            id=case.name,
            version=case.version,
            sha256=case.sha256 or hashlib.sha256(b"").hexdigest(),
        ),
        tags=tags,
        run=Run(
            run_id=uuid7(wall),
            state="created",
            reason=reason,
            cycles=0,
            start=rfc3339(wall),
            end=rfc3339(wall),
            duration=0.0,
            clock=clock_trust(),
            precheck=None,
            data=DataUse(),
        ),
        contexts=[],
        steps=[],
        scores=[],
    )
