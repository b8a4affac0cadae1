"""A server that is the limit: it sends in bursts or evenly, or reads slowly. Its address is the argument.

Plain threads and sockets, one way for each port, so that nothing but the pace differs from any other server.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

BURSTS, EVENLY, READS = 8081, 8082, 8083
RATE = 4_000_000
"""bit/s of each of them."""

_BURST = 50_000
_PIECE = 8192
_MAX_PACING_RATE = 47
"""SO_MAX_PACING_RATE (asm-generic/socket.h): the kernel itself spaces the segments."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def send_in_bursts(connection: socket.socket) -> None:
    """So many bytes at once, and nothing until they are due again."""
    _request(connection)
    connection.sendall(_HEAD)
    due, content = time.monotonic(), os.urandom(_BURST)
    while True:
        connection.sendall(content)
        due += 8 * _BURST / RATE
        time.sleep(max(0.0, due - time.monotonic()))


def send_evenly(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, _MAX_PACING_RATE, RATE // 8)
    _request(connection)
    connection.sendall(_HEAD)
    content = os.urandom(1 << 16)
    while True:
        connection.sendall(content)


def read_slowly(connection: socket.socket) -> None:
    """Takes an upload at the rate, in small pieces, and answers at its end."""
    count, start, tail = 0, time.monotonic(), b""
    while data := connection.recv(_PIECE):
        count, tail = count + len(data), (tail + data)[-5:]
        if tail == b"0\r\n\r\n":
            connection.sendall(_ANSWER)
            return
        time.sleep(max(0.0, start + 8 * count / RATE - time.monotonic()))


def _request(connection: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(4096)):
        head += data


def _serve(host: str, port: int, handle: Callable[[socket.socket], None]) -> None:
    with socket.create_server((host, port)) as listening:
        _LISTENING.release()
        while True:
            connection, _client = listening.accept()
            threading.Thread(target=_handle, args=(connection, handle), daemon=True).start()


def _handle(connection: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with connection:
        try:
            handle(connection)
        except (BrokenPipeError, ConnectionResetError):
            # A client that leaves is how downloads end.
            return


_LISTENING = threading.Semaphore(0)


def main() -> None:
    """Until its input ends."""
    ways = {BURSTS: send_in_bursts, EVENLY: send_evenly, READS: read_slowly}
    for port, handle in ways.items():
        threading.Thread(target=_serve, args=(sys.argv[1], port, handle), daemon=True).start()
    for _ in ways:
        _LISTENING.acquire()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
