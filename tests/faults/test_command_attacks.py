"""Commands that are forged, replayed, late, out of order, for others, too many: refused, and none runs."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.agent.duties import Duties
from ots.agent.ledger import Ledger
from ots.agent.obey import Obedience
from ots.agent.order import Order
from ots.clock import rfc3339
from ots.license.entitlement import Rights
from ots.license.policy import Everything
from ots.policy.issuer import Issuer
from ots.remote import control_wire as wire
from ots.remote.membership import Membership
from ots.signing.keys import encode64, write_public
from ots.signing.statement import sign

AGENT, SERVER = str(uuid.uuid4()), str(uuid.uuid4())


@dataclass(frozen=True)
class Admitted:
    state: str
    reason: str | None = None


class Runs:
    """Takes every order in and remembers it; what it would start, the ledger must let it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.begun: list[str] = []
        self.stopped: list[str | None] = []

    async def submit(self, order: Order) -> Admitted:
        if self.ledger.start(order.order_id):
            self.begun.append(order.order_id)
        return Admitted("queued")

    async def stop(self, order_id: str | None, why: str) -> None:
        self.stopped.append(order_id)

    async def hold(self) -> None:
        """Nothing waits here."""

    def release(self) -> None:
        """Nothing was kept back."""


@dataclass
class Scene:
    """One agent, and the key of its server in our hands."""

    ledger: Ledger
    runs: Runs
    key: Ed25519PrivateKey
    said: list[wire.FromAgent] = field(default_factory=list)
    obedience: Obedience = field(init=False)
    _seq: int = 0

    def begin(self, rights: Any = None) -> None:
        membership = Membership(
            url="https://ots.example",
            server_id=SERVER,
            server_name="ots",
            agent_id=AGENT,
            name="van",
            status="active",
            receipt_keys=[],
            command_keys=[write_public(self.key.public_key())],
            enrolled_at=rfc3339(0.0),
        )
        duties = Duties()
        given = rights or Everything()
        self.obedience = Obedience(
            membership, self.ledger, duties, self.runs, lambda: given, self.said.append
        )

    def command(
        self,
        kind: wire.Kind = "run",
        *,
        key: Ed25519PrivateKey | None = None,
        typ: str = wire.COMMAND,
        server_id: str = SERVER,
        **changes: Any,
    ) -> tuple[str, str]:
        """A signed command and its id; `changes` replace its fields."""
        self._seq += 1
        now = time.time()
        made = wire.Command(
            command_id=str(uuid.uuid4()),
            agent_id=AGENT,
            kind=kind,
            seq=self._seq,
            issued_at=rfc3339(now),
            not_before=rfc3339(now),
            not_after=rfc3339(now + 60),
            issuer=Issuer(kind="remote", user="li", server_id=server_id),
            args={"name": "ping"} if kind == "run" else {},
        )
        made = msgspec.structs.replace(made, **changes)
        return sign(msgspec.to_builtins(made), typ, key or self.key), made.command_id

    async def hear(self, *texts: str) -> None:
        for text in texts:
            await self.obedience.hear(wire.Deliver(command=text))
        for _ in range(20):
            await asyncio.sleep(0)

    def answers(self, command_id: str) -> list[tuple[str, str | None]]:
        """What was answered: the kind of answer, and its reason or state."""
        return [
            (each.answer, each.reason or each.state)
            for each in self.said
            if isinstance(each, wire.Ack) and each.command_id == command_id
        ]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    ledger = Ledger.of(tmp_path)
    found = Scene(ledger, Runs(ledger), Ed25519PrivateKey.generate())
    found.begin()
    yield found
    await found.obedience.close()
    ledger.close()


async def test_a_command_is_obeyed_once_however_often_it_comes(scene: Scene) -> None:
    text, command_id = scene.command()
    await scene.hear(text, text, text)
    assert scene.runs.begun == [command_id]
    answers = scene.answers(command_id)
    assert [answer for answer, _ in answers] == ["accepted", "duplicate", "duplicate"]
    scene.ledger.end(command_id, "finished", report_id="r", verdict="pass")
    await scene.hear(text)
    done = [each.standing for each in scene.said if isinstance(each, wire.Done)]
    assert (done[-1].state, done[-1].report_id, done[-1].verdict) == ("finished", "r", "pass")
    assert scene.runs.begun == [command_id]


def _in(seconds: float) -> str:
    return rfc3339(time.time() + seconds)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": Ed25519PrivateKey.generate()}, "unknown-key"),
        ({"typ": "ots-receipt+jws"}, "wrong-type"),
        ({"agent_id": str(uuid.uuid4())}, "another-agent"),
        ({"server_id": str(uuid.uuid4())}, "another-server"),
        ({"not_after": _in(-1)}, "expired"),
        ({"issued_at": _in(1000), "not_before": _in(1000), "not_after": _in(1060)}, "from-the-future"),
        ({"not_after": _in(2 * 86_400)}, "holds-too-long"),
        ({"not_before": _in(2 * 86_400), "not_after": _in(2 * 86_400 + 60)}, "holds-too-long"),
        ({"not_after": "tomorrow"}, "malformed"),
        ({"args": {"name": "/etc/passwd"}}, "case-name"),
        ({"args": {"name": "../../case"}}, "case-name"),
        ({"args": {"name": "case.yaml"}}, "case-name"),
        ({"args": {"name": "ping\n"}}, "case-name"),
        ({"args": {}}, "malformed"),
        ({"args": {"name": "ping", "parameters": {"a": 1}}}, "malformed"),
        ({"kind": "hold"}, "not-supported"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
async def test_what_is_no_command_for_this_agent_is_refused(
    scene: Scene, changes: dict[str, Any], reason: str
) -> None:
    text, command_id = scene.command(**changes)
    await scene.hear(text)
    assert scene.answers(command_id) == [("rejected", reason)]
    assert scene.runs.begun == [] and scene.ledger.get(command_id) is None


async def test_bytes_that_were_changed_on_the_way_do_nothing(scene: Scene) -> None:
    text, _ = scene.command()
    head, body, signature = text.split(".")
    other, _ = scene.command()
    bent = [f"{head}.{other.split('.')[1]}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA"]
    await scene.hear(*bent, f"{head}.{body}", "", "a.b.c", text[:100], "é" * 50, encode64(b"{}" * 9) + "..")
    assert scene.runs.begun == []


async def test_a_replay_after_the_ledger_was_lost_and_an_older_number_are_refused(scene: Scene) -> None:
    first, first_id = scene.command()
    second, second_id = scene.command()
    await scene.hear(second, first)
    assert scene.runs.begun == [second_id]
    assert scene.answers(first_id) == [("rejected", "out-of-order")]


async def test_a_stop_that_overtakes_its_run_keeps_it_from_starting(scene: Scene) -> None:
    run_id = str(uuid.uuid4())
    scene._seq = 5
    stop, stop_id = scene.command("stop", args={"command_id": run_id})
    late, _ = scene.command(command_id=run_id)
    await scene.hear(stop, late)
    assert scene.runs.begun == [] and scene.answers(stop_id) == [("accepted", "recorded")]
    entry = scene.ledger.get(run_id)
    assert entry is not None and entry.state == "tombstoned"


async def test_a_stop_for_all_reaches_what_waits_and_what_runs(scene: Scene) -> None:
    running, running_id = scene.command()
    waiting, waiting_id = scene.command(not_before=_in(30))
    stop, _ = scene.command("stop")
    await scene.hear(running, waiting, stop)
    states = [entry.state for entry in map(scene.ledger.get, (running_id, waiting_id)) if entry]
    assert states == ["started", "tombstoned"] and scene.runs.stopped == [None]


async def test_an_agent_whose_clock_is_years_off_goes_by_the_servers(scene: Scene) -> None:
    years = 5 * 365 * 86_400.0
    await scene.obedience.hear(wire.Welcome(server_id=SERVER, time=_in(years)))
    stale, stale_id = scene.command()
    fresh, fresh_id = scene.command(issued_at=_in(years), not_before=_in(years), not_after=_in(years + 60))
    await scene.hear(stale, fresh)
    assert scene.answers(stale_id) == [("rejected", "expired")]
    assert scene.runs.begun == [fresh_id]
    entry = scene.ledger.get(fresh_id)
    assert entry is not None and entry.order is not None
    assert abs(entry.order.not_after - time.time() - 60) < 5, "by this machine's own clock"


async def test_ten_thousand_commands_are_bounded(scene: Scene) -> None:
    texts = [scene.command()[0] for _ in range(2000)]
    begin = time.monotonic()
    for text in texts * 5:
        await scene.obedience.hear(wire.Deliver(command=text))
    for _ in range(50):
        await asyncio.sleep(0)
    taken = len(scene.runs.begun)
    assert 64 <= taken <= 64 + (time.monotonic() - begin) + 1
    rejected = {
        each.reason for each in scene.said if isinstance(each, wire.Ack) and each.answer == "rejected"
    }
    assert rejected <= {"too-many", "out-of-order"} and rejected


async def test_the_licence_is_asked_again_on_the_agent(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path)
    scene = Scene(ledger, Runs(ledger), Ed25519PrivateKey.generate())
    scene.begin(Rights({}))
    text, command_id = scene.command()
    await scene.hear(text)
    assert scene.answers(command_id) == [("rejected", "licence")] and scene.runs.begun == []
    ledger.close()


async def test_a_start_that_was_cut_off_is_told_as_interrupted_and_what_waits_begins(scene: Scene) -> None:
    cut, cut_id = scene.command()
    await scene.hear(cut)
    waiting, waiting_id = scene.command(not_before=_in(0.3))
    await scene.hear(waiting)
    await scene.obedience.close()
    found = scene.ledger.close_interrupted()
    scene.begin()
    hello = scene.obedience.hello()
    assert {each.command_id: each.state for each in hello.commands} == {
        cut_id: "interrupted",
        waiting_id: "recorded",
    }
    await scene.obedience.resume(list(found.waiting))
    await asyncio.sleep(0.5)
    assert scene.runs.begun == [cut_id, waiting_id]
