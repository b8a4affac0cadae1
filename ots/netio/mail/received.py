"""The way that a message took, read from its Received headers (RFC 5321 section 4.4)."""

from __future__ import annotations

from datetime import UTC
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import parsedate_to_datetime

_MOST_HOPS = 100
"""Received headers that are looked at; servers give a message up as looping long before (section 6.3)."""

_LONGEST_HEADER = 256 << 10
_LONGEST_STAMP = 100


def hop_times(message: bytes) -> list[float | None]:
    """When each server on the way took the message, oldest first, in seconds since 1970 by *its* clock.

    None where a server wrote no time that can be read. The stamps have a resolution of one second and come
    from foreign clocks: compare them with each other at most, never with ours.
    """
    head = message[:_LONGEST_HEADER].partition(b"\r\n\r\n")[0]
    headers = BytesHeaderParser(policy=compat32).parsebytes(head).get_all("Received", [])
    return [_stamp(str(value)) for value in headers[:_MOST_HOPS]][::-1]


def hop_delays(times: list[float | None]) -> list[float | None]:
    """Seconds from each server to the next; None where either wrote no time, below 0 where clocks differ."""
    return [
        None if here is None or there is None else there - here
        for here, there in zip(times, times[1:], strict=False)
    ]


def _stamp(value: str) -> float | None:
    try:
        stamp = parsedate_to_datetime(value.rpartition(";")[2].strip()[:_LONGEST_STAMP])
        # "-0000" says that it is UTC, and nothing of where the server stands (RFC 5322 section 3.3).
        return (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
