"""Answers passing probes in a router's place: `python -m tests.hop_forger MODE DEVICE`.

Runs in the router's namespace on a packet socket of the device that faces the prober, IPv4 only. What it says
goes straight back to the machine that the probe came from, past the router's own rules.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator

from ots.netio.trace.quote import checksum

_IPV4 = 0x0800
_OWN = "10.7.1.2"
_OUTGOING = 4


def _icmp(kind: int, code: int, rest: bytes) -> bytes:
    return struct.pack("!BBH", kind, code, checksum(struct.pack("!BBH", kind, code, 0) + rest)) + rest


def _packet(payload: bytes, source: str, to: bytes) -> bytes:
    def header(summed: int) -> bytes:
        length = 20 + len(payload)
        fixed = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, socket.IPPROTO_ICMP, summed)
        return fixed + socket.inet_aton(source) + to

    return header(checksum(header(0))) + payload


def _extended(quote: bytes) -> bytes:
    """Time exceeded with a stack of two MPLS labels (RFC 4884, RFC 4950)."""
    stack = struct.pack("!II", 16001 << 12 | 5 << 9 | 1, 24 << 12 | 1 << 8 | 255)
    extension = struct.pack("!HHHBB", 0x2000, 0, 4 + len(stack), 1, 1) + stack
    extension = extension[:2] + struct.pack("!H", checksum(extension)) + extension[4:]
    return _icmp(11, 0, struct.pack("!BBH", 0, 32, 0) + quote[:128].ljust(128, b"\0") + extension)


def _wrong(probe: bytes) -> Iterator[tuple[bytes, str]]:
    """Messages that answer no probe, however much they look like it, and who sends them."""
    payload = 20 + 8
    if probe[9] == socket.IPPROTO_TCP:
        # Of a SYN the sequence number is all that is ours; who knows that is on the path.
        probe = probe[:24] + bytes([probe[24] ^ 0xFF]) + probe[25:]
    yield os.urandom(60), _OWN
    yield _icmp(11, 0, bytes(4)), _OWN
    yield _icmp(11, 0, bytes(4) + probe[:20]), _OWN
    yield _icmp(11, 0, bytes(4) + b"\x4f" + probe[1:]), _OWN
    yield _icmp(11, 0, bytes(4) + probe[:payload] + os.urandom(30)), "10.66.0.1"
    yield _icmp(3, 13, bytes(4) + probe[:payload] + os.urandom(30)), "10.66.0.2"
    yield _icmp(3, 3, bytes(4) + probe[:payload] + os.urandom(30)), "10.66.0.3"
    yield _icmp(11, 0, bytes(4) + probe[:16] + bytes([10, 66, 66, 66]) + probe[20:]), "10.66.0.4"
    yield _icmp(11, 0, struct.pack("!BBH", 0, 255, 0) + probe[:payload] + os.urandom(500)), "10.66.0.5"
    yield _icmp(0, 0, probe[24:28] + os.urandom(32)), socket.inet_ntoa(probe[16:20])
    yield _icmp(0, 0, probe[24:]), "10.66.0.6"


def _answers(mode: str, probe: bytes) -> Iterator[tuple[bytes, str]]:
    dying = probe[8] == 1
    if mode == "garbage":
        yield from _wrong(probe)
    elif dying and mode == "mpls":
        yield _extended(probe), _OWN
    elif dying and mode == "brief":
        yield _icmp(11, 0, bytes(4) + probe[:28]), _OWN


def main(mode: str, device: str) -> None:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4))
    sock.bind((device, _IPV4))
    print("ready", flush=True)  # noqa: T201 (what the test waits for)
    while True:
        frame, address = sock.recvfrom(65535)
        probe = frame[14:]
        if address[2] == _OUTGOING or len(probe) < 28 or probe[12:16] != socket.inet_aton("10.7.1.1"):
            continue
        for answer, source in _answers(mode, probe):
            packet = _packet(answer, source, probe[12:16])
            sock.send(frame[6:12] + frame[0:6] + struct.pack("!H", _IPV4) + packet)


if __name__ == "__main__":
    main(*sys.argv[1:])
