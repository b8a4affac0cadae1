"""What an agent does about an answer that is no success: try again, park this item, or stop for now. Pure."""

from __future__ import annotations

import random
from typing import Literal

Decision = Literal["retry", "park", "stop"]

SHORTEST = 1.0
LONGEST = 900.0
LONGEST_ASKED = 21_600.0
"""Seconds: the least and the most between two tries, and the most that a server can ask for."""

_TRY_AGAIN = frozenset({408, 425, 429})
_TRY_AGAIN_CODES = frozenset({"overloaded", "maintenance", "storage-full", "rate-limited", "quota-exceeded"})
_STOP_CODES = frozenset(
    {
        "upgrade-required",
        "approval-pending",
        "approval-refused",
        "clock-skew",
        "signature-missing",
        "signature-invalid",
        "not-found",
        "method-not-allowed",
    }
)
_STOP_FAMILIES = ("agent-", "device-", "licence-", "feature-")


def decide(status: int, code: str | None) -> Decision:
    """The decision for a status and a problem's code; None where the answer is not in the server's words.

    Only the server's own word parks an item: what a proxy or a captive portal says in its place is a
    disturbance of the way.
    """
    if status in _TRY_AGAIN or status >= 500 or code in _TRY_AGAIN_CODES or code is None:
        return "retry"
    if code in _STOP_CODES or code.startswith(_STOP_FAMILIES) or status == 401:
        return "stop"
    return "park"


def backoff(failures: int) -> float:
    """Seconds until the next try after so many failures in a row: full jitter within a doubling bound."""
    return max(SHORTEST, random.uniform(0, min(LONGEST, 2.0 ** min(failures, 16))))


def wait(failures: int, asked: float | None) -> float:
    """Seconds until the next try: what the server asked for if it did, and never less than it asked."""
    if asked is None:
        return backoff(failures)
    return min(max(asked, SHORTEST), LONGEST_ASKED) + random.uniform(0, SHORTEST)
