"""What a child of the agent has in common with any other: it ends with its parent, and is handed an order."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import msgspec

from ots.agent.order import Order

_PR_SET_PDEATHSIG = 1
_MOST_ORDER = 1 << 20


def end_with(parent: int) -> bool:
    """The kernel sends SIGTERM when the process `parent` is gone; False where it is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent


def handed_order() -> Order:
    """The order on standard input. Raises msgspec.MsgspecError where it is none."""
    return msgspec.json.decode(sys.stdin.buffer.read(_MOST_ORDER), type=Order)
