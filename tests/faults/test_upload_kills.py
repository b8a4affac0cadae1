"""kill -9 of the agent and of the real server while reports are sent: each is there once, byte for byte.

OTS_UPLOAD_KILLS=200 is the full proof: 200 kills over some 600 reports.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from ots.store import Store
from tests.agent_kit import Agent, uploads
from tests.cloud_kit import cloud_server
from tests.server_data import bodies
from tests.upload_child import Children

KILLS = int(os.environ.get("OTS_UPLOAD_KILLS", "12"))
EACH_KIND = 4
"""One kill in four is the server's."""

REPORTS = 3
SEED = 20260301
NEVER = "step 100000"


@pytest.mark.timeout(120 + 5 * KILLS)
def test_killed_on_both_sides(tmp_path: Path) -> None:
    """At random moments of runs and uploads; the server starts again each time on what it had committed."""
    chance = random.Random(SEED)
    agent = Agent(tmp_path / "agent")
    often = ["--rates", "10000"]
    with ExitStack() as stack:
        server = stack.enter_context(cloud_server(tmp_path / "server", options=often))
        agent.enrol(server, server.token())
        children = Children(agent.folder, REPORTS)
        stack.callback(children.close)
        assert not children.run(NEVER), "the first one waits for all the imports"
        began = time.monotonic()
        assert not children.run(NEVER)
        whole = time.monotonic() - began
        for number in range(KILLS):
            moment = chance.random() * whole
            if number % EACH_KIND:
                while not children.run(f"after {moment:.4f}"):
                    moment *= 0.8  # it was done before
                continue
            children.begin(NEVER)
            time.sleep(moment)
            os.killpg(server.process.pid, signal.SIGKILL)
            assert not children.end()
            server.process.wait()
            again = cloud_server(tmp_path / "server", options=often, port=server.port)
            server = stack.enter_context(again)
        with Store.open(agent.folder) as store:
            outcome = agent.send(store)
            assert (outcome.stopped, outcome.parked) == (None, {})
            assert {state for state, _reason in uploads(store).values()} == {"sent"}
            stored = {(entry.report_id, entry.revision): store.document(entry) for entry in store.list()}
        assert bodies(server.address) == stored
        assert len(stored) > KILLS
