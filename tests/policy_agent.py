"""`python -m tests.policy_agent`: an agent that runs what it is told, under the policy of its own files.

Each line of standard input is an order as JSON: the case as text, the issuer, the order's id, and seconds
that its clock is ahead. The answer is a line with the report, or with why there is none; a `brief` order that
is refused as a whole is answered without a report.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from ots.config import settings
from ots.policy.issuer import Issuer
from ots.schema.load import CaseError
from ots.session.admission import admit
from ots.session.execute import Options, execute
from ots.session.prepare import prepare
from ots.store import Store


def _run(order: dict[str, Any], store: Store, folder: Path) -> dict[str, Any]:
    path = folder / "case.yaml"
    path.write_text(order["case"], "utf-8")
    try:
        plan = prepare(str(path), {})
    except CaseError as error:
        return {"case": str(error)}
    ahead = float(order["ahead"])
    admission = admit(
        plan,
        msgspec.convert(order["issuer"], Issuer),
        settings(),
        order_id=order["order_id"],
        server=order["server"],
        wall=lambda: time.time() + ahead,
    )
    if order["brief"] and not admission.decision.allowed:
        if admission.usage is not None:
            admission.usage.close()
        return {"refused": [row.refusal.message for row in admission.plan.steps if row.refusal is not None]}
    result = execute(admission.plan, Options(), settings(), store, admission=admission)
    decision = admission.decision
    return {
        "report": msgspec.to_builtins(result.report),
        "allowed": decision.allowed,
        "codes": [reason.code for reason in decision.reasons],
        "delay": decision.start_delay,
    }


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Store.open(settings().data_dir) as store:
        _say({"agent_id": settings().agent_id})
        for line in sys.stdin:
            _say(_run(json.loads(line), store, Path(folder)))


if __name__ == "__main__":
    main()
