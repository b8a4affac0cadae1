"""Keeps the machine awake while something is measured, by a lock of systemd-logind, if there is one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil

log = logging.getLogger("ots.agent")

_HOLD = ("--what=sleep:idle", "--who=ots", "--why=a measurement is running", "--mode=block")


class Awake:
    """Held while at least one run goes on; `possible` is None until it has been tried."""

    def __init__(self, program: str | None = None) -> None:
        self._program = program or shutil.which("systemd-inhibit")
        self._holder: asyncio.subprocess.Process | None = None
        self.possible: bool | None = None if self._program else False

    async def hold(self) -> None:
        """From now on the machine does not go to sleep by itself; a log line says where that can't be."""
        if self._holder is not None and self._holder.returncode is None:
            return
        if self._program is None:
            return
        try:
            self._holder = await asyncio.create_subprocess_exec(
                self._program,
                *_HOLD,
                "cat",  # ends with our end of its stdin, however this process ends
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert self._holder.stdin is not None and self._holder.stdout is not None
            self._holder.stdin.write(b".")
            taken = await asyncio.wait_for(self._holder.stdout.read(1), 3.0)
        except (OSError, TimeoutError):
            taken = b""
        if self.possible is None and not taken:
            log.warning("The machine can't be kept awake: systemd-logind does not answer")
        self.possible = bool(taken)
        if not taken:
            await self.release()

    async def release(self) -> None:
        holder, self._holder = self._holder, None
        if holder is None or holder.stdin is None:
            return
        holder.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            try:
                await asyncio.wait_for(holder.wait(), 2.0)
            except TimeoutError:
                holder.kill()
                await holder.wait()
