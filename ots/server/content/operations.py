"""Signed content: what is served, taking over what a publisher signed, the root for agents."""

from __future__ import annotations

import asyncio
import errno

import msgspec

from ots.content.offer import LIMIT, NotTaken, Offer, unpack
from ots.content.online import Unserveable
from ots.remote import wire
from ots.server.api.operation import Access, Answer, Call, Operation, Rate, Raw
from ots.server.api.problems import Refused
from ots.server.content.kept import KeptContent
from ots.server.control.hinting import topic


class ContentState(msgspec.Struct, kw_only=True):
    """What is served. `online_key` is this server's key for snapshot and timestamp; `files` are the SHA-256
    of the targets that lie here."""

    online_key: str
    versions: dict[str, int]
    files: list[str]


async def show_content(call: Call) -> Answer:
    """What is served, so that a publisher sends only what is new."""
    kept = _kept(call)
    return Answer(200, await asyncio.to_thread(_state, kept))


async def take_content(call: Call) -> Answer:
    """Verifies what a publisher signed, and serves it from then on."""
    kept = _kept(call)
    try:
        offer = unpack(call.body)
        await asyncio.to_thread(kept.take, offer)
    except NotTaken as error:
        raise Refused("content-refused", str(error)) from None
    except OSError as error:
        code = "storage-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "internal"
        raise Refused(code, f"the content can't be written: {error.strerror}") from None
    state = await asyncio.to_thread(_state, kept)
    await _note(call, offer, state)
    return Answer(200, state)


async def content_root(call: Call) -> Answer:
    """The root that this agent is to trust, over the connection that vouches for the server."""
    root = await asyncio.to_thread(_kept(call).root)
    if root is None:
        raise Refused("not-found", "nothing is published on this server")
    return Answer(200, wire.ContentRoot(root=root.decode()))


def _kept(call: Call) -> KeptContent:
    kept = call.services.content
    if kept is None:
        raise Refused("not-found", "this server serves no content")
    return kept


def _state(kept: KeptContent) -> ContentState:
    try:
        return ContentState(online_key=kept.online_key, versions=kept.versions(), files=kept.files())
    except Unserveable as error:
        raise Refused("internal", str(error)) from None


async def _note(call: Call, offer: Offer, state: ContentState) -> None:
    """Writes down who published, and has all agents on a line hinted at it."""
    async with call.services.control.bus.changing() as change:
        change.tell(topic("sync"))
        await call.note(
            change.connection,
            "publish",
            "signed content",
            detail={
                "metadata": sorted(offer.metadata),
                "targets": len(offer.targets),
                "versions": state.versions,
            },
        )


OPERATIONS = (
    Operation(
        name="showContent",
        method="GET",
        path="/api/v1/content",
        summary="Show which signed content is served, and the server's key for it.",
        access=Access.PERSON,
        scope="content:read",
        rate=Rate.READ,
        gives={200: ContentState},
        handle=show_content,
    ),
    Operation(
        name="takeContent",
        method="POST",
        path="/api/v1/content",
        summary="Offer signed metadata and targets; all of it is verified and taken, or nothing.",
        access=Access.PERSON,
        scope="content:write",
        everywhere=True,
        rate=Rate.WRITE,
        takes=Raw(("application/json",), packed=LIMIT, limit=LIMIT),
        gives={200: ContentState},
        problems=("content-refused", "storage-full"),
        handle=take_content,
    ),
    Operation(
        name="contentRoot",
        method="GET",
        path="/api/v1/agent/content",
        summary="The root of signed content for an agent to pin.",
        access=Access.AGENT,
        rate=Rate.READ,
        gives={200: wire.ContentRoot},
        handle=content_root,
    ),
)
