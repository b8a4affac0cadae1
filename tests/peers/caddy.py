"""Caddy: a second implementation of HTTP and TLS, so that nothing is tuned to one server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.authority import Authority
from tests.peers.process import free_port, running
from tests.peers.require import require

__all__ = ["Caddy", "caddy", "caddy_server"]

_CONFIG = """\
{{
    admin off
    auto_https off
    persist_config off
    storage file_system {folder}/storage
    servers {{
        protocols h1 h2
    }}
}}
(site) {{
    bind 127.0.0.1
    root * {folder}/www
    file_server
    handle /status/* {{
        respond "{{http.request.uri.path.file}}" {{http.request.uri.path.file}}
    }}
    redir /redirect /1k 302
    log {{
        output file {folder}/access.log
        format json
    }}
}}
http://:{port} {{
    import site
}}
https://:{tls_port} {{
    import site
    tls {chain} {key}
}}
"""


@dataclass(frozen=True)
class Caddy:
    """A running Caddy; `url` and `tls_url` have `/1k`, `/1m`, `/big` (256 MB), `/redirect`, `/status/404`."""

    port: int
    tls_port: int
    root: Path
    folder: Path
    authority: Authority

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://localhost:{self.tls_port}"


@contextlib.contextmanager
def caddy_server(folder: Path, authority: Authority) -> Iterator[Caddy]:
    """Runs a Caddy with everything that it writes inside `folder`."""
    binary = require("caddy")
    root = folder / "www"
    root.mkdir()
    (root / "1k").write_bytes(os.urandom(1_000))
    (root / "1m").write_bytes(os.urandom(1_000_000))
    with (root / "big").open("wb") as big:
        big.truncate(256_000_000)
    port, tls_port = free_port(), free_port()
    config = folder / "Caddyfile"
    config.write_text(
        _CONFIG.format(folder=folder, port=port, tls_port=tls_port, chain=authority.chain, key=authority.key)
    )
    argv: list[str | Path] = [binary, "run", "--config", config, "--adapter", "caddyfile"]
    env = {
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    with running(argv, port=port, folder=folder, env=env):
        yield Caddy(port, tls_port, root, folder, authority)


@pytest.fixture(scope="session")
def caddy(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[Caddy]:
    """A Caddy for the whole session; see `Caddy` for its paths."""
    with caddy_server(tmp_path_factory.mktemp("caddy"), ca) as server:
        yield server
