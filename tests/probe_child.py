"""Runs one probe in a process of its own, so that a test can put it into name spaces or take its rights away.

`python -m tests.probe_child '{"probe": "tcp_connect", "target": "…", "params": {…}, "dns_port": 53}'` prints
the attempt as JSON. With `dns_port` the embedded DNS peer serves on that port of 127.0.0.1 meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from ots.registry import kinds
from ots.server.peers import dns
from tests.recording import record


async def _main(spec: dict[str, Any]) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        if "dns_port" in spec:
            peer = await dns.start("127.0.0.1", spec["dns_port"])
            stack.push_async_callback(peer.close)
        recording = await record(kinds()[spec["probe"]], spec["target"], spec["params"])
    attempt = recording.only
    return {
        "outcome": attempt.outcome,
        "error": msgspec.to_builtins(attempt.error),
        "method": dict(attempt.method),
        "triggers": sorted(attempt.triggers),
        "values": {key: [sample.value for sample in samples] for (key, _), samples in attempt.series.items()},
    }


if __name__ == "__main__":
    json.dump(asyncio.run(_main(json.loads(sys.argv[1]))), sys.stdout)
