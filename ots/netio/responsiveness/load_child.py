"""`python -m ots.netio.responsiveness.load_child`: fills a link, apart from who times round trips.

The first line of standard input is the `Order`; each further line opens one more connection, and its end ends
everything. Every 50 ms a line on standard output says how it stands. Each connection has a thread that reads
or writes large pieces, so the interpreter is hardly in the way.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import ssl
import sys
import threading
import time
from typing import NoReturn

import msgspec

from ots.clock import SystemClock
from ots.netio.binding import bind_route, socket_family
from ots.netio.errors import classify
from ots.netio.responsiveness.order import NOTHING, Order, Standing
from ots.netio.responsiveness.receiver_rtt import receiver_rtt
from ots.netio.tcpinfo import TCPInfo, tcp_info
from ots.netio.tls import client_context
from ots.probe import Failed, Route

_REPORT_EVERY = 0.05
_PIECE = 256 << 10
_CHUNK = 64 << 10
_SEND_BUFFER_LOW = 128 << 10
_HEADER_LIMIT = 64 << 10
_END_OF_CHUNKS = b"0\r\n\r\n"
_NOTSENT_LOWAT = 25

_STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d)")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)


class Connection(threading.Thread):
    """One load-generating connection. Its counters are read by others."""

    def __init__(self, order: Order, context: ssl.SSLContext | None) -> None:
        super().__init__(daemon=True)
        self._order, self._context = order, context
        self._socket: socket.socket | None = None
        self._received = 0
        self.failure: Failed | None = None

    def run(self) -> None:
        order = self._order
        try:
            with self._connect() as sock:
                self._socket = sock
                if order.direction == "down":
                    self._download(sock)
                else:
                    self._upload(sock)
        except Failed as failure:
            self.failure = failure
        except OSError as error:
            self.failure = classify(error, "transfer" if self._socket else "connect")

    @property
    def moved(self) -> int:
        """What arrived; of an upload, what the peer's TCP has acknowledged."""
        if self._order.direction == "down":
            return self._received
        info = self._info()
        if info is not None and info.bytes_acked is not None:
            self._received = max(self._received, info.bytes_acked)
        return self._received

    @property
    def round_trip(self) -> float | None:
        """TCP's own idea of the round trip, of the end that sees the data's queue."""
        sock = self._socket
        if sock is None or sock.fileno() < 0:
            return None
        if self._order.direction == "down":
            return receiver_rtt(sock)
        info = self._info()
        return None if info is None or self._received == 0 else info.rtt

    def _info(self) -> TCPInfo | None:
        sock = self._socket
        return None if sock is None or sock.fileno() < 0 else tcp_info(sock)

    def _connect(self) -> socket.socket:
        order = self._order
        address = order.address
        sock = socket.socket(socket_family(address), socket.SOCK_STREAM)
        try:
            bind_route(sock, Route("auto", order.interface, order.source))
            sock.settimeout(order.timeout)
            sock.connect(address.sockaddr(order.port))
            if order.direction == "up":
                # Without it the bloat would be in our own socket, where no packet waits behind another's.
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _SEND_BUFFER_LOW)
            if self._context is not None:
                return self._context.wrap_socket(sock, server_hostname=order.server_name)
        except TimeoutError:
            sock.close()
            raise Failed("timeout", "connect", "TIMEOUT", "no connection in time") from None
        except ssl.SSLError as error:
            sock.close()
            raise classify(error, "tls") from None
        except BaseException:
            sock.close()
            raise
        return sock

    def _request(self, method: str, more: str = "") -> bytes:
        order = self._order
        return (
            f"{method} {order.path} HTTP/1.1\r\nHost: {order.host}\r\nUser-Agent: ots\r\n"
            f"Accept: */*\r\nAccept-Encoding: identity\r\nCache-Control: no-store\r\n{more}\r\n"
        ).encode()

    def _download(self, sock: socket.socket) -> None:
        """Reads bodies one after the other; only what follows a good header counts."""
        buffer = memoryview(bytearray(_PIECE))
        while True:
            sock.sendall(self._request("GET"))
            head, rest = _header(sock)
            _check(head)
            found = _LENGTH.search(head)
            left = None if found is None else int(found[1]) - len(rest)
            self._received += len(rest)
            tail = bytes(rest[-len(_END_OF_CHUNKS) :])
            while left != 0 and not (left is None and tail == _END_OF_CHUNKS):
                room = buffer if left is None else buffer[: min(left, _PIECE)]
                try:
                    count = sock.recv_into(room)
                except TimeoutError:
                    raise Failed("stalled", "transfer", "STALL", "a load connection stopped") from None
                if count == 0:
                    raise Failed("cutoff", "transfer", "EOF", "the server ended a load connection")
                self._received += count
                left = None if left is None else left - count
                tail = (tail + bytes(buffer[max(0, count - 5) : count]))[-5:]

    def _upload(self, sock: socket.socket) -> None:
        """Sends one endless body in chunks, until the server answers, which ends in a failure."""
        page = os.urandom(_CHUNK)
        chunk = f"{_CHUNK:x}\r\n".encode() + page + b"\r\n"
        sock.sendall(
            self._request("POST", "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n")
        )
        while True:
            try:
                sock.sendall(chunk)
            except TimeoutError:
                raise Failed("stalled", "transfer", "STALL", "a load connection stopped") from None
            except (ConnectionError, ssl.SSLError) as error:
                self._answered(sock, error)
            if self._has_answer(sock):
                self._answered(sock, None)

    @staticmethod
    def _has_answer(sock: socket.socket) -> bool:
        """Whether the server said something; under TLS only its end of the connection tells."""
        if isinstance(sock, ssl.SSLSocket):
            return False
        readable, _, _ = select.select([sock], [], [], 0)
        return bool(readable)

    @staticmethod
    def _answered(sock: socket.socket, error: OSError | None) -> NoReturn:
        """Why the server wants no more: its status, if it can still be read."""
        with contextlib.suppress(OSError):
            head, _ = _header(sock)
            _check(head)
            raise Failed("protocol", "transfer", "EARLY_ANSWER", "answered before the upload's end")
        raise classify(error, "transfer") if error else Failed("cutoff", "transfer", "EOF")


def _header(sock: socket.socket) -> tuple[bytes, bytes]:
    """The header with its last line end, and what of the body came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = sock.recv(16 << 10)
        except TimeoutError:
            raise Failed("timeout", "first_byte", "TIMEOUT", "no answer in time") from None
        if not piece:
            raise Failed("cutoff" if data else "protocol", "first_byte", "EOF", "no whole answer")
        data += piece
        if len(data) > _HEADER_LIMIT and b"\r\n\r\n" not in data:
            raise Failed("protocol", "first_byte", "TOO_LONG", "the answer's header does not end")
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n", rest


def _check(head: bytes) -> None:
    found = _STATUS.match(head)
    if found is None:
        raise Failed("protocol", "first_byte", "BAD_STATUS", "what answers is no HTTP/1.1 server")
    if not 200 <= int(found[1]) < 300:
        status = found[1].decode()
        busy = status in ("429", "503")
        raise Failed("rejected", "first_byte", status, f"the server answered {status}", retryable=busy)


def _standing(connections: list[Connection], clock: SystemClock) -> Standing:
    return Standing(
        t=clock.monotonic(),
        bytes=sum(connection.moved for connection in connections),
        alive=sum(connection.is_alive() for connection in connections),
        round_trips=[rtt for each in connections if each.is_alive() and (rtt := each.round_trip)],
        failures=[each.failure.error for each in connections if each.failure is not None],
        cpu=time.process_time(),
    )


def _say(standing: Standing) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(standing) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    """Loads until standard input ends."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    clock = SystemClock()
    connections: list[Connection] = []
    ended = threading.Event()
    context = None
    try:
        if order.tls:
            context = client_context(verify=order.verify, ca_file=order.ca_file, alpn=("http/1.1",))
    except Failed as failure:
        _say(msgspec.structs.replace(NOTHING, failures=[failure.error]))
        return 1

    def listen() -> None:
        for _ in sys.stdin.buffer:
            connection = Connection(order, context)
            connections.append(connection)
            connection.start()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    while not ended.wait(_REPORT_EVERY):
        try:
            _say(_standing(list(connections), clock))
        except OSError:
            break
    # The threads wait in the kernel: nothing of theirs needs to be saved.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
