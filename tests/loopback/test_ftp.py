"""FTP against vsftpd and Pure-FTPd: every way to connect, and figures that agree with curl and lftp."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ots.probes.ftp_download import FTPDownload
from ots.probes.ftp_upload import FTPUpload
from tests.faults.lying_ftp import Session, lying_ftp
from tests.peers.authority import Authority
from tests.peers.pure_ftpd import PASSWORD, USER, PureFTPd, pure_ftpd_server
from tests.peers.require import not_applicable, require
from tests.peers.vsftpd import VSFTPD, vsftpd_server
from tests.recording import Recording, record

DOWN, UP = FTPDownload(), FTPUpload()
SECRETS = {"${secret:ftp}": PASSWORD}

RATE_TOLERANCE = 0.10
"""Share by which our rate of a limited transfer may differ from curl's and lftp's."""

GROWTH = 40 << 20
"""Bytes by which the process may grow during a transfer of 5 GiB."""

HUGE = 5 << 30


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(3_000_000)


@pytest.fixture(scope="module")
def files(vsftpd: VSFTPD, vsftpd_implicit: VSFTPD, pure_ftpd: PureFTPd, content: bytes) -> Iterator[None]:
    """`down` on all servers."""
    for root in (vsftpd.root, vsftpd_implicit.root, pure_ftpd.root):
        mode = root.stat().st_mode
        root.chmod(0o755)
        (root / "down").write_bytes(content)
        root.chmod(mode)
    yield


def value(made: Recording, name: str) -> Any:
    stats = made.metric(f"{made.probe.kind}_{name}").stats
    return stats.get("median", stats.get("value"))


@pytest.mark.parametrize("tls", ["none", "explicit", "implicit"])
@pytest.mark.parametrize("mode", ["epsv", "pasv", "active"])
async def test_vsftpd_down(
    mode: str, tls: str, files: None, vsftpd: VSFTPD, vsftpd_implicit: VSFTPD, ca: Authority, content: bytes
) -> None:
    """Anonymous, each data connection with each kind of TLS: the very file, and the method says how."""
    server = vsftpd_implicit if tls == "implicit" else vsftpd
    params = {
        "whole": True,
        "expect_size": len(content),
        "expect_sha256": hashlib.sha256(content).hexdigest(),
        "mode": mode,
        "ca_file": str(ca.root),
        "tls": "explicit" if tls == "explicit" else "none",
    }
    made = await record(DOWN, f"{server.url}/down", params)
    assert made.only.error is None
    assert value(made, "bytes_transferred") == len(content)
    assert value(made, "content_valid") is True
    assert made.only.method["data_connection"] == mode
    assert made.only.method["tls"] == tls
    # vsftpd insists that a data connection resumes the session of its control connection.
    assert made.only.method.get("data_tls_resumed") == (None if tls == "none" else True)
    assert made.metric("ftp_login_seconds").n_valid == 1
    assert made.metric("ftp_data_connect_seconds").n_valid == 1


@pytest.mark.parametrize("tls", ["none", "explicit"])
async def test_pure_ftpd_down_and_up(
    tls: str, files: None, pure_ftpd: PureFTPd, ca: Authority, content: bytes
) -> None:
    """With a log-in: a file down in the middle of which we begin, one up whose content is read back."""
    common = {"password": "${secret:ftp}", "tls": tls, "ca_file": str(ca.root)}
    expected = hashlib.sha256(content[1_000_000:]).hexdigest()
    made = await record(
        DOWN,
        f"{pure_ftpd.url}/down",
        {"whole": True, "offset": 1_000_000, "expect_sha256": expected, **common},
        secrets=SECRETS,
    )
    assert made.only.error is None
    assert value(made, "bytes_transferred") == len(content) - 1_000_000
    made = await record(
        UP, f"{pure_ftpd.url}/in/", {"size": 5_000_000, "check": "content", **common}, secrets=SECRETS
    )
    assert made.only.error is None
    assert value(made, "bytes_transferred") == 5_000_000
    assert value(made, "content_valid") is True
    assert pure_ftpd.left == []
    assert PASSWORD not in repr(made)


@pytest.mark.parametrize("tls", ["none", "explicit"])
async def test_an_upload_is_broken_off_and_resumed(tls: str, vsftpd: VSFTPD, ca: Authority) -> None:
    """From what the server kept (REST) to the end: the whole file is right."""
    params = {"size": 6_000_000, "resume_at": 2_000_000, "check": "content", "tls": tls}
    made = await record(UP, f"{vsftpd.url}/in/", {**params, "ca_file": str(ca.root)})
    assert made.only.error is None
    held = made.only.method["resumed_at"]
    assert isinstance(held, int) and 0 <= held <= 2_000_000
    assert value(made, "content_valid") is True
    assert value(made, "bytes_transferred") == 6_000_000
    assert vsftpd.left == []


async def test_what_is_to_be_kept_is_kept(vsftpd: VSFTPD) -> None:
    """`keep`: the file stays, with all its bytes, and it is random: nothing can make it smaller."""
    made = await record(UP, f"{vsftpd.url}/in/", {"size": 300_000, "keep": True})
    assert made.only.error is None
    (name,) = vsftpd.left
    place = vsftpd.root / "in" / name
    assert place.stat().st_size == 300_000
    assert len(set(place.read_bytes())) == 256
    place.unlink()


async def test_time_box_with_several_sessions(files: None, vsftpd: VSFTPD) -> None:
    """Cut at one instant; each file after the first needs a data connection of its own."""
    made = await record(DOWN, f"{vsftpd.url}/down", {"duration": 0.5, "connections": 3})
    assert made.only.error is None
    assert made.only.method["stop_reason"] == "duration"
    assert value(made, "connections") == 3
    assert 0.45 < value(made, "full_loading_seconds") < 0.7
    up = await record(UP, f"{vsftpd.url}/in/", {"duration": 0.5, "connections": 3})
    assert up.only.error is None
    assert value(up, "content_valid") is True
    assert 0.4 < value(up, "full_loading_seconds") < 0.7
    assert vsftpd.left == []


async def test_a_server_that_refuses_epsv(tmp_path: Path, ca: Authority) -> None:
    """Pure-FTPd for broken clients: PASV is used, and the result says so."""
    with pure_ftpd_server(tmp_path, ca, epsv=False) as server:
        (server.root / "file").write_bytes(b"x" * 1000)
        params = {"whole": True, "password": "${secret:ftp}"}
        made = await record(DOWN, f"{server.url}/file", params, secrets=SECRETS)
    assert made.only.error is None
    assert made.only.method["data_connection"] == "pasv"


@pytest.mark.slow
async def test_rate_agrees_with_curl_and_lftp(tmp_path: Path, ca: Authority, content: bytes) -> None:
    """The same file from a server that sends 1.5 MB/s, all three at once, each with a session of its own."""
    curl, lftp = require("curl"), require("lftp")
    with vsftpd_server(tmp_path, ca, tls=False, rate=1_500_000) as server:
        server.root.chmod(0o755)
        (server.root / "down").write_bytes(content)
        url = f"{server.url}/down"
        format_ = '{"size": %{size_download}, "total": %{time_total}, "start": %{time_starttransfer}}'
        made, seen, lasted = await asyncio.gather(
            record(DOWN, url, {"whole": True, "warmup": "none"}),
            output_of(curl, "-s", "-o", "/dev/null", "-w", format_, url),
            seconds_of(lftp, "-c", f"set net:timeout 10; get1 {url} -o {tmp_path / 'got'}"),
        )
    theirs = json.loads(seen)
    assert value(made, "bytes_transferred") == theirs["size"] == len(content)
    ours = len(content) / value(made, "transfer_seconds")
    assert ours == pytest.approx(len(content) / (theirs["total"] - theirs["start"]), rel=RATE_TOLERANCE)
    assert ours == pytest.approx(len(content) / lasted, rel=RATE_TOLERANCE)
    assert ours == pytest.approx(1_500_000, rel=RATE_TOLERANCE)


@pytest.mark.slow
async def test_upload_rate_agrees_with_curl(tmp_path: Path, ca: Authority) -> None:
    """A server that reads 1.5 MB/s: what our kernel buffers is not in the rate."""
    curl = require("curl")
    (tmp_path / "file").write_bytes(os.urandom(3_000_000))
    with vsftpd_server(tmp_path, ca, tls=False, rate=1_500_000) as server:
        made, seen = await asyncio.gather(
            record(UP, f"{server.url}/in/", {"size": 3_000_000, "warmup": "none"}),
            output_of(curl, "-s", "-w", "%{time_total}", "-T", str(tmp_path / "file"), f"{server.url}/in/x"),
        )
    assert made.only.error is None
    ours = 3_000_000 / value(made, "transfer_seconds")
    assert ours == pytest.approx(3_000_000 / float(seen), rel=RATE_TOLERANCE)
    assert ours == pytest.approx(1_500_000, rel=RATE_TOLERANCE)


@pytest.mark.slow
async def test_rates_over_tls_agree_with_curl(tmp_path: Path, ca: Authority, content: bytes) -> None:
    """A server that sends 1.5 MB/s over TLS, and reads at a rate of its own: content counts, no records."""
    curl = [require("curl"), "-s", "--ssl-reqd", "--cacert", str(ca.root), "-w"]
    (tmp_path / "file").write_bytes(content)
    with vsftpd_server(tmp_path, ca, rate=1_500_000) as server:
        server.root.chmod(0o755)
        (server.root / "down").write_bytes(content)
        params = {"tls": "explicit", "ca_file": str(ca.root), "warmup": "none"}
        down, up, seen_down, seen_up = await asyncio.gather(
            record(DOWN, f"{server.url}/down", {**params, "whole": True}),
            record(UP, f"{server.url}/in/", {**params, "size": len(content)}),
            output_of(*curl, "%{time_total} %{time_starttransfer}", "-o", "/dev/null", f"{server.url}/down"),
            output_of(
                *curl, "%{time_total} %{time_pretransfer}", "-T", f"{tmp_path}/file", f"{server.url}/in/x"
            ),
        )
    for made, seen in ((down, seen_down), (up, seen_up)):
        assert made.only.error is None
        assert value(made, "bytes_transferred") == len(content)
        total, start = map(float, seen.split())
        ours = len(content) / value(made, "transfer_seconds")
        assert ours == pytest.approx(len(content) / (total - start), rel=RATE_TOLERANCE)
    assert len(content) / value(down, "transfer_seconds") == pytest.approx(1_500_000, rel=RATE_TOLERANCE)


async def test_log_in_takes_what_the_server_takes() -> None:
    """0.3 s until 230: that is the log-in time, and none of it is in the data connection's."""

    async def slow(session: Session) -> None:
        await asyncio.sleep(0.3)
        await session.say("230 at last")

    async with lying_ftp({"PASS": slow}) as server:
        made = await record(DOWN, f"{server.url}/x", {"whole": True})
    login = made.metric("ftp_login_seconds").stats["median"]
    data = made.metric("ftp_data_connect_seconds").stats["median"]
    assert login == pytest.approx(0.3, abs=0.05)
    assert isinstance(data, float) and data < 0.05


@pytest.mark.slow
async def test_five_gibibytes_down(vsftpd: VSFTPD) -> None:
    """Beyond what 32 bits can count: all bytes are there, and the process does not grow with them."""
    place = vsftpd.root / "huge"
    vsftpd.root.chmod(0o755)
    try:
        with place.open("wb") as file:
            file.truncate(HUGE)
        made, growth = await watched(record(DOWN, f"{vsftpd.url}/huge", {"whole": True}))
    finally:
        place.unlink(missing_ok=True)
        vsftpd.root.chmod(0o555)
    assert made.only.error is None
    assert value(made, "bytes_transferred") == HUGE
    assert value(made, "content_valid") is True
    assert growth < GROWTH


@pytest.mark.slow
async def test_five_gibibytes_up(vsftpd: VSFTPD) -> None:
    """The server's own SIZE says that all has arrived; nothing is left."""
    if shutil.disk_usage(vsftpd.root).free < HUGE + (2 << 30):
        not_applicable("there is no room for 5 GiB")
    made, growth = await watched(record(UP, f"{vsftpd.url}/in/", {"size": HUGE}, limit=100))
    assert made.only.error is None
    assert value(made, "bytes_transferred") == HUGE
    assert value(made, "content_valid") is True
    assert vsftpd.left == []
    assert growth < GROWTH


async def watched(running: Any) -> tuple[Recording, int]:
    """What a transfer made of itself, and how much the process had grown at most meanwhile."""
    process = psutil.Process()
    start = most = process.memory_info().rss
    task = asyncio.ensure_future(running)
    while not task.done():
        await asyncio.wait({task}, timeout=0.1)
        most = max(most, process.memory_info().rss)
    return task.result(), most - start


async def output_of(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


async def seconds_of(*argv: str) -> float:
    start = time.monotonic()
    await output_of(*argv)
    return time.monotonic() - start


async def test_the_user_of_the_target_is_the_one_who_logs_in(pure_ftpd: PureFTPd) -> None:
    """`ftp://user@host/`; without a password the server says no."""
    assert pure_ftpd.url.startswith(f"ftp://{USER}@")
    made = await record(DOWN, f"{pure_ftpd.url}/down", {"whole": True})
    assert made.only.error is not None
    assert (made.only.error.class_, made.only.error.phase) == ("auth", "login")
