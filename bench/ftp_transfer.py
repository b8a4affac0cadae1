"""FTP down and up against vsftpd, whose files lie on a tmpfs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.child import run
from bench.contest import OURS, Contender, Contest, Goal, Reading
from bench.transfers import GIB, curl_down, curl_up, ots, reading, script
from tests.peers.authority import founded
from tests.peers.vsftpd import VSFTPD, vsftpd_server

_AIOFTP = """
import asyncio, sys, time, aioftp
async def main(port):
    client = aioftp.Client()
    await client.connect("127.0.0.1", int(port))
    await client.login()
    count, start, cpu = 0, 0.0, time.process_time()
    async with client.download_stream("big") as stream:
        async for block in stream.iter_by_block():
            start = start or time.perf_counter()
            count += len(block)
    print(count, time.perf_counter() - start, time.process_time() - cpu)
    client.close()
asyncio.run(main(sys.argv[1]))
"""

_FTPLIB = """
import ftplib, sys, time
port, path = sys.argv[1:]
ftp = ftplib.FTP()
ftp.connect("127.0.0.1", int(port))
ftp.login()
count, start, cpu = 0, 0.0, time.process_time()
def sent(block):
    global count, start
    count += len(block)
    start = start or time.perf_counter()
with open(path, "rb") as file:
    ftp.storbinary("STOR in/ftplib", file, 1 << 20, sent)
print(count, time.perf_counter() - start, time.process_time() - cpu)
ftp.quit()
"""

_CPU = "s/GB"
_PHASE = (
    "Timed is the transfer phase, each contender a process of its own; lftp's is what it takes longer than "
    "for an empty file."
)


@contextmanager
def contests() -> Iterator[Sequence[Contest]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        (folder / "vsftpd").mkdir()
        with vsftpd_server(folder / "vsftpd", founded(folder), tls=False) as server:
            for file, size in (("big", GIB), ("empty", 0)):
                with (server.root / file).open("wb") as opened:
                    opened.truncate(size)
            yield [_down(server, folder), _up(server, folder)]


def _down(server: VSFTPD, data: Path) -> Contest:
    url = f"{server.url}/big"
    return Contest(
        area="FTP download",
        work=f"1 GiB from vsftpd. {_PHASE}",
        unit="Gbit/s",
        contenders=[
            Contender("curl", lambda: curl_down(url, GIB)),
            Contender("lftp", lambda: _lftp(server, "get {} -o /dev/null", "big", "empty", GIB)),
            Contender("aioftp", lambda: script(_AIOFTP, str(server.port), expected=GIB)),
            Contender(OURS, lambda: ots("ftp-download", url, GIB, data, "--whole")),
        ],
        goals=[
            Goal(1.0, "at least", "curl"),
            Goal(2.0, "at least", "lftp"),
            Goal(10.0, "at least", "aioftp"),
        ],
        cpu_unit=_CPU,
    )


def _up(server: VSFTPD, data: Path) -> Contest:
    url, source = f"{server.url}/in/", server.root / "big"

    def emptied(once: Reading) -> Reading:
        for path in (server.root / "in").iterdir():
            path.unlink()
        return once

    return Contest(
        area="FTP upload",
        work=f"1 GiB to vsftpd, which writes it to a tmpfs. {_PHASE}",
        unit="Gbit/s",
        contenders=[
            Contender("curl -T", lambda: emptied(curl_up(f"{url}curl", [source], GIB))),
            Contender(
                "lftp",
                lambda: emptied(
                    _lftp(server, "put {} -o in/lftp", str(source), str(server.root / "empty"), GIB)
                ),
            ),
            Contender(
                "ftplib 1 MiB",
                lambda: emptied(script(_FTPLIB, str(server.port), str(source), expected=GIB)),
            ),
            Contender(OURS, lambda: emptied(ots("ftp-upload", url, GIB, data, "--size", f"{GIB} B"))),
        ],
        goals=[
            Goal(0.95, "at least", "curl -T"),
            Goal(0.95, "at least", "lftp"),
            Goal(0.95, "at least", "ftplib 1 MiB"),
            Goal(1.0, "at most", "curl -T", of="cpu"),
        ],
        cpu_unit=_CPU,
    )


def _lftp(server: VSFTPD, command: str, big: str, empty: str, size: int) -> Reading:
    """The empty file first: put over the big one, it would be timed with the server's freeing of that."""
    idle, busy = (
        run(
            [
                "lftp",
                "-p",
                str(server.port),
                "-e",
                f"set xfer:clobber on; {command.format(file)}; quit",
                "127.0.0.1",
            ]
        )
        for file in (empty, big)
    )
    return reading(size, busy.seconds - idle.seconds, busy.cpu)
