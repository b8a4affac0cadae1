"""The licence of an agent that has a server: granted as it enrols, raised, withdrawn, and back again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ots.license.entitlement import Rights
from ots.license.issue import read_request
from ots.remote.client import Client
from ots.remote.enrol import Application, enrol, refresh
from ots.remote.enrolled import FILE
from ots.remote.identity import KEY_FILE, identity
from ots.remote.membership import LICENCE_ISSUERS, Membership
from ots.store import licence_files
from ots.store.licences import Licences, NotInstalled
from tests.cloud_kit import CloudServer, administrator
from tests.command_line import CommandLine

pytestmark = pytest.mark.slow

GATED = "probe:voice_call"


def test_both_sides_call_the_files_alike() -> None:
    """The store can't import what stands above it."""
    assert (KEY_FILE, FILE, LICENCE_ISSUERS) == (
        licence_files.AGENT_KEY,
        licence_files.ENROLMENT,
        licence_files.ISSUERS,
    )
    assert {"department", "project", "refreshed_at", "clock_offset"} <= set(Membership.__struct_fields__)


async def test_a_request_reaches_the_server(cloud: CloudServer, tmp_path: Path) -> None:
    """Sent by an agent that has a server; written by one that has none, and for a file."""
    ots = CommandLine(tmp_path)
    data = tmp_path / "data"
    wish = Application(cloud.url, cloud.open_token(), "van-8", plain_http=True)
    await enrol(data, wish, identity(data))
    asked = ots.json("license", "request", "--tier", "professional", "--note", "trial at the lake")
    assert asked["server"] is not None and asked["request"] is None
    async with administrator(cloud) as admin:
        _status, page = await admin.get("/api/v1/licence-requests")
    assert any(each["note"] == "trial at the lake" for each in page["items"])
    output = tmp_path / "request.jws"
    assert ots.json("license", "request", "--tier", "friendly", "-o", str(output))["server"] is None
    assert read_request(output.read_text(), identity(data).public_key)["tier"] == "friendly"


async def test_it_follows_what_the_server_grants_and_withdraws(cloud: CloudServer, tmp_path: Path) -> None:
    who = identity(tmp_path)
    here = Licences(tmp_path, who.agent_id)

    def rights() -> Rights:
        return Rights({}, lambda: here.in_force(time.time()))

    wish = Application(cloud.url, cloud.open_token(), "van-7", plain_http=True)
    membership = await enrol(tmp_path, wish, who)
    assert rights().tier == "friendly"
    assert rights().refusal(GATED) is not None
    async with administrator(cloud) as admin, Client(cloud.url, who) as client:
        body = {"tier": "professional", "agent_id": who.agent_id, "days": 30}
        status, issued = await admin.send("POST", "/api/v1/licences", body)
        assert status == 201
        friendly = (tmp_path / "licences" / "server.jws").read_text()
        await refresh(tmp_path, membership, client)
        assert rights().tier == "professional"
        assert rights().refusal(GATED) is None
        with pytest.raises(NotInstalled) as rolled_back:
            here.install(friendly, time.time())
        assert rolled_back.value.standing.state == "serial-rollback"
        here.install(issued["text"], time.time())
        await admin.send("POST", f"/api/v1/licences/{issued['licence_id']}/revocation")
        await refresh(tmp_path, membership, client)
        now = rights()
        assert now.tier == "friendly"
        assert now.standings is not None
        assert sorted(each.state for each in now.standings.all.values()) == ["revoked", "valid"]
        for_all = {"tier": "professional", "department": "571", "project": "HZ-12", "days": 10}
        status, common = await admin.send("POST", "/api/v1/licences", for_all)
        assert status == 201
        await refresh(tmp_path, membership, client)
        assert rights().tier == "professional"
        await admin.send("POST", f"/api/v1/licences/{common['licence_id']}/revocation")
        await refresh(tmp_path, membership, client)
        assert rights().tier == "friendly"
    assert not here.warnings
