"""Who would refuse a run, and why: agents on the line are asked before it is started."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import select

from ots.remote import control_wire as wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate
from ots.server.api.problems import Refused
from ots.server.control.agent_tags import online
from ots.server.control.issuing import Errand, issue_all
from ots.server.control.run_wish import RunWish, run_args
from ots.server.control.selecting import Choice, licence_says, selected
from ots.server.control.states import FINAL
from ots.server.database.control_tables import command

_LOOK_AGAIN, _BETWEEN_LOOKS = 2.0, 0.1
"""Seconds: one looks again at the latest, in case that word was lost, and at the earliest."""

_AT_ONCE = 500
_MOST_REASONS, _MOST_TEXT = 40, 300
_OLDER = ("malformed", "not-supported")


Would = Literal["would_run", "would_refuse", "not_asked"]


class PreviewWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A run on several agents as it would be started; they have `within` seconds to answer."""

    on: Choice
    run: RunWish
    within: Annotated[float, msgspec.Meta(ge=2.0, le=25.0)] = 20.0


class ReasonView(msgspec.Struct, kw_only=True):
    """Why a run would be refused; `step` is null where all of it would be."""

    code: str
    text: str
    step: str | None


class Prospect(msgspec.Struct, kw_only=True):
    """What one agent would do. Who `would_run` may have reasons too: for the steps that it would leave out.

    Who is `not_asked` did not say: `not-connected`, `older` (it knows no preview), `no-answer` in time,
    `busy`, or the reason that it gives itself.
    """

    agent_id: str
    name: str
    answer: Would
    not_asked: str | None
    reasons: list[ReasonView]
    command_id: str | None


class PreviewView(msgspec.Struct, kw_only=True):
    """What all agents would do; `counts` are of answers."""

    case: str
    agents: int
    counts: dict[str, int]
    items: list[Prospect]


async def preview(call: Call) -> Answer:
    """Asks every agent that could be given the run now, and waits for what they say."""
    wish: PreviewWish = call.body
    services, now, reach = call.services, call.services.wall(), call.person.reach("commands:run")
    end = asyncio.get_running_loop().time() + wish.within
    async with services.control.bus.changing() as change:
        chosen = await selected(change.connection, wish.on, reach)
        if not chosen:
            raise Refused("not-found", "no active agent within your reach fits")
        everybody = [row.agent_id for row in chosen]
        grants = await services.grants.of_agents(change.connection, everybody, now)
        there = await online(change.connection, everybody, now)
        refused = {agent_id: licence_says(grants[agent_id], len(chosen)) for agent_id in everybody}
        asked = [row for row in chosen if row.agent_id in there and refused[row.agent_id] is None]
        errand = Errand(
            kind="preview",
            args=run_args(wish.run, run_id=None, agents=len(chosen)),
            by=call.person.name,
            role=call.person.role_at(chosen[0].department_id, chosen[0].project_id),
            alive=wish.within,
        )
        issued = await issue_all(services, change, asked, errand, now)
        await call.note(
            change.connection,
            "preview group run",
            f"case {wish.run.case}",
            detail={"case": wish.run.case, "agents": len(chosen), "asked": len(asked)},
        )
    commands = [each for each in issued.values() if isinstance(each, str)]
    ended = await _answers(call, commands, end)
    items = [_prospect(row, refused[row.agent_id], issued.get(row.agent_id), ended) for row in chosen]
    counts: dict[str, int] = {**Counter(item.answer for item in items)}
    return Answer(200, PreviewView(case=wish.run.case, agents=len(items), counts=counts, items=items))


async def _answers(call: Call, commands: Sequence[str], end: float) -> dict[str, Any]:
    """The rows of the commands that have ended, once all have or it is time."""
    services, loop = call.services, asyncio.get_running_loop()
    ended: dict[str, Any] = {}
    with services.control.bus.expecting(*(f"k:{each}" for each in commands)) as news:
        while True:
            news.clear()
            await _look(call, [each for each in commands if each not in ended], ended)
            left = end - loop.time()
            if len(ended) == len(commands) or left <= 0 or services.closing:
                return ended
            await asyncio.sleep(min(left, _BETWEEN_LOOKS))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(end - loop.time(), _LOOK_AGAIN))):
                    await news.wait()


async def _look(call: Call, open_ones: Sequence[str], ended: dict[str, Any]) -> None:
    columns = (command.c.command_id, command.c.state, command.c.reason, command.c.answer)
    async with call.services.database.reading() as connection:
        for start in range(0, len(open_ones), _AT_ONCE):
            wanted = command.c.command_id.in_(open_ones[start : start + _AT_ONCE])
            rows = await connection.execute(select(*columns).where(wanted, command.c.state.in_(FINAL)))
            ended |= {row.command_id: row for row in rows}


def _prospect(
    row: Any, licence: str | None, issued: str | Refused | None, ended: Mapping[str, Any]
) -> Prospect:
    answer: Would = "not_asked"
    why: str | None = None
    reasons: list[ReasonView] = []
    if licence is not None:
        answer, reasons = "would_refuse", [ReasonView(code="licence-required", text=licence, step=None)]
    elif issued is None:
        why = "not-connected"
    elif isinstance(issued, Refused):
        why = issued.code
    else:
        answer, why, reasons = _said(ended.get(issued))
    return Prospect(
        agent_id=row.agent_id,
        name=row.name,
        answer=answer,
        not_asked=why,
        reasons=reasons,
        command_id=issued if isinstance(issued, str) else None,
    )


def _said(row: Any) -> tuple[Would, str | None, list[ReasonView]]:
    """What an agent's command came to: the answer, why there is none, and the reasons."""
    if row is None or row.state not in ("done", "rejected"):
        return "not_asked", "no-answer", []
    if row.state == "rejected":
        return "not_asked", "older" if row.reason in _OLDER else row.reason or "rejected", []
    try:
        found = msgspec.convert(json.loads(row.answer or "null"), wire.Foreseen)
    except msgspec.ValidationError:
        return "not_asked", "no-answer", []
    reasons = [
        ReasonView(
            code=reason.code[:_MOST_TEXT],
            text=reason.text[:_MOST_TEXT],
            step=None if reason.step is None else reason.step[:_MOST_TEXT],
        )
        for reason in found.reasons[:_MOST_REASONS]
    ]
    return "would_run" if found.would == "run" else "would_refuse", None, reasons


OPERATIONS = (
    Operation(
        name="previewGroupRun",
        method="POST",
        path="/api/v1/group-run-previews",
        summary="Ask agents whether they would refuse a run, and why; nothing is run.",
        access=Access.PERSON,
        scope="commands:run",
        rate=Rate.WRITE,
        takes=PreviewWish,
        gives={200: PreviewView},
        problems=("storage-full",),
        handle=preview,
    ),
)
