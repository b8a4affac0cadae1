"""One connection of a fan-out: where to, what is asked over it, and what came of it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Literal

from ots.model.outcome import Phase
from ots.netio.fanout.response import Response
from ots.probe import Address, Failed

__all__ = ["Job"]


@dataclass(slots=True, eq=False)
class Job:
    """What is to be done, then how far it came.

    `owner` is the asker's number for it. It starts at `due` (monotonic clock) at the earliest and has until
    `timeout` seconds after its start, less what was `spent` before, or until `deadline` where that is set.
    Without `response` it ends when the connection stands. All stamps are monotonic; None for what was not
    reached. `connect_seconds` is the time of the connection, by the kernel's stamps where `kernel` says so.
    `late` is how long after its time the timer that ended it fired, `followed` that another job goes on in
    its place.
    """

    owner: int
    address: Address
    port: int
    due: float
    timeout: float
    spent: float = 0.0
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    request: bytes = b""
    response: Response | None = None
    deadline: float | None = None

    sock: socket.socket | None = None
    phase: Phase = "connect"
    unsent: memoryview | None = None

    start: float | None = None
    connected: float | None = None
    connect_seconds: float | None = None
    kernel: bool = False
    syn_retransmits: int | None = None
    secured: float | None = None
    tls_seconds: float | None = None
    tls_version: str | None = None
    chain: tuple[bytes, ...] = ()
    sent: float | None = None
    first_byte: float | None = None
    end: float | None = None
    late: float | None = None
    failure: Failed | None = None
    followed: bool = False

    @property
    def stamps(self) -> Literal["kernel", "user"]:
        """Whose stamps `connect_seconds` is made of."""
        return "kernel" if self.kernel else "user"

    @property
    def where(self) -> str:
        """The address and the port, as one writes them."""
        host = f"[{self.address.ip}]" if self.address.family == "6" else self.address.ip
        return f"{host}:{self.port}"
