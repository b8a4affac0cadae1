"""Sweeps that meet silence, refusals, duplicates, lies and an early end. In namespaces: needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.ping_lab import Lab, PingResult, lab

pytestmark = pytest.mark.netns

LIVE = (3, 17, 64, 65, 128, 200, 254)
NETWORK = "10.60.0.0/24"
SWEEP = {"timeout": 0.4, "interval": 0.01, "sweep_count": 1, "sweep_rate": 20_000}


@pytest.fixture
def pair() -> Iterator[Lab]:
    """near 10.9.0.1 -- far 10.9.0.2, behind which seven addresses of 10.60.0.0/24 and fd60::/120 answer."""
    with lab() as made:
        made.host("near")
        made.host("far")
        made.wire("near", "10.9.0.1/24", "far", "10.9.0.2/24")
        made.run("near", "ip", "address", "add", "fd09::1/64", "dev", "to-far")
        made.run("far", "ip", "address", "add", "fd09::2/64", "dev", "to-near")
        for last in LIVE:
            made.run("far", "ip", "route", "add", "local", f"10.60.0.{last}", "dev", "lo")
            made.run("far", "ip", "route", "add", "local", f"fd60::{last:x}", "dev", "lo")
        made.run("near", "ip", "route", "add", "10.60.0.0/16", "via", "10.9.0.2")
        made.run("near", "ip", "route", "add", "fd60::/64", "via", "fd09::2")
        yield made


def up(result: PingResult, target: str = NETWORK) -> list[str]:
    """The addresses that are reported to have answered."""
    samples = result.samples("sweep_rtt_seconds", target)
    return [one["labels"]["host"] for one in samples if one["value"] is not None]


@pytest.mark.parametrize("user", [None, 65534], ids=["raw", "datagram"])
def test_a_sweep_finds_those_that_live_and_no_other(pair: Lab, user: int | None) -> None:
    """Seven of 254, in both families, whatever socket this user may have; two networks in one step."""
    pair.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
    result = pair.ping("near", [NETWORK, "fd60::/120"], user=user, params=SWEEP)
    assert up(result) == [f"10.60.0.{last}" for last in LIVE]
    assert up(result, "fd60::/120") == [f"fd60::{last:x}" for last in LIVE]
    assert result.metric("sweep_hosts_scanned", target=NETWORK)["stats"]["value"] == 254
    assert result.metric("sweep_hosts_scanned", target="fd60::/120")["stats"]["value"] == 255
    method = result.attempt()["method"]
    assert (method["socket"], method["timestamp_source"]) == ("datagram" if user else "raw", "kernel_rx")
    assert result.document["sockets_left"] == 0


@pytest.mark.parametrize("user", [None, 65534], ids=["raw", "datagram"])
def test_refusals_are_booked_on_the_address_they_quote(pair: Lab, user: int | None) -> None:
    """A router says of one address that it can't be reached; of the rest it says nothing."""
    pair.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
    pair.run("far", "ip", "route", "add", "unreachable", "10.60.0.9")
    pair.run("far", "ip", "route", "add", "blackhole", "10.60.0.0/24")
    pair.sysctl("far", "net.ipv4.ip_forward", "1")
    result = pair.ping("near", NETWORK, user=user, params={**SWEEP, "sweep_count": 2})
    table = result.document["artifacts"]["sweep-10.60.0.0-24.csv"].splitlines()
    assert [line for line in table if "unreachable" in line] == ["10.60.0.9,unreachable,"]
    assert result.metric("ping_icmp_errors", type="3", code="1")["stats"]["value"] >= 1
    assert up(result) == [f"10.60.0.{last}" for last in LIVE]


def test_a_route_that_refuses_ends_the_attempt(pair: Lab) -> None:
    """Nothing could be sent: that is no silent network."""
    pair.run("near", "ip", "route", "add", "prohibit", "10.61.0.0/24")
    result = pair.ping("near", "10.61.0.0/28", params=SWEEP)
    assert result.attempt()["error"]["class"] == "unreachable"
    assert not up(result, "10.61.0.0/28")


def test_answers_from_elsewhere_and_to_others_do_not_count(pair: Lab) -> None:
    """Replies cut short, with another cookie, identifier or number, and errors about others: nobody is up."""
    pair.responder("far", "garbage")
    even = pair.ping("near", ["127.0.0.1/32", "10.9.0.0/30"], params=SWEEP)
    assert up(even, "10.9.0.0/30") == ["10.9.0.1"]
    odd = pair.ping("near", "10.9.0.0/30", params=SWEEP)
    assert up(odd, "10.9.0.0/30") == ["10.9.0.1", "10.9.0.2"]


def test_an_error_that_quotes_eight_bytes_is_placed_by_its_sequence_number(pair: Lab) -> None:
    pair.responder("far", "brief")
    result = pair.ping("near", "10.9.0.0/30", params=SWEEP)
    assert result.document["artifacts"]["sweep-10.9.0.0-30.csv"].splitlines()[2] == "10.9.0.2,unreachable,"


def test_duplicates_are_told_and_counted_once(pair: Lab) -> None:
    """The run ends with the last first answer; what comes after that nobody hears."""
    pair.responder("far", "duplicate")
    result = pair.ping("near", "10.9.0.0/30", params={**SWEEP, "sweep_count": 3})
    assert up(result, "10.9.0.0/30") == ["10.9.0.1", "10.9.0.2"]
    assert result.attempt()["method"]["duplicates"] in (2, 3)


def test_cut_short_it_reports_what_it_knows(pair: Lab) -> None:
    """After a second of a slow sweep: the addresses asked early enough to know, and nothing of the rest."""
    params = {"timeout": 0.2, "interval": 0.01, "sweep_count": 1, "sweep_rate": 100}
    result = pair.ping("near", NETWORK, cancel_after=1.0, params=params)
    scanned = result.metric("sweep_hosts_scanned")["stats"]["value"]
    assert 40 <= scanned <= 110
    assert up(result) == [f"10.60.0.{last}" for last in LIVE if last <= scanned]
    assert result.attempt()["method"]["in_flight"] > 0
    assert result.document["sockets_left"] == 0
    assert result.document["threads_left"] == 0


_EVERYBODY, _NOBODY = "0 2147483647", "1 0"


@pytest.mark.parametrize(
    ("user", "groups", "kind"),
    [(None, _EVERYBODY, "datagram"), (None, _NOBODY, "raw"), (65534, _EVERYBODY, "datagram")],
)
def test_a_large_one_in_several_threads(pair: Lab, user: int | None, groups: str, kind: str) -> None:
    """Both families, as fast as it goes, of which seven answer; and cut short: no thread or socket stays."""
    pair.sysctl("near", "net.ipv4.ping_group_range", groups)
    pair.run("near", "ip", "-6", "route", "add", "local", "fd61::/114", "dev", "lo")
    fast = {"timeout": 0.5, "interval": 0.01, "sweep_count": 1, "sweep_rate": 1_000_000}
    networks = ["10.60.0.0/18", "fd61::/114"]
    result = pair.ping("near", networks, user=user, params=fast)
    assert up(result, "10.60.0.0/18") == [f"10.60.0.{last}" for last in LIVE]
    assert result.metric("sweep_hosts_up", target="fd61::/114")["stats"]["value"] == 16_383
    threads = min(4, len(os.sched_getaffinity(0)))
    method = result.attempt("fd61::/114")["method"]
    assert (method["threads"], method["socket"]) == (threads, kind)
    assert method["timestamp_source"] == "kernel_rx"
    slow = {**fast, "sweep_count": 100, "sweep_rate": 50_000}
    short = pair.ping("near", networks, user=user, cancel_after=0.7, params=slow)
    assert short.attempt("fd61::/114")["method"]["threads"] == threads
    scanned = short.metric("sweep_hosts_scanned", target="10.60.0.0/18")["stats"]["value"]
    assert 0 < scanned < 16_382
    assert (short.document["sockets_left"], short.document["threads_left"]) == (0, 0)
