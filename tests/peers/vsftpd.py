"""vsftpd: a real FTP server for anonymous users, plain, with explicit and with implicit TLS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.authority import Authority
from tests.peers.process import free_port, running
from tests.peers.require import require

__all__ = ["VSFTPD", "vsftpd", "vsftpd_implicit", "vsftpd_server"]

_CONFIG = """\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
run_as_launching_user=YES
one_process_model={one_process}
seccomp_sandbox=NO
anonymous_enable=YES
no_anon_password=YES
local_enable=NO
anon_root={root}
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
port_enable=YES
connect_from_port_20=NO
anon_max_rate={rate}
ssl_enable={tls}
implicit_ssl={implicit}
allow_anon_ssl=YES
force_local_data_ssl=NO
force_local_logins_ssl=NO
ssl_tlsv1=YES
ssl_ciphers=HIGH
rsa_cert_file={chain}
rsa_private_key_file={key}
"""


@dataclass(frozen=True)
class VSFTPD:
    """A vsftpd on 127.0.0.1. `root` is what anonymous users see; `root/in` is theirs to write."""

    port: int
    root: Path
    scheme: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def left(self) -> list[str]:
        """The files that lie in the folder for uploads."""
        return sorted(path.name for path in (self.root / "in").iterdir())


@contextlib.contextmanager
def vsftpd_server(
    folder: Path, authority: Authority, *, implicit: bool = False, tls: bool = True, rate: int = 0
) -> Iterator[VSFTPD]:
    """Runs a vsftpd with everything that it writes inside `folder`; `rate` limits it, in bytes a second."""
    binary = require("vsftpd")
    port = free_port()
    root = folder / "root"
    (root / "in").mkdir(parents=True)
    # vsftpd refuses a root that its user may write to.
    root.chmod(0o555)
    config = folder / "vsftpd.conf"
    config.write_text(
        _CONFIG.format(
            port=port,
            root=root,
            rate=rate,
            # With TLS the session's own process needs a helper that reads the key.
            one_process="NO" if tls else "YES",
            tls="YES" if tls else "NO",
            implicit="YES" if implicit else "NO",
            chain=authority.chain,
            key=authority.key,
        )
    )
    config.chmod(0o600)
    with running([binary, config], port=port, folder=folder):
        yield VSFTPD(port, root, "ftps" if implicit else "ftp")


@pytest.fixture(scope="session")
def vsftpd(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[VSFTPD]:
    """Plain FTP, and TLS for those who ask for it."""
    with vsftpd_server(tmp_path_factory.mktemp("vsftpd"), ca) as server:
        yield server


@pytest.fixture(scope="session")
def vsftpd_implicit(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[VSFTPD]:
    """TLS from the start."""
    with vsftpd_server(tmp_path_factory.mktemp("vsftpd-implicit"), ca, implicit=True) as server:
        yield server
