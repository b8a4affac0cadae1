"""Two network namespaces with a wire between them, for benches that loopback would flatter. Needs root."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_OWNED = re.compile(r"ots-[a-z]+-([0-9]+)-\S+")
"""Names of namespaces that end with a process, with its id."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`prefix` runs a command in the near namespace; addresses are those of the wire's ends."""

    near_name: str
    far_name: str
    near_address: str
    far_address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.near_name)

    @property
    def far_prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.far_name)

    def near(self, *command: str) -> None:
        """Runs a command in the near namespace; RuntimeError if it fails."""
        do(*self.prefix, *command)

    def far(self, *command: str) -> None:
        """Runs a command in the far namespace; RuntimeError if it fails."""
        do(*self.far_prefix, *command)


def mine(name: str) -> str:
    """A namespace's name that says which process it ends with, by itself or by the next `clear_left`."""
    return f"ots-bench-{os.getpid()}-{name}"


def clear_left() -> None:
    """Deletes the namespaces of processes that were killed before they could do it."""
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False, timeout=30)
    for line in done.stdout.splitlines():
        owned = _OWNED.fullmatch(line.partition(" ")[0])
        if owned is not None and not os.path.exists(f"/proc/{owned[1]}"):
            # Somebody else may have cleared it meanwhile.
            with suppress(RuntimeError):
                do("ip", "netns", "del", owned[0])


@contextmanager
def pair(near: str, far: str, network: str) -> Iterator[Pair]:
    """A near end at NETWORK.1 and a far end at NETWORK.2, until the end; `network` is as `192.0.2`.

    The names are `mine`, or hold the process id like those.
    """
    clear_left()
    found = Pair(near, far, f"{network}.1", f"{network}.2")
    made: list[str] = []
    try:
        for name in (near, far):
            do("ip", "netns", "add", name)
            made.append(name)
            do("ip", "-n", name, "link", "set", "lo", "up")
        do("ip", "link", "add", "wire", "netns", near, "type", "veth", "peer", "name", "wire", "netns", far)
        for name, address in ((near, found.near_address), (far, found.far_address)):
            do("ip", "-n", name, "address", "add", f"{address}/24", "dev", "wire")
            do("ip", "-n", name, "link", "set", "wire", "up")
        yield found
    finally:
        for name in made:
            do("ip", "netns", "del", name)


def do(*command: str) -> None:
    """Runs a command; RuntimeError with its complaint if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
