"""A link with delay and loss between two network namespaces: `python -m tests.link_emulator A DEV B DEV …`.

A TUN device in each namespace, and this process between them: a packet comes out at the other end `--delay`
seconds later; of those from the first end every `--lose`-th is dropped. The kernels here have no netem.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import heapq
import os
import select
import struct
import time
from contextlib import suppress

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 1, 0x1000
_CLONE_NEWNET = 0x40000000
_MTU = 65_535


def _tun(namespace: str, device: str) -> int:
    """The descriptor of a new TUN device, which lives as long as it is open."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as place:
        if libc.setns(place.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"no entry to {namespace}")
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return made


def main() -> None:
    options = argparse.ArgumentParser()
    for name in ("near", "near_device", "far", "far_device"):
        options.add_argument(name)
    options.add_argument("--delay", type=float, default=0.0)
    options.add_argument("--lose", type=int, default=0)
    asked = options.parse_args()
    # A link does not wait for a processor; it sleeps nearly all the time.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    ends = [_tun(asked.near, asked.near_device), _tun(asked.far, asked.far_device)]
    print("ready", flush=True)  # noqa: T201 (what the test waits for)
    waiting: list[tuple[float, int, int, bytes]] = []
    seen = forward = 0
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select(ends, [], [], left)
        for end in readable:
            packet = os.read(end, _MTU)
            seen += 1
            if end == ends[0] and _is_test_traffic(packet):
                forward += 1
                if asked.lose and forward % asked.lose == 0:
                    continue
            other = ends[1] if end == ends[0] else ends[0]
            heapq.heappush(waiting, (time.monotonic() + asked.delay, seen, other, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(waiting)
            with suppress(OSError):
                # A device that is not up yet drops it.
                os.write(end, packet)


def _is_test_traffic(packet: bytes) -> bool:
    """Not what kernels say to each other by themselves: router solicitations and reports of groups."""
    return packet[0] >> 4 == 4 or packet[24] != 0xFF


if __name__ == "__main__":
    main()
