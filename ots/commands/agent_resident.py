"""The resident agent as `ots agent status` shows it: its process, what it runs, what comes next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ots.commands.agent_run import placement_document, placement_line
from ots.i18n import _

if TYPE_CHECKING:
    from ots.schedule.state import Budget
    from ots.session.link_record import Use

_NEXT = 5
_AHEAD = 7 * 86_400.0


def planned_here() -> bool:
    """Whether this machine has an agent that runs, or something for one to do."""
    from ots.agent.plans import files
    from ots.agent.presence import read_status
    from ots.config import data_dir

    return bool(files()) or read_status(data_dir()) is not None


def resident_document() -> dict[str, Any]:
    """As JSON: `process` is null where no agent runs."""
    from ots.agent.foresight import look_ahead
    from ots.agent.presence import read_status
    from ots.config import settings
    from ots.session import hold

    stated = settings()
    found = look_ahead(stated, _AHEAD)
    held = hold.held(stated.data_dir)
    return {
        "process": read_status(stated.data_dir),
        "link": found.link,
        "held": None if held is None else str(held),
        "schedules": [planned.job.schedule_id for planned in found.plans],
        "next": [placement_document(each) for each in found.placements[:_NEXT]],
        "last": _last(),
        "budgets": {
            link: _budget(budget, found.uses.get(link)) for link, budget in found.world.budgets.items()
        },
    }


def resident_lines() -> Iterator[str]:
    """For a person."""
    from ots.agent.foresight import look_ahead
    from ots.config import settings
    from ots.units import display

    shown = resident_document()
    process = shown["process"]
    if process is None:
        yield _("Agent: does not run (ots agent run)")
    else:
        yield _("Agent: process {pid} since {since}").format(pid=process["pid"], since=process.get("since"))
        for run in process.get("running", ()):
            yield _("Runs: {case}, step {step}").format(case=run["case"], step=run["step"] or "-")
    if shown["held"]:
        yield _("Hold: {reason}").format(reason=shown["held"])
    for link, budget in shown["budgets"].items():
        limit = display(float(budget["limit_bytes"]), "By")
        if budget["moved_bytes"] is None:
            text = _("Budget of {link}: nobody can say how much of {limit} is used")
            yield text.format(link=link, limit=limit)
            continue
        moved, aside = (display(float(budget[name]), "By") for name in ("moved_bytes", "aside_bytes"))
        yield _("Budget of {link}: {moved} of {limit} since {since}, {aside} set aside for runs").format(
            link=link, moved=moved, limit=limit, since=budget["since"], aside=aside
        )
        if len(budget["networks"]) > 1:
            for network, count in budget["networks"].items():
                moved = display(float(count), "By")
                yield _("  by {network}: {moved}").format(network=network or _("unknown"), moved=moved)
    for entry in shown["last"]:
        yield _("Last: {start} {case} {verdict}").format(**entry)
    for each in look_ahead(settings(), _AHEAD).placements[:_NEXT]:
        yield _("Next: {run}").format(run=placement_line(each))


def _budget(budget: Budget, use: Use | None) -> dict[str, Any]:
    """A link's month. `moved_bytes` are of all runs, `networks` the same by the network behind the link."""
    return {
        "limit_bytes": budget.bytes,
        "since": budget.month(time.time()).isoformat(),
        "moved_bytes": None if use is None else use.moved,
        "aside_bytes": None if use is None else sum(use.aside.values()),
        "networks": None if use is None else dict(use.networks),
    }


def _last() -> list[dict[str, Any]]:
    """The newest results of this machine; none where there is no store."""
    from ots.store import Shelf, StoreError

    try:
        with Shelf.open() as shelf:
            entries = shelf.list()[:3]
    except StoreError:
        return []
    return [{"start": entry.start, "case": entry.case_id, "verdict": entry.verdict} for entry in entries]
