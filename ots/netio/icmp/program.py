"""Echo by the system's `ping` program (iputils): the way out where this user may not open an ICMP socket.

One process for each host, its lines read as they come. Its clock and its rounding (1 to 10 µs, by the size of
the value) stand in the figures, and it gives up on the last requests after two round trips once anything has
answered, however long the timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from ots.clock import Clock, wall_offset
from ots.i18n import N_
from ots.netio.errors import classify
from ots.netio.icmp.sockets import REMEDY, Options
from ots.netio.icmp.stream import Deliver, Event, Extra, Refusal, Settled
from ots.probe import Address, Failed, Route

_AT_ONCE = 32
"""Processes that run side by side; more hosts wait for their turn."""

_COMPLAINT_BYTES = 65536
_STEM = r"(?:\[(?P<at>\d+\.\d+)\] )?"
_REPLY = re.compile(
    _STEM + r"\d+ bytes from \S+(?: \(\S+\))?: icmp_seq=(?P<seq>\d+) (?:ident=\d+ )?ttl=(?P<ttl>\d+)"
    r"(?: time=(?P<ms>\d+(?:\.\d+)?) ms)?(?P<dup> \(DUP!\))?.*"
)
_REFUSED = re.compile(_STEM + r"From (?P<by>\S+)(?: \(\S+\))?:? icmp_seq=(?P<seq>\d+) (?P<what>.+)")
_LOCAL = re.compile(r"(?:\S*/)?ping: (?:[^:]+: )+(?P<what>[^:]+)")
"""ping names itself as it was called, with its folder."""

_WORDS_4 = {
    "Destination Net Unreachable": (3, 0),
    "Destination Host Unreachable": (3, 1),
    "Destination Protocol Unreachable": (3, 2),
    "Destination Port Unreachable": (3, 3),
    "Frag needed and DF set": (3, 4),
    "Source Route Failed": (3, 5),
    "Destination Net Unknown": (3, 6),
    "Destination Host Unknown": (3, 7),
    "Source Host Isolated": (3, 8),
    "Destination Net Prohibited": (3, 9),
    "Destination Host Prohibited": (3, 10),
    "Packet filtered": (3, 13),
    "Precedence Violation": (3, 14),
    "Precedence Cutoff": (3, 15),
    "Time to live exceeded": (11, 0),
    "Frag reassembly time exceeded": (11, 1),
    "Parameter problem": (12, 0),
}
_WORDS_6 = {
    "Destination unreachable: No route": (1, 0),
    "Destination unreachable: Administratively prohibited": (1, 1),
    "Destination unreachable: Beyond scope": (1, 2),
    "Destination unreachable: Address unreachable": (1, 3),
    "Destination unreachable: Port unreachable": (1, 4),
    "Packet too big": (2, 0),
    "Time exceeded: Hop limit": (3, 0),
    "Time exceeded: Defragmentation failure": (3, 1),
    "Parameter problem": (4, 0),
}
_ERRNO_BY_TEXT = {os.strerror(number): number for number in errno.errorcode}


@dataclass(frozen=True, slots=True)
class Reply:
    """A line about a reply; `at` is the wall-clock time of its arrival."""

    sequence: int
    at: float | None
    rtt: float | None
    ttl: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A line about an ICMP error."""

    sequence: int
    type: int
    code: int
    by: str


def parse(line: str) -> Reply | Refused | None:
    """What a line of ping's output says of one request; None for any other line."""
    found = _REPLY.fullmatch(line)
    if found is not None:
        at, rtt = found["at"], found["ms"]
        return Reply(
            int(found["seq"]),
            float(at) if at else None,
            float(rtt) / 1e3 if rtt else None,
            int(found["ttl"]),
            found["dup"] is not None,
        )
    found = _REFUSED.fullmatch(line)
    if found is None:
        return None
    by = found["by"].rstrip(":")
    words = _WORDS_6 if ":" in by else _WORDS_4
    for text, (kind, code) in words.items():
        if found["what"].startswith(text):
            return Refused(int(found["seq"]), kind, code, by)
    return None


def local_error(stderr: str) -> int | None:
    """The errno that ping's own complaint ends in (`ping: connect: Network is unreachable`), if it is one."""
    for line in stderr.splitlines():
        found = _LOCAL.match(line)
        if found is not None:
            what = found["what"].partition(",")[0].strip()
            number = _ERRNO_BY_TEXT.get(what) or _ERRNO_BY_TEXT.get(what.capitalize())
            if number is not None:
                return number
    return None


class SystemPing:
    """One run of the program for each destination, told in the same events as an `EchoSession`."""

    def __init__(
        self,
        destinations: Sequence[Address],
        *,
        count: int,
        interval: float,
        timeout: float,
        size: int,
        options: Options,
        route: Route,
        clock: Clock,
    ) -> None:
        self._destinations = destinations
        self._count = count
        self._interval = interval
        self._timeout = timeout
        self._size = size
        self._options = options
        self._route = route
        self._clock = clock
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self, deliver: Deliver) -> None:
        """Runs all to their end. Cancelled, no process is left, and what was on its way is settled so."""
        if not self._destinations:
            return
        program = await _program()
        tasks = [
            asyncio.create_task(self._one(program, number, address, deliver))
            for number, address in enumerate(self._destinations)
        ]
        try:
            # Not gather, which would cancel them too: a second cancellation cuts the tidying up short.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    def command(self, program: str, address: Address) -> list[str]:
        """The command line for one destination."""
        target = f"{address.ip}%{address.scope}" if address.scope else address.ip
        options = self._options
        command = [program, f"-{address.family}", "-n", "-D", "-c", str(self._count)]
        command += ["-i", f"{self._interval:g}", "-W", f"{self._timeout:g}", "-s", str(self._size)]
        command += [
            "-t",
            str(options.ttl),
            "-Q",
            str(options.dscp << 2),
            "-M",
            "do" if options.df else "dont",
        ]
        for origin in (self._route.interface, self._route.source):
            command += ["-I", origin] if origin is not None else []
        return [*command, "--", target]

    async def _one(self, program: str, number: int, address: Address, deliver: Deliver) -> None:
        async with self._slots:
            process = await _start(*self.command(program, address))
            host = _Host(self._count, self._interval, self._timeout, number, address, self._clock)
            stderr = b""
            try:
                assert process.stdout is not None and process.stderr is not None
                complaint = asyncio.create_task(_whole(process.stderr))
                async for line in process.stdout:
                    events = host.read(line.decode("ascii", "replace").rstrip())
                    if events:
                        deliver(events)
                stderr = await complaint
                await process.wait()
            except BaseException:
                deliver(host.rest(cancelled=True))
                raise
            finally:
                await _end(process)
            deliver(host.rest(failure=_failure(process.returncode, stderr.decode("ascii", "replace"))))


class _Host:
    """What ping has said of one host, and which requests it has not spoken of yet."""

    def __init__(
        self, count: int, interval: float, timeout: float, number: int, address: Address, clock: Clock
    ) -> None:
        self._interval = interval
        self._timeout = timeout
        self._number = number
        self._address = address
        self._clock = clock
        self._start = clock.monotonic()
        self._open = dict.fromkeys(range(count))
        self._place = 0

    def read(self, line: str) -> list[Event]:
        """The events that a line tells of."""
        said = parse(line)
        if said is None:
            return []
        place = self._placed(said.sequence)
        now = self._clock.monotonic()
        if isinstance(said, Refused):
            refusal = Refusal(self._number, self._address.family, said.type, said.code, said.by)
            if place not in self._open:
                return [refusal]
            del self._open[place]
            lost = Settled(
                self._number, place, self._due(place), None, "unreachable", failure=refusal.failure()
            )
            return [refusal, lost]
        if place not in self._open:
            return [Extra(self._number, "duplicate", said.rtt)]
        if said.rtt is None:
            # The payload was too small for ping's own stamp; it never is with the sizes that are allowed.
            return []
        del self._open[place]
        if said.rtt > self._timeout:
            late = Settled(self._number, place, self._due(place), None, "loss")
            return [Extra(self._number, "late", said.rtt), late]
        arrived = now if said.at is None else min(now, said.at - wall_offset(self._clock))
        return [Settled(self._number, place, arrived - said.rtt, said.rtt, ttl=said.ttl)]

    def rest(self, *, cancelled: bool = False, failure: Failed | None = None) -> list[Event]:
        """Settles what ping did not speak of: lost; or, cut short, on its way or never sent."""
        now = self._clock.monotonic()
        events: list[Event] = []
        for place in self._open:
            due = self._due(place)
            if failure is not None:
                reason, sent = failure.error.class_, False
                events.append(
                    Settled(self._number, place, min(due, now), None, reason, sent=sent, failure=failure)
                )
            elif not cancelled or due + self._timeout <= now:
                events.append(Settled(self._number, place, due, None, "loss"))
            elif due <= now:
                events.append(Settled(self._number, place, due, None, "cancelled"))
        self._open.clear()
        return events

    def _due(self, place: int) -> float:
        return self._start + place * self._interval

    def _placed(self, sequence: int) -> int:
        """The request that a sequence number of 16 bits stands for: the one nearest to the last spoken of."""
        distance = ((sequence - 1 - self._place + 0x8000) & 0xFFFF) - 0x8000
        self._place += distance
        return self._place


async def _program() -> str:
    """The path of iputils' ping, or `Failed`, class `unsupported`."""
    path = shutil.which("ping")
    version = b""
    if path is not None:
        process = await _start(path, "-V")
        try:
            version, _ = await process.communicate()
        finally:
            await _end(process)
    if path is None or b"iputils" not in version:
        what = "there is no ping program" if path is None else f"{path} is not the ping of iputils"
        raise Failed("unsupported", "config", "PROGRAM", what, remedy=REMEDY)
    return path


async def _start(*command: str) -> asyncio.subprocess.Process:
    """Starts ping with English output; `Failed` where the system won't run it.

    A program with file capabilities that this user may not gain is refused already here.
    """
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
    except PermissionError as error:
        code = errno.errorcode.get(error.errno or 0, "EPERM")
        message = f"no right to run {command[0]}"
        raise Failed("permission", "config", code, message, remedy=REMEDY) from None
    except OSError as error:
        raise classify(error, "config") from None


async def _whole(stream: asyncio.StreamReader) -> bytes:
    """All that comes until the end, which may be in many pieces; kept up to _COMPLAINT_BYTES."""
    kept = b""
    while piece := await stream.read(_COMPLAINT_BYTES):
        kept += piece[: _COMPLAINT_BYTES - len(kept)]
    return kept


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends a process that may still run and waits for it."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
    await process.wait()


def _failure(status: int | None, stderr: str) -> Failed | None:
    """Why ping itself could not do its work (status 2), or None. 0 and 1 are its verdicts on the host."""
    if status in (0, 1):
        return None
    number = local_error(stderr)
    lines = stderr.strip().splitlines()
    message = lines[-1][:200] if lines else f"ping ended with status {status}"
    if number == errno.EPERM:
        message = "the ping program has no right to open an ICMP socket"
        return Failed("permission", "config", "EPERM", message, remedy=REMEDY)
    if number is not None:
        return classify(OSError(number, message), "request")
    return Failed(
        "unsupported",
        "request",
        f"ping exit {status}",
        message,
        remedy=N_("Ask for what the system's ping allows, or use an ICMP socket."),
    )
