"""Trace where routers keep silent, lie, refuse or send in circles, and where this machine is at fault."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.ping_lab import PingResult, lab
from tests.trace_lab import Chain, chain, silence

pytestmark = pytest.mark.netns

QUICK = {"count": 4, "interval": 0.05, "timeout": 0.3, "max_hops": 10}


PROTOCOLS = ("icmp", "udp", "tcp")

ASTRAY = {"!H": 16, "!X": 32, "!N": 48, "LOOP": 64, "NO_REPLY": 80}
"""What is wrong with the routes to the network 192.0.2.N/28, and N."""

REFUSING = {"!N": 1, "!X": 2, "!H": 3, "!X 6": 2}
"""Which router refuses."""


@pytest.fixture
def path() -> Iterator[Chain]:
    """near - r1 - r2 - r3 - far, without delay: four hops. For a test that changes it."""
    with lab() as made:
        yield chain(made, 3)


@pytest.fixture(scope="module")
def shared() -> Iterator[Chain]:
    """The same for tests that leave it as it is, with networks behind it that can't be reached."""
    with lab() as made:
        built = chain(made, 3)
        for kind, sign in (("unreachable", "!H"), ("prohibit", "!X"), ("throw", "!N")):
            router = f"r{REFUSING[sign]}"
            made.run(router, "ip", "route", "add", kind, f"192.0.2.{ASTRAY[sign]}/28")
        made.run("r2", "ip", "-6", "route", "add", "prohibit", "2001:db8::/32")
        made.run("r2", "ip", "route", "add", f"192.0.2.{ASTRAY['LOOP']}/28", "via", "10.7.3.2")
        made.run("r3", "ip", "route", "add", f"192.0.2.{ASTRAY['LOOP']}/28", "via", "10.7.3.1")
        made.run("r3", "ip", "route", "add", "blackhole", f"192.0.2.{ASTRAY['NO_REPLY']}/28")
        yield built


Results = dict[tuple[str, str], PingResult]


@pytest.fixture(scope="module")
def astray(shared: Chain) -> Results:
    """Traces to each of those networks by each protocol, all at once."""
    wanted = {
        (code, protocol): f"192.0.2.{net + 1}" for code, net in ASTRAY.items() for protocol in PROTOCOLS
    }
    wanted |= {("!X 6", protocol): "2001:db8::1" for protocol in PROTOCOLS}
    # Linux refuses five times, then once a second, for each source.
    source = {protocol: f"10.7.1.{11 + number}" for number, protocol in enumerate(PROTOCOLS)}
    for address in source.values():
        shared.lab.run("near", "ip", "address", "add", f"{address}/24", "dev", "to-r1")
    runs = [
        (target, {"params": {**QUICK, "protocol": protocol} | _from(target, source[protocol])})
        for (_, protocol), target in wanted.items()
    ]
    return dict(zip(wanted, shared.lab.traces("near", runs), strict=True))


def _from(target: str, source: str) -> dict[str, str]:
    return {} if ":" in target else {"source": source}


def by_protocol(path: Chain, protocols: Sequence[str], user: int | None = None, **params: Any) -> Results:
    """A trace to far by each of the protocols, all at once."""
    runs = [(path.far, {"params": {**QUICK, **params, "protocol": protocol}}) for protocol in protocols]
    results = path.lab.traces("near", runs, user=user)
    return {("far", protocol): result for protocol, result in zip(protocols, results, strict=True)}


def hop(result: PingResult, key: str, number: int) -> dict[str, Any]:
    """The first metric of a key at a hop."""
    return next(
        metric
        for metric in result.document["metrics"]
        if metric["key"] == key and metric["labels"].get("hop") == str(number)
    )


def whole(result: PingResult, key: str) -> Any:
    return next(
        metric["stats"]["value"]
        for metric in result.document["metrics"]
        if metric["key"] == key and set(metric["labels"]) == {"target"}
    )


def ended(result: PingResult) -> tuple[str, str, str, str]:
    error = result.attempt()["error"]
    assert (result.document["sockets_left"], result.document["threads_left"]) == (0, 0)
    return result.attempt()["outcome"], error["class"], error["phase"], error["code"]


def test_a_hop_that_never_answers(path: Chain) -> None:
    """It stands in the path without an address and is no loss on it; what lies behind is measured."""
    silence(path.lab, "r2")
    for result in by_protocol(path, PROTOCOLS).values():
        assert result.attempt()["outcome"] == "success"
        silent = hop(result, "trace_hop_loss_ratio", 2)
        assert (silent["stats"]["value"], silent["labels"].get("address")) == (1.0, None)
        assert silent["method"]["persists_to_end"] is False
        assert hop(result, "trace_hop_rtt_seconds", 2)["nulls"]["stats.median"] == "loss"
        assert hop(result, "trace_hop_rtt_seconds", 3)["labels"]["address"] == path.hops[2]
        assert whole(result, "trace_hop_loss_ratio") == 0
        assert (whole(result, "trace_hops"), whole(result, "trace_paths_distinct")) == (4, 1)


def test_rate_limited_answers_are_not_loss_on_the_path() -> None:
    """Routers that answer six probes at once, then one a second, as Linux does: that doesn't persist."""
    with lab() as made:
        path = chain(made, 3, limited=True)
        params = {**QUICK, "count": 12, "interval": 0.03, "protocol": "icmp"}
        result = made.trace("near", path.far, params=params)
    assert result.attempt()["outcome"] == "success"
    for number in (1, 2, 3):
        loss = hop(result, "trace_hop_loss_ratio", number)
        assert 0 < loss["stats"]["value"] <= 0.6
        assert loss["method"]["persists_to_end"] is False
    assert hop(result, "trace_hop_loss_ratio", 4)["method"]["persists_to_end"] is True
    assert whole(result, "trace_hop_loss_ratio") == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_routing_loop_is_named(shared: Chain, astray: Results, protocol: str) -> None:
    """Two routers that send packets to each other: unreachable, code LOOP, with both addresses."""
    result = astray["LOOP", protocol]
    assert ended(result) == ("failure", "unreachable", "request", "LOOP")
    error = result.attempt()["error"]
    assert shared.hops[1] in error["message"] and shared.hops[2] in error["message"]
    assert "hop 2" in error["message"] and error["remedy"]
    assert whole(result, "trace_reached") is False
    assert whole(result, "trace_hop_loss_ratio") == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", ["!H", "!X", "!N", "!X 6"])
def test_a_router_that_refuses_ends_the_path(
    shared: Chain, astray: Results, case: str, protocol: str
) -> None:
    """The sign is traceroute's, the words name the router; no probe goes beyond it."""
    result = astray[case, protocol]
    assert ended(result) == ("failure", "unreachable", "request", case.removesuffix(" 6"))
    number = REFUSING[case]
    router = (shared.hops6 if case.endswith("6") else shared.hops)[number - 1]
    assert f"{router} at hop {number}" in result.attempt()["error"]["message"]
    assert hop(result, "trace_hop_rtt_seconds", number)["labels"]["address"] == router
    assert not [m for m in result.document["metrics"] if m["labels"].get("hop") == str(number + 1)]
    assert result.attempt()["method"]["refused_at_hop"] == number


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_destination_that_never_answers_is_a_timeout(shared: Chain, astray: Results, protocol: str) -> None:
    """A black hole at hop 3: timeout, the last hop heard of, and one silent hop instead of eight."""
    result = astray["NO_REPLY", protocol]
    assert ended(result) == ("failure", "timeout", "first_byte", "NO_REPLY")
    assert f"{shared.hops[1]} at hop 2" in result.attempt()["error"]["message"]
    assert {m["labels"].get("hop") for m in result.document["metrics"]} == {None, "1", "2", "3"}
    assert whole(result, "trace_hops") is None
    assert whole(result, "trace_hop_loss_ratio") == 1


def test_a_refusal_after_the_timeout_still_says_why(shared: Chain) -> None:
    """The last router needs longer to find nobody than a probe is waited for: lost probes, and `!H`."""
    shared.lab.sysctl("r3", "net.ipv4.neigh.to-far.retrans_time_ms", "200")
    result = shared.lab.trace("near", "10.7.4.99", params={**QUICK, "count": 25})
    assert ended(result) == ("failure", "unreachable", "request", "!H")
    assert f"{shared.hops[2]} at hop 4" in result.attempt()["error"]["message"]
    assert result.attempt()["method"]["late_answers"] >= 1
    assert hop(result, "trace_hop_loss_ratio", 4)["stats"]["value"] > 0
    assert whole(result, "trace_hop_loss_ratio") == 1


def test_forged_answers_count_for_nothing(path: Chain) -> None:
    """Noise, cut quotes, quotes of other payloads and replies from elsewhere change nothing."""
    path.lab.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
    path.lab.sysctl("near", "net.ipv4.conf.all.rp_filter", "0")
    path.lab.forger("r1", "garbage", "to-near")
    results = [
        *by_protocol(path, PROTOCOLS).values(),
        *by_protocol(path, ("icmp", "udp"), user=65534).values(),
    ]
    for result in results:
        assert result.attempt()["outcome"] == "success"
        seen = {m["labels"]["address"] for m in result.document["metrics"] if "address" in m["labels"]}
        assert seen == set(path.hops)
        assert (whole(result, "trace_hops"), whole(result, "trace_hop_loss_ratio")) == (4, 0)
        assert whole(result, "trace_path_changes") == 0


def test_mpls_labels_are_read(path: Chain) -> None:
    """A router that tells its label stack (RFC 4950): it stands at its hop, raw socket or error queue."""
    path.lab.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
    silence(path.lab, "r1")
    path.lab.forger("r1", "mpls", "to-near")
    results = [
        *by_protocol(path, PROTOCOLS, count=2).values(),
        *by_protocol(path, ("icmp", "udp"), user=65534, count=2).values(),
    ]
    for result in results:
        labels = hop(result, "trace_mpls_labels", 1)
        assert labels["stats"]["value"] == "L=16001,E=5,S=0,T=1/L=24,E=0,S=1,T=255"
        assert labels["labels"]["address"] == path.hops[0]


def test_a_router_that_quotes_eight_bytes_is_attributed(path: Chain) -> None:
    """RFC 792 asks for no more. Of ICMP and TCP they hold the number; of UDP they don't, so there it takes a
    window of one probe to be sure, and without it the answer counts for none."""
    silence(path.lab, "r1")
    path.lab.forger("r1", "brief", "to-near")
    results = by_protocol(path, ("icmp", "tcp"))
    alone = by_protocol(path, ("udp",), parallel=1)
    for result in (*results.values(), *alone.values()):
        assert hop(result, "trace_hop_loss_ratio", 1)["labels"].get("address") == path.hops[0]
        assert hop(result, "trace_hop_loss_ratio", 1)["stats"]["value"] == 0
    assert alone["far", "udp"].attempt()["method"]["unattributed"] == 0


def test_the_path_mtu_is_found(path: Chain) -> None:
    """A narrow link: the router's word is a hint; without it the search takes longer, and says so."""
    for node, device in (("r2", "to-r3"), ("r3", "to-r2")):
        path.lab.run(node, "ip", "link", "set", device, "mtu", "1340")
    runs = [
        (target, {"params": {**QUICK, "count": 2, "protocol": protocol, "path_mtu": True}})
        for target in (path.far, path.far6)
        for protocol in PROTOCOLS
    ]
    for silent in (False, True):
        if silent:
            silence(path.lab, "r2")
        for (target, _), result in zip(runs, path.lab.traces("near", runs), strict=True):
            assert whole(result, "path_mtu_bytes") == 1340
            method = result.attempt()["method"]
            router = (path.hops if target == path.far else path.hops6)[1]
            told = (method["mtu_told_by"], method["mtu_black_hole"])
            assert told == ((None, True) if silent else (router, False))
            assert result.document["sockets_left"] == 0


def test_the_path_mtu_by_datagrams_that_are_answered_once_a_second() -> None:
    """An ordinary user without ICMP, everybody limits answers: slow, and right all the same."""
    with lab() as made:
        path = chain(made, 2, limited=True)
        for node, device in (("r1", "to-r2"), ("r2", "to-r1")):
            made.run(node, "ip", "link", "set", device, "mtu", "1340")
        params = {**QUICK, "count": 8, "protocol": "udp", "path_mtu": True}
        result = made.trace("near", path.far, user=65534, params=params)
    assert whole(result, "path_mtu_bytes") == 1340
    assert result.attempt()["method"]["mtu_told_by"] == path.hops[0]


def test_a_path_that_changes_is_counted(path: Chain) -> None:
    """From some cycle on another address answers at hop 2: one change, two paths, both in the result."""
    params = {**QUICK, "count": 30, "protocol": "icmp"}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(path.lab.trace, "near", path.far, params=params)
        deadline = time.monotonic() + 20
        while _answered(path, "r2") < 5:
            assert time.monotonic() < deadline
        path.lab.run("r2", "ip", "address", "add", "10.7.2.9/32", "dev", "lo")
        path.lab.run(*("r2", "ip", "route", "replace", "10.7.1.0/24", "via", "10.7.2.1", "src", "10.7.2.9"))
        result = running.result(timeout=30)
    assert (whole(result, "trace_path_changes"), whole(result, "trace_paths_distinct")) == (1, 2)
    seen = {m["labels"].get("address") for m in result.document["metrics"] if m["labels"].get("hop") == "2"}
    assert seen == {"10.7.2.2", "10.7.2.9"}


def _answered(path: Chain, router: str) -> int:
    """How many ICMP errors a router has sent."""
    names, values = re.findall(r"Icmp: (.*)", path.lab.run(router, "cat", "/proc/net/snmp"))
    return int(dict(zip(names.split(), values.split(), strict=True))["OutTimeExcds"])


def test_without_the_right_it_says_what_to_do(shared: Chain) -> None:
    """No ICMP socket, no raw socket: permission, with its remedy. Who names no protocol gets UDP instead."""
    results = by_protocol(shared, ("icmp", "tcp", "auto"), user=65534)
    for protocol in ("icmp", "tcp"):
        assert ended(results["far", protocol]) == ("invalid", "permission", "connect", "EPERM")
        assert "udp" in results["far", protocol].attempt()["error"]["remedy"]
    result = results["far", "auto"]
    assert result.attempt()["outcome"] == "success"
    assert result.attempt()["method"]["probes"] == "udp"
    assert whole(result, "trace_hops") == 4


def test_cut_short_it_keeps_what_it_has(shared: Chain) -> None:
    """Cancelled at any moment or ended by a limit: no socket stays, what was on its way is no loss, and the
    summary holds."""
    long = {"params": {**QUICK, "count": 100, "interval": 0.1}}
    cuts = [*({"cancel_after": moment} for moment in (0.0, 0.02, 0.5)), {"limit": 0.5}]
    results = shared.lab.traces("near", [(shared.far, {**long, **cut}) for cut in cuts])
    for result in results:
        assert whole(result, "trace_hop_loss_ratio") in (None, 0.0)
    for result in results[:3]:
        assert ended(result)[:2] == ("invalid", "cancelled")
    assert ended(results[3])[:2] == ("failure", "timeout")
    for result in results[2:]:
        assert hop(result, "trace_hop_rtt_seconds", 4)["n_valid"] >= 1
        assert whole(result, "trace_reached") is True


def test_no_route_of_this_machine() -> None:
    """Nothing can be sent: unreachable at once, not after a timeout."""
    with lab() as made:
        made.host("near")
        runs = [
            (target, {"params": {**QUICK, "protocol": protocol}})
            for target in ("192.0.2.1", "2001:db8::1")
            for protocol in PROTOCOLS
        ]
        for result in made.traces("near", runs):
            assert ended(result) == ("failure", "unreachable", "request", "ENETUNREACH")


def test_a_group_is_no_destination_and_the_window_holds(shared: Chain) -> None:
    """A multicast address has no path; `parallel: 1` asks hop by hop, sees the same path, and waits out each
    silent hop; nothing but the first cycle's haste goes beyond the destination."""
    silent = f"192.0.2.{ASTRAY['NO_REPLY'] + 3}"
    short = {"count": 1, "interval": 0.05, "timeout": 0.3, "max_hops": 5}
    group, single, narrow, wide = shared.lab.traces(
        "near",
        [
            ("224.0.0.1", {"params": QUICK}),
            (shared.far, {"params": {**QUICK, "parallel": 1}}),
            (silent, {"params": {**short, "parallel": 1}}),
            (silent, {"params": short}),
        ],
    )
    assert ended(group)[1:] == ("config", "config", "NO_HOST")
    assert whole(single, "trace_hops") == 4
    assert [hop(single, "trace_hop_loss_ratio", number)["n"] for number in (1, 2, 3, 4)] == [4] * 4
    assert single.attempt()["method"]["probes_sent"] == 16
    assert whole(narrow, "trace_duration_seconds") >= 3 * 0.3
    assert whole(wide, "trace_duration_seconds") < 3 * 0.3


FAST = ("--count", "3", "--interval", "50ms", "--timeout", "300ms", "--max-hops", "10", "--json")


def report_of(out: str) -> dict[str, Any]:
    """The one JSON document that was printed, held against the schema of reports."""
    document: dict[str, Any] = json.loads(out)
    schema = json.loads((files("ots.schema") / "report-1.json").read_text("utf-8"))
    jsonschema.validate(document, schema)
    return document


def test_exit_codes_and_reports(shared: Chain, tmp_path: Path) -> None:
    """By the command line: each fault has its exit code and a valid report with what was measured."""
    wanted = {
        (shared.far, "--fail", "loss <= 50 %", "--warn", "rtt max < 300 ms"): (0, "pass", None),
        (f"192.0.2.{ASTRAY['!X'] + 2}",): (1, "fail", "!X"),
        (f"192.0.2.{ASTRAY['NO_REPLY'] + 2}",): (1, "fail", "NO_REPLY"),
        (f"192.0.2.{ASTRAY['LOOP'] + 2}",): (1, "fail", "LOOP"),
        (shared.far, "--interface", "nope0"): (3, "error", "ENODEV"),
    }
    running = [
        (shared.lab.ots("near", tmp_path / str(number), "trace", *arguments, *FAST), expected)
        for number, (arguments, expected) in enumerate(wanted.items())
    ]
    for child, (exit_code, verdict, code) in running:
        out, err = child.communicate(timeout=60)
        assert child.returncode == exit_code, err
        document = report_of(out)
        step = document["steps"][0]
        assert document["verdict"] == verdict
        assert code is None or step["error"]["code"] == code
        assert step["metrics"]


def test_interrupted_it_reports_what_it_has(shared: Chain, tmp_path: Path) -> None:
    """Ctrl-C after some cycles: exit 130, a valid report, hops in it."""
    before = _answered(shared, "r1")
    child = shared.lab.ots(
        "near", tmp_path, "trace", shared.far, "--count", "500", "--interval", "100ms", "--json"
    )
    deadline = time.monotonic() + 30
    while _answered(shared, "r1") < before + 4:
        assert time.monotonic() < deadline
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 130
    step = report_of(out)["steps"][0]
    assert (step["error"]["class"], step["outcome"]) == ("cancelled", "invalid")
    hops = {m["labels"]["hop"] for m in step["metrics"] if "hop" in m["labels"]}
    assert hops == {"1", "2", "3", "4"}
