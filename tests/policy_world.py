"""`python -m tests.policy_world INTERFACE`: all other hosts of a policy test, beyond the agent's only link.

Real servers on real sockets: pages that lead elsewhere, an FTP server that names another host, a DNS server
that changes its mind, a file without an end. What arrives on the interface is noted, whoever it was meant
for. A line `seen` on standard input is answered by what came since the last one; it ends when that does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import sys
import threading
import time
from collections import Counter
from typing import cast

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
from aiohttp import web

HOST = "45.45.45.1"
OTHER = "45.45.45.7"
HOST_V6 = "2a0f:1::1"
PRIVATE = "10.9.9.1"
METADATA = "169.254.169.254"
METADATA_V6 = "fd00:ec2::254"
ECHO_PORT = 7007

_NEIGHBOURS = range(133, 138)
"""ICMPv6 types of neighbour discovery: the link's own business."""
_OUTGOING = 4


class Sniffer:
    """Notes the destination of every IP packet that arrives."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.bind((interface, 3))
        self._lock = threading.Lock()
        self._found: list[tuple[float, str, str]] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            data, (_, protocol, kind, *_rest) = self._socket.recvfrom(65535)
            if kind == _OUTGOING:
                continue
            if protocol == 0x0800:
                found = (str(ipaddress.ip_address(data[16:20])), _words(data[9], data[(data[0] & 15) * 4 :]))
            elif protocol == 0x86DD and not (data[6] == 58 and data[40] in _NEIGHBOURS) and data[6] != 0:
                found = (str(ipaddress.ip_address(data[24:40])), _words(data[6], data[40:]))
            else:
                continue
            with self._lock:
                self._found.append((time.monotonic(), *found))

    def take(self) -> list[tuple[float, str, str]]:
        with self._lock:
            found, self._found = self._found, []
        return found


def _words(protocol: int, payload: bytes) -> str:
    if protocol == 6:
        return "syn" if payload[13] & 0x12 == 0x02 else "tcp"
    return {1: "icmp", 58: "icmp", 17: "udp"}.get(protocol, str(protocol))


class Names(asyncio.DatagramProtocol):
    """A DNS server: `rebind.test` is a good address once and another one from then on."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text().lower().rstrip(".")
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if question.rdtype in (dns.rdatatype.A, dns.rdatatype.TXT):
            self.asked[name] += 1
            texts = self._texts(name, question.rdtype)
            if texts:
                response.answer = [dns.rrset.from_text_list(question.name, 0, "IN", question.rdtype, texts)]
        assert self.transport is not None
        self.transport.sendto(response.to_wire(), addr)

    def _texts(self, name: str, kind: dns.rdatatype.RdataType) -> list[str]:
        if kind == dns.rdatatype.TXT:
            return ['"project=north"'] if name == "_ots-consent.8.45.45.45.in-addr.arpa" else []
        first = self.asked[name] == 1
        return {
            "good.test": [HOST],
            "alias.test": [HOST],
            "mixed.test": [HOST, "127.0.0.1"],
            "inside.test": [PRIVATE],
            "cloud.test": [METADATA],
            "rebind.test": [HOST if first else PRIVATE],
            "swap.test": [OTHER if first else HOST],
        }.get(name, [])


async def _page(request: web.Request) -> web.StreamResponse:
    host = request.url.host or ""
    if request.path.startswith("/to/"):
        raise web.HTTPFound("http://" + request.path.removeprefix("/to/") + "/")
    if request.path.startswith("/v2/nearest/"):
        urls = {f"ws:///ndt/v7/{way}": f"ws://{PRIVATE}/ndt/v7/{way}" for way in ("download", "upload")}
        return web.json_response({"results": [{"urls": urls}]})
    if request.path == "/page":
        images = [f"http://{PRIVATE}/a.png", f"http://{METADATA}/b.png", "http://0x7f000001/c.png", "/d.png"]
        text = "<html><body>" + "".join(f'<img src="{image}">' for image in images) + "</body></html>"
        return web.Response(text=text, content_type="text/html")
    if request.path == "/.well-known/ots-consent":
        if host in (OTHER, "swap.test"):
            return web.Response(text="# tests welcome\nproject: north\n")
        raise web.HTTPNotFound
    if request.path == "/endless":
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(65536))
        except ConnectionError:
            return response
    return web.Response(text="here")


async def _ftp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says that the data connection is to go to a private address."""
    writer.write(b"220 here\r\n")
    while line := await reader.readline():
        word = line.split()[0].upper() if line.split() else b""
        answers = {
            b"USER": b"331 who",
            b"PASS": b"230 in",
            b"TYPE": b"200 so",
            b"EPSV": b"502 no",
            b"PASV": b"227 Entering Passive Mode (10,9,9,1,0,80)",
            b"SIZE": b"213 1000",
            b"QUIT": b"221 bye",
        }
        writer.write(answers.get(word, b"502 no") + b"\r\n")
    writer.close()


class _Echo(asyncio.DatagramProtocol):
    """Hears datagrams, answers none."""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(interface: str) -> None:
    sniffer, loop = Sniffer(interface), asyncio.get_running_loop()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", _page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, None, 80).start()
    if interface != "lo":
        await loop.create_datagram_endpoint(Names, local_addr=(HOST, 53))
        await asyncio.start_server(_ftp, HOST, 21)
        await loop.create_datagram_endpoint(_Echo, local_addr=("0.0.0.0", ECHO_PORT))
    _say("ready")
    while await asyncio.to_thread(sys.stdin.readline):
        # What was sent before the question has arrived by now: a veth pair has no queue of its own.
        _say(json.dumps(sniffer.take()))
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
