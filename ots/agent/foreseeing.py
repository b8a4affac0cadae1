"""What would become of an order, in a process of its own: planned as a run would be, and nothing is run.

    python -m ots.agent.foreseeing PARENT

The order comes on stdin; stdout gets one line, `Foreseen` as JSON. Nothing is sent, and no report is made.
"""

from __future__ import annotations

import sys
import time

import msgspec

from ots import log
from ots.agent.order import Order
from ots.agent.parentage import end_with, handed_order
from ots.agent.understanding import Refused, understand
from ots.config import SettingsError, settings
from ots.engine.planner import Plan
from ots.policy.decision import Decision
from ots.remote.control_wire import Foreseen, Reason
from ots.remote.membership import managed_from
from ots.session.admission import foresee
from ots.session.intent import PRECHECK
from ots.session.link_budget import check_budgets
from ots.session.link_record import BeyondBudget
from ots.session.usage import UsageError

_MOST_REASONS = 20
_MOST_TEXT = 300


def foreseen(order: Order) -> Foreseen:
    """Whether the order would run now, and every reason against it or against steps of it."""
    stated = settings()
    try:
        plan = understand(order)
    except Refused as refused:
        return refusal("case", str(refused))
    try:
        check_budgets(plan, stated)
        server = managed_from(stated.data_dir)
        _, _, decision = foresee(plan, order.issuer, stated, server=server, moment=time.time())
    except BeyondBudget as beyond:
        return refusal("budget", str(beyond))
    except UsageError as error:
        return refusal("damaged", f"what was used can't be recorded: {error}")
    return judged(plan, decision)


def judged(plan: Plan, decision: Decision) -> Foreseen:
    """A plan's own refusals (the licence's, the settings') and the policy's, together."""
    reasons = [Reason(code=each.code, text=each.text, step=each.step) for each in decision.reasons]
    reasons += [
        Reason(code="licence", text=row.refusal.message, step=row.step.key)
        for row in plan.steps
        if row.refusal is not None
    ]
    barred = {reason.step for reason in reasons}
    runs = not barred & {None, PRECHECK} and any(row.step.key not in barred for row in plan.steps)
    return Foreseen(would="run" if runs else "refuse", reasons=_few(reasons))


def refusal(code: str, text: str) -> Foreseen:
    """The whole run would be refused."""
    return Foreseen(would="refuse", reasons=_few([Reason(code=code, text=text)]))


def _few(reasons: list[Reason]) -> list[Reason]:
    return [
        msgspec.structs.replace(reason, text=log.redact(reason.text)[:_MOST_TEXT])
        for reason in reasons[:_MOST_REASONS]
    ]


def main(parent: int) -> int:
    """Reads the order and says what would become of it."""
    if not end_with(parent):
        return 1
    log.configure()
    try:
        found = foreseen(handed_order())
    except msgspec.MsgspecError as error:
        found = refusal("malformed", f"the order can't be read: {error}")
    except SettingsError as error:
        found = refusal("settings", str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
