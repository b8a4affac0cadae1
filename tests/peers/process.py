"""Starts a foreign server, waits until it answers, and ends it by its process id."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["free_port", "running", "wait_for_port"]

# Below the range from which the system takes the ports of outgoing connections, so that no client's socket
# sits on the port between our look and the server's bind.
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """A port that was free a moment ago, for TCP and UDP, on 127.0.0.1 and ::1."""
    for _ in range(200):
        port = random.choice(_PORTS)
        if all(_bindable(port, family, kind) for family, kind in _sockets()):
            return port
    raise RuntimeError("found no free port")


def _sockets() -> Iterator[tuple[socket.AddressFamily, socket.SocketKind]]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        yield socket.AF_INET, kind
        if has_ipv6():
            yield socket.AF_INET6, kind


def has_ipv6() -> bool:
    """Whether ::1 can be bound here."""
    return _bindable(0, socket.AF_INET6, socket.SOCK_STREAM)


def _bindable(port: int, family: socket.AddressFamily, kind: socket.SocketKind) -> bool:
    try:
        with socket.socket(family, kind) as sock:
            sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", port))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running(
    argv: Sequence[str | Path],
    *,
    port: int,
    folder: Path,
    env: Mapping[str, str] | None = None,
    within: float = 20.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server in `folder` until the block ends; its output is in `folder/output.log`.

    Raises RuntimeError with that output if it ends, or does not listen on `port` within `within` seconds.
    """
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        try:
            wait_for_port(port, process, within)
        except RuntimeError as error:
            said = log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"{Path(argv[0]).name}: {error}\n{said}") from error
        yield process
    finally:
        end(process)


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None, within: float) -> None:
    """Returns when 127.0.0.1:port accepts a connection; raises RuntimeError once that can't come any more."""
    deadline = time.monotonic() + within
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"ended with code {process.returncode}") from None
            if time.monotonic() > deadline:
                raise RuntimeError(f"does not listen on port {port} after {within:g} s") from None
            time.sleep(0.02)


def end(process: subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """Asks a process to end, and kills it if it does not."""
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
