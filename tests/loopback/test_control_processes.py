"""Two processes of one server, the word between them lost: a command is late, not lost and not doubled."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from ots.remote import control_wire as wire
from ots.server.control import courier
from ots.server.control.issuing import MOST_OPEN, Errand, issue
from ots.server.control.line import PollLine
from ots.server.control.states import FINAL, STATES, may_move, move
from ots.server.database.control_tables import command, command_event
from ots.server.database.database import open_database
from ots.server.database.tables import agent
from ots.server.first_start import prepare
from ots.server.services import Keys, Services, open_services
from ots.session.identity import uuid7
from tests.server_database import address

AGENT = str(uuid.uuid4())


async def process(folder: Path) -> Services:
    """The services as each process of the server has them; what one tells, the other does not hear."""
    database = open_database(address(folder))
    await prepare(database, "two", 0.0)
    return await open_services(database, Keys.of(folder))


async def give(services: Services, kind: wire.Kind = "ping") -> str:
    async with services.control.bus.changing() as change:
        row = (await change.connection.execute(select(agent))).one()
        named: Any = _Row(row)
        now = services.wall()
        errand = Errand(kind=kind, args={}, by="li", role=None, alive=60)
        return await issue(services, change, named, errand, now)


class _Row:
    """An agent's row with the numbers of its place, of which it has none."""

    department = project = None

    def __init__(self, row: Any) -> None:
        self.agent_id = row.agent_id


@pytest.fixture
async def two(tmp_path: Path) -> Any:
    here, there = await process(tmp_path), await process(tmp_path)
    async with here.database.writing() as connection:
        facts = {"status": "active", "name": "van", "tier": "friendly", "version": "0", "enrolled": 0.0}
        await connection.execute(insert(agent).values(agent_id=AGENT, public_key="k", **facts))
    yield here, there
    for services in (here, there):
        await services.control.courier.close()
        await services.database.close()


async def state_of(services: Services, command_id: str) -> str:
    async with services.database.reading() as connection:
        query = select(command.c.state).where(command.c.command_id == command_id)
        return str((await connection.execute(query)).scalar_one())


async def test_a_command_whose_notification_is_lost_comes_with_the_next_look(
    two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = two
    monkeypatch.setattr(courier, "RESCAN", 0.2)
    line = PollLine(AGENT)
    here.control.gateway.open(line)
    here.control.courier.start()
    assert [type(message) for message in await line.take(5)] == [wire.Welcome]
    command_id = await give(there)
    (delivered,) = await line.take(10)
    assert isinstance(delivered, wire.Deliver)
    assert await state_of(here, command_id) == "delivered"
    assert await line.take(1) == [], "every further look leaves it alone"
    again = PollLine(AGENT)
    here.control.gateway.open(again)
    here.control.courier.look_after(AGENT)
    assert wire.Deliver in [type(message) for message in [*await again.take(5), *await again.take(1)]]
    assert [type(message) for message in await line.take(1)] == [wire.Bye]


async def test_numbers_grow_across_processes_and_a_full_agent_is_busy(two: Any) -> None:
    here, there = two
    for number in range(MOST_OPEN):
        await give(here if number % 2 else there)
    with pytest.raises(Exception, match="busy"):
        await give(here)
    await give(there, "stop")
    async with here.database.reading() as connection:
        numbers = (await connection.execute(select(command.c.seq).order_by(command.c.command_id))).scalars()
        assert sorted(numbers) == list(range(1, MOST_OPEN + 2))


async def test_only_permitted_moves_happen_and_each_is_recorded_once(two: Any) -> None:
    here, _ = two
    for before in STATES:
        for after in STATES:
            if after == "created":
                continue
            command_id = await give(here, "stop")
            async with here.database.writing() as connection:
                await connection.execute(
                    command.update().where(command.c.command_id == command_id).values(state=before)
                )
                moved = await move(connection, command_id, after, now=1.0, by="test")
                assert moved == may_move(before, after)
                row = (
                    await connection.execute(select(command).where(command.c.command_id == command_id))
                ).one()
                assert row.state == (after if moved else before)
                assert not moved or row.open == (after not in FINAL)
                events = await connection.execute(
                    select(command_event.c.state).where(command_event.c.command_id == command_id)
                )
                assert list(events.scalars()) == ["queued", *([after] if moved else [])]


async def test_word_of_a_line_that_is_no_more_leaves_the_younger_one(two: Any) -> None:
    here, _ = two
    before, now, later = (uuid7(moment) for moment in (1.0, 2.0, 3.0))
    line = PollLine(AGENT)
    line.line_id = now
    here.control.gateway.open(line)
    for said in (before, now):
        here.control.bus.hear(f"l:{AGENT}:{said}")
        assert here.control.gateway.line_of(AGENT) is line
    here.control.bus.hear(f"l:{AGENT}:{later}")
    assert here.control.gateway.line_of(AGENT) is None
    assert [type(message) for message in await line.take(1)] == [wire.Welcome, wire.Bye]
