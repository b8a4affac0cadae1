"""nginx: plain and TLS, big, slow and wrong answers, uploads whose size it counts itself."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.authority import Authority
from tests.peers.process import free_port, has_ipv6, running
from tests.peers.require import require

__all__ = ["Nginx", "nginx", "nginx_server"]

STATUSES = (204, 400, 401, 403, 404, 408, 410, 418, 429, 500, 502, 503, 504)

_CONFIG = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
lock_file {folder}/nginx.lock;
error_log {folder}/error.log notice;
events {{ worker_connections 1024; }}
http {{
    types {{ text/html html; text/plain txt; }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    client_max_body_size 0;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 100000;
    log_format json escape=json '{{"method":"$request_method","uri":"$request_uri",'
        '"protocol":"$server_protocol","status":$status,"received":$request_length,"sent":$body_bytes_sent,"seconds":$request_time,'
        '"connection":$connection,"body":"$request_body_file","from":"$remote_addr","agent":"$http_user_agent"}}';
    access_log {folder}/access.log json;
    server {{
        {listen}
        server_name localhost;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        root {folder}/www;
        location / {{ }}
        location /slow/ {{ alias {folder}/www/; limit_rate 250k; sendfile_max_chunk 16k; }}
        location = /upload {{ echo_read_request_body; echo $request_length; }}
        location = /store {{ client_body_in_file_only on; echo_read_request_body; echo $request_length; }}
        location = /post-slowly {{ echo_read_request_body; echo_sleep 1; echo done; }}
        location = /late {{ echo_sleep 2; echo late; }}
        location /private/ {{ auth_basic private; auth_basic_user_file {folder}/users; alias {folder}/www/; }}
        location = /redirect {{ return 302 /1k; }}
        location = /redirect-loop {{ return 302 /redirect-loop; }}
        location = /no-length {{ chunked_transfer_encoding on; echo_duplicate 100000 'x'; }}
        {statuses}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx.

    Under `url` and `tls_url`: `/` (a page), `/1k`, `/1m`, `/big` (256 MB), `/slow/1m` (250 KiB/s for each
    connection, evenly), `/upload` (any method; answers how many bytes it received, headers included),
    `/store` (keeps the body; `access` tells where), `/late` (answers after 2 s), `/redirect`,
    `/redirect-loop`, `/private/1k` (user `ann`, password `hunter2`), `/no-length` (chunked), `/status/404`
    and other codes.
    """

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

    def access(self, uri: str, count: int = 1, within: float = 5.0) -> list[dict[str, object]]:
        """The access log's entries for `uri` (with its query), once there are `count` of them."""
        deadline = time.monotonic() + within
        while True:
            lines = (self.folder / "access.log").read_text().splitlines()
            entries = [entry for line in lines if (entry := json.loads(line))["uri"] == uri]
            if len(entries) >= count:
                return entries
            if time.monotonic() > deadline:
                raise AssertionError(f"nginx logged {len(entries)} of {count} requests for {uri}")
            time.sleep(0.02)


@contextlib.contextmanager
def nginx_server(folder: Path, authority: Authority) -> Iterator[Nginx]:
    """Runs an nginx with everything that it writes inside `folder`."""
    binary = require("nginx")
    root = folder / "www"
    root.mkdir()
    (root / "index.html").write_text("<!doctype html><title>OTS</title><p>nginx says hello.\n")
    (root / "1k").write_bytes(os.urandom(1_000))
    (root / "1m").write_bytes(os.urandom(1_000_000))
    with (root / "big").open("wb") as big:
        big.truncate(256_000_000)
    (folder / "users").write_text("ann:{PLAIN}hunter2\n")
    port, tls_port = free_port(), free_port()
    addresses = ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
    listen = "".join(f"listen {a}:{port}; listen {a}:{tls_port} ssl; " for a in addresses)
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            # As root, nginx hands its work to an account that may not read a private temporary folder.
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            listen=listen,
            chain=authority.chain,
            key=authority.key,
            statuses=" ".join(f"location = /status/{code} {{ return {code}; }}" for code in STATUSES),
        )
    )
    argv: list[str | Path] = [binary, "-p", folder, "-e", folder / "error.log", "-c", config]
    with running(argv, port=port, folder=folder):
        yield Nginx(port, tls_port, root, folder, authority)


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[Nginx]:
    """An nginx for the whole session; see `Nginx` for its paths."""
    with nginx_server(tmp_path_factory.mktemp("nginx"), ca) as server:
        yield server
