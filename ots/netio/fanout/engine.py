"""The loop that moves thousands of connections: one epoll, no task and no thread for any of them.

At most `window` connections are open at a time and few are begun in one turn, so that a turn stays short and
timers fire when they are due. A stamp is taken when the kernel reports a batch of events, before any of them
is looked at. No second try, no other address: what is asked is what is measured.
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator

from ots.clock import Clock
from ots.netio.binding import socket_family
from ots.netio.dial import dial_failed, open_socket
from ots.netio.errors import TIMER, classify
from ots.netio.fanout.closing import Closing
from ots.netio.fanout.deadlines import Deadlines
from ots.netio.fanout.job import Job
from ots.netio.tcpinfo import syn_round_trip
from ots.netio.tls import handshake_failed, sent_chain
from ots.netio.worker import Worker
from ots.probe import Failed, Guard, Route

STARTS = 64
"""Connections begun in one turn, at most."""

_EVENTS = 128
_PIECE = 64 << 10
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_READ = select.EPOLLIN
_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
"""A connection is registered once: the kernel tells of every change, and who is told goes on until it would
have to wait (epoll(7), edge-triggered)."""

_READS = 16
"""Pieces taken from one connection in one turn, at most."""

_BROKEN = select.EPOLLERR | select.EPOLLHUP


class Fanout:
    """Runs jobs. `jobs` come in the order in which they are due and are taken one by one, as there is room;
    `add` and `post` bring further ones. `finished` is called for each, in the thread of `run`.

    It owns descriptors: OSError if there are none left, and `close` frees them. `run` returns when `jobs` are
    used up, none is open and `finish` was called, or soon after the worker was told to stop; jobs that are
    open then end unfinished: without `end`.
    """

    def __init__(
        self,
        jobs: Iterator[Job],
        finished: Callable[[Job], None],
        *,
        route: Route,
        window: int,
        clock: Clock,
        guard: Guard | None = None,
    ) -> None:
        self.window = window
        self._guard = guard
        self._jobs = jobs
        self._finished = finished
        self._route = route
        self._now = clock.monotonic
        self._next: Job | None = None
        self._later: list[tuple[float, int, Job]] = []
        self._posted: deque[Job] = deque()
        self._number = 0
        self._open: dict[int, Job] = {}
        self._deadlines = Deadlines()
        self._buffer = memoryview(bytearray(_PIECE))
        self._finishing = False
        self._over: list[int] = []
        self._closing = Closing(window // 4, self._wake_up)
        self._epoll = select.epoll()
        try:
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            self._epoll.close()
            raise
        self._epoll.register(self._wake, _READ)

    @property
    def in_flight(self) -> int:
        """Connections that are open or opening."""
        return len(self._open)

    def add(self, job: Job) -> None:
        """One more, from within `finished`."""
        self._number += 1
        heapq.heappush(self._later, (job.due, self._number, job))

    def post(self, job: Job) -> None:
        """One more, from any thread."""
        self._posted.append(job)
        self._wake_up()

    def finish(self) -> None:
        """No further job will be posted; from any thread."""
        self._finishing = True
        self._wake_up()

    def run(self, worker: Worker) -> None:
        """Moves the jobs until there are none, in the thread of this worker. Call it once."""
        self._epoll.register(worker.fileno(), _READ)
        self._next = next(self._jobs, None)
        while not worker.stopping:
            while self._posted:
                self.add(self._posted.popleft())
            begun = self._begin_some()
            now = self._now()
            for job in self._deadlines.over(now):
                job.late = now - (job.deadline or now)
                self._end(job, now, _out_of_time(job))
            if self._finishing and not (self._open or self._later or self._posted or self._next):
                return
            self._close_over()
            wait = 0.0 if begun == STARTS else self._pause()
            events = self._epoll.poll(wait, _EVENTS)
            now = self._now()
            for descriptor, mask in events:
                found = self._open.get(descriptor)
                if found is not None:
                    self._move(found, now, mask)
                elif descriptor == self._wake:
                    os.eventfd_read(self._wake)
            self._close_over()

    def close(self) -> list[Job]:
        """Ends what is still open and frees the engine's own descriptors; returns the jobs that were open."""
        self._close_over()
        self._closing.finish()
        left = list(self._open.values())
        for job in left:
            if job.sock is not None:
                job.sock.close()
                job.sock = None
        self._open.clear()
        self._epoll.close()
        os.close(self._wake)
        return left

    def _wake_up(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _close_over(self) -> None:
        if self._over:
            self._closing.take(self._over)
            self._over.clear()

    @property
    def _taken(self) -> int:
        """Descriptors of connections; those that have ended count until they are closed."""
        return len(self._open) + len(self._over) + self._closing.left

    def _pause(self) -> float:
        """Seconds until something is due that no descriptor will report; -1 if nothing is."""
        due = self._deadlines.first
        # Asked first and looked after it, or what was closed in between would go unheard.
        self._closing.tell = self._taken >= self.window
        if self._taken < self.window:
            if self._later:
                due = min(due, self._later[0][0])
            if self._next is not None:
                due = min(due, self._next.due)
        return -1 if due == float("inf") else max(0.0, due - self._now())

    def _begin_some(self) -> int:
        """Begins what is due and has room; returns how many were begun."""
        begun, taken = 0, self._taken
        room = min(STARTS, self.window - taken)
        while begun < room:
            job = self._due(self._now())
            if job is None:
                break
            begun += 1
            if not self._begin(job, taken + begun - 1):
                break
        return begun

    def _due(self, now: float) -> Job | None:
        """The job that is due first, taken out; None if its time has not come."""
        upcoming = self._next
        if self._later and (upcoming is None or self._later[0][0] <= upcoming.due):
            return heapq.heappop(self._later)[2] if self._later[0][0] <= now else None
        if upcoming is None or upcoming.due > now:
            return None
        self._next = next(self._jobs, None)
        return upcoming

    def _begin(self, job: Job, taken: int) -> bool:
        """Opens its connection, beside the descriptors that are taken. False if the system had none left: it
        waits until one is free."""
        try:
            if self._guard is not None:
                self._guard.permit(job.address, job.port)
                self._guard.send(job.address)
            sock = open_socket(socket_family(job.address), socket.SOCK_STREAM, self._route)
        except Failed as failure:
            short = failure.error.class_ == "resource"
            if short and taken:
                self.window = taken
                self.add(job)
                return False
            job.start = self._now()
            job.failure, job.end = failure, job.start
            self._finished(job)
            return not short
        job.sock = sock
        start = job.start = self._now()
        if job.deadline is None:
            job.deadline = start + job.timeout - job.spent
        number = sock.connect_ex(job.address.sockaddr(job.port))
        descriptor = sock.fileno()
        self._open[descriptor] = job
        self._deadlines.add(job.deadline, job, len(self._open))
        if number not in (0, errno.EINPROGRESS):
            self._fail(job, OSError(number, os.strerror(number)), self._now())
            return True
        self._epoll.register(descriptor, _EDGES)
        return True

    def _move(self, job: Job, now: float, mask: int) -> None:
        """Takes one job as far as it can go without waiting."""
        try:
            if job.phase == "connect":
                self._connected(job, now, broken=bool(mask & _BROKEN))
            elif job.phase == "tls":
                self._shake(job)
            elif job.unsent is not None:
                self._send(job, job.unsent)
            else:
                self._receive(job, now)
        except (OSError, Failed, ValueError) as error:
            self._fail(job, error, now)

    def _connected(self, job: Job, now: float, *, broken: bool) -> None:
        sock = job.sock
        assert sock is not None and job.start is not None
        if broken and (number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
            raise OSError(number, os.strerror(number))
        kernel = syn_round_trip(sock)
        if kernel is not None and not kernel[0]:
            # The event was of a connection that had this descriptor before and is still being closed.
            return
        job.connected = now
        job.connect_seconds = now - job.start
        if kernel is not None:
            _, rtt, job.syn_retransmits = kernel
            if not job.syn_retransmits and 0 < rtt < job.connect_seconds:
                job.connect_seconds, job.kernel = rtt, True
        if job.tls is not None:
            self._wrap(job, job.tls)
        elif job.response is None:
            self._end(job, now)
        else:
            self._send(job, job.request)

    def _wrap(self, job: Job, context: ssl.SSLContext) -> None:
        assert job.sock is not None
        job.phase = "tls"
        job.tls_seconds = -self._now()
        job.sock = context.wrap_socket(
            job.sock, server_hostname=job.server_name, do_handshake_on_connect=False
        )
        self._shake(job)

    def _shake(self, job: Job) -> None:
        sock = job.sock
        assert isinstance(sock, ssl.SSLSocket) and job.tls_seconds is not None
        try:
            sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        job.secured = self._now()
        job.tls_seconds += job.secured
        job.tls_version = sock.version()
        job.chain = tuple(sent_chain(sock))
        if job.response is None:
            self._end(job, job.secured)
        else:
            self._send(job, job.request)

    def _send(self, job: Job, unsent: bytes | memoryview) -> None:
        sock = job.sock
        assert sock is not None
        job.phase = "request"
        try:
            while (count := sock.send(unsent)) < len(unsent):
                unsent = memoryview(unsent)[count:]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            job.unsent = memoryview(unsent)
            return
        job.unsent, job.sent, job.phase = None, self._now(), "first_byte"

    def _receive(self, job: Job, now: float) -> None:
        sock, response = job.sock, job.response
        assert sock is not None and response is not None
        for _ in range(_READS):
            try:
                size = sock.recv_into(self._buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if size:
                if job.first_byte is None:
                    job.first_byte = now
                response.feed(bytes(self._buffer[:size]))
                if response.status and job.phase == "first_byte":
                    job.phase = "transfer"
            else:
                response.eof()
            if response.complete:
                self._end(job, now)
                return
            # What comes next may not have been there at the batch's stamp.
            now = self._now()
        # There may be more, and it is the others' turn: asked anew, the kernel tells of what it has already.
        self._epoll.modify(sock.fileno(), _EDGES)

    def _fail(self, job: Job, error: OSError | Failed | ValueError, now: float) -> None:
        if isinstance(error, Failed):
            failure = error
        elif job.phase == "connect" and isinstance(error, OSError):
            assert job.sock is not None
            failure = dial_failed(error, job.address, job.port, job.timeout, job.sock)
        elif job.phase == "tls" or not isinstance(error, OSError):
            failure = handshake_failed(error, job.server_name, job.timeout)
        else:
            failure = classify(error, job.phase)
        self._end(job, now, failure)

    def _end(self, job: Job, now: float, failure: Failed | None = None) -> None:
        sock = job.sock
        assert sock is not None
        if failure is not None and job.phase == "connect" and job.syn_retransmits is None:
            job.syn_retransmits = getattr(failure, "syn_retransmits", None)
        descriptor = sock.detach()
        del self._open[descriptor]
        self._over.append(descriptor)
        job.sock = job.unsent = None
        job.end, job.failure = now, failure
        self._finished(job)


def _out_of_time(job: Job) -> Failed:
    assert job.sock is not None
    if job.phase == "connect":
        return dial_failed(TimeoutError(), job.address, job.port, job.timeout, job.sock)
    if job.phase == "tls":
        return handshake_failed(TimeoutError(), job.server_name, job.timeout)
    said = "the answer was not complete" if job.phase == "transfer" else "no answer"
    return Failed(
        "timeout", job.phase, TIMER, f"{job.where}: {said} within {job.timeout:g} s", retryable=True
    )
