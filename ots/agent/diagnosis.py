"""What an agent tells of itself when a manager asks what is wrong: doctor, link, and the end of its log.

Doctor and link are asked in processes of their own, as a person at the machine would; what they say goes
through the same redaction as a report, and as the settings allow.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from ots import log
from ots.agent.log_tail import LogTail
from ots.config import settings
from ots.remote.redaction import clean

_PATIENCE = 60.0
_MOST_BYTES = 24 << 10
_LOG_LINES = 60


async def diagnosis(tail: LogTail) -> dict[str, Any]:
    """Everything as JSON; what could not be found out says why."""
    doctor, link = await asyncio.gather(_asked("doctor"), _asked("link"))
    allowed = settings().upload
    if not (allowed.addresses and allowed.device):
        link = {"withheld": "upload.addresses and upload.device of this machine's settings"}
    found = {"doctor": doctor, "link": link, "log": tail.lines(_LOG_LINES)}
    for _pointer in clean(found, log.redact):
        pass
    return found


async def _asked(command: str) -> Any:
    """What `ots COMMAND --json` says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ots", command, "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    except TimeoutError:
        return {"failed": f"no answer within {_PATIENCE:g} s"}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if len(out) > _MOST_BYTES:
        return {"failed": f"more than {_MOST_BYTES} bytes"}
    try:
        return json.loads(out)
    except ValueError:
        return {"failed": f"exit code {process.returncode}"}
