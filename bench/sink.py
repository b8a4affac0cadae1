"""An HTTP server that only swallows uploads, as fast as it can: `python -m bench.sink [CHAIN KEY]`.

It prints its port. A body needs a Content-Length; the answer comes when its last byte has arrived. No byte is
ever copied out of the kernel (MSG_TRUNC, tcp(7)); with a certificate it speaks TLS, and decrypts into one
buffer. It ends when its input does.
"""

from __future__ import annotations

import mmap
import re
import socket
import ssl
import sys
import threading
from collections.abc import Sequence

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_GULP = 4 << 20
_BUFFER = 256 << 10


def main(certificate: Sequence[str]) -> None:
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, context), daemon=True).start()


def _serve(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    if context is not None:
        connection = context.wrap_socket(connection, server_side=True)
    with connection:
        _swallow(connection)


def _swallow(connection: socket.socket) -> None:
    if isinstance(connection, ssl.SSLSocket):
        room, flags = memoryview(bytearray(_BUFFER)), 0
    else:
        # The kernel checks the room and writes nothing into it: no page of it ever comes to be.
        room, flags = memoryview(mmap.mmap(-1, _GULP)), socket.MSG_TRUNC
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return
        head += piece
    header, _, body = head.partition(b"\r\n\r\n")
    promised = _LENGTH.search(header + b"\r\n")
    if promised is None:
        connection.sendall(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n")
        return
    left = int(promised[1]) - len(body)
    while left > 0:
        got = connection.recv_into(room, min(left, len(room)), flags)
        if not got:
            return
        left -= got
    connection.sendall(_ANSWER)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)


if __name__ == "__main__":
    main(sys.argv[1:])
