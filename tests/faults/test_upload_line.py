"""A line to the real server that flips bits and breaks off anywhere: each report arrives once, unchanged."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ots.store import Store
from tests.agent_kit import Agent, uploads
from tests.cloud_kit import cloud_server
from tests.server_data import bodies

DAMAGES = 60
LONGEST = 2200
"""Bytes; about as many go each way for one report, head and body."""

SEED = 20260301
Way = Literal["there", "back"]


class Line:
    """A relay to a port. `damage` is done to the next connection: at which byte of which way, and how."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.damage: tuple[Way, int, Literal["flip", "cut"]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        """One connection after the other; the agent has one at a time."""
        with contextlib.suppress(OSError):
            while True:
                agent, _address = self._listener.accept()
                damage, self.damage = self.damage, None
                with agent, socket.create_connection(("127.0.0.1", self._port)) as server:
                    back = threading.Thread(target=self._carry, args=(server, agent, "back", damage))
                    back.start()
                    self._carry(agent, server, "there", damage)
                    back.join()

    def _carry(
        self,
        source: socket.socket,
        sink: socket.socket,
        way: Way,
        damage: tuple[Way, int, Literal["flip", "cut"]] | None,
    ) -> None:
        """Bytes of one way up to its end, or to the damage that breaks both."""
        passed = 0
        with contextlib.suppress(OSError):
            while piece := bytearray(source.recv(512)):
                if damage is not None and damage[0] == way and passed <= damage[1] < passed + len(piece):
                    if damage[2] == "cut":
                        sink.sendall(piece[: damage[1] - passed])
                        break
                    piece[damage[1] - passed] ^= 1 << damage[1] % 7
                passed += len(piece)
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def line(port: int) -> Iterator[Line]:
    made = Line(port)
    try:
        yield made
    finally:
        made.close()


def test_a_line_that_damages_what_it_carries(tmp_path: Path) -> None:
    """The next try over a sound line mends it, whatever it was: nothing parked, lost, double or changed."""
    chance = random.Random(SEED)
    agent = Agent(tmp_path / "agent")
    with cloud_server(tmp_path / "server", options=["--rates", "10000"]) as server, line(server.port) as way:
        agent.enrol(way, server.token())
        with Store.open(agent.folder) as store:
            failed = 0
            for number in range(DAMAGES):
                agent.measure(store)
                direction: Way = "there" if number % 2 else "back"
                way.damage = (direction, chance.randrange(LONGEST), "flip" if number % 4 < 2 else "cut")
                failed += not agent.send(store, seconds=5).sent
                way.damage = None
                agent.send(store)
                assert uploads(store)[number + 1][0] == "sent", (number, uploads(store)[number + 1])
            stored = {(entry.report_id, entry.revision): store.document(entry) for entry in store.list()}
    assert failed > DAMAGES / 4
    assert bodies(server.address) == stored
