"""What is to be done, in the policy's words: numbers and addressees, without probes and parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ots.policy.address import Network

Consent = Literal["trusted", "listed", "declared"]
"""Why a host may be loaded: this machine's owner answers for it, it stands in the list of servers, or it
says so itself."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A host or a network that a step sends to, `text` as the case has it; `consent` is what is known."""

    text: str
    host: str
    port: int | None = None
    network: Network | None = None
    consent: Consent | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A step. Packets are what it sends of its own accord: echo requests, datagrams, connections.

    `packets` and `rate` (a second) are the most that one aim gets, `packets_in_all` and `rate_in_all` what
    all get together; `flows` are connections at once, `bytes` both ways (None: not bounded), `seconds` the
    longest that it may take; `secrets` and `files` of this machine are what it reads.
    """

    step: str
    kind: str
    aims: tuple[Aim, ...]
    packets: int = 0
    rate: float = 0.0
    packets_in_all: int = 0
    rate_in_all: float = 0.0
    flows: int = 1
    bytes: int | None = 0
    seconds: float = 0.0
    secrets: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A run. `seed` is what its start is spread by: the agent's and the order's ids."""

    intents: tuple[Intent, ...]
    seconds: float
    bytes: int | None
    cycles: int = 1
    seed: str = ""


@dataclass(frozen=True, slots=True)
class Used:
    """What this kind of issuer has had so far: bytes of this UTC day, and when (seconds since 1970) a run
    last sent to a host (`address.whose`) that has agreed to nothing."""

    bytes_today: int = 0
    asked: dict[str, float] = field(default_factory=dict)
