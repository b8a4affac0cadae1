"""A hostile server has an agent attack others, by every trick: what it forbids never leaves the machine.

The agent runs in a namespace of its own; beyond its only link a namespace plays all other hosts, those that
it must not reach among them, and notes every packet that arrives. A second one listens on its loopback.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docs.generator.probes import built_in
from ots.policy.rule import START_SPREAD
from tests.ping_lab import Lab, lab
from tests.policy_world import ECHO_PORT, HOST, HOST_V6, METADATA, METADATA_V6, OTHER, PRIVATE

pytestmark = pytest.mark.netns

_ROOT = Path(__file__).parents[2]
_AGENT = "45.45.45.2"
_RECORD = "45.45.45.8"
_FORBIDDEN = {PRIVATE, METADATA, METADATA_V6}
_SOON = 0.02

STANDARD = "preset: standard\n"
TRUSTING = f"preset: standard\nremote: {{trusted: ['{HOST}']}}\n"


@dataclass
class Seen:
    """What has arrived: moment, destination, `syn`, `tcp`, `udp` or `icmp`."""

    packets: list[tuple[float, str, str]]

    def to(self, *hosts: str) -> list[str]:
        return [what for _t, host, what in self.packets if host in hosts]

    def fastest(self, host: str, what: str) -> int:
        """The most packets of a kind in any one second."""
        times = [t for t, to, kind in self.packets if (to, kind) == (host, what)]
        return max((sum(start <= t < start + 1 for t in times) for start in times), default=0)


class Outcome:
    """What the agent made of an order."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.codes: list[str] = document.get("codes", [])

    @property
    def steps(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.document["report"]["steps"]
        return found

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [
            error
            for step in self.steps
            for error in (step["error"], *(attempt["error"] for attempt in step["attempts"]))
            if error is not None
        ]

    def refused_for(self, text: str) -> bool:
        """Whether the report says that the policy refused something, and this is in the reason."""
        return any(
            (error["code"], error["class"]) == ("POLICY", "permission") and text in error["message"]
            for error in self.errors
        )


class World:
    """The agent, and everybody else."""

    def __init__(self, made: Lab, folder: Path) -> None:
        self._lab, self._folder = made, folder
        self._numbers = itertools.count()
        self._ahead = 0.0
        names = {name: made.host(name) for name in ("agent", "world")}
        made.wire("agent", f"{_AGENT}/24", "world", f"{HOST}/24")
        made.run("agent", "ip", "address", "add", "2a0f:1::2/64", "dev", "to-world")
        for address in (f"{HOST_V6}/64", f"{METADATA_V6}/128", *(f"{each}/32" for each in self.others)):
            made.run("world", "ip", "address", "add", address, "dev", "to-agent")
        made.run("agent", "ip", "route", "add", "default", "via", HOST)
        made.run("agent", "ip", "-6", "route", "add", "default", "via", HOST_V6)
        self.etc = Path("/etc/netns") / names["agent"]
        self.etc.mkdir(parents=True)
        (self.etc / "resolv.conf").write_text(f"nameserver {HOST}\n")
        self._world = self._start("world", "tests.policy_world", "to-agent")
        self._loopback = self._start("agent", "tests.policy_world", "lo")
        assert self._answer(self._world) == self._answer(self._loopback) == "ready\n"
        self._agent = self._start("agent", "tests.policy_agent")
        self._agent_id = json.loads(self._answer(self._agent))["agent_id"]

    others = (OTHER, _RECORD, PRIVATE, METADATA)

    def order(
        self,
        steps: str,
        policy: str = "",
        *,
        ahead: float = 61.0,
        issuer: dict[str, Any] | None = None,
        server: str | None = None,
        brief: bool = False,
    ) -> Outcome:
        """Has the agent run steps under a policy, `ahead` seconds after the order before by its clock."""
        self._ahead += ahead
        place = self._folder / "config/ots/policy.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"ots_policy: 1\n{policy}")
        order = {
            "case": f"ots: 1\nid: attack\nsteps:\n{steps}",
            "issuer": {"kind": "remote", **(issuer or {})},
            "ahead": self._ahead,
            "order_id": self._prompt(),
            "server": server,
            "brief": brief,
        }
        assert self._agent.stdin is not None
        self._agent.stdin.write(json.dumps(order) + "\n")
        self._agent.stdin.flush()
        return Outcome(json.loads(self._answer(self._agent)))

    def one(self, kind: str, target: str, params: str = "", policy: str = "", **more: Any) -> Outcome:
        """An order of one step."""
        return self.order(
            f"  - {{id: a, probe: {kind}, target: {target!r}, params: {{{params}}}}}\n", policy, **more
        )

    def seen(self) -> Seen:
        """What has arrived anywhere since the last call; what stays on the agent's loopback too."""
        found: list[tuple[float, str, str]] = []
        for child in (self._world, self._loopback):
            assert child.stdin is not None
            child.stdin.write("seen\n")
            child.stdin.flush()
            found += [(t, host, what) for t, host, what in json.loads(self._answer(child))]
        return Seen(found)

    def _prompt(self) -> str:
        """An order's id whose start happens to be spread to the very beginning."""
        for number in self._numbers:
            order_id = f"order-{number}"
            digest = hashlib.sha256(f"{self._agent_id} {order_id}".encode()).digest()
            if int.from_bytes(digest[:8], "big") / 2**64 * START_SPREAD < _SOON:
                return order_id
        raise AssertionError

    def _start(self, name: str, module: str, *arguments: str) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTS_", "XDG_"))}
        child = subprocess.Popen(
            [*self._lab.inside(name), sys.executable, "-W", "error", "-m", module, *arguments],
            cwd=_ROOT,
            env={
                **kept,
                "HOME": str(self._folder),
                "XDG_CONFIG_HOME": str(self._folder / "config"),
                "OTS_DATA_DIR": str(self._folder / "data"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lab.children.append(child)
        return child

    @staticmethod
    def _answer(child: subprocess.Popen[str]) -> str:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, "the child has died"
        return line


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with lab() as made:
        built = World(made, tmp_path_factory.mktemp("policy"))
        try:
            yield built
        finally:
            shutil.rmtree(built.etc, ignore_errors=True)


@pytest.fixture(autouse=True)
def fresh(world: World) -> None:
    """What arrived before is none of this test's business."""
    world.seen()


def untouched(seen: Seen) -> bool:
    """Whether nothing has got to an address that the agent must leave alone."""
    loopback = [host for _t, host, _what in seen.packets if host.startswith("127.") or host == "::1"]
    return not seen.to(*_FORBIDDEN) and not loopback


def test_what_is_allowed_arrives(world: World) -> None:
    """Without this all the refusals below would prove nothing."""
    assert world.one("http_check", f"http://{HOST}/").steps[0]["outcome"] == "success"
    assert world.one("ping", HOST_V6, "count: 2, interval: 0.2 s").steps[0]["outcome"] == "success"
    seen = world.seen()
    assert seen.to(HOST).count("syn") == 1
    assert seen.to(HOST_V6) == ["icmp", "icmp"]


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("localhost", "loopback"),
        ("0x7f000001", "loopback"),
        ("0x7f.1", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::ffff:7f00:1]", "loopback"),
        ("[64:ff9b::7f00:1]", "loopback"),
        ("0x0", "no address of a host"),
        (_AGENT, "an address of this machine"),
        (f"[::ffff:{_AGENT}]", "an address of this machine"),
        ("45.45.45.255", "broadcast"),
        ("255.255.255.255", "broadcast"),
        ("224.0.0.251", "multicast"),
        ("[ff02::1]", "multicast"),
        (METADATA, "metadata"),
        (f"[::ffff:{METADATA}]", "metadata"),
        ("[2002:a9fe:a9fe::1]", "metadata"),
        ("0xa9fea9fe", "metadata"),
        ("0xa9.0xfe.0xa9.0xfe", "metadata"),
        (f"[{METADATA_V6}]", "metadata"),
        ("169.254.1.1", "link-local"),
        (PRIVATE, "private"),
        (f"[::ffff:{PRIVATE}]", "private"),
        ("0xa.0x9.0x9.0x1", "private"),
        ("[fd12::1]", "private"),
        ("inside.test", "private"),
        ("cloud.test", "metadata"),
        ("mixed.test", "loopback"),
    ],
)
def test_no_spelling_of_a_forbidden_address_is_reached(world: World, host: str, reason: str) -> None:
    outcome = world.one("http_check", f"http://{host}/")
    assert outcome.refused_for(reason), outcome.errors
    seen = world.seen()
    assert untouched(seen) and not seen.to("0.0.0.0", _AGENT, "224.0.0.251", "255.255.255.255", HOST_V6)
    assert "syn" not in seen.to(HOST)


@pytest.mark.parametrize("host", ["2130706433", "0177.0.0.1", "2852039166", "127.1", "0251.0376.0251.0376"])
def test_numbers_that_some_would_read_as_addresses_are_no_targets(world: World, host: str) -> None:
    assert "is no IPv4 address" in world.one("http_check", f"http://{host}/").document["case"]
    assert untouched(world.seen())


_WAYS = (
    ("ping", PRIVATE, "count: 2"),
    ("http_check", "http://inside.test/", ""),
    ("ping", "inside.test", "count: 2"),
    ("tcp_connect", f"{PRIVATE}:80", "count: 1, interval: 1 s"),
    ("tcp_connect", "inside.test:80", "count: 1, interval: 1 s"),
    ("tls_handshake", "inside.test:443", "count: 1, interval: 1 s"),
    ("trace", "inside.test", "count: 1, max_hops: 5"),
    ("trace", "inside.test", "count: 1, max_hops: 5, protocol: tcp, port: 80"),
    ("udp_echo", f"inside.test:{ECHO_PORT}", "count: 2, interval: 1 s"),
    ("dns_lookup", "x.test", f"count: 1, server: {PRIVATE}, interval: 1 s"),
    ("dns_lookup", "x.test", "count: 1, server: 'inside.test:80', protocol: tcp, interval: 1 s"),
    ("web_page", "http://inside.test/", ""),
    ("mail_fetch", "imap://inside.test/", "user: x, password: '${secret:x}'"),
    ("http_download", "http://inside.test/endless", "duration: 1 s"),
    ("ftp_download", "ftp://inside.test/x", "duration: 1 s"),
    ("speedtest", "http://inside.test/", "duration: 1 s"),
    ("responsiveness", "http://inside.test/", "duration: 3 s"),
    ("http_download", f"http://{HOST}/endless", f"duration: 1 s, proxy: 'http://{PRIVATE}:80'"),
    ("http_upload", "http://inside.test/", "size: 1 kB"),
    ("ftp_upload", "ftp://inside.test/", "size: 1 kB"),
    ("mail_send", "smtp://inside.test/", "recipient: a@b.test, sender: a@b.test"),
    ("mail_delivery", f"smtp://{HOST}/", f"recipient: a@b.test, mailbox: 'imap://{PRIVATE}/'"),
    ("speedtest", f"http://{HOST}/v2/nearest/ndt/ndt7", "protocol: ndt7, duration: 1 s"),
)
"""Every kind that ships, on its way to a private address."""


def test_no_kind_is_left_out() -> None:
    assert {kind for kind, *_rest in _WAYS} == {probe.kind for probe in built_in()}


@pytest.mark.parametrize(("kind", "target", "params"), _WAYS)
def test_no_kind_of_probe_is_a_way_around(world: World, kind: str, target: str, params: str) -> None:
    outcome = world.one(
        kind, target, params, f"preset: standard\nremote: {{secrets: [x], trusted: [{HOST}, inside.test]}}"
    )
    assert outcome.refused_for("private"), outcome.errors
    assert untouched(world.seen())


def test_the_name_behind_a_proxy_is_refused_where_it_can_not_be_checked(world: World) -> None:
    params = f"proxy: 'http://{HOST}:80', connections: 1"
    assert world.one("web_page", "http://inside.test/", params).refused_for("by the proxy")
    assert world.one("web_page", f"http://{METADATA}/", params).refused_for("metadata")
    assert untouched(world.seen())


def test_a_name_that_changes_its_address_leads_nowhere_else(world: World) -> None:
    outcome = world.order("  - {id: a, probe: http_check, target: 'http://rebind.test/', repeat: 3}\n")
    first, *later = outcome.steps[0]["attempts"]
    assert first["outcome"] == "success"
    assert [attempt["error"]["code"] for attempt in later] == ["POLICY", "POLICY"]
    assert outcome.refused_for("rebind.test is 10.9.9.1")
    seen = world.seen()
    assert untouched(seen) and seen.to(HOST).count("syn") == 1


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (PRIVATE, "private"),
        ("inside.test", "private"),
        (METADATA, "metadata"),
        (f"[{METADATA_V6}]", "metadata"),
        ("127.0.0.1", "loopback"),
        ("0x7f000001", "loopback"),
        ("localhost", "loopback"),
        ("mixed.test", "loopback"),
    ],
)
@pytest.mark.parametrize(("kind", "params"), [("http_check", ""), ("http_download", "duration: 1 s")])
def test_a_redirect_leads_nowhere_else(world: World, kind: str, params: str, place: str, reason: str) -> None:
    outcome = world.one(kind, f"http://{HOST}/to/{place}", params, TRUSTING)
    assert outcome.refused_for(reason), outcome.errors
    seen = world.seen()
    assert untouched(seen) and seen.to(HOST).count("syn") == 1


@pytest.mark.parametrize("place", ["2130706433", "017700000001", "0251.0376.0251.0376"])
def test_a_redirect_to_a_number_is_no_way_either(world: World, place: str) -> None:
    """http_check takes it for no address at all, http_download for what the system's resolver reads."""
    world.one("http_check", f"http://{HOST}/to/{place}")
    world.one("http_download", f"http://{HOST}/to/{place}", "duration: 1 s", TRUSTING)
    seen = world.seen()
    assert untouched(seen) and seen.to(HOST).count("syn") == 2


def test_what_a_page_consists_of_comes_from_nowhere_else(world: World) -> None:
    outcome = world.one("web_page", f"http://{HOST}/page")
    seen = world.seen()
    assert untouched(seen) and "syn" in seen.to(HOST)
    assert outcome.steps[0]["outcome"] != "success"


def test_an_ftp_server_sends_nobody_elsewhere(world: World) -> None:
    world.one(
        "ftp_download",
        f"ftp://{HOST}/x",
        "duration: 1 s, timeout: 1 s, user: x, password: '${secret:x}'",
        f"preset: standard\nremote: {{trusted: ['{HOST}'], secrets: [x]}}",
    )
    world.one("ftp_download", f"ftp://{HOST}/x", "duration: 1 s, timeout: 1 s", TRUSTING)
    seen = world.seen()
    assert untouched(seen) and seen.to(HOST).count("syn") >= 2


@pytest.mark.parametrize(
    "network", ["45.45.45.0/24", "45.45.45.0/29", "10.9.9.0/30", "127.0.0.0/30", "2a0f:1::/126"]
)
def test_nothing_is_scanned_that_is_not_listed(world: World, network: str) -> None:
    assert world.one(
        "ping", network, "sweep_rate: 10", "remote: {targets: [public, 45.45.45.0/30]}"
    ).refused_for("no entry of the targets holds the whole of it")
    assert not [packet for packet in world.seen().packets if packet[2] == "icmp"]


def test_a_listed_network_is_swept(world: World) -> None:
    listed = f"remote: {{targets: [{PRIVATE}/32, 10.9.9.0/30]}}"
    assert (
        world.one("ping", "10.9.9.0/30", "sweep_rate: 10, timeout: 0.3 s", listed).steps[0]["outcome"]
        == "success"
    )
    assert world.seen().to(PRIVATE) == ["icmp", "icmp"]


@pytest.mark.parametrize(
    ("kind", "params", "reason"),
    [
        ("ping", "interval: 0.05 s", "packets a second"),
        ("ping", "count: 101, interval: 0.1 s", "101 packets"),
        ("tcp_connect", "interval: 0.05 s", "packets a second"),
        ("dns_lookup", "interval: 0.05 s", "packets a second"),
        ("trace", "interval: 0.5 s", "packets a second"),
    ],
)
def test_more_than_a_stranger_need_bear_is_refused(world: World, kind: str, params: str, reason: str) -> None:
    target = {"tcp_connect": f"{HOST}:80", "dns_lookup": "x.test"}.get(kind, HOST)
    if kind == "dns_lookup":
        params += f", server: {HOST}"
    assert world.one(kind, target, params).refused_for(reason)
    assert not world.seen().packets


def test_two_hundred_orders_stay_under_the_ceiling(world: World) -> None:
    """A server that sends orders without end, by address and by two names for it."""
    began, ran = time.monotonic(), 0
    for number in range(200):
        target = (HOST, "good.test", "alias.test", HOST)[number % 4]
        kind, params = (("ping", "count: 10, interval: 0.1 s"), ("http_check", ""))[number % 2]
        where = target if kind == "ping" else f"http://{target}/"
        outcome = world.one(kind, where, params, ahead=0 if number else 61, brief=True)
        why = outcome.document.get("refused") or [error["message"] for error in outcome.errors]
        ran += not why
        assert all(" ago" in text for text in why), why
    took = time.monotonic() - began
    seen = world.seen()
    assert ran == 1 + int(took // 60)
    assert seen.to(HOST).count("icmp") + seen.to(HOST).count("syn") <= 10 * ran
    assert seen.fastest(HOST, "icmp") <= 10


def test_a_run_stops_at_the_bytes_that_it_may_move(world: World) -> None:
    limit = f"preset: standard\nremote: {{trusted: ['{HOST}'], bytes_per_run: 3 MB}}"
    outcome = world.one("http_download", f"http://{HOST}/endless", "duration: 5 s", limit)
    assert outcome.refused_for("data budget of 3 MB is used up")
    moved = outcome.document["report"]["run"]["data"]["received_bytes"]
    assert 3_000_000 <= moved < 6_000_000
    planned = f"preset: standard\nremote: {{trusted: ['{HOST}'], bytes_per_run: 1 kB}}"
    assert world.one("ping", HOST, "count: 100, size: 1 kB", planned).refused_for("are allowed")


def test_the_bytes_of_a_day_are_counted_over_runs(world: World) -> None:
    limit = f"preset: standard\nremote: {{trusted: ['{HOST}'], bytes_per_day: 40 MB}}"
    step = (f"http://{HOST}/endless", "duration: 5 s", limit)
    assert world.one("http_download", *step, ahead=86_400).refused_for("data budget")
    assert world.one("http_download", *step, ahead=0).refused_for("0 B are left of the day's 40 MB")
    assert "syn" in world.seen().to(HOST)


def test_outside_its_hours_nothing_runs(world: World) -> None:
    hour = time.gmtime(time.time() + world._ahead + 61).tm_hour
    shut = f"remote: {{hours: [{{from: '{(hour + 2) % 24:02}:00', to: '{(hour + 3) % 24:02}:00'}}]}}"
    assert world.one("ping", HOST, "count: 1", shut).refused_for("runs only at")
    assert not world.seen().packets


def test_a_load_needs_consent_at_the_very_address(world: World) -> None:
    params, north = "size: 1 MB", {"project": "north"}
    refused = world.one("http_download", f"http://{HOST}/endless", params, STANDARD, issuer=north)
    assert refused.refused_for("has not agreed to a load") and refused.codes == ["consent"]
    agreed = world.one("http_download", f"http://{OTHER}/endless", params, STANDARD, issuer=north)
    assert agreed.steps[0]["outcome"] == "success"
    other = world.one(
        "http_download", f"http://{OTHER}/endless", params, STANDARD, issuer={"project": "south"}
    )
    assert other.refused_for("has not agreed to a load")
    record = world.one("http_download", f"http://{_RECORD}/endless", params, STANDARD, issuer=north)
    assert record.steps[0]["outcome"] == "success"
    world.seen()
    swapped = world.one("http_download", "http://swap.test/endless", params, STANDARD, issuer=north)
    assert swapped.document["allowed"] and swapped.refused_for(f"swap.test is {HOST}")
    assert "syn" not in world.seen().to(HOST)


def test_secrets_and_files_go_nowhere(world: World) -> None:
    params = "user: x, password: '${secret:mail}'"
    refused = world.one("http_check", f"http://{HOST}/", params)
    assert refused.refused_for("the secret mail may not be used") and refused.codes == ["secret"]
    read = world.one("http_check", f"https://{HOST}/", "ca_file: /etc/shadow")
    assert read.refused_for("/etc/shadow of this machine may not be read") and read.codes == ["file"]
    assert not world.seen().packets


def test_the_server_itself_is_no_target(world: World) -> None:
    server = f"https://{HOST}:8443"
    outcome = world.one("tcp_connect", f"{HOST}:8443", "count: 1, interval: 1 s", server=server)
    assert outcome.refused_for("managed from")
    named = world.one("tcp_connect", "good.test:8443", "count: 1, interval: 1 s", server=server)
    assert named.refused_for("managed from")
    assert "syn" not in world.seen().to(HOST)


@pytest.mark.parametrize("policy", ["preset: none", "remote: {targets: [any]}", "{", "\x00"])
def test_none_and_a_damaged_document_let_nothing_run(world: World, policy: str) -> None:
    outcome = world.one("ping", HOST, "count: 1", policy)
    assert outcome.refused_for("nothing") and not outcome.document["allowed"]
    assert not world.seen().packets
