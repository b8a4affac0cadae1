"""One request and its answer, with the phases of HAR 1.2."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from yarl import URL

from ots.model.report import Error

Kind = Literal["document", "stylesheet", "script", "image", "other"]


@dataclass(slots=True)
class Phases:
    """Seconds of each phase, None where it did not occur. `connect` contains `ssl`, as HAR 1.2 has it."""

    blocked: float | None = None
    dns: float | None = None
    connect: float | None = None
    ssl: float | None = None
    send: float | None = None
    wait: float | None = None
    receive: float | None = None


@dataclass(slots=True)
class Exchange:
    """What one request came to. Instants are on the monotonic clock.

    `transferred` counts bytes as they came from the connection, headers and framing included; `content` those
    of the body on the wire, `decoded` those after decompression. `body` is kept of documents and style sheets
    alone. `error` is None for a complete answer, whatever its status.
    """

    url: URL
    kind: Kind
    start: float
    phases: Phases = field(default_factory=Phases)
    request_headers: list[tuple[str, str]] = field(default_factory=list)
    status: int = 0
    reason: str = ""
    version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    content: int = 0
    decoded: int = 0
    transferred: int = 0
    interim: float | None = None
    first_byte: float | None = None
    first_content: float | None = None
    end: float | None = None
    redirect: URL | None = None
    address: str = ""
    connection: int = 0
    reused: bool = False
    error: Error | None = None

    def header(self, name: str) -> str | None:
        """The first field of that name."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def ok(self) -> bool:
        """A complete answer whose status is no refusal."""
        return self.error is None and self.status < 400
