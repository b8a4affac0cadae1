"""A server has just started, and all its agents want in at once: it takes them in turn, and loses none."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from bench.scale import person, serving
from bench.scale_agents import Crowd
from ots.signing.keys import load_or_make

pytestmark = pytest.mark.slow
AGENTS = int(os.environ.get("OTS_RETURNING", "150"))
LIMIT = 60.0 + AGENTS / 20
_RUN = {"on": {"everything": True}, "run": {"case": "broadband"}, "expires_in": 600}


@pytest.mark.timeout(120 + AGENTS / 10)
async def test_all_agents_at_once_are_sent_away_let_in_and_reached(tmp_path: Path) -> None:
    """`OTS_RETURNING=5000` for as many."""
    ids = [str(uuid.UUID(int=number + 1)) for number in range(AGENTS)]
    with serving(tmp_path, ids, "usual", None) as server:
        crowd = Crowd(load_or_make(tmp_path / "agents.key"), [server.port], ids)
        await crowd.open(0.0)
        try:
            await crowd.all_there(LIMIT)
            assert crowd.turned_away > 0, "so many at once are more than it takes in"
            assert len(crowd.took) == AGENTS, "who is in stays in"
            async with person(server) as manager, manager.post("/api/v1/group-runs", json=_RUN) as answer:
                assert answer.status == 201, await answer.text()
            await crowd.until(lambda: crowd.noted == AGENTS, LIMIT)
            assert set(crowd.delivered) == set(ids)
        finally:
            await crowd.close()
