"""What the speed protocols of one server share: content, places, limits, and how a transfer is let in."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

import ots
from ots.server.peers.guests import client_key
from ots.server.peers.limits import Limits
from ots.server.peers.slots import Busy, Slots
from ots.server.peers.source import Source

NO_CACHE = {"Cache-Control": "no-store, no-transform", "Content-Encoding": "identity"}
OCTETS = "application/octet-stream"
SLOT_HEADER = "OTS-Slot"
PROTOCOLS = ("ots", "librespeed", "ndt7", "mini")


@dataclass(frozen=True, slots=True)
class Facility:
    """Made once, before workers are forked."""

    name: str
    limits: Limits
    source: Source
    slots: Slots

    @classmethod
    def made(cls, limits: Limits, name: str = "OTS test server") -> Facility:
        slots = Slots(limits.slots, limits.slots_per_client, limits.max_seconds)
        return cls(name, limits, Source(), slots)

    def close(self) -> None:
        self.source.close()
        self.slots.close()

    @contextlib.contextmanager
    def transfer(self, request: web.Request) -> Iterator[float]:
        """Lets a transfer in, for so many seconds: on the place whose token it names, or on one for visitors.

        403 for a token that is none (any more); 503 with Retry-After where no place is free.
        """
        token = request.headers.get(SLOT_HEADER)
        if token is not None:
            yield self.seconds_left(token)
            return
        seconds = self.limits.max_seconds
        try:
            visit = self.slots.visit(client_of(request), seconds)
            with visit:
                yield seconds
        except Busy as busy:
            raise turned_away(busy) from None

    def seconds_left(self, token: str) -> float:
        """Of a place; 403 if there is none."""
        left = self.slots.left(token)
        if left is None:
            raise web.HTTPForbidden(
                text='{"error": "this place is unknown, or has run out"}\n', content_type="application/json"
            )
        return left

    def document(self) -> dict[str, object]:
        """Who this is, and how busy. `load`: running processes for each processor, over the last minute."""
        return {
            "name": self.name,
            "software": "ots",
            "version": ots.__version__,
            "protocols": list(PROTOCOLS),
            "slots": {"total": self.slots.total, "free": self.slots.free()},
            "max_seconds": self.limits.max_seconds,
            "load": round(os.getloadavg()[0] / (os.cpu_count() or 1), 3),
        }


FACILITY = web.AppKey("facility", Facility)


def turned_away(busy: Busy) -> web.HTTPServiceUnavailable:
    """503, with the time to wait in the header and in the document."""
    return web.HTTPServiceUnavailable(
        text=f'{{"busy": true, "wait": {busy.wait:g}}}\n',
        content_type="application/json",
        headers={"Retry-After": f"{busy.wait:g}"},
    )


def client_of(request: web.Request) -> bytes:
    """The client's key; a proxy's word for it isn't taken, since anybody can give it."""
    return client_key(request.remote or "0.0.0.0")


def address_of(request: web.Request) -> str:
    """The client's address as it is written: an IPv4 address also where it came through an IPv6 socket."""
    address = ipaddress.ip_address((request.remote or "0.0.0.0").partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def whole_number(request: web.Request, name: str, most: int) -> int | None:
    """A number of the query; None if it isn't there, 400 if it is none or too large."""
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) > most:
        raise web.HTTPBadRequest(text=f"{name} is a whole number up to {most}\n")
    return int(text)
