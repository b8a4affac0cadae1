"""Trace over a routed chain: hops, round trips, loss and path MTU as built, and as mtr and traceroute say."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.peers.require import require
from tests.ping_lab import PingResult, lab
from tests.trace_lab import Chain, Slow, chain

pytestmark = pytest.mark.netns

AS_BUILT = {1: 0.0, 2: 0.010, 3: 0.010, 4: 0.030, 5: 0.030}
"""Seconds of delay on the way to each hop and back."""

ABOVE_AS_BUILT = {"min": 0.002, "median": 0.008}
"""How far a figure may lie above what was built: the emulated links share two busy processors."""

AGREEMENT = 0.002
"""How far the smallest round trips may differ from mtr's and traceroute's."""

QUICK = {"interval": 0.05, "timeout": 1.0, "max_hops": 12}
PROTOCOLS = ("icmp", "udp", "tcp")


@pytest.fixture(scope="module")
def path() -> Iterator[Chain]:
    """Six namespaces, five hops: 5 ms each way before hop 2, 10 ms before hop 4."""
    with lab() as made:
        built = chain(made, 4, slow={2: Slow(0.005), 4: Slow(0.010)})
        made.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
        yield built


def round_trips(result: PingResult, stat: str = "min") -> dict[int, float]:
    return {
        int(metric["labels"]["hop"]): metric["stats"][stat]
        for metric in result.document["metrics"]
        if metric["key"] == "trace_hop_rtt_seconds" and "hop" in metric["labels"]
    }


def addresses(result: PingResult) -> list[str]:
    found = {
        int(metric["labels"]["hop"]): metric["labels"].get("address", "")
        for metric in result.document["metrics"]
        if metric["key"] == "trace_hop_loss_ratio" and "hop" in metric["labels"]
    }
    return [found[hop] for hop in sorted(found)]


def value(result: PingResult, key: str) -> object:
    """A figure of the whole path."""
    (found,) = [
        metric
        for metric in result.document["metrics"]
        if metric["key"] == key and set(metric["labels"]) == {"target"}
    ]
    return found["stats"]["value"]


def assert_as_built(result: PingResult, hops: list[str]) -> None:
    assert result.attempt()["outcome"] == "success", result.attempt()["error"]
    assert addresses(result) == hops
    for stat, tolerance in ABOVE_AS_BUILT.items():
        found = round_trips(result, stat)
        for hop, seconds in AS_BUILT.items():
            assert seconds <= found[hop] < seconds + tolerance, (stat, hop, found)
    assert value(result, "trace_hops") == 5
    assert value(result, "trace_reached") is True
    assert value(result, "trace_hop_loss_ratio") == 0
    assert (value(result, "trace_path_changes"), value(result, "trace_paths_distinct")) == (0, 1)
    assert value(result, "trace_rtt_jump_hop") == 4
    assert result.attempt()["method"]["timestamp_source"] == "kernel_rx"
    assert (result.document["sockets_left"], result.document["threads_left"]) == (0, 0)


def test_hops_and_round_trips_are_as_built(path: Chain) -> None:
    """Each protocol sees the same five hops, each as far away as it is, in IPv4 and IPv6."""
    runs = [
        (target, {"params": {**QUICK, "count": 5, "protocol": protocol}})
        for target in (path.far, path.far6)
        for protocol in PROTOCOLS
    ]
    for (target, _), result in zip(runs, path.lab.traces("near", runs), strict=True):
        assert_as_built(result, path.hops if target == path.far else path.hops6)


def test_an_ordinary_user_sees_the_same(path: Chain) -> None:
    """Without any right: by a datagram ICMP socket or UDP, errors come through the error queue, stamped."""
    runs = [
        (target, {"params": {**QUICK, "count": 3, "protocol": protocol, "path_mtu": True}})
        for target in (path.far, path.far6)
        for protocol in ("icmp", "udp")
    ]
    for (target, _), result in zip(runs, path.lab.traces("near", runs, user=65534), strict=True):
        assert_as_built(result, path.hops if target == path.far else path.hops6)
        assert result.attempt()["method"]["socket"] == "datagram"
        assert value(result, "path_mtu_bytes") == 1500


def test_all_probes_of_a_trace_are_one_flow(path: Chain) -> None:
    """What routers choose a path by is the same in every probe that arrives: addresses, ports, traffic class,
    flow label; of ICMP checksum and identifier. It is another one in the next trace."""
    reader = path.lab.flow_reader("far", "to-r4")
    runs = [
        (target, {"params": {**QUICK, "count": 3, "protocol": protocol, "dscp": 10}})
        for target in (path.far, path.far6)
        for protocol in PROTOCOLS
    ]
    for _ in range(2):
        path.lab.traces("near", runs)
    reader.kill()
    assert reader.stdout is not None
    flows: dict[str, Counter[str]] = {}
    for line in reader.stdout:
        protocol, _, flow = line.strip().partition(" ")
        family = "4" if len(flow.split()[0]) == 18 else "6"
        if protocol != "58" or flow.split()[1].startswith("80"):
            flows.setdefault(f"{protocol}/{family}", Counter())[flow] += 1
    assert flows.keys() == {"1/4", "6/4", "17/4", "58/6", "6/6", "17/6"}
    for kind, seen in flows.items():
        # A reset is the kernel's answer to the SYN-ACK, with the same addresses and ports.
        assert len(seen) == 2 or (kind == "6/6" and len(seen) <= 4), (kind, seen)
        assert min(seen.values()) >= 3, (kind, seen)


def test_parallel_links_are_one_path_for_a_flow_and_two_for_several() -> None:
    """A router that spreads flows over two links: each trace sees one of them, cycle after cycle, and sixteen
    flows see both, without a change in any."""
    with lab() as made:
        path = chain(made, 2)
        made.sysctl("r1", "net.ipv4.fib_multipath_hash_policy", "1")
        spread_over_two(path)
        runs = [
            (path.far, {"params": {**QUICK, "count": 16, "protocol": protocol, "flows": flows}})
            for protocol in ("udp", "tcp")
            for flows in (1, 16)
        ]
        single, several, single_tcp, several_tcp = made.traces("near", runs)
    for result in (single, single_tcp):
        assert (value(result, "trace_paths_distinct"), value(result, "trace_path_changes")) == (1, 0)
        assert len(addresses_at(result, 2)) == 1
    for result in (several, several_tcp):
        assert (value(result, "trace_paths_distinct"), value(result, "trace_path_changes")) == (2, 0)
        assert addresses_at(result, 2) == {"10.7.2.2", "10.7.9.2"}


def spread_over_two(path: Chain) -> None:
    """A second link between r1 and r2; r1 uses both, r2 answers on each with its own address."""
    made = path.lab
    made.run(
        "r1",
        "ip",
        "link",
        "add",
        "second",
        "type",
        "veth",
        "peer",
        "name",
        "other",
        "netns",
        f"{made.prefix}r2",
    )
    for node, device, address in (("r1", "second", "10.7.9.1"), ("r2", "other", "10.7.9.2")):
        made.run(node, "ip", "address", "add", f"{address}/24", "dev", device)
        made.run(node, "ip", "link", "set", device, "up")
    made.sysctl("r2", "net.ipv4.icmp_errors_use_inbound_ifaddr", "1")
    made.run(
        *("r1", "ip", "route", "replace", "10.7.3.0/24", "nexthop", "via", "10.7.2.2"),
        *("nexthop", "via", "10.7.9.2"),
    )


def addresses_at(result: PingResult, hop: int) -> set[str]:
    return {
        metric["labels"]["address"]
        for metric in result.document["metrics"]
        if metric["key"] == "trace_hop_rtt_seconds" and metric["labels"].get("hop") == str(hop)
    }


def test_agrees_with_mtr(path: Chain) -> None:
    """Same hops, no loss, smallest round trips within 2 ms of mtr's."""
    said = path.lab.run(
        "near", require("mtr"), "-n", "-c", "10", "-i", "0.1", "-G", "1", "-Z", "1", "--json", path.far
    )
    theirs = {int(hub["count"]): hub for hub in json.loads(said)["report"]["hubs"]}
    ours = path.lab.trace("near", path.far, params={**QUICK, "count": 10, "protocol": "icmp"})
    assert addresses(ours) == [theirs[hop]["host"] for hop in sorted(theirs)]
    for hop, seconds in round_trips(ours).items():
        assert abs(seconds - theirs[hop]["Best"] / 1e3) < AGREEMENT, (hop, seconds, theirs[hop])
        assert theirs[hop]["Loss%"] == 0


def test_agrees_with_traceroute(path: Chain) -> None:
    """Same hops by each protocol, smallest round trips within 2 ms of traceroute's."""
    runs = [(path.far, {"params": {**QUICK, "count": 5, "protocol": protocol}}) for protocol in PROTOCOLS]
    results = path.lab.traces("near", runs)
    for ours, option in zip(results, ("-I", "-U", "-T"), strict=True):
        theirs = by_traceroute(path, option)
        assert addresses(ours) == [theirs[hop][0] for hop in sorted(theirs)]
        for hop, seconds in round_trips(ours).items():
            assert abs(seconds - theirs[hop][1]) < AGREEMENT, (option, hop, seconds, theirs[hop])


def by_traceroute(path: Chain, option: str) -> dict[int, tuple[str, float]]:
    """Address and smallest round trip of each hop as traceroute says."""
    said = path.lab.run(
        "near", require("traceroute"), "-n", option, "-N", "1", "-q", "5", "-w", "1", path.far
    )
    found = {}
    for line in said.splitlines()[1:]:
        hop, address, *rest = line.split()
        times = [float(number) / 1e3 for number in re.findall(r"([0-9.]+) ms", " ".join(rest))]
        found[int(hop)] = (address, min(times))
    return found


def test_loss_is_as_built_and_as_mtr_says() -> None:
    """Every fifth packet lost before the last hop but one: 20 % there and behind, nothing before."""
    with lab() as made:
        path = chain(made, 2, slow={2: Slow(0.001, lose=5)})
        ours = made.trace("near", path.far, params={**QUICK, "count": 20, "timeout": 0.2})
        said = made.run(
            "near", require("mtr"), "-n", "-c", "20", "-i", "0.05", "-G", "1", "-Z", "1", "--json", path.far
        )
    theirs = {int(hub["count"]): hub["Loss%"] / 100 for hub in json.loads(said)["report"]["hubs"]}
    losses = {
        int(metric["labels"].get("hop", 0)): metric["stats"]["value"]
        for metric in ours.document["metrics"]
        if metric["key"] == "trace_hop_loss_ratio"
    }
    assert losses[1] == 0 and theirs[1] == 0
    # Packets to both hops pass the link in turns: which of them is a fifth one may slip by one of 20.
    for hop in (2, 3):
        assert losses[hop] == pytest.approx(0.2, abs=0.051)
        assert losses[hop] == pytest.approx(theirs[hop], abs=0.101)
    assert losses[2] + losses[3] == pytest.approx(0.4, abs=0.051)
    assert losses[0] == losses[3]
