"""`python -m bench.scale_server FOLDER KEY AGENTS OPEN [URL]`: the cloud server with many agents.

All agents have the key in the file KEY, so that one program can play them all. OPEN is `open` for a server
that lets everybody in as fast as it can, `usual` for its usual admission. It says as JSON where it listens
and the API token of a manager; it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import func, insert, select

from ots.server.app import make_app
from ots.server.control.gateway import Admission
from ots.server.database.database import open_database
from ots.server.database.tables import account, agent, api_token, department, project, role_grant
from ots.server.first_start import default_database, prepare
from ots.server.identity.caller import SCOPES
from ots.server.identity.people import TOKEN_PREFIX
from ots.server.identity.secrets import new_secret
from ots.server.licences.issuing import issue
from ots.server.listening import Place, bound
from ots.server.patience import open_door
from ots.server.services import Keys, Services, open_services
from ots.signing.keys import load_or_make, write_public

_DAY = 86_400.0


async def _serve(folder: Path, key: Path, count: int, way: str, url: str | None) -> None:
    database = open_database(url or default_database(folder))
    await prepare(database, "bench", time.time())
    services = await open_services(database, Keys.of(folder), rate_factor=1e6)
    token = await _furnish(services, write_public(load_or_make(key).public_key()), count)
    if way == "open":
        services.control.gateway.admission = Admission(1e6, 1e6)
    runner = web.AppRunner(make_app(services), access_log=None, auto_decompress=False, keepalive_timeout=20)
    await runner.setup()
    assert runner.server is not None
    listener = bound(Place("127.0.0.1", 0))
    door = await open_door(runner.server, listener, None, services.patience)
    said = {"port": listener.getsockname()[1], "token": token}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    door.close()
    await runner.cleanup()


async def _furnish(services: Services, public_key: str, count: int) -> str:
    """The agents of one project with a professional licence, if they are not there yet; a manager's token."""
    now = time.time()
    async with services.database.writing() as connection:
        there = (await connection.execute(select(func.count()).select_from(agent))).scalar_one()
        if not there:
            place = await _one(connection, insert(department).values(number="1", name="bench"))
            values = {"department_id": place.id, "number": "1", "name": "bench"}
            of = await _one(connection, insert(project).values(**values))
            rows = [_agent(public_key, number, place.id, of.id, now) for number in range(count)]
            await connection.execute(insert(agent), rows)
            await issue(services, connection, tier="professional", by="bench", project_id=of.id)
        secret = new_secret(TOKEN_PREFIX)
        person = await _one(
            connection,
            insert(account).values(name=secret.id, password_hash="-", must_change=False, created=now),
        )
        await connection.execute(insert(role_grant).values(account_id=person.id, role="admin"))
        await connection.execute(insert(role_grant).values(account_id=person.id, role="manager"))
        await connection.execute(
            insert(api_token).values(
                id=secret.id,
                secret_hash=secret.hash,
                account_id=person.id,
                name="bench",
                scopes=" ".join(sorted(SCOPES)),
                created=now,
                expires=now + _DAY,
            )
        )
    return secret.text


async def _one(connection: Any, statement: Any) -> Any:
    """Inserts a row and returns it with what the database put into it."""
    return (await connection.execute(statement.returning(statement.table))).one()


def _agent(public_key: str, number: int, place: int, of: int, now: float) -> dict[str, Any]:
    return {
        "agent_id": str(uuid.UUID(int=number + 1)),
        "public_key": public_key,
        "status": "active",
        "name": f"agent-{number}",
        "department_id": place,
        "project_id": of,
        "tier": "professional",
        "version": "bench",
        "enrolled": now,
    }


if __name__ == "__main__":
    folder, key, agents, way, *rest = sys.argv[1:]
    asyncio.run(_serve(Path(folder), Path(key), int(agents), way, rest[0] if rest else None))
