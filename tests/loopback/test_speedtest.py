"""speedtest against real servers on this machine: is what it says what happened?"""

from __future__ import annotations

from typing import Any, Literal

import psutil
import pytest

from ots.probes.speedtest import Speedtest
from ots.server.peers import slots
from ots.server.peers.process import Peers
from tests.peers.nginx import Nginx
from tests.recording import Recording, record
from tests.slot_server import slot_server
from tests.speed_servers import Foreign, foreign

PROBE = Speedtest()

BRIEF: dict[str, Any] = {"duration": 1.0, "count": 3, "interval": 0.0}

UNREAD = 16 * (6 << 20)
"""What the server's kernel may have acknowledged and its application not read when the load is cut off."""


async def measure(target: str, **params: Any) -> Recording:
    return await record(PROBE, target, {**BRIEF, **params})


def failure(recording: Recording) -> tuple[str, str, str]:
    error = recording.only.error
    assert error is not None
    return error.class_, error.phase, error.code


@pytest.mark.slow
async def test_our_own_test_server_is_measured_both_ways(peers: Peers) -> None:
    """Our own peer: both directions, at the server's own count of the upload, and the method of each."""
    made = await measure(f"{peers.url}/", count=20)
    assert made.only.error is None
    for key in ("speed_download_bits_per_second", "speed_upload_bits_per_second"):
        assert made.metric(key).stats["median"]
    rtts = made.only.values("speed_idle_rtt_seconds")
    assert len(rtts) == 20 and all(0 < float(rtt or 0) < 1 for rtt in rtts)
    up = made.metric("speed_upload_bits_per_second").method
    assert up["counted_at"] == "peer" and up["protocol"] == "ots" and up["stop_reason"] == "duration"
    assert up["slot"] is True and up["speed_method"] == "steady_mean" and up["warmup"] == "auto"
    for direction in ("down", "up"):
        used = made.metric("speed_bytes_used", direction=direction)
        assert isinstance(used.stats["value"], int) and used.stats["value"] > 1_000_000
        assert made.metric("speed_confidence", direction=direction).stats["value"] in (
            "low",
            "medium",
            "high",
        )
    assert made.data.received_bytes >= 1_000_000 and made.data.sent_bytes >= 1_000_000


@pytest.mark.parametrize(("direction", "other"), [("down", "upload"), ("up", "download")])
async def test_one_direction_alone(peers: Peers, direction: str, other: str) -> None:
    """The other one has no figure at all, not even an empty one."""
    made = await measure(f"{peers.url}/", directions=direction, connections=2)
    assert made.only.error is None
    assert not [metric.key for metric in made.metrics() if other in metric.key]
    assert made.metric("speed_connections_used", direction=direction).stats["value"] == 2


async def test_a_place_is_taken_shown_and_given_back() -> None:
    """Every transfer of the test carries the token, else the only place would be taken; nobody holds it
    afterwards."""
    async with slot_server() as server:
        made = await measure(server.url, connections=2)
        assert server.free == 1
    assert made.only.error is None
    assert made.only.method["slot"] is True and made.only.method["server_name"] == "test"


async def test_a_busy_server_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it asks, within the limit."""
    monkeypatch.setattr(slots, "_GRACE", 0.0)
    async with slot_server() as server:
        server.occupy(1.0)
        made = await measure(server.url, directions="down")
    assert made.only.error is None
    assert 0.9 <= float(made.only.method["slot_wait"] or 0) < 3


async def test_a_server_that_stays_busy_is_no_result() -> None:
    """It asks for more patience than there is: rejected, BUSY, and no rate at all."""
    async with slot_server() as server:
        server.occupy(30.0)
        made = await measure(server.url, busy_wait=0.2)
    assert failure(made) == ("rejected", "request", "BUSY")
    assert not made.metrics()


async def test_a_cancelled_test_gives_its_place_back() -> None:
    """Ctrl-C in the middle of the load: what was measured is kept, and the place is free."""
    async with slot_server() as server:
        made = await record(PROBE, server.url, {**BRIEF, "duration": 30.0}, cancel_after=1.5)
        assert server.free == 1 and made.only.method["slot"] is True
    assert failure(made)[0] == "cancelled"
    down = made.metric("speed_download_bits_per_second")
    assert down.stats["median"] and down.method["stop_reason"] == "cancelled"


async def test_the_data_budget_ends_it_with_what_was_measured(peers: Peers) -> None:
    """400 MB are gone in the middle of the download: its rate stands, and nothing is uploaded."""
    made = await record(PROBE, f"{peers.url}/", {**BRIEF, "duration": 30.0}, max_bytes=400_000_000)
    assert failure(made)[0] == "resource"
    assert made.metric("speed_download_bits_per_second").method["stop_reason"] == "data_budget"
    assert made.data.sent_bytes == 0
    assert made.data.received_bytes < 600_000_000


async def test_a_server_that_only_has_files_is_no_speed_test(nginx: Nginx) -> None:
    """It answers, but speaks none of the protocols: skipped as unsupported, with a remedy."""
    made = await measure(f"{nginx.url}/")
    assert failure(made) == ("unsupported", "first_byte", "UNKNOWN_PROTOCOL")
    assert made.only.outcome == "skipped" and not made.metrics()


async def test_a_closed_port_is_refused(unused_tcp_port: int) -> None:
    """No server, no figure."""
    made = await measure(f"http://127.0.0.1:{unused_tcp_port}/")
    assert failure(made) == ("refused", "connect", "ECONNREFUSED")
    assert not made.metrics()


@pytest.mark.parametrize("protocol", ["librespeed", "ndt7", "mini"])
async def test_our_own_test_server_speaks_the_others_too(peers: Peers, protocol: str) -> None:
    """The same server by another protocol gives a rate by the same method."""
    made = await measure(f"{peers.url}/", protocol=protocol, directions="down")
    assert made.only.error is None and made.only.method["protocol"] == protocol
    assert made.metric("speed_download_bits_per_second").stats["median"]


@pytest.mark.parametrize("path", ["", "backend/"])
async def test_librespeed_is_found_and_measured(path: str) -> None:
    """From its folder or the one above; what was uploaded is what the server's TCP acknowledged."""
    async with foreign() as server:
        made = await measure(server.url + path)
    assert made.only.error is None
    assert made.only.method["protocol"] == "librespeed"
    assert made.only.method["client_address"] == "127.0.0.1"
    assert made.metric("speed_download_bits_per_second").stats["median"]
    used = made.metric("speed_bytes_used", direction="up").stats["value"]
    assert isinstance(used, int) and used <= server.received + UNREAD
    assert made.metric("speed_upload_bits_per_second").method["counted_at"] == "tcp_acked"


async def test_mini_is_found_and_measured() -> None:
    """A Speedtest Mini server, loaded by our own engine."""
    async with foreign() as server:
        made = await measure(f"{server.url}mini/")
    assert made.only.error is None and made.only.method["protocol"] == "mini"
    assert made.metric("speed_download_bits_per_second").stats["median"]
    used = made.metric("speed_bytes_used", direction="up").stats["value"]
    assert isinstance(used, int) and 0 < used <= server.received + UNREAD


async def test_ndt7_counts_uploads_where_they_arrive() -> None:
    """One connection; the upload's rate is from the server's reports."""
    async with foreign() as server:
        made = await measure(server.url, protocol="ndt7", duration=1.2)
    assert made.only.error is None and made.only.method["rtt_method"] == "tcp"
    for direction in ("down", "up"):
        assert made.metric("speed_connections_used", direction=direction).stats["value"] == 1
    up = made.metric("speed_upload_bits_per_second")
    assert up.stats["median"] and up.method["counted_at"] == "peer"


async def test_ndt7_without_the_servers_word_counts_what_tcp_acknowledged() -> None:
    """Never what was handed to the kernel."""
    async with foreign(Foreign(silent=True)) as server:
        made = await measure(server.url.replace("http", "ws"), directions="up")
    assert made.only.error is None
    assert made.metric("speed_upload_bits_per_second").method["counted_at"] == "tcp_acked"
    used = made.metric("speed_bytes_used", direction="up").stats["value"]
    # The framing of WebSocket and what is on its way at the end make a small difference.
    assert isinstance(used, int) and used == pytest.approx(server.received, rel=0.02, abs=8 << 20)


async def test_the_locate_service_names_servers_until_one_answers() -> None:
    """The first of its list is dead; the token in the URL is in no report."""
    async with foreign(Foreign(ndt7_seconds=1.0)) as server:
        url = f"{server.url}v2/nearest/ndt/ndt7"
        made = await measure(url, protocol="ndt7", directions="down", duration=5.0)
    assert made.only.error is None
    assert made.metric("speed_download_bits_per_second").method["stop_reason"] == "end_of_test"
    assert "s3cret" not in repr(made)


@pytest.mark.parametrize("protocol", ["librespeed", "mini"])
@pytest.mark.parametrize("status", [413, 503])
async def test_a_refused_upload_has_no_rate(protocol: str, status: int) -> None:
    """However much had been sent; the download before it stands."""
    async with foreign(Foreign(upload_status=status)) as server:
        path = "backend/" if protocol == "librespeed" else "mini/"
        made = await measure(server.url + path, protocol=protocol)
    assert failure(made) == ("rejected", "first_byte", str(status))
    up = made.metric("speed_upload_bits_per_second")
    assert up.stats["median"] is None and up.nulls["stats.median"] == "rejected"
    assert made.metric("speed_download_bits_per_second").stats["median"]


async def test_an_early_end_is_a_cutoff_without_a_rate() -> None:
    """The connection is reset in the middle: what came is said, a headline is not."""
    async with foreign(Foreign(ndt7_seconds=0.3, early_close=True)) as server:
        made = await measure(server.url, protocol="ndt7", directions="down")
    assert failure(made)[0] == "cutoff"
    down = made.metric("speed_download_bits_per_second")
    assert down.stats["median"] is None and down.nulls["stats.median"] == "cutoff"
    used = made.metric("speed_bytes_used", direction="down").stats["value"]
    assert isinstance(used, int) and used > 0


@pytest.mark.parametrize(("fault", "error"), [("stall", "stalled"), ("reset", "cutoff")])
async def test_a_download_that_breaks_off_has_no_rate(fault: Literal["stall", "reset"], error: str) -> None:
    """A megabyte came, then nothing or a reset: what was moved is said, a rate is not."""
    async with foreign(Foreign(after_a_megabyte=fault)) as server:
        made = await measure(server.url, stall_limit=0.5, duration=5.0)
    assert failure(made)[0] == error
    down = made.metric("speed_download_bits_per_second")
    assert down.stats["median"] is None and down.nulls["stats.median"] == error
    assert not [metric.key for metric in made.metrics() if "upload" in metric.key]


async def test_pictures_follow_one_another_on_a_connection() -> None:
    async with foreign() as server:
        made = await measure(server.url + "mini/", protocol="mini", directions="down", connections=1)
    assert made.only.error is None and server.picture_connections == 1 and server.pictures > 2
    requests = made.metric("speed_download_bits_per_second").method["requests"]
    assert isinstance(requests, int) and server.pictures - 2 <= requests <= server.pictures
    # The last is cut off: what was counted can't be more than all of them.
    used = made.metric("speed_bytes_used", direction="down").stats["value"]
    assert isinstance(used, int) and (server.pictures - 2) * 32_000_000 < used <= server.pictures * 32_000_000


@pytest.mark.parametrize("how", ["says close", "no answer"])
async def test_a_server_that_ends_connections_between_pictures_is_measured(
    how: Literal["says close", "no answer"],
) -> None:
    async with foreign(Foreign(second_picture=how)) as server:
        made = await measure(server.url + "mini/", protocol="mini", directions="down", connections=1)
    assert made.only.error is None and server.picture_connections > 2
    assert made.metric("speed_download_bits_per_second").stats["median"]


async def test_a_server_that_refuses_the_second_picture_has_no_rate() -> None:
    async with foreign(Foreign(second_picture="refused")) as server:
        made = await measure(server.url + "mini/", protocol="mini", directions="down", connections=1)
    assert failure(made) == ("rejected", "first_byte", "403")
    assert made.metric("speed_download_bits_per_second").stats["median"] is None


async def test_a_busy_ndt7_server_has_no_result() -> None:
    """503 where the WebSocket was asked for."""
    async with foreign(Foreign(ndt7_status=503)) as server:
        made = await measure(server.url, protocol="ndt7")
    assert failure(made) == ("rejected", "request", "BUSY")
    assert not [metric for metric in made.metrics() if "upload" in metric.key or "download" in metric.key]


async def test_auto_falls_through_to_the_next(unused_tcp_port: int) -> None:
    """Dead, busy, not a speed test: each is tried and named, the one that works is measured."""
    async with foreign() as bare, slot_server() as full, slot_server() as free:
        full.occupy(60.0)
        names = {
            "dead": f"http://127.0.0.1:{unused_tcp_port}/",
            "full": full.url,
            "bare": f"{bare.url}nothing/",
            "free": free.url,
        }
        servers = [{"name": name, "url": url} for name, url in names.items()]
        made = await measure("auto", servers=servers, directions="down")
    assert made.only.error is None
    assert made.metric("speed_server_id").stats["value"] == "free"
    tried = str(made.only.method.get("tried", ""))
    assert "dead" not in tried, "it did not answer, so it comes last"
    for server in ("full", "free", "bare"):
        assert made.metric("speed_server_rtt_seconds", server=server).stats["min"]
    dead = made.metric("speed_server_rtt_seconds", server="dead")
    assert dead.stats["min"] is None and dead.n_lost == 1


async def test_auto_with_nobody_there_says_so(unused_tcp_port: int) -> None:
    """The last one's failure is the result, those before it are named."""
    servers = [{"name": name, "url": f"http://127.0.0.1:{unused_tcp_port}/"} for name in ("one", "two")]
    made = await measure("auto", servers=servers)
    assert failure(made) == ("refused", "connect", "ECONNREFUSED")
    assert made.only.method["tried"] == "one: refused ECONNREFUSED"


async def test_speedtest_cli_measures_a_mini_server_in_a_process_of_its_own(peers: Peers) -> None:
    """Its own figures by its own method, without the internet; none of it is left running."""
    made = await measure(f"{peers.url}/", protocol="speedtest_cli", connections=2)
    assert made.only.error is None
    for key in ("speed_download_bits_per_second", "speed_upload_bits_per_second"):
        metric = made.metric(key)
        assert metric.stats["median"] and metric.method["speed_method"] == "speedtest_cli"
    assert made.metric("speed_confidence", direction="up").stats["value"] == "low"
    assert made.metric("speed_download_peak_bits_per_second").nulls["stats.median"] == "not_told"
    assert not psutil.Process().children() or all(
        "cli_child" not in " ".join(child.cmdline()) for child in psutil.Process().children()
    )


async def test_speedtest_cli_that_is_refused_has_no_rate() -> None:
    """The program counts what it sent to a server that answered 413; we don't."""
    async with foreign(Foreign(upload_status=413)) as server:
        made = await measure(f"{server.url}mini/", protocol="speedtest_cli", directions="up")
    assert failure(made) == ("rejected", "transfer", "413")
    assert not [metric.key for metric in made.metrics() if metric.key == "speed_upload_bits_per_second"]
