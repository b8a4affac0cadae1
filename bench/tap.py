"""Echo packets as the kernel saw them on an interface: `python -m bench.tap DEVICE` until its input ends.

Prints `ready`, then as JSON the seconds between each request and its reply, in the order of the requests.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys

_ETH_P_ALL = 3
_SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("@qq")
_REQUEST, _REPLY = 8, 0


def main(device: str) -> None:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    tap.bind((device, _ETH_P_ALL))
    print("ready", flush=True)
    sent: dict[bytes, int] = {}
    trips: dict[bytes, int] = {}
    while True:
        readable, _, _ = select.select([tap, sys.stdin], [], [])
        if tap not in readable:
            break
        packet, ancillary, _, _ = tap.recvmsg(2048, 64)
        header = (packet[0] & 15) * 4
        message = packet[header : header + 8]
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP or len(message) < 8:
            continue
        seconds, nanoseconds = _STAMP.unpack(ancillary[0][2][: _STAMP.size])
        stamp = seconds * 1_000_000_000 + nanoseconds
        if message[0] == _REQUEST:
            sent[message[4:]] = stamp
        elif message[0] == _REPLY and message[4:] in sent:
            trips.setdefault(message[4:], stamp - sent[message[4:]])
    print(json.dumps([trips.get(name, 0) / 1e9 for name in sent]))


if __name__ == "__main__":
    main(sys.argv[1])
