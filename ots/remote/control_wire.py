"""What server and agent say on the control channel, and the command that a server signs. Pure.

    GET  /api/v1/agent/channel     a WebSocket: one JSON message a text frame, at most MAX_FRAME bytes
    POST /api/v1/agent/commands    Told: the agent's messages, where no WebSocket gets through
    GET  /api/v1/agent/commands    Waiting: the server's messages, after at most POLL seconds

All are signed requests. The agent says hello first; the server answers welcome and then sends every command
that is not settled yet, again after each reconnect, until it hears how it ended. Times are RFC 3339 UTC,
durations seconds. Unknown fields are ignored by both sides, unknown messages too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ots.policy.issuer import Issuer

COMMAND = "ots-command+jws"
"""Statement type of a signed command: fields of `Command`."""

MAX_FRAME = 256 << 10
PING = 60.0
"""Seconds between two pings of the server, ± JITTER; a line that is silent for DEAD of them is dead."""
JITTER = 0.25
DEAD = 2.5
POLL = 25.0

MOST_ALIVE = 86_400.0
"""Seconds from its making to its end, at most, for any command."""

Kind = Literal["run", "preview", "stop", "status", "sync", "hold", "release", "diagnose", "ping"]
"""An agent older than a kind refuses it as `malformed`, one that has no duty for it as `not-supported`."""
CommandId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
"""What anybody says of a command names it so; with anything else the message is none."""

Settled = Literal[
    "recorded", "started", "finished", "interrupted", "expired", "refused", "missed", "tombstoned"
]
"""How a command stands at the agent: the states of its ledger."""


class Command(msgspec.Struct, kw_only=True, frozen=True):
    """One thing that one agent is to do. `seq` grows with each command to this agent."""

    command_id: str
    agent_id: str
    kind: Kind
    seq: int
    issued_at: str
    not_before: str
    not_after: str
    issuer: Issuer
    args: dict[str, Any] = {}


class RunArgs(msgspec.Struct, kw_only=True, frozen=True):
    """The `args` of a `run` or `preview`. `agents` is how many agents the same run asks; thresholds
    replace the case's."""

    name: str
    version: int | None = None
    sha256: str | None = None
    parameters: dict[str, str] = {}
    thresholds: dict[str, list[Any]] = {}
    max_duration: float = 600.0
    tags: dict[str, str] = {}
    group_run_id: str | None = None
    agents: int = 1


class Reason(msgspec.Struct, kw_only=True, frozen=True):
    """Why a run would be refused, or a step of it: `step` is its key, null where the whole run is meant."""

    code: str
    text: str
    step: str | None = None


class Foreseen(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to a `preview`. What would run has reasons too: for the steps that would be left out."""

    would: Literal["run", "refuse"]
    reasons: list[Reason] = []


class StopArgs(msgspec.Struct, kw_only=True, frozen=True):
    """The `args` of a `stop`: the id of the `run` command, null for whatever runs or waits."""

    command_id: str | None = None


class Standing(msgspec.Struct, kw_only=True, frozen=True):
    """How one command stands at the agent; told until the server has noted its end."""

    command_id: CommandId
    state: Settled
    reason: str | None = None
    report_id: str | None = None
    verdict: str | None = None
    answer: Any = None


class Hello(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="hello"):
    """The agent's first message. `boot_id` names this start of it, `commands` what may be news."""

    version: str
    boot_id: str
    time: str
    last_seq: int = 0
    commands: list[Standing] = []


class Ack(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="ack"):
    """The answer to a command, after it was written down; `duplicate` with the state it is in already."""

    command_id: CommandId
    answer: Literal["accepted", "rejected", "duplicate"]
    state: Settled | None = None
    reason: str | None = None
    text: str | None = None


class Progress(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="progress"):
    """How far a run is; may be lost. `fraction` is 0 to 1, null where nobody can tell."""

    command_id: CommandId
    started: bool = False
    step: str | None = None
    fraction: float | None = None
    text: str | None = None


class Done(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="done"):
    """How a command ended; repeated after each reconnect until it is noted."""

    standing: Standing


class Welcome(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="welcome"):
    """The server's first message. `first_wait` is the longest first delay before a reconnect."""

    server_id: str
    time: str
    ping: float = PING
    first_wait: float = 30.0


class Deliver(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="command"):
    """A signed command."""

    command: str


class Noted(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="noted"):
    """The server has kept how this command ended."""

    command_id: str


class Hint(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="hint"):
    """Something has changed that is worth asking for."""

    what: Literal["sync", "licence", "assignments"]


class Bye(msgspec.Struct, kw_only=True, frozen=True, tag_field="is", tag="bye"):
    """The server ends this line; come again after so many seconds. `replaced`: another line is in use."""

    after: float
    reason: Literal["closing", "replaced", "state", "protocol"]


FromAgent = Hello | Ack | Progress | Done
FromServer = Welcome | Deliver | Noted | Hint | Bye


class Told(msgspec.Struct, kw_only=True):
    """What an agent has to say, by long poll."""

    messages: list[FromAgent] = []


class Waiting(msgspec.Struct, kw_only=True):
    """What the server has to say, by long poll."""

    messages: list[FromServer] = []
