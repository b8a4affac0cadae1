"""unbound: a real DNS server that answers from local data and never asks anybody else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.authority import Authority
from tests.peers.process import free_port, has_ipv6, running
from tests.peers.require import require

__all__ = ["Unbound", "unbound", "unbound_server"]

# RFC 5737 and RFC 3849 addresses; the zone is under .test (RFC 6761), so no name can leak.
_CONFIG = """\
server:
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: "{folder}/unbound.pid"
    use-syslog: no
    logfile: ""
    do-daemonize: no
    num-threads: 1
    port: {port}
    {interfaces}
    access-control: 127.0.0.0/8 allow
    access-control: ::1/128 allow
    access-control: 127.0.0.99/32 refuse
    module-config: "iterator"
    do-not-query-localhost: yes
    outgoing-interface: 127.0.0.1
    hide-identity: yes
    tls-service-pem: "{chain}"
    tls-service-key: "{key}"
    tls-port: {tls_port}
    tls-cert-bundle: ""
    local-zone: "." always_nxdomain
    local-zone: "ots.test." static
    local-data: "ots.test. 3600 IN SOA ns.ots.test. hostmaster.ots.test. 1 3600 600 86400 300"
    local-data: "ots.test. 3600 IN NS ns.ots.test."
    local-data: "ots.test. 300 IN MX 10 mail.ots.test."
    local-data: 'ots.test. 300 IN TXT "v=spf1 -all"'
    local-data: "ns.ots.test. 3600 IN A 127.0.0.1"
    local-data: "www.ots.test. 300 IN A 127.0.0.1"
    local-data: "www.ots.test. 300 IN AAAA ::1"
    local-data: "four.ots.test. 300 IN A 127.0.0.1"
    local-data: "six.ots.test. 300 IN AAAA ::1"
    local-data: "many.ots.test. 60 IN A 192.0.2.1"
    local-data: "many.ots.test. 60 IN A 192.0.2.2"
    local-data: "many.ots.test. 60 IN A 192.0.2.3"
    local-data: "short.ots.test. 1 IN A 192.0.2.7"
    local-data: "mail.ots.test. 300 IN A 192.0.2.25"
    local-data: "_sip._udp.ots.test. 300 IN SRV 10 5 5060 sip.ots.test."
    local-data: "sip.ots.test. 300 IN A 192.0.2.50"
    local-data: 'text.ots.test. 300 IN TXT "txt only"'
    {long}
    local-data-ptr: "192.0.2.7 300 short.ots.test."
    local-zone: "refused.test." always_refuse
    local-zone: "servfail.test." transparent
    local-zone: "silent.test." deny
    local-zone: "bogus.test." always_nodata
forward-zone:
    name: "servfail.test."
    forward-addr: 127.0.0.1@1
remote-control:
    control-enable: no
"""


@dataclass(frozen=True)
class Unbound:
    """A running unbound on `port` (UDP and TCP) and `tls_port` (DNS over TLS) of 127.0.0.1.

    In `ots.test`: `www` (127.0.0.1 and ::1, TTL 300), `four` (A only), `six` (AAAA only), `many` (three A),
    `short` (TTL 1, with the PTR of 192.0.2.7), `mail`, `text` (TXT only), `long` (a TXT that UDP truncates),
    SRV, MX, NS and SOA. All else in it and outside is NXDOMAIN, but for four zones: `x.refused.test` is
    REFUSED, `x.servfail.test` SERVFAIL, `x.bogus.test` NODATA, and `x.silent.test` is never answered.
    """

    port: int
    tls_port: int
    folder: Path
    authority: Authority

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def unbound_server(folder: Path, authority: Authority) -> Iterator[Unbound]:
    """Runs an unbound with everything that it writes inside `folder`."""
    binary = require("unbound")
    port, tls_port = free_port(), free_port()
    addresses = ["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"]
    interfaces = [f"interface: {a}@{p}" for a in addresses for p in (port, tls_port)]
    config = folder / "unbound.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder,
            port=port,
            tls_port=tls_port,
            interfaces="\n    ".join(interfaces),
            chain=authority.chain,
            key=authority.key,
            long="\n    ".join(
                f"local-data: 'long.ots.test. 300 IN TXT \"{n:02d}{'x' * 200}\"'" for n in range(20)
            ),
        )
    )
    with running([binary, "-d", "-p", "-c", config], port=port, folder=folder):
        yield Unbound(port, tls_port, folder, authority)


@pytest.fixture(scope="session")
def unbound(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[Unbound]:
    """An unbound for the whole session; see `Unbound` for the names that it knows."""
    with unbound_server(tmp_path_factory.mktemp("unbound"), ca) as server:
        yield server
