"""A small authoritative DNS server on UDP and TCP: the peer that `dns_lookup` has at hand without a network.

It answers from a zone in memory and knows what a resolver has to cope with: aliases, a wildcard, names that
don't exist, answers too long for a datagram, and slow ones. The wire format is dnspython's work (RFC 1035,
4592, 6891, 7766).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from ots.server.peers.peer import Peer

_IDLE = 10.0
"""Seconds after which a silent TCP connection is closed."""

_PLAIN_UDP = 512
_LARGEST_UDP = 1232
"""Datagram sizes without EDNS (RFC 1035 §4.2.1) and at most with it (no fragment on any link of IPv6)."""

_ALIASES = 8
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """What one name holds: for each record type the records as a zone file writes them.

    `ttl` is their time to live in seconds; the answer comes after `delay` seconds.
    """

    records: Mapping[str, Sequence[str]]
    ttl: int = 300
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Zone:
    """Names below `origin`, without it; `*.` in front makes a wildcard (RFC 4592), `@` is the origin itself.

    A name that is missing here gets NXDOMAIN, a missing type NODATA, and everything outside REFUSED.
    """

    origin: str
    names: Mapping[str, Entry] = field(default_factory=dict)

    def find(self, name: dns.name.Name) -> Entry | None:
        """The entry of a name, by itself or by the wildcard nearest to it; None: no such name."""
        origin = dns.name.from_text(self.origin)
        relative = str(name.relativize(origin)).lower()
        if relative in self.names:
            return self.names[relative]
        if any(known.endswith(f".{relative}") for known in self.names):
            return Entry({})
        while "." in relative:
            relative = relative.partition(".")[2]
            if f"*.{relative}" in self.names:
                return self.names[f"*.{relative}"]
            if relative in self.names:
                return None
        return self.names.get("*")

    def holds(self, name: dns.name.Name) -> bool:
        return name.is_subdomain(dns.name.from_text(self.origin))


_SOA = "ns.ots.test. hostmaster.ots.test. 1 3600 600 86400 60"

DEMO = Zone(
    "ots.test",
    {
        "@": Entry({"SOA": [_SOA], "NS": ["ns.ots.test."], "MX": ["10 mail.ots.test."]}),
        "ns": Entry({"A": ["127.0.0.1"]}),
        "www": Entry({"A": ["127.0.0.1"], "AAAA": ["::1"]}),
        "four": Entry({"A": ["127.0.0.1"]}),
        "six": Entry({"AAAA": ["::1"]}),
        "many": Entry({"A": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}, ttl=60),
        "mail": Entry({"A": ["192.0.2.25"]}),
        "alias": Entry({"CNAME": ["hop.ots.test."]}, ttl=120),
        "hop": Entry({"CNAME": ["www.ots.test."]}),
        "loop": Entry({"CNAME": ["loop.ots.test."]}),
        "text": Entry({"TXT": ['"measured here"']}),
        "long": Entry({"TXT": [f'"{number:02d}{"x" * 200}"' for number in range(20)]}),
        "slow": Entry({"A": ["127.0.0.1"]}, delay=0.25),
        "*.cold": Entry({"A": ["127.0.0.1"], "AAAA": ["::1"]}),
        "_sip._udp": Entry({"SRV": ["10 5 5060 mail.ots.test."]}),
    },
)
"""The zone of the demonstration and of the sample cases."""


async def start(host: str, port: int = 0, zone: Zone = DEMO) -> Peer:
    """Serves a zone on UDP and TCP of the same port."""
    server = _Server(zone)
    loop = asyncio.get_running_loop()
    for attempt in range(_ATTEMPTS):
        listener = await asyncio.start_server(server.converse, host, port)
        chosen = int(listener.sockets[0].getsockname()[1])
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(server), local_addr=(host, chosen)
            )
        except OSError:
            # A free TCP port may be taken on UDP: take another, if the choice was ours.
            listener.close()
            await listener.wait_closed()
            if port or attempt == _ATTEMPTS - 1:
                raise
            continue
        break

    async def close() -> None:
        transport.close()
        listener.close()
        await server.end()
        await listener.wait_closed()

    return Peer("dns", host, chosen, close)


class _Server:
    """Answers queries, each in a task of its own, so that a slow name holds up no other."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._tasks: set[asyncio.Task[None]] = set()

    def reply_later(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def answer(self, wire: bytes, *, datagram: bool) -> bytes | None:
        """The response's wire form, or None for what is no query."""
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError, struct.error):
            return None
        if query.flags & dns.flags.QR or query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            return None
        response = dns.message.make_response(query)
        question = query.question[0]
        delay = self._fill(response, question.name, question.rdtype)
        if delay:
            await asyncio.sleep(delay)
        if not datagram:
            return response.to_wire(max_size=65535)
        room = min(_LARGEST_UDP, query.payload) if query.edns >= 0 else _PLAIN_UDP
        return response.to_wire(max_size=max(_PLAIN_UDP, room), prefer_truncation=True)

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> float:
        """Writes records and response code; returns how many seconds the answer is to wait."""
        if not self.zone.holds(name):
            response.set_rcode(dns.rcode.REFUSED)
            return 0.0
        response.flags |= dns.flags.AA
        delay = 0.0
        for _ in range(_ALIASES):
            entry = self.zone.find(name)
            if entry is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            delay += entry.delay
            wanted = dns.rdatatype.to_text(rdtype)
            kind = wanted if wanted in entry.records or "CNAME" not in entry.records else "CNAME"
            if kind not in entry.records:
                break
            rrset = dns.rrset.from_text_list(name, entry.ttl, "IN", kind, list(entry.records[kind]))
            response.answer.append(rrset)
            if kind != "CNAME" or wanted == "CNAME":
                return delay
            name = rrset[0].target
            if not self.zone.holds(name):
                break
        origin = self.zone.find(dns.name.from_text(self.zone.origin))
        if origin is not None and "SOA" in origin.records:
            soa = list(origin.records["SOA"])
            response.authority.append(
                dns.rrset.from_text_list(dns.name.from_text(self.zone.origin), origin.ttl, "IN", "SOA", soa)
            )
        return delay

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries of one TCP connection, answered in their order."""
        task = asyncio.current_task()
        if task is not None:
            self.reply_later(task)
        try:
            while True:
                async with asyncio.timeout(_IDLE):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    wire = await reader.readexactly(length)
                answer = await self.answer(wire, datagram=False)
                if answer is None:
                    return
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (TimeoutError, EOFError, ConnectionError, asyncio.CancelledError):
            # Only `end` cancels this task; Python 3.11's streams would report that as an error.
            return
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: _Server) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.reply_later(asyncio.create_task(self._reply(data, addr)))

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = await self._server.answer(data, datagram=True)
        if answer is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)
