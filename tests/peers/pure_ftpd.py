"""Pure-FTPd: a second real FTP server, for users with a password, with TLS for those who ask for it."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.authority import Authority
from tests.peers.process import end, free_port, running
from tests.peers.programs import find
from tests.peers.require import require

__all__ = ["PureFTPd", "pure_ftpd", "pure_ftpd_server"]

USER = "probe"
PASSWORD = "s3cret word"

# Pure-FTPd asks this program, through its helper pure-authd, who may log in.
_AUTHENTICATE = """\
#!/bin/sh
if [ "$AUTHD_ACCOUNT" = {user} ] && [ "$AUTHD_PASSWORD" = "{password}" ]; then
    printf 'auth_ok:1\\nuid:65534\\ngid:65534\\ndir:{root}\\nend\\n'
else
    printf 'auth_ok:-1\\nend\\n'
fi
"""


@dataclass(frozen=True)
class PureFTPd:
    """A Pure-FTPd on 127.0.0.1. `root` is what USER with PASSWORD sees; `root/in` is theirs to write."""

    port: int
    root: Path

    @property
    def url(self) -> str:
        return f"ftp://{USER}@127.0.0.1:{self.port}"

    @property
    def left(self) -> list[str]:
        """The files that lie in the folder for uploads."""
        return sorted(path.name for path in (self.root / "in").iterdir())


@contextlib.contextmanager
def pure_ftpd_server(folder: Path, authority: Authority, *, epsv: bool = True) -> Iterator[PureFTPd]:
    """Runs a Pure-FTPd; without `epsv` it refuses that command, as in its mode for broken clients."""
    binary = require("pure-ftpd")
    root = folder / "root"
    (root / "in").mkdir(parents=True)
    (root / "in").chmod(0o777)
    # The server gives up its rights for those of the user, who has to get there.
    for place in (root, *root.parents):
        if place.is_relative_to("/tmp") and place != Path("/tmp"):
            place.chmod(place.stat().st_mode | 0o055)
    program = folder / "authenticate"
    program.write_text(_AUTHENTICATE.format(user=USER, password=PASSWORD, root=root))
    program.chmod(0o755)
    pem = folder / "server.pem"
    pem.write_bytes(authority.key.read_bytes() + authority.chain.read_bytes())
    pem.chmod(0o600)
    door = folder / "authd"
    helper = Path(find("pure-ftpd")).with_name("pure-authd")
    authd = subprocess.Popen([helper, "-s", door, "-r", program], stdin=subprocess.DEVNULL)
    try:
        _wait_for(door, authd)
        port = free_port()
        argv = [binary, "-S", f"127.0.0.1,{port}", "-E", "-H", "-l", f"extauth:{door}", "-u", "1"]
        argv += ["-Y", "1", "-2", str(pem), "-c", "20", "-C", "20"]
        if not epsv:
            argv.append("-b")
        with running(argv, port=port, folder=folder):
            yield PureFTPd(port, root)
    finally:
        end(authd)


def _wait_for(place: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while not place.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"pure-authd did not start (code {process.poll()})")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def pure_ftpd(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[PureFTPd]:
    """Pure-FTPd with EPSV and TLS."""
    with pure_ftpd_server(tmp_path_factory.mktemp("pure-ftpd"), ca) as server:
        yield server
