"""Answers echo requests in ways that no decent kernel does: `python -m tests.ping_responder MODE [ARGUMENT]`.

Runs in a namespace whose own kernel ignores echo requests, on a raw socket.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _icmp(kind: int, code: int, rest: bytes) -> bytes:
    return struct.pack("!BBH", kind, code, _checksum(struct.pack("!BBH", kind, code, 0) + rest)) + rest


def _reply(request: bytes) -> bytes:
    return _icmp(0, 0, request[4:])


def _answers(mode: str, packet: bytes, held: list[bytes]) -> Iterator[bytes]:
    """The messages that answer the IP packet of one echo request."""
    header = (packet[0] & 15) * 4
    request = packet[header:]
    sequence = int.from_bytes(request[6:8], "big")
    match mode:
        case "duplicate":
            yield _reply(request)
            yield _reply(request)
        case "reorder":
            held.append(request)
            if len(held) == 2:
                yield _reply(held.pop())
                yield _reply(held.pop())
        case "garbage":
            identifier, rest = request[4:6], request[8:]
            yield b"\0\0"
            yield _icmp(0, 0, b"\0\0\0")
            yield _icmp(0, 0, request[4:8])
            yield _icmp(0, 0, request[4:8] + bytes(len(rest)))
            yield _icmp(0, 0, bytes([identifier[0] ^ 0xFF, identifier[1]]) + request[6:])
            yield _icmp(0, 0, identifier + struct.pack("!H", (sequence + 1) & 0xFFFF) + rest)
            yield _icmp(3, 1, bytes(4) + packet[:header])
            yield _icmp(3, 1, bytes(4) + b"\x4f" + bytes(30))
            yield _icmp(11, 0, bytes(4) + packet[: header + 8] + bytes(20))
            if sequence % 2:
                yield _reply(request)
        case "brief":
            yield _icmp(3, 13, bytes(4) + packet[: header + 8])
        case "delay":
            time.sleep(0.02)
            yield _reply(request)
        case "late":
            time.sleep(0.4)
            yield _reply(request)
        case "headers":
            print(packet[:header].hex(), flush=True)  # noqa: T201 (what the test reads)
            yield _reply(request)


def main(mode: str, source: str = "") -> None:
    listening = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sending = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    if source:
        sending.bind((source, 0))
    print("ready", flush=True)  # noqa: T201 (what the test waits for)
    held: list[bytes] = []
    while True:
        packet, address = listening.recvfrom(65535)
        if packet[(packet[0] & 15) * 4] == 8:
            for answer in _answers(mode, packet, held):
                sending.sendto(answer, address)


if __name__ == "__main__":
    main(*sys.argv[1:])
