"""Prints what routers choose a path by, of each packet that arrives: `python -m tests.flow_reader DEVICE`.

A line for each: protocol, addresses, flow label (IPv6), traffic class, and the first bytes behind the IP
header: ports of UDP and TCP; type, code, checksum and identifier of ICMP.
"""

from __future__ import annotations

import socket
import sys

_ALL = 0x0003
_OUTGOING = 4
_BYTES = {1: 6, 58: 6, 6: 4, 17: 4}


def main(device: str) -> None:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    sock.bind((device, _ALL))
    print("ready", flush=True)  # noqa: T201 (what the test waits for)
    while True:
        frame, address = sock.recvfrom(65535)
        packet = frame[14:]
        if address[2] == _OUTGOING or frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
            continue
        if packet[0] >> 4 == 4:
            protocol, header, chosen = packet[9], 20, packet[1:2] + packet[12:20]
        else:
            protocol, header, chosen = packet[6], 40, packet[0:4] + packet[8:40]
        if protocol in _BYTES:
            first = packet[header : header + _BYTES[protocol]]
            print(protocol, chosen.hex(), first.hex(), flush=True)  # noqa: T201 (what the test reads)


if __name__ == "__main__":
    main(*sys.argv[1:])
