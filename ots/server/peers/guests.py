"""Who is connected, counted over all workers without a lock.

Each worker has a row of counters of its own in shared memory and writes no other; an address falls into one
of the columns. Two addresses in one column share its limit, which the size of the row makes rare and a
secret makes impossible to arrange.
"""

from __future__ import annotations

import ipaddress
import mmap

_COLUMNS = 1 << 14


def client_key(address: str) -> bytes:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped.packed if found.ipv4_mapped is not None else found.packed[:8]
    return found.packed


class Guests:
    """The counters of all workers. Made before the workers are forked, it is shared by them."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        counters = memoryview(mmap.mmap(-1, workers * _COLUMNS * 2)).cast("H")
        self._rows = [counters[k * _COLUMNS : (k + 1) * _COLUMNS] for k in range(workers)]

    def of(self, client: bytes) -> int:
        """Connections of a client with all workers."""
        column = _column(client)
        return sum(row[column] for row in self._rows)

    def came(self, worker: int, client: bytes) -> None:
        self._rows[worker][_column(client)] += 1

    def left(self, worker: int, client: bytes) -> None:
        self._rows[worker][_column(client)] -= 1

    def forget(self, worker: int) -> None:
        """The worker is gone, and its connections with it."""
        self._rows[worker][:] = memoryview(bytes(_COLUMNS * 2)).cast("H")


def _column(client: bytes) -> int:
    # Python's hash of bytes is keyed by a secret of the process, which forked workers share.
    return hash(client) % _COLUMNS
