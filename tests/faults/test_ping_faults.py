"""Ping when the network, the answering side or this machine is not as it should be."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.require import require
from tests.ping_lab import Lab, lab

pytestmark = pytest.mark.netns

QUICK = {"count": 5, "interval": 0.02, "timeout": 0.3}


@pytest.fixture
def pair() -> Iterator[Lab]:
    """Two hosts on one wire: near 10.9.0.1, far 10.9.0.2, and the same in IPv6."""
    with lab() as made:
        made.host("near")
        made.host("far")
        made.wire("near", "10.9.0.1/24", "far", "10.9.0.2/24")
        made.run("near", "ip", "address", "add", "fd09::1/64", "dev", "to-far")
        made.run("far", "ip", "address", "add", "fd09::2/64", "dev", "to-near")
        yield made


@pytest.fixture
def chain() -> Iterator[Lab]:
    """near 10.9.0.1 - router - far 10.9.1.2."""
    with lab() as made:
        made.host("near")
        made.host("router", forward=True)
        made.host("far")
        made.wire("near", "10.9.0.1/24", "router", "10.9.0.254/24")
        made.wire("router", "10.9.1.254/24", "far", "10.9.1.2/24")
        made.run("near", "ip", "route", "add", "default", "via", "10.9.0.254")
        made.run("far", "ip", "route", "add", "default", "via", "10.9.1.254")
        yield made


def test_a_silent_host_is_a_loss_and_does_not_stop_the_others(pair: Lab) -> None:
    """Requests that nobody answers are lost samples, and the attempt fails with class loss."""
    pair.responder("far", "silent")
    result = pair.ping("near", ["10.9.0.2", "127.0.0.1"], params=QUICK)
    silent = result.attempt("10.9.0.2")
    assert (silent["outcome"], silent["error"]["class"], silent["error"]["phase"]) == (
        "failure",
        "loss",
        "first_byte",
    )
    assert [one["why"] for one in result.samples("ping_rtt_seconds", "10.9.0.2")] == ["loss"] * 5
    assert result.metric("ping_packet_loss_ratio", target="10.9.0.2")["stats"]["value"] == 1.0
    assert result.metric("ping_loss_burst_packets", target="10.9.0.2")["stats"]["max"] == 5
    assert result.attempt("127.0.0.1")["outcome"] == "success"
    assert result.metric("ping_reachability_ratio")["stats"]["value"] == 0.5


def test_no_neighbour_is_unreachable_with_the_kernels_word(pair: Lab) -> None:
    """An address that nobody has: the kernel says host unreachable after its three seconds of asking."""
    result = pair.ping("near", "10.9.0.77", params={"count": 5, "interval": 0.1, "timeout": 4.0})
    error = result.attempt()["error"]
    assert (error["class"], error["code"]) == ("unreachable", "ICMP 3/1")
    assert result.metric("ping_icmp_errors", type="3", code="1")["stats"]["value"] == 5
    assert {one["why"] for one in result.samples("ping_rtt_seconds")} == {"unreachable"}


def test_no_route_is_unreachable_at_once(pair: Lab) -> None:
    """Without a route the kernel refuses to send; that is a result, and it comes without waiting."""
    began = time.monotonic()
    result = pair.ping("near", ["192.0.2.1", "2001:db8::1"], params={**QUICK, "timeout": 5.0})
    assert time.monotonic() - began < 4
    for target in ("192.0.2.1", "2001:db8::1"):
        assert (result.attempt(target)["error"]["class"], result.attempt(target)["error"]["code"]) == (
            "unreachable",
            "ENETUNREACH",
        )


def test_a_router_that_refuses_is_named(chain: Lab) -> None:
    """ICMP errors of a router are counted by type and code, and the attempt fails with their words."""
    chain.run("router", "ip", "route", "add", "prohibit", "192.0.2.0/24")
    result = chain.ping("near", "192.0.2.1", params=QUICK)
    error = result.attempt()["error"]
    assert (error["class"], error["code"]) == ("unreachable", "ICMP 3/13")
    assert "10.9.0.254" in error["message"]
    assert result.metric("ping_icmp_errors", type="3", code="13")["stats"]["value"] >= 1


@pytest.mark.parametrize("kind", ["raw", "datagram", "system"])
def test_ttl_runs_out_on_the_way(chain: Lab, kind: str) -> None:
    """With TTL 1 the router answers time exceeded, whichever socket sent the request; TTL 2 gets through."""
    chain.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
    chain.sysctl("router", "net.ipv4.icmp_ratelimit", "0")
    short = chain.ping("near", "10.9.1.2", params={**QUICK, "ttl": 1, "socket": kind})
    assert short.attempt()["error"]["code"] == "ICMP 11/0"
    assert short.metric("ping_icmp_errors", type="11", code="0")["stats"]["value"] == 5
    enough = chain.ping("near", "10.9.1.2", params={**QUICK, "ttl": 2, "socket": kind})
    assert enough.attempt()["outcome"] == "success"
    assert enough.metric("ping_ttl_hops")["stats"]["mode"] == 63
    assert enough.attempt()["method"]["socket"] == kind


def test_duplicates_are_counted_and_change_nothing(pair: Lab) -> None:
    """A second reply to a request counts as duplicate, not as a reply."""
    pair.responder("far", "duplicate")
    result = pair.ping("near", "10.9.0.2", params=QUICK)
    assert result.metric("ping_duplicates")["stats"]["value"] in (4, 5)
    assert result.metric("ping_replies_received")["stats"]["value"] == 5
    assert result.metric("ping_packet_loss_ratio")["stats"]["value"] == 0.0


def test_reordered_replies_are_seen(pair: Lab) -> None:
    """Replies sent back in pairs, the later first: every second one is reordered."""
    pair.responder("far", "reorder")
    result = pair.ping("near", "10.9.0.2", params={**QUICK, "count": 10})
    assert result.metric("ping_reordered_ratio")["stats"]["value"] == 0.5
    assert result.metric("ping_replies_received")["stats"]["value"] == 10


def test_garbage_is_no_reply(pair: Lab) -> None:
    """Wrong cookie, identifier or sequence, cut packets and errors that quote nonsense count for nothing."""
    pair.responder("far", "garbage")
    result = pair.ping("near", "10.9.0.2", params={**QUICK, "count": 10})
    assert result.metric("ping_replies_received")["stats"]["value"] == 5
    assert result.metric("ping_packet_loss_ratio")["stats"]["value"] == 0.5
    assert result.metric("ping_duplicates")["stats"]["value"] == 0
    assert not [one for one in result.document["metrics"] if one["key"] == "ping_icmp_errors"]


def test_a_reply_from_another_address_is_no_reply(pair: Lab) -> None:
    """The source must be the address that was asked."""
    pair.run("far", "ip", "address", "add", "10.9.0.9/24", "dev", "to-near")
    pair.responder("far", "duplicate", "10.9.0.9")
    result = pair.ping("near", "10.9.0.2", params=QUICK)
    assert result.attempt()["error"]["class"] == "loss"


def test_an_error_that_quotes_only_eight_bytes_is_attributed(pair: Lab) -> None:
    """RFC 792 routers quote no payload: identifier and sequence number tell whose request it was."""
    pair.responder("far", "brief")
    result = pair.ping("near", "10.9.0.2", params=QUICK)
    assert result.attempt()["error"]["code"] == "ICMP 3/13"
    assert result.metric("ping_icmp_errors", type="3", code="13")["stats"]["value"] == 5


def test_a_late_reply_is_a_loss_and_is_told(pair: Lab) -> None:
    """A reply after the timeout never counts, but the method says that there were some and how late."""
    pair.responder("far", "late")
    result = pair.ping("near", "10.9.0.2", params={"count": 2, "interval": 0.5, "timeout": 0.3})
    assert result.attempt()["error"]["class"] == "loss"
    assert result.attempt()["method"]["late_replies"] >= 1
    assert 0.4 <= result.attempt()["method"]["late_longest_seconds"] < 2


def test_df_with_a_packet_larger_than_the_link(pair: Lab) -> None:
    """With DF a packet above the MTU is refused by the kernel; without, it is cut up and arrives."""
    whole = pair.ping("near", "10.9.0.2", params={**QUICK, "size": 3000, "df": True})
    assert (whole.attempt()["error"]["class"], whole.attempt()["error"]["code"]) == (
        "unreachable",
        "EMSGSIZE",
    )
    cut = pair.ping("near", "10.9.0.2", params={**QUICK, "size": 3000, "df": False})
    assert cut.attempt()["outcome"] == "success"


@pytest.mark.parametrize(("df", "dscp", "ttl"), [(True, 46, 7), (False, 0, 64), (False, 10, 255)])
def test_header_bits_are_what_was_asked(pair: Lab, df: bool, dscp: int, ttl: int) -> None:
    """DF, DSCP and TTL are read from the header of the packet as it arrived at the other end."""
    pair.responder("far", "headers")
    params = {**QUICK, "count": 1, "df": df, "dscp": dscp, "ttl": ttl}
    assert pair.ping("near", "10.9.0.2", params=params).attempt()["outcome"] == "success"
    stdout = pair.children[0].stdout
    assert stdout is not None
    header = bytes.fromhex(stdout.readline())
    assert bool(header[6] & 0x40) is df
    assert header[1] >> 2 == dscp
    assert header[8] == ttl


@pytest.mark.parametrize("kind", ["auto", "datagram"])
def test_an_ordinary_user_with_a_datagram_socket(pair: Lab, kind: str) -> None:
    """Where ping_group_range allows it, a user without any right measures, with kernel stamps, 4 and 6."""
    pair.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
    result = pair.ping("near", ["10.9.0.2", "fd09::2"], user=65534, params={**QUICK, "socket": kind})
    for target in ("10.9.0.2", "fd09::2"):
        attempt = result.attempt(target)
        assert attempt["outcome"] == "success"
        assert attempt["method"]["socket"] == "datagram"
        assert attempt["method"]["timestamp_source"] == "kernel"
        assert result.metric("ping_ttl_hops", target=target)["stats"]["mode"] == 64


def test_a_datagram_socket_gets_its_icmp_errors(chain: Lab) -> None:
    """Errors of a router reach an unprivileged socket through its error queue."""
    chain.sysctl("near", "net.ipv4.ping_group_range", "0 2147483647")
    chain.run("router", "ip", "route", "add", "unreachable", "192.0.2.0/24")
    result = chain.ping("near", "192.0.2.1", user=65534, params={**QUICK, "socket": "datagram"})
    assert result.attempt()["error"]["code"] == "ICMP 3/1"
    assert "10.9.0.254" in result.attempt()["error"]["message"]


@pytest.mark.parametrize("kind", ["raw", "datagram"])
def test_a_socket_without_the_right_is_a_permission_error_with_its_remedy(pair: Lab, kind: str) -> None:
    """A kind of socket that was asked for and is not allowed makes the attempt invalid, with what to do."""
    result = pair.ping("near", "10.9.0.2", user=65534, params={**QUICK, "socket": kind})
    error = result.attempt()["error"]
    assert (result.attempt()["outcome"], error["class"]) == ("invalid", "permission")
    assert "ping_group_range" in error["remedy"]
    assert result.document["sockets_left"] == 0


def test_no_right_and_no_program_is_a_missing_requirement(pair: Lab) -> None:
    """With neither socket nor ping program the requirement says so; with a program it is satisfied."""
    code = "from ots.probes.ping import Ping; print(Ping.requires[0].missing())"
    user = [require("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]
    bare = pair.run("near", *user, sys.executable, "-c", code, path="/nonexistent")
    assert bare.strip() == "no right to open an ICMP socket, and no ping program"
    assert pair.run("near", *user, sys.executable, "-c", code).strip() == "None"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may read too."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_ping_program_without_rights_is_as_good_as_none(pair: Lab, open_folder: Path) -> None:
    """The requirement says so before anything runs; asked for all the same, it is a missing right."""
    copy = shutil.copy(require("ping"), open_folder / "ping")
    code = "from ots.probes.ping import Ping; print(Ping.requires[0].missing())"
    user = [require("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    said = pair.run("near", *user, sys.executable, "-c", code, path=str(open_folder))
    assert said.strip() == f"no right to open an ICMP socket, and {copy} has none either"
    result = pair.ping(
        "near", "10.9.0.2", user=65534, path=str(open_folder), params={**QUICK, "socket": "system"}
    )
    error = result.attempt()["error"]
    assert (error["class"], error["code"]) == ("permission", "EPERM")
    assert "ping_group_range" in error["remedy"]


def test_without_a_way_the_program_says_unreachable_too(pair: Lab) -> None:
    """No route is an outage by whatever way ping sends, never a lack of this machine."""
    result = pair.ping("near", "203.0.113.1", params={**QUICK, "socket": "system"})
    error = result.attempt()["error"]
    assert (result.attempt()["outcome"], error["class"], error["code"]) == (
        "failure",
        "unreachable",
        "ENETUNREACH",
    )


def test_cancelled_in_the_middle_it_keeps_what_it_has(pair: Lab) -> None:
    """Cancelled, it leaves no socket and no thread, keeps the samples, and what is on its way is not lost."""
    pair.responder("far", "silent")
    result = pair.ping(
        "near",
        ["127.0.0.1", "10.9.0.2"],
        cancel_after=0.5,
        params={"count": 1000, "interval": 0.02, "timeout": 0.2},
    )
    assert result.document["sockets_left"] == 0
    assert result.document["threads_left"] == 0
    assert result.attempt("127.0.0.1")["error"]["class"] == "cancelled"
    replies = result.samples("ping_rtt_seconds", "127.0.0.1")
    assert 10 <= len(replies) <= 30
    assert all(one["value"] is not None for one in replies)
    lost = result.samples("ping_rtt_seconds", "10.9.0.2")
    assert {one["why"] for one in lost} == {"loss"}
    assert result.attempt("10.9.0.2")["method"]["in_flight"] > 0


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("kind", ["raw", "system"])
def test_cancelled_at_any_moment_nothing_stays(pair: Lab, kind: str, moment: float) -> None:
    """Before the first packet, at it, or later: no socket, no process, and a summary that holds."""
    result = pair.ping(
        "near",
        ["10.9.0.2", "127.0.0.1"],
        cancel_after=moment,
        params={"count": 1000, "interval": 0.02, "timeout": 0.2, "socket": kind},
    )
    assert {attempt["error"]["class"] for attempt in result.document["attempts"]} == {"cancelled"}
    assert result.document["sockets_left"] == 0
    assert result.document["children_left"] == 0
    loss = result.metric("ping_packet_loss_ratio", target="10.9.0.2")
    assert loss["stats"]["value"] in (None, 0.0)


def test_a_ping_program_without_rights_is_a_permission_error(pair: Lab) -> None:
    """Nothing may open a socket, not even the program: the attempt is invalid and says what to do."""
    result = pair.ping("near", "10.9.0.2", user=65534, params=QUICK)
    assert result.attempt()["method"]["socket"] == "system"
    error = result.attempt()["error"]
    assert (result.attempt()["outcome"], error["class"], error["code"]) == ("invalid", "permission", "EPERM")
    assert error["remedy"]


@pytest.mark.parametrize("kind", ["raw", "system"])
def test_a_time_limit_ends_it_as_a_timeout(pair: Lab, kind: str) -> None:
    """The engine's time limit ends the run; nothing of it stays behind."""
    result = pair.ping(
        "near", "127.0.0.1", limit=0.5, params={"count": 1000, "interval": 0.02, "socket": kind}
    )
    assert result.attempt()["error"]["class"] == "timeout"
    assert len(result.samples("ping_rtt_seconds")) >= 10
    assert result.document["sockets_left"] == 0


def test_a_network_is_swept(pair: Lab) -> None:
    """Of 14 addresses two are up; network and broadcast address are not asked."""
    result = pair.ping("near", "10.9.0.0/28", params={"timeout": 0.3, "interval": 0.05, "sweep_rate": 500})
    values = {
        key: result.metric(f"sweep_{key}")["stats"]["value"]
        for key in ("hosts_scanned", "hosts_up", "up_ratio", "duration_seconds")
    }
    assert (values["hosts_scanned"], values["hosts_up"]) == (14, 2)
    assert values["up_ratio"] == pytest.approx(2 / 14)
    assert 0.3 <= values["duration_seconds"] < 1.0
    up = [one["labels"]["host"] for one in result.samples("sweep_rtt_seconds") if one["value"] is not None]
    assert up == ["10.9.0.1", "10.9.0.2"]
    table = result.document["artifacts"]["sweep-10.9.0.0-28.csv"].splitlines()
    assert table[0] == "address,state,rtt_seconds"
    assert len(table) == 15
    assert result.attempt()["outcome"] == "success"


def test_bound_to_an_interface_and_a_source(pair: Lab) -> None:
    """The other end sees the source address asked for; an interface that can't reach it loses everything."""
    pair.run("near", "ip", "address", "add", "10.9.0.5/24", "dev", "to-far")
    pair.responder("far", "headers")
    result = pair.ping(
        "near", "10.9.0.2", params={**QUICK, "count": 1, "source": "10.9.0.5", "interface": "to-far"}
    )
    assert result.attempt()["outcome"] == "success"
    stdout = pair.children[0].stdout
    assert stdout is not None
    assert bytes.fromhex(stdout.readline())[12:16] == bytes([10, 9, 0, 5])
    astray = pair.ping("near", "10.9.0.2", params={**QUICK, "interface": "lo"})
    assert astray.attempt()["outcome"] == "failure"
    unknown = pair.ping("near", "10.9.0.2", params={**QUICK, "interface": "nope0"})
    assert (unknown.attempt()["outcome"], unknown.attempt()["error"]["class"]) == ("invalid", "config")


@pytest.mark.parametrize("rule", ["blackhole", "prohibit", "unreachable"])
def test_a_local_route_that_refuses(pair: Lab, rule: str) -> None:
    """A refusing route of this machine is class unreachable, whatever errno the kernel chose for it."""
    pair.run("near", "ip", "route", "add", rule, "192.0.2.0/24")
    result = pair.ping("near", "192.0.2.1", params=QUICK)
    assert result.attempt()["error"]["class"] == "unreachable"
