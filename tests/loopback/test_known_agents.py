"""What the server knows of agents that call: read for all that ask at once, never older than it may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, update

from ots.server.database.database import DatabaseAway
from ots.server.database.tables import agent
from ots.server.identity.agents import KnownAgents
from ots.server.services import Services
from ots.signing.keys import write_public
from tests.loopback.test_control_processes import process

MANY = 1200


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    found = await process(tmp_path)
    facts = {"status": "active", "name": "van", "tier": "friendly", "version": "0", "enrolled": 0.0}
    key = write_public(Ed25519PrivateKey.generate().public_key())
    async with found.database.writing() as connection:
        rows = [{"agent_id": f"a{number}", "public_key": key, **facts} for number in range(MANY)]
        rows[7]["public_key"] = "none"
        await connection.execute(insert(agent), rows)
    yield found
    await found.database.close()


class Counted:
    """A database that counts its readings, and is away while `away`."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.readings = 0
        self.away = False

    def reading(self) -> Any:
        self.readings += 1
        if self.away:
            raise DatabaseAway("it is away")
        return self._database.reading()


async def test_who_asks_at_once_is_answered_by_few_queries_and_a_bad_key_is_its_owners(
    services: Services,
) -> None:
    counted = Counted(services.database)
    agents: Any = KnownAgents(counted)  # type: ignore[arg-type]
    ids = [f"a{number}" for number in range(MANY)] + ["nobody"]
    found: list[Any] = await asyncio.gather(*(agents.get(one) for one in ids), return_exceptions=True)
    assert isinstance(found[7], ValueError) and found[-1] is None
    assert [one.agent_id for one in found[:7] + found[8:-1]] == ids[:7] + ids[8:-1]
    assert counted.readings == 3
    assert (await agents.get("a1")).agent_id == "a1" and counted.readings == 3, "known for a second"


async def test_what_was_read_before_an_agent_was_forgotten_is_not_kept(services: Services) -> None:
    agents = services.agents
    before = asyncio.create_task(agents.get("a1"))
    await asyncio.sleep(0)
    async with services.database.writing() as connection:
        await connection.execute(update(agent).where(agent.c.agent_id == "a1").values(status="revoked"))
    agents.forget("a1")
    after = await agents.get("a1")
    assert after is not None and after.status == "revoked"
    assert (await before) is not None
    again = await agents.get("a1")
    assert again is not None and again.status == "revoked"


async def test_a_database_that_is_away_is_told_to_all_who_asked_and_asked_again(services: Services) -> None:
    counted = Counted(services.database)
    agents = KnownAgents(counted)  # type: ignore[arg-type]
    counted.away = True
    failed = await asyncio.gather(*(agents.get(f"a{number}") for number in range(3)), return_exceptions=True)
    assert [type(one) for one in failed] == [DatabaseAway] * 3
    counted.away = False
    found = await agents.get("a1")
    assert found is not None and found.agent_id == "a1"
