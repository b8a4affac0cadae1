"""One run in a process of its own: an order on stdin, a JSON line for each event on stdout.

    python -m ots.agent.work PARENT

    {"event": "started"}
    {"event": "progress", "step": "down", "fraction": 0.4, "text": "94 Mbit/s"}
    {"event": "ended", "state": "finished", "report_id": "…", "verdict": "pass", "reason": null,
     "bytes": 1200, "links": ["eth0"]}

SIGINT ends the run with a valid partial report. The kernel sends SIGTERM, which does the same, when the
process PARENT is gone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ots import log
from ots.agent.order import Order
from ots.agent.parentage import end_with, handed_order
from ots.agent.understanding import Refused, understand
from ots.config import SettingsError, settings
from ots.engine.planner import Plan, PlannedStep
from ots.model.report import Report, Step
from ots.remote.assignment_wire import ASSIGNMENT_TAG, PLANNED_TAG
from ots.remote.enrolled import queue_of_run
from ots.remote.membership import managed_from
from ots.session.admission import admit
from ots.session.execute import Options, execute
from ots.session.link_budget import within_budgets
from ots.session.link_record import BeyondBudget
from ots.store import Store, StoreError

_ASIDE_BEYOND = 600.0
"""Seconds beyond its longest duration for which a run that died without a word keeps what was set aside."""

_BETWEEN_WORDS = 0.5
"""Seconds between two events that only tell of progress."""

Say = Callable[[dict[str, Any]], None]


class Teller:
    """The watcher that says on stdout how the run goes on. That nobody listens is no fault of the run."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last = float("-inf")

    def started(self, plan: Plan, report: Report) -> None:
        self._say({"event": "started", "report_id": report.report_id})

    def cycle(self, number: int) -> None:
        pass

    def step_started(self, planned: PlannedStep) -> None:
        self._progress(planned, 0.0, "")

    def progress(self, planned: PlannedStep, fraction: float | None, text: str) -> None:
        if time.monotonic() - self._last >= _BETWEEN_WORDS:
            self._progress(planned, fraction, text)

    def waiting(self, planned: PlannedStep, lock: str, holder: int | None) -> None:
        self._progress(planned, None, f"waits for {lock}")

    def step_ended(self, planned: PlannedStep, step: Step) -> None:
        self._progress(planned, 1.0, step.verdict)

    def _progress(self, planned: PlannedStep, fraction: float | None, text: str) -> None:
        self._last = time.monotonic()
        self._say({"event": "progress", "step": planned.step.key, "fraction": fraction, "text": text})


def run(order: Order, say: Say) -> None:
    """Runs one order to its end and says how it ended."""
    try:
        plan = understand(order)
        stated = settings()
        with Store.open(stated.data_dir) as store:
            longest = order.max_duration + _ASIDE_BEYOND
            with within_budgets(order.order_id, plan, stated, longest) as most:
                server = managed_from(stated.data_dir)
                admission = admit(plan, order.issuer, stated, order_id=order.order_id, server=server)
                say({"event": "admitted", "delay": admission.decision.start_delay})
                options = _options(order, most)
                result = execute(admission.plan, options, stated, store, Teller(say), admission)
    except (Refused, SettingsError, BeyondBudget) as error:
        _ended(say, "refused", reason=str(error))
        return
    except StoreError as error:
        _ended(say, "refused", reason=f"store: {error}")
        return
    report = result.report
    _ended(
        say,
        "finished",
        report_id=report.report_id,
        verdict=report.verdict,
        reason=report.run.reason if result.not_stored is None else f"not stored: {result.not_stored}",
        stored=result.not_stored is None,
        bytes=report.run.data.received_bytes + report.run.data.sent_bytes,
    )


def _ended(say: Say, state: str, **facts: Any) -> None:
    say({"event": "ended", "state": state, **facts})


def _options(order: Order, most: int | None) -> Options:
    return Options(
        tags={**order.tags, **tags_of(order)},
        max_data=most,
        queue=queue_of_run(settings(), asked=None, by_hand=False),
        order_id=order.order_id,
    )


def tags_of(order: Order) -> dict[str, str]:
    """What a report says of the order that it is of."""
    from ots.clock import rfc3339

    found = {"ots.order": order.order_id, "ots.origin": order.origin}
    if order.planned_at is not None:
        found[PLANNED_TAG] = rfc3339(order.planned_at)
    if order.assignment_id is not None:
        found[ASSIGNMENT_TAG] = order.assignment_id
    if order.group_run_id is not None:
        found["ots.group-run"] = order.group_run_id
    return found


def _say(event: dict[str, Any]) -> None:
    try:
        os.write(1, json.dumps(event, ensure_ascii=True).encode() + b"\n")
    except OSError:
        return  # whoever listened is gone; the report says it all


def main(parent: int) -> int:
    """Reads the order and runs it; the exit code is 0 if it said how that ended."""
    if not end_with(parent):
        return 1
    log.configure()
    try:
        order = handed_order()
    except msgspec.MsgspecError as error:
        _ended(_say, "refused", reason=f"the order can't be read: {error}")
        return 0
    try:
        run(order, _say)
    except KeyboardInterrupt:
        _ended(_say, "refused", reason="it was stopped before it began")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
