"""The sessions of the echo responder: who gets one, what it may send, and what arrived. No sockets here.

What holds, whoever sends:
- Nothing is kept for a stranger: the cookie of a CHALLENGE is computed, not remembered.
- Only who received that cookie at the address that it was made for gets a session, and only once for it.
- A session is bound to its address and token. Each of its requests is answered once, so that neither a replay
  nor a spoofed copy makes us send anything.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from dataclasses import dataclass, field

from ots.netio.udp_echo import wire
from ots.netio.udp_echo.wire import Refusal, Wish

_COOKIE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the responder grants. Times in seconds, `handshakes` and `packets` a second over all clients."""

    sessions: int = 64
    per_address: int = 8
    most: Wish = field(default=Wish(1_000_000, 0.001, 1472))
    longest: float = 3600.0
    idle: float = 30.0
    handshakes: float = 50.0
    packets: float = 50_000.0

    def grants(self, wish: Wish) -> bool:
        most = self.most
        return (
            0 < wish.count <= most.count
            and most.interval <= wish.interval <= self.idle / 2
            and wire.SMALLEST <= wish.size <= most.size
            and wish.duration <= self.longest
        )


class Bucket:
    """Admits `rate` a second, and `burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, now

    def admit(self, now: float) -> bool:
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class Session:
    """One client's stream, and which of its requests arrived."""

    token: int
    address: tuple[str, int]
    key: bytes | None
    wish: Wish
    nonce: bytes
    began: float
    last: float
    bucket: Bucket
    bits: bytearray
    received: int = 0
    highest: int = -1
    duplicates: int = 0
    reordered: int = 0
    limited: int = 0

    def arrived(self, sequence: int, now: float) -> bool:
        """Notes a request; says whether it is to be answered."""
        self.last = now
        if sequence >= self.wish.count:
            return False
        if self.has(sequence):
            self.duplicates += 1
            return False
        if not self.bucket.admit(now):
            self.limited += 1
            return False
        self.bits[sequence // 8] |= 1 << (sequence % 8)
        self.received += 1
        self.reordered += sequence < self.highest
        self.highest = max(self.highest, sequence)
        return True

    def has(self, sequence: int) -> bool:
        return bool(self.bits[sequence // 8] >> (sequence % 8) & 1)

    def window(self, sequence: int) -> int:
        """Bit i is set if request `sequence - i` arrived."""
        backwards = range(min(wire.WINDOW, sequence + 1))
        return sum(1 << back for back in backwards if self.has(sequence - back))

    def report(self, first: int) -> wire.Report:
        start = min(first, self.wish.count) // 8
        bits = bytes(self.bits[start : start + wire.REPORTED_AT_ONCE // 8])
        return wire.Report(8 * start, self.received, self.duplicates, self.reordered, self.limited, bits)


class Sessions:
    """All sessions of a responder. `now` is always the monotonic clock's."""

    def __init__(self, limits: Limits, shared: bytes | None, now: float) -> None:
        self.limits = limits
        self._shared = shared
        self._secret = os.urandom(32)
        self._handshakes = Bucket(limits.handshakes, limits.handshakes, now)
        self._by_token: dict[int, Session] = {}
        self._by_cookie: dict[bytes, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._by_token)

    def admits_handshake(self, now: float) -> bool:
        """The budget of answers to strangers."""
        return self._handshakes.admit(now)

    def cookie(self, address: tuple[str, int], nonce: bytes, now: float) -> bytes:
        """What only who receives at this address can know, for 30 to 60 s."""
        return self._cookie(address, nonce, int(now // _COOKIE_SECONDS))

    def open(
        self, address: tuple[str, int], opening: wire.Opening, packet: bytes, now: float
    ) -> Session | Refusal | None:
        """The session that an OPEN asks for, or why not; None where no answer is due."""
        period = int(now // _COOKIE_SECONDS)
        valid = (self._cookie(address, opening.nonce, each) for each in (period, period - 1))
        if not any(hmac.compare_digest(opening.cookie, each) for each in valid):
            return None
        key = wire.session_key(self._shared, opening.nonce, opening.cookie)
        if not wire.read(packet, key).authentic:
            return Refusal.KEY
        if opening.cookie in self._by_cookie:
            # The same OPEN again: our ACCEPT got lost. After the session's end it is a replay.
            return self._by_token.get(self._by_cookie[opening.cookie][0])
        self.forget(now)
        if not self.limits.grants(opening.wish):
            return Refusal.LIMIT
        mine = sum(_site(each.address[0]) == _site(address[0]) for each in self._by_token.values())
        if len(self._by_token) >= self.limits.sessions or mine >= self.limits.per_address:
            return Refusal.BUSY
        return self._begin(address, opening, key, now)

    def _begin(
        self, address: tuple[str, int], opening: wire.Opening, key: bytes | None, now: float
    ) -> Session:
        wish = opening.wish
        token = int.from_bytes(os.urandom(8), "big")
        # Ten seconds' worth at once: a path that stalled delivers what it held.
        bucket = Bucket(1.1 / wish.interval, 64 + 10 / wish.interval, now)
        session = Session(
            token, address, key, wish, opening.nonce, now, now, bucket, bytearray((wish.count + 7) // 8)
        )
        self._by_token[token] = session
        self._by_cookie[opening.cookie] = token, now
        return session

    def find(self, address: tuple[str, int], token: int) -> Session | None:
        """The session of a token, if the packet came from where the session lives."""
        session = self._by_token.get(token)
        return session if session is not None and session.address == address else None

    def close(self, session: Session) -> None:
        self._by_token.pop(session.token, None)

    def forget(self, now: float) -> None:
        """Ends what has been silent or running for too long."""
        for session in list(self._by_token.values()):
            if now - session.last > self.limits.idle or now - session.began > 2 * self.limits.longest:
                self.close(session)
        stale = [c for c, (_token, since) in self._by_cookie.items() if now - since > 2 * _COOKIE_SECONDS]
        for cookie in stale:
            del self._by_cookie[cookie]

    def _cookie(self, address: tuple[str, int], nonce: bytes, period: int) -> bytes:
        text = f"{address[0]}|{address[1]}|{period}|".encode()
        return hmac.digest(self._secret, text + nonce, "sha256")[:16]


def _site(host: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    if ip.version == 4:
        return host
    return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
