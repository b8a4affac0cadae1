"""An HTTP server that only swallows uploads, as fast as the kernel can drop them: `python -m bench.sink`.

It prints its port. A body needs a Content-Length; the answer comes when its last byte has arrived, and no
byte is ever copied out of the kernel (MSG_TRUNC, tcp(7)). It ends when its input does.
"""

from __future__ import annotations

import mmap
import re
import socket
import sys
import threading

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_GULP = 4 << 20


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_swallow, args=(connection,), daemon=True).start()


def _swallow(connection: socket.socket) -> None:
    # The kernel checks the room and writes nothing into it: no page of it ever comes to be.
    room = memoryview(mmap.mmap(-1, _GULP))
    with connection:
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
            got = connection.recv_into(room, min(left, _GULP), socket.MSG_TRUNC)
            if not got:
                return
            left -= got
        connection.sendall(_ANSWER)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


if __name__ == "__main__":
    main()
