"""The prober `tcp`: one connection by `ots.netio`, with TLS and a dialogue in lines if they are asked for."""

from __future__ import annotations

import socket
from contextlib import closing

from ots.netio.errors import classify
from ots.netio.lines import Lines
from ots.netio.net import SystemNet
from ots.netio.tls import sent_chain
from ots.schema.target import Target, Targets
from ots.server.prometheus.errand import Errand
from ots.server.prometheus.gate import unmarked
from ots.server.prometheus.http_rules import RegexFailed
from ots.server.prometheus.module import Pattern, QueryResponse, TCPModule

_GRAMMAR = Targets(forms=("host:port",))


async def probe(errand: Errand) -> None:
    """Makes the probe. `Failed` says why it failed, `NotAllowed` that the list does not allow it, TargetError
    that the target is none."""
    tcp = errand.loaded.module.tcp
    assert tcp is not None
    target = _GRAMMAR.parse(errand.target)
    errand.figures.start("probe_failed_due_to_regex")
    address = await errand.admit(target.host, target.port, tcp)
    net = SystemNet(errand.clock, unmarked)
    sock = await net.dial(address, target.port or 0, errand.route(address), timeout=errand.left("connect"))
    errand.journal.note(f"connected to {address.ip}, port {target.port}")
    with closing(sock), closing(Lines(sock, errand.clock)) as lines:
        if tcp.tls:
            lines.upgrade(await _secured(errand, tcp, net, target, sock))
        lines.expect(errand.deadline)
        for step in tcp.query_response:
            await _step(errand, step, lines)
            if step.starttls:
                lines.upgrade(await _secured(errand, tcp, net, target, lines.socket))


async def _secured(
    errand: Errand, tcp: TCPModule, net: SystemNet, target: Target, sock: socket.socket
) -> socket.socket:
    """TLS over the connection, which it takes over."""
    assert errand.loaded.tls is not None
    name = tcp.tls_config.server_name or errand.hostname or target.host
    stream = await net.tls(sock, name, errand.loaded.tls, timeout=errand.left("tls"))
    errand.journal.note(f"{stream.version} in {stream.seconds:.6f} s")
    errand.certificates(tuple(sent_chain(stream.socket)), stream.version)
    return stream.socket


async def _step(errand: Errand, step: QueryResponse, lines: Lines) -> None:
    """Reads until what is expected comes, then sends."""
    said = step.send.encode()
    try:
        if step.expect is not None:
            filled = await _expected(errand, step.expect, step.send, lines)
            said = filled if step.send else b""
        if said:
            errand.journal.note(f"sending {len(said)} bytes")
            await lines.write(said + b"\n")
    except (OSError, EOFError) as error:
        raise classify(error, "request") from None


async def _expected(errand: Errand, expected: Pattern, template: str, lines: Lines) -> bytes:
    """Reads lines until one matches; the template, filled from it."""
    try:
        while True:
            line = (await lines.readline()).rstrip(b"\n")
            errand.journal.note(f"received {line.decode('ascii', 'replace')}")
            filled = expected.expand(line, template)
            if filled is not None:
                return filled
    except EOFError:
        errand.figures.set("probe_failed_due_to_regex", 1)
        raise RegexFailed(f"the connection ended, and no line matched {expected.text}") from None
