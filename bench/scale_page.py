"""docs/scale.md, written from one run of bench.scale."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.scale_agents import AT_ONCE
from bench.table import figure

_MILLION = 1_000_000
_GOAL_KIB = 16.0


@dataclass(frozen=True, slots=True)
class Carried:
    """What one way to run the server carried. Seconds, KiB of resident memory for each idle agent, and
    commands a second from a person's request on: until the last had arrived, and until all were settled."""

    title: str
    agents: int
    opened_per_second: float
    kib_per_agent: float
    idle_cpu: float
    ping_median: float
    ping_p99: float
    commands_made: float
    commands_per_second: float
    settled_per_second: float


@dataclass(frozen=True, slots=True)
class Returned:
    """All agents back at a server that has just started: seconds until half and all of them were there, and
    what its resident memory grew by for each."""

    agents: int
    half: float
    all: float
    turned_away: int
    took_p99: float
    kib_per_agent: float


def page(agents: int, carried: Sequence[Carried], returned: Returned) -> str:
    """The whole page."""
    one, several = carried[0], carried[-1]
    lines = [
        "# Scale",
        "",
        "Written by `python -m bench.scale --write` from one run; don't edit.",
        "",
        f"Measured on {datetime.now(UTC):%d %B %Y} on {os.cpu_count()} processors, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}. {agents} simulated agents, the servers "
        "and the database shared these processors, so every rate here is less than a server of its own has.",
        "",
        "## What a server carries",
        "",
        "Each agent holds one WebSocket (no compression, no TLS: that is the proxy's). *Opened* is how many "
        f"a second came onto the line with the admission lifted, {AT_ONCE} on their way at the same time, "
        "each with a signed request; *memory* is what the resident memory of the processes grew by for each "
        "idle agent; *idle* is their CPU with all lines open and quiet. "
        "*Ping* is the time from a person's request to its arrival at the agent. For *run* one request "
        "started a case on all agents: each command is signed, kept, delivered, acknowledged and settled in "
        "the database.",
        "",
        "| | opened/s | memory KiB | idle CPU | ping median ms | ping p99 ms | run: made s | delivered/s "
        "| settled/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in carried:
        figures = (
            *(each.opened_per_second, each.kib_per_agent, each.idle_cpu),
            *(each.ping_median * 1e3, each.ping_p99 * 1e3),
            *(each.commands_made, each.commands_per_second, each.settled_per_second),
        )
        lines.append(f"| {each.title} | {' | '.join(figure(number) for number in figures)} |")
    most = max(returned.kib_per_agent, *(each.kib_per_agent for each in carried))
    word = "met" if most <= _GOAL_KIB else "**missed**"
    lines += [
        "",
        f"Goal: at most {_GOAL_KIB:g} KiB for each idle agent, after the return below too: {word}.",
        "",
        "## All come back at once",
        "",
        f"A server that has just started (usual admission: 10 a second for 30 s, then 50) and "
        f"{returned.agents} agents that all want in within 30 s: half were there after "
        f"{returned.half:.0f} s, all after {returned.all:.0f} s; {returned.turned_away} times one was sent "
        "away with Retry-After, before its signature was looked at. Coming onto the line took "
        f"{returned.took_p99 * 1e3:.0f} ms at the 99th percentile. Then the server's memory had grown by "
        f"{figure(returned.kib_per_agent)} KiB for each agent.",
        "",
        "## A million agents",
        "",
        *_million(one, several),
    ]
    return "\n".join(lines) + "\n"


def _million(one: Carried, several: Carried) -> list[str]:
    memory = _MILLION * one.kib_per_agent / 2**20
    processes = math.ceil(_MILLION / 20_000)
    opening = _MILLION / (900 * one.opened_per_second)
    run = _MILLION / several.settled_per_second / 3600
    return [
        "By calculation from the figures above, not measured:",
        "",
        f"- Lines: {memory:.0f} GiB of memory in all; at 20,000 agents each, {processes} processes.",
        f"- A return of everybody spread over 15 minutes: {_MILLION / 900:.0f} openings a second, "
        f"{opening:.1f} processors.",
        f"- One run on every agent, by the rate at which two processes settled commands here: {run:.1f} "
        "hours. The database is what it waits for: departments get databases of their own.",
        "- Reports: docs/performance.md says what one process takes in; a report a quarter of an hour from "
        f"each of a million agents makes {_MILLION / 900:.0f} a second.",
        "- LISTEN/NOTIFY wakes every process for every change: with more than a few processes a bus that "
        "knows subjects takes its place (docs/design/028-remote-control.md).",
    ]
