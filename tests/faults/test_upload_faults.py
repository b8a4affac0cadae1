"""A server that refuses, lies, stalls, or is another one: nothing is lost, nothing is taken for kept."""

from __future__ import annotations

import asyncio
import gzip
import json
import stat
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.model.report import Artifact
from ots.remote import enrol, wire
from ots.remote.client import Client
from ots.remote.identity import identity
from ots.remote.membership import read_membership, write_membership
from ots.store import Store
from ots.store.outbox import Outbox
from tests.agent_kit import Agent, uploads
from tests.store_kit import make_report, make_step
from tests.upload_server import Fault, Honest, UploadServer, refuse, say, upload_server
from tests.waiting import until

CONTEXT = {
    "t": 0.0,
    "device": {"kernel": "6.1"},
    "network": {},
    "radio": None,
    "position": None,
    "load": {},
    "nulls": {},
}


@pytest.fixture
def server() -> Iterator[UploadServer]:
    with upload_server() as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path, server: UploadServer) -> Agent:
    made = Agent(tmp_path)
    made.enrol(server)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


def test_what_is_kept_is_what_was_stored(agent: Agent, server: UploadServer, store: Store) -> None:
    """The newest report first, each byte for byte; the queue is empty afterwards."""
    documents = [agent.measure(store, f"2026-03-0{day}T08:00:00.000000Z") for day in (1, 2, 3)]
    outcome = agent.send(store)
    assert (len(outcome.sent), outcome.stopped) == (3, None)
    assert list(server.reports.values()) == documents[::-1]
    assert uploads(store) == dict.fromkeys((1, 2, 3), ("sent", None))


@pytest.mark.parametrize(
    ("status", "code"), [(503, "overloaded"), (429, "rate-limited"), (507, "storage-full")]
)
def test_busy_server_is_left_alone_as_long_as_it_asks(
    agent: Agent, server: UploadServer, store: Store, status: int, code: str
) -> None:
    """Retry-After holds for the whole queue, and a pass by itself asks nothing meanwhile."""
    for _ in range(3):
        agent.measure(store)
    server.faults = [refuse(status, code, retry_after=120)]
    before = time.time()
    assert agent.send(store).stopped == code
    pause = Outbox(store).pause()
    assert 120 <= pause.until - before < 130 and pause.reason == code
    asked = len(server.asked)
    assert agent.send(store, by_hand=False).stopped == code
    assert len(server.asked) == asked
    assert {state for state, _reason in uploads(store).values()} == {"waiting"}
    assert len(agent.send(store).sent) == 3 and Outbox(store).pause().failures == 0


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "revision-conflict"), (422, "schema-unsupported"), (413, "too-large"), (403, "forbidden")],
)
def test_poison_report_is_parked_alone(
    agent: Agent, server: UploadServer, store: Store, status: int, code: str
) -> None:
    """What the server won't have is put aside with its reason; the others go, and a person may try again."""
    for _ in range(3):
        agent.measure(store)
    server.faults = [refuse(status, code)]
    outcome = agent.send(store)
    assert (list(outcome.parked.values()), len(outcome.sent)) == ([code], 2)
    assert uploads(store) == {1: ("sent", None), 2: ("sent", None), 3: ("parked", code)}
    assert agent.send(store).sent == []
    Outbox(store).add([store.get("3")])
    assert len(agent.send(store).sent) == 1


def test_damage_on_the_way_is_tried_three_times(agent: Agent, server: UploadServer, store: Store) -> None:
    """A digest that does not fit may be the way's fault: only the third time in a row it is the report's."""
    agent.measure(store)
    server.faults = [refuse(422, "digest-mismatch")] * 3
    for expected in ("waiting", "waiting", "parked"):
        Outbox(store).add([])
        with store.writing() as database:
            database.execute("UPDATE outbox SET next = 0")
        agent.send(store)
        assert uploads(store)[1] == (expected, "digest-mismatch")


def test_failing_report_does_not_hold_up_the_others(agent: Agent, server: UploadServer, store: Store) -> None:
    """A server that breaks over one report gets the next one, and that one later."""
    for _ in range(2):
        agent.measure(store)
    server.faults = [refuse(500, "internal")]
    assert len(agent.send(store).sent) == 1
    assert uploads(store) == {1: ("sent", None), 2: ("waiting", "internal")}


@pytest.mark.parametrize(
    "code", ["agent-revoked", "agent-suspended", "licence-required", "upgrade-required", "signature-invalid"]
)
def test_whoever_may_not_send_keeps_everything(
    agent: Agent, server: UploadServer, store: Store, code: str
) -> None:
    """A refusal that is about the agent parks no report; it asks again after an hour."""
    for _ in range(2):
        agent.measure(store)
    server.faults = [refuse(403, code)]
    assert agent.send(store).stopped == code
    assert uploads(store) == {1: ("waiting", None), 2: ("waiting", code)}
    assert Outbox(store).pause().until - time.time() > 3500
    assert len(agent.send(store).sent) == 2


@pytest.mark.parametrize(
    "fault",
    [
        say(200, b"<html>welcome to the hotel</html>", Content_Type="text/html"),
        say(302, b"", Location="http://127.0.0.1:9/login"),
        say(403, b"<html>forbidden by proxy</html>", Content_Type="text/html"),
        say(404, b'{"type": "about:blank", "title": "", "status": 404, "code": "x"}'),
        say(200, b'{"receipt": ' + b"[" * 100_000),
        say(200, b"\x00" * 2_000_000),
    ],
    ids=["portal", "redirect", "proxy", "other-problem", "deep-json", "too-large"],
)
def test_whatever_else_answers_is_a_disturbance(
    agent: Agent, server: UploadServer, store: Store, fault: Fault
) -> None:
    """A captive portal, a proxy or garbage is not the server's word: the report waits, and goes later."""
    document = agent.measure(store)
    server.faults = [fault]
    assert agent.send(store).stopped is not None
    assert uploads(store)[1][0] == "waiting" and server.reports == {}
    agent.send(store)
    assert list(server.reports.values()) == [document]


def test_answer_that_unpacks_to_too_much_is_not_unpacked(
    agent: Agent, server: UploadServer, store: Store
) -> None:
    """A packed answer was not asked for; a bomb of 1 GB costs the agent no memory."""
    agent.measure(store)
    bomb = gzip.compress(b"\0" * (64 << 20), 9)
    server.faults = [say(200, bomb, Content_Encoding="gzip", Content_Type="application/json")]
    tracemalloc.start()
    try:
        assert agent.send(store).stopped == "answer-invalid"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert uploads(store)[1] == ("waiting", "answer-invalid")


async def cut(server: UploadServer, request: web.Request, honest: Honest) -> web.StreamResponse:
    """Keeps the report, and the connection ends within the answer."""
    answer = await honest()
    assert isinstance(answer, web.Response) and isinstance(answer.body, bytes)
    broken = web.StreamResponse(status=201, headers={"Content-Length": str(len(answer.body))})
    await broken.prepare(request)
    await broken.write(answer.body[: len(answer.body) // 2])
    assert request.transport is not None
    request.transport.close()
    return broken


async def silence(server: UploadServer, request: web.Request, honest: Honest) -> web.StreamResponse:
    """Keeps the report and says nothing."""
    await honest()
    await asyncio.sleep(3600)
    raise AssertionError


@pytest.mark.parametrize("fault", [cut, silence], ids=["cut", "silence"])
def test_answer_that_never_came(agent: Agent, server: UploadServer, store: Store, fault: Fault) -> None:
    """The server has it and the agent does not know: it sends the same bytes again and gets the same receipt.

    Also where the settings have changed in between: other bytes would be a conflict.
    """
    document = agent.measure(store, contexts=[CONTEXT])
    server.faults = [fault]
    began = time.monotonic()
    agent.send(store, seconds=1.0)
    assert time.monotonic() - began < 3
    assert uploads(store)[1][0] == "waiting"
    assert len(agent.send(store, device=False).sent) == 1
    assert list(server.reports.values()) == [document]
    kept = Outbox(store).receipt(store.get("1"))
    assert kept is not None and kept.statement in server.receipts.values()


def test_settings_hold_for_what_never_arrived(agent: Agent, server: UploadServer, store: Store) -> None:
    """A refused offer is made anew: what was switched off in between does not leave any more."""
    agent.measure(store, contexts=[CONTEXT])
    server.faults = [refuse(429, "rate-limited")]
    agent.send(store)
    agent.send(store, device=False)
    assert b"6.1" not in next(iter(server.reports.values()))


def receipt_fault(**changes: object) -> Fault:
    """Signs something else than what was sent; a `key` signs in place of the server's."""

    async def fault(server: UploadServer, request: web.Request, honest: Honest) -> web.StreamResponse:
        key = changes.get("key")
        forger = UploadServer(key=key) if isinstance(key, Ed25519PrivateKey) else server
        report_id, revision = request.path.split("/")[-2:]
        claims = {
            "agent_id": next(iter(server.keys)),
            "report_id": report_id,
            "revision": int(revision),
            "sha256": "0" * 64,
            **{name: value for name, value in changes.items() if name != "key"},
        }
        return web.json_response({"receipt": forger.receipt(**claims), "missing_artifacts": []}, status=201)

    return fault


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (receipt_fault(), "receipt-mismatch"),
        (receipt_fault(server_id="another"), "receipt-mismatch"),
        (receipt_fault(agent_id="another"), "receipt-mismatch"),
        (receipt_fault(sha256=17), "receipt-malformed"),
        (receipt_fault(key=Ed25519PrivateKey.generate()), "receipt-unknown-key"),
        (say(201, b'{"receipt": "a.b.c"}'), "receipt-malformed"),
    ],
)
def test_wrong_receipt_takes_nothing_off_the_queue(
    agent: Agent, server: UploadServer, store: Store, fault: Fault, reason: str
) -> None:
    """For another hash, another server, another agent, by a forger's key: the report stays."""
    agent.measure(store)
    server.faults = [fault]
    assert agent.send(store).stopped == reason
    assert uploads(store)[1] == ("waiting", reason)
    assert Outbox(store).receipt(store.get("1")) is None
    assert len(agent.send(store).sent) == 1


def test_another_server_at_the_same_address(
    agent: Agent, server: UploadServer, store: Store, tmp_path: Path
) -> None:
    """A server set up anew signs with another key: nothing is taken off until the agent enrols again. Asked
    for its keys, it says that it is another.
    """
    agent.measure(store)
    server.key, server.server_id = Ed25519PrivateKey.generate(), "another"
    assert agent.send(store).stopped == "another-server"
    assert uploads(store)[1][0] == "waiting"
    agent.enrol(server)
    assert len(agent.send(store).sent) == 1


@pytest.mark.parametrize("ahead", [3600.0, -86_400.0 * 400])
def test_wrong_clock_costs_one_request(
    agent: Agent, server: UploadServer, store: Store, tmp_path: Path, ahead: float
) -> None:
    """The server's time is kept as an offset; the next pass signs with it at once."""
    agent.measure(store)
    server.clock = ahead
    assert len(agent.send(store).sent) == 1
    membership = read_membership(tmp_path)
    assert membership is not None and abs(membership.clock_offset - ahead) < 5
    asked = len(server.asked)
    agent.measure(store)
    assert len(agent.send(store).sent) == 1 and len(server.asked) == asked + 1


def test_next_try_that_a_wrong_clock_put_far_away_is_due(
    agent: Agent, server: UploadServer, store: Store
) -> None:
    """A clock that was years ahead when it set pause and next try does not silence the agent for years."""
    agent.measure(store)
    years_ahead = time.time() + 5 * 365 * 86_400
    Outbox(store).set_pause(3, years_ahead, "unreachable")
    with store.writing() as database:
        database.execute("UPDATE outbox SET next = ?", (years_ahead,))
    assert len(agent.send(store, by_hand=False).sent) == 1


def test_pace_of_the_backlog(agent: Agent, server: UploadServer, store: Store) -> None:
    """The newest goes at once, each further one after the interval that the server asked for."""
    server.interval = 0.2
    agent.enrol(server)
    for _ in range(4):
        agent.measure(store)
    began = time.monotonic()
    assert len(agent.send(store).sent) == 4
    assert time.monotonic() - began >= 0.6
    for _ in range(40):
        agent.measure(store)
    outcome = agent.send(store, seconds=0.7, by_hand=False)
    assert outcome.stopped == "timeout" and 1 <= len(outcome.sent) <= 4


def measure_with_files(agent: Agent, store: Store) -> tuple[str, str]:
    """A report with two files, one of them with a cookie in it; the hashes of both."""
    har = b'{"headers": [{"name": "Cookie", "value": "canary"}]}'
    report = make_report(agent_id=agent.settings().agent_id)
    step = make_step(0)
    with store.begin(report, queue="by-hand") as writer:
        first, second = writer.artifact("page.har", har), writer.artifact("page.png", b"\x89PNG" * 500)
        step.artifacts = [
            Artifact(name="page.har", media_type="application/har+json", bytes=len(har), sha256=first),
            Artifact(name="page.png", media_type="image/png", bytes=2000, sha256=second),
        ]
        report.steps = [step]
        report.run.state = "completed"
        writer.finish(report)
    return first, second


def test_files_beside_a_report_go_with_it(agent: Agent, server: UploadServer, store: Store) -> None:
    """Only what the server lacks, without secrets, under the names that the sent report has for them."""
    har, picture = measure_with_files(agent, store)
    server.artifact_faults = [refuse(503, "overloaded")]
    assert agent.send(store).stopped == "overloaded"
    assert uploads(store)[1] == ("waiting", "overloaded"), "a report is sent once its files are"
    assert len(agent.send(store).sent) == 1
    (document,) = server.reports.values()
    named = {entry["sha256"] for entry in msgspec.json.decode(document)["steps"][0]["artifacts"]}
    assert named == server.artifacts.keys() and picture in named and har not in named
    assert not any(b"canary" in data for data in server.artifacts.values())
    assert len([asked for asked in server.asked if "/artifacts/" in asked]) == 3
    measure_with_files(agent, store)
    agent.send(store)
    assert len([asked for asked in server.asked if "/artifacts/" in asked]) == 3


@pytest.mark.parametrize("refusal", [(413, "too-large"), (403, "licence-required")])
def test_file_that_the_server_will_not_have(
    agent: Agent, server: UploadServer, store: Store, refusal: tuple[int, str]
) -> None:
    """It is no reason to keep its report back; the list says what is missing there."""
    measure_with_files(agent, store)
    server.artifact_faults = [refuse(*refusal)]
    assert len(agent.send(store).sent) == 1
    assert uploads(store)[1] == ("sent", f"artifact:{refusal[1]}")


def test_approval_is_waited_for(
    server: UploadServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports wait with the agent; once a person has approved it, both go on."""
    monkeypatch.setattr(enrol, "POLL", 0.05)
    server.status = "pending"
    agent = Agent(tmp_path)
    agent.enrol(server)
    agent.measure(store)
    assert agent.send(store).stopped == "agent-pending"
    assert (uploads(store)[1], server.reports) == (("waiting", None), {})
    membership, who = read_membership(tmp_path), identity(tmp_path)
    assert membership is not None

    async def approve() -> None:
        async with Client(server.url, who) as client:
            waiting = asyncio.create_task(enrol.wait_for_approval(tmp_path, membership, client))
            await until(lambda: server.asked.count("GET /api/v1/agent") >= 3)
            server.status = "active"
            await asyncio.wait_for(waiting, 10)

    asyncio.run(approve())
    assert len(agent.send(store).sent) == 1


def test_licence_is_handed_on(server: UploadServer, store: Store, tmp_path: Path) -> None:
    """Enrolment brings issuers and licence as private files; when the server takes it back, it goes."""
    server.licence = "head.body.signature"
    agent = Agent(tmp_path)
    agent.enrol(server)
    issuers, licence = tmp_path / "licence-issuers.json", tmp_path / "licences" / "server.jws"
    assert json.loads(issuers.read_text()) == ["issuer"] and licence.read_text() == "head.body.signature\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (issuers, licence)} == {0o600}
    server.licence, server.status = None, "pending"
    agent.enrol(server)
    assert not licence.exists() and issuers.exists()


def test_what_a_server_says_is_shown_as_text(server: UploadServer, tmp_path: Path) -> None:
    """Escape sequences in names reach no terminal, and no pace is asked for that stops the agent for ever."""
    server.name, server.interval = "\x1b]0;owned\x07\x1b[2J" + "x" * 10_000, 1e12
    Agent(tmp_path).enrol(server)
    membership = read_membership(tmp_path)
    assert membership is not None
    assert "\x1b" not in membership.server_name and len(membership.server_name) < 500
    assert membership.upload_interval == 60


def test_offer_that_was_damaged_is_made_anew(agent: Agent, server: UploadServer, store: Store) -> None:
    """Nothing that the queue holds can stop it."""
    agent.measure(store)
    server.faults = [cut]
    agent.send(store)
    with store.writing() as database:
        database.execute("UPDATE outbox SET body = x'00', left_out = '['")
    assert len(agent.send(store).sent) == 1


def test_proxy_of_the_environment(
    agent: Agent, server: UploadServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked with the user and the password that its variable holds; no_proxy goes by it."""
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//user:pass@"))
    monkeypatch.delenv("no_proxy", raising=False)
    membership = read_membership(tmp_path)
    assert membership is not None
    write_membership(tmp_path, msgspec.structs.replace(membership, url="http://192.0.2.1", plain_http=True))
    agent.measure(store)
    assert len(agent.send(store).sent) == 1
    assert server.proxied[-1] == "Basic dXNlcjpwYXNz"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    write_membership(tmp_path, membership)
    agent.measure(store)
    assert len(agent.send(store).sent) == 1
    assert server.proxied[-1] is None


def test_offered_again(agent: Agent, server: UploadServer, store: Store) -> None:
    """A server that lost what it had gets it again; for one that still has it nothing changes."""
    document = agent.measure(store, contexts=[CONTEXT])
    agent.send(store)
    server.reports.clear()
    Outbox(store).add([store.get("1")])
    assert len(agent.send(store).sent) == 1 and list(server.reports.values()) == [document]
    Outbox(store).add([store.get("1")])
    assert len(agent.send(store, device=False).sent) == 1
    assert uploads(store)[1] == ("sent", None) and list(server.reports.values()) == [document]


def test_key_that_others_can_read_signs_nothing(
    agent: Agent, server: UploadServer, store: Store, tmp_path: Path
) -> None:
    """Nobody could say who sent a report then: it waits until the file is its owner's again."""
    agent.measure(store)
    (tmp_path / "agent.key").chmod(0o644)
    assert agent.send(store).stopped == "misconfigured" and server.reports == {}
    (tmp_path / "agent.key").chmod(0o600)
    assert len(agent.send(store).sent) == 1


@pytest.mark.parametrize("switch", ["device", "addresses"])
def test_what_a_machine_tells_of_itself(
    agent: Agent, server: UploadServer, tmp_path: Path, switch: str
) -> None:
    """Host name, device and addresses go where the settings allow it, and nowhere else."""
    membership, who = read_membership(tmp_path), identity(tmp_path)
    assert membership is not None

    async def say(allowed: bool) -> wire.AgentInfo:
        async with Client(server.url, who) as client:
            await enrol.tell(membership, client, agent.settings(**{switch: allowed}), waiting=3)
        return server.infos[-1]

    told, withheld = asyncio.run(say(True)), asyncio.run(say(False))
    assert told.waiting == withheld.waiting == 3 and told.sent < withheld.sent
    assert told.hostname and told.device and told.network
    if switch == "device":
        assert withheld.hostname is None and withheld.device is None and withheld.network
    else:
        assert withheld.hostname and withheld.device and withheld.network is None
