"""What an FTP server can do to a transfer: class, phase and code of it, and nothing left over."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from ots.model.report import Error
from ots.probe import Probe
from ots.probes.ftp_download import FTPDownload
from ots.probes.ftp_upload import FTPUpload
from tests.faults.lying_ftp import CONTENT, Act, LyingFTP, Session, hang_up, lying_ftp, reply, silence
from tests.faults.scripted_server import reset
from tests.peers.authority import Authority
from tests.peers.pure_ftpd import PASSWORD, PureFTPd
from tests.peers.require import not_applicable
from tests.peers.vsftpd import VSFTPD, vsftpd_server
from tests.recording import Recording, record

DOWN, UP = FTPDownload(), FTPUpload()
QUICK = {"timeout": 0.4, "stall_limit": 0.4}


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No socket of a test outlives it."""
    before = len(psutil.Process().net_connections("tcp"))
    yield
    assert len(psutil.Process().net_connections("tcp")) <= before


async def down(server: LyingFTP, **params: Any) -> Recording:
    given = {"whole": True, **QUICK, **params}
    return await record(DOWN, f"{server.url}/file", {k: v for k, v in given.items() if v is not None})


async def up(server: LyingFTP, **params: Any) -> Recording:
    return await record(UP, f"{server.url}/in/", {"size": 300_000, **QUICK, **params})


def error_of(made: Recording) -> tuple[str, str, str]:
    """Class, phase and code; whatever happened, the figures can be made."""
    error = made.only.error
    assert error is not None
    made.metrics()
    return error.class_, error.phase, error.code


async def _short(session: Session) -> None:
    await session.send_file(CONTENT[:1000])
    await session.say("226 complete")


async def _cut_early(session: Session) -> None:
    await session.send_file(CONTENT[:1000])
    await session.say("426 data connection closed")


async def _reset_data(session: Session) -> None:
    _, writer = await session.connection()
    await session.say("150 here it comes")
    writer.write(CONTENT[:1000])
    await writer.drain()
    reset(writer)


async def _stop_in_the_middle(session: Session) -> None:
    _, writer = await session.connection()
    await session.say("150 here it comes")
    writer.write(CONTENT[:1000])
    await writer.drain()


async def _never_226(session: Session) -> None:
    await session.send_file(CONTENT)


async def _hang_up_after(session: Session) -> None:
    await session.send_file(CONTENT)
    reset(session.writer)


async def _nothing_comes(session: Session) -> None:
    await session.connection()
    await session.say("150 here it comes")


async def _error_after_150(session: Session) -> None:
    await session.connection()
    await session.say("150 here it comes")
    await session.say("451 disk unreadable")


async def _endless_line(session: Session) -> None:
    while True:
        await session.say(b"230-" + b"x" * 4096)


async def _endless_banner(session: Session) -> None:
    for _ in range(100_000):
        await session.say("220-welcome to the machine that never stops talking to you")


async def _closed_port(session: Session) -> None:
    port = await session.listen()
    assert session.listener is not None
    session.listener.close()
    await session.listener.wait_closed()
    await session.say(f"229 extended passive (|||{port}|)")


DOWNLOAD_LIES: Mapping[str, tuple[Mapping[str, Act], tuple[str, str, str]]] = {
    "too many users": ({"": reply("421 too many users")}, ("rejected", "login", "421")),
    "no greeting": ({"": silence}, ("timeout", "login", "TIMEOUT")),
    "hangs up at once": ({"": hang_up}, ("cutoff", "login", "ECONNRESET")),
    "garbage greeting": ({"": reply(b"\x00\xff\x1b[2J\r\n" * 9000)}, ("protocol", "login", "BAD_REPLY")),
    "another protocol": ({"": reply("SSH-2.0-OpenSSH_9")}, ("protocol", "login", "BAD_REPLY")),
    "endless banner": ({"": _endless_banner}, ("protocol", "login", "LONG_ANSWER")),
    "endless line": ({"PASS": _endless_line}, ("protocol", "login", "LONG_LINE")),
    "wrong password": ({"PASS": reply("530 no")}, ("auth", "login", "530")),
    "account wanted": ({"PASS": reply("332 account")}, ("protocol", "login", "332")),
    "log-in never answered": ({"PASS": silence}, ("timeout", "login", "TIMEOUT")),
    "log-in reset": ({"PASS": hang_up}, ("cutoff", "login", "ECONNRESET")),
    "no such file": ({"RETR": reply("550 no such file")}, ("rejected", "request", "550")),
    "no data connection": ({"RETR": reply("425 can't open it")}, ("connect", "request", "425")),
    "passive mode refused": (
        {"EPSV": reply("502 what?"), "PASV": reply("502 what?")},
        ("rejected", "request", "502"),
    ),
    "no port": ({"EPSV": reply("229 passive (|||99999|)")}, ("protocol", "request", "BAD_PORT")),
    "no sense": ({"EPSV": reply("229 passive")}, ("protocol", "request", "BAD_PORT")),
    "closed port": ({"EPSV": _closed_port}, ("refused", "connect", "ECONNREFUSED")),
    "lies about size, short": ({"RETR": _short}, ("content", "verify", "SIZE")),
    "lies about size, long": ({"SIZE": reply("213 1000")}, ("content", "verify", "SIZE")),
    "closes the data early": ({"RETR": _cut_early}, ("cutoff", "transfer", "426")),
    "resets the data": ({"RETR": _reset_data}, ("cutoff", "transfer", "ECONNRESET")),
    "stops in mid-file": ({"RETR": _stop_in_the_middle}, ("stalled", "transfer", "STALLED")),
    "nothing comes": ({"RETR": _nothing_comes}, ("timeout", "first_byte", "TIMEOUT")),
    "an error after 150": ({"RETR": _error_after_150}, ("rejected", "transfer", "451")),
    "226 never": ({"RETR": _never_226}, ("cutoff", "transfer", "NO_TRANSFER_COMPLETE")),
    "hangs up instead of 226": ({"RETR": _hang_up_after}, ("cutoff", "transfer", "NO_TRANSFER_COMPLETE")),
}


@pytest.mark.parametrize("name", DOWNLOAD_LIES)
async def test_a_download_from_a_server_that(name: str) -> None:
    """Every misbehaviour has its class, its phase and its code."""
    lies, expected = DOWNLOAD_LIES[name]
    async with lying_ftp(lies) as server:
        assert error_of(await down(server)) == expected


async def test_226_late_but_in_time() -> None:
    """A server that takes its time to say that it is done is waited for; the rate does not suffer."""

    async def late(session: Session) -> None:
        await session.send_file(CONTENT)
        await asyncio.sleep(0.25)
        await session.say("226 complete")

    async with lying_ftp({"RETR": late}) as server:
        made = await down(server, timeout=2)
    assert made.only.error is None
    taken = made.metric("ftp_download_transfer_seconds").stats["median"]
    assert isinstance(taken, float) and taken < 0.2


async def test_epsv_refused_is_asked_again_as_pasv() -> None:
    """What is used in the end stands in the method; a server that insists on EPSV alone is told apart."""
    async with lying_ftp({"EPSV": reply("502 what?")}) as server:
        made = await down(server)
        assert made.only.error is None
        assert made.only.method["data_connection"] == "pasv"
        assert error_of(await down(server, mode="epsv")) == ("rejected", "request", "502")


async def test_pasv_never_leads_us_elsewhere() -> None:
    """A server that names another host in its answer to PASV gets its data connection all the same."""

    async def elsewhere(session: Session) -> None:
        port = await session.listen()
        await session.say(f"227 passive (203,0,113,7,{port >> 8},{port & 255})")

    async with lying_ftp({"PASV": elsewhere}) as server:
        made = await down(server, mode="pasv")
    assert made.only.error is None
    assert made.only.method["pasv_address_ignored"] is True


async def test_what_a_server_says_is_clean() -> None:
    """Control characters of a server never get into a report."""
    async with lying_ftp({"RETR": reply(b"550 \x1b[31mred\x07\x9b alert\r\n")}) as server:
        made = await down(server)
    assert isinstance(made.only.error, Error)
    assert made.only.error.message == "RETR: 550 ?[31mred?? alert"


async def _disk_full(session: Session) -> None:
    reader, writer = await session.connection()
    await session.say("150 go on")
    await reader.read(1000)
    await session.say("452 no space left")
    writer.transport.abort()


async def _stores_half(session: Session) -> None:
    session.server.stored[session.argument] = await session.take_file() // 2
    await session.say("226 complete")


async def _stores_and_is_silent(session: Session) -> None:
    await session.take_file()


async def _answers_at_once(session: Session) -> None:
    await session.connection()
    await session.say("150 go on")
    await session.say("226 complete")


async def _reads_nothing(session: Session) -> None:
    await session.connection()
    await session.say("150 go on")


UPLOAD_LIES: Mapping[str, tuple[Mapping[str, Act], tuple[str, str, str]]] = {
    "may not be written to": ({"STOR": reply("553 no")}, ("rejected", "request", "553")),
    "fills its disk": ({"STOR": _disk_full}, ("rejected", "transfer", "452")),
    "stores half of it": ({"STOR": _stores_half}, ("content", "verify", "SIZE")),
    "never says 226": ({"STOR": _stores_and_is_silent}, ("cutoff", "transfer", "NO_TRANSFER_COMPLETE")),
    "says 226 too early": ({"STOR": _answers_at_once}, ("protocol", "transfer", "EARLY_ANSWER")),
    "reads nothing": ({"STOR": _reads_nothing}, ("stalled", "transfer", "STALLED")),
    "hangs up": ({"STOR": hang_up}, ("cutoff", "request", "ECONNRESET")),
}


@pytest.mark.parametrize("name", UPLOAD_LIES)
async def test_an_upload_to_a_server_that(name: str) -> None:
    """Every misbehaviour has its class, its phase and its code, and nothing is left on the server."""
    lies, expected = UPLOAD_LIES[name]
    async with lying_ftp(lies) as server:
        made = await up(server, size=30_000_000)
        assert error_of(made) == expected
        assert "DELE" in server.asked or name == "may not be written to"
        assert server.stored == {}


async def test_what_can_not_be_deleted_is_said() -> None:
    """The upload stands; what stayed behind is named in the log and in the method."""
    async with lying_ftp({"DELE": reply("550 read only")}) as server:
        made = await up(server)
    assert made.only.error is None
    assert made.only.method["left_behind"] is True
    assert "left on the server: in/ots-" in made.log.lines[-1].text


async def test_cancelled_in_the_middle_of_an_upload(pure_ftpd: PureFTPd) -> None:
    """A real server holds nothing of ours afterwards, and what was measured is kept."""
    made = await record(
        UP,
        f"{pure_ftpd.url}/in/",
        {"duration": 30, "password": "${secret:ftp}"},
        secrets={"${secret:ftp}": PASSWORD},
        cancel_after=0.5,
    )
    assert made.only.error is not None and made.only.error.class_ == "cancelled"
    assert pure_ftpd.left == []
    (moved,) = made.only.values("ftp_upload_bytes_transferred")
    assert isinstance(moved, int) and moved > 0


async def test_cancelled_in_the_middle_of_a_download(vsftpd: VSFTPD, big: str) -> None:
    """What had come until then is kept, and the server's session ends."""
    made = await record(DOWN, vsftpd.url + big, {"duration": 30}, cancel_after=0.4)
    assert made.only.error is not None and made.only.error.class_ == "cancelled"
    (moved,) = made.only.values("ftp_download_bytes_transferred")
    assert isinstance(moved, int) and moved > 0


async def test_time_is_up(vsftpd: VSFTPD, big: str) -> None:
    """The engine's limit ends it as a time-out."""
    made = await record(DOWN, vsftpd.url + big, {"duration": 30}, limit=0.4)
    assert error_of(made) == ("timeout", "transfer", "TIME_LIMIT")


@pytest.fixture
def big(vsftpd: VSFTPD) -> Iterator[str]:
    """A file of 100 MB of nothing, which takes no room."""
    place = vsftpd.root / f"big-{os.getpid()}"
    vsftpd.root.chmod(0o755)
    with place.open("wb") as file:
        file.truncate(100_000_000)
    vsftpd.root.chmod(0o555)
    yield f"/{place.name}"
    vsftpd.root.chmod(0o755)
    place.unlink()
    vsftpd.root.chmod(0o555)


async def test_wrong_password_at_a_real_server(pure_ftpd: PureFTPd) -> None:
    """auth/login, with a remedy and without the password."""
    made = await record(
        DOWN,
        f"{pure_ftpd.url}/in/x",
        {"whole": True, "password": "${secret:ftp}"},
        secrets={"${secret:ftp}": "let me in"},
    )
    assert error_of(made) == ("auth", "login", "530")
    assert made.only.error is not None and made.only.error.remedy
    assert "let me in" not in repr(made)


async def test_server_certificate_that_nobody_vouches_for(vsftpd_implicit: VSFTPD) -> None:
    """Without the authority's file the handshake fails, and no password is sent."""
    made = await record(DOWN, f"{vsftpd_implicit.url}/x", {"whole": True})
    class_, phase, code = error_of(made)
    assert (class_, phase) == ("tls", "tls") and code.startswith("CERTIFICATE_VERIFY_FAILED")


async def test_expired_certificate(expired: ssl.SSLContext, ca: Authority) -> None:
    """Its own code, at the handshake."""
    async with lying_ftp({}, tls=expired) as server:
        url = server.url.replace("ftp:", "ftps:")
        made = await record(DOWN, f"{url}/x", {"whole": True, "ca_file": str(ca.root)})
    assert error_of(made) == ("tls", "tls", "CERTIFICATE_VERIFY_FAILED: CERT_HAS_EXPIRED")


@pytest.fixture
def expired(ca: Authority) -> ssl.SSLContext:
    """A server that shows a certificate of the year 2000."""
    from datetime import UTC, datetime

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issuer.issue_cert("127.0.0.1", not_after=datetime(2000, 1, 1, tzinfo=UTC)).configure_cert(context)
    return context


async def test_tls_asked_for_and_not_offered() -> None:
    """AUTH TLS refused: nothing goes out in plain text."""
    async with lying_ftp({}) as server:
        assert error_of(await down(server, tls="explicit")) == ("tls", "tls", "502")
        assert "USER" not in server.asked


async def test_a_real_disk_that_is_full(tmp_path: Path, ca: Authority) -> None:
    """vsftpd on a disk of one megabyte: rejected, and the half of a file is gone again."""
    with vsftpd_server(tmp_path, ca, tls=False) as server:
        small = server.root / "in"
        if not await ran("mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", str(small)):
            not_applicable("mounting a small disk needs root")
        try:
            made = await record(UP, f"{server.url}/in/", {"size": 20_000_000})
            class_, phase, code = error_of(made)
            assert (class_, phase) in {("rejected", "transfer"), ("cutoff", "transfer")}, code
            assert code in {"426", "451", "452", "552"}
            assert server.left == []
        finally:
            assert await ran("umount", "-l", str(small))


async def ran(*argv: str) -> bool:
    """Whether a program of the system did what it was asked."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


async def test_a_path_with_a_line_end() -> None:
    """Nobody smuggles a command in through a target."""
    made = await record(DOWN, "ftp://127.0.0.1:9/a%0d%0aDELE%20b", {"whole": True})
    assert error_of(made) == ("config", "config", "BAD_PATH")


@pytest.mark.parametrize("probe", [DOWN, UP], ids=lambda probe: probe.kind)
async def test_refused_at_the_door(probe: Probe) -> None:
    """Nobody listens: refused while connecting, nothing measured."""
    made = await record(probe, "ftp://127.0.0.1:1/in/", {"size": 1000})
    assert error_of(made) == ("refused", "connect", "ECONNREFUSED")
