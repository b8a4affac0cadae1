"""Uploading as commands ask for it: the queue of this installation to the server that it belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from ots.config import Settings, SettingsError
from ots.netio.attachment.clock_trust import clock_trust
from ots.remote.client import AddressError, Client, Patience, Refused, check_address
from ots.remote.enrol import refresh, tell
from ots.remote.identity import Identity, identity
from ots.remote.membership import (
    Membership,
    MembershipError,
    read_membership,
    write_membership,
)
from ots.remote.offering import offer_again
from ots.remote.upload import Outcome, Progress, Sender
from ots.signing.keys import UnusableKey
from ots.store import Store, StoreError
from ots.store.outbox import Outbox

REFRESH_EVERY = 6 * 3600.0
"""Seconds between two questions of an active agent where it stands."""

_HASTE = Patience(connect=3.0, silence=10.0)
log = logging.getLogger("ots.remote")


def send_waiting(
    store: Store,
    settings: Settings,
    *,
    rows: Sequence[int] | None = None,
    seconds: float | None = None,
    by_hand: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Sends what waits, for so many seconds at most; never raises for what fails: the outcome says it.

    By hand neither a pause nor a report's next try is waited for, and the caps don't count. Whatever was not
    sent stays on the queue.
    """
    outcome = Outcome()
    try:
        membership = read_membership(settings.data_dir)
        if membership is None:
            outcome.stopped = "not-enrolled"
            return outcome
        who = identity(settings.data_dir)
        check_address(membership.url, plain_http=membership.plain_http)
        if not by_hand:
            _trim(store, settings, who)

        patience = Patience() if by_hand else _HASTE
        client = Client(
            membership.url, who, clock_offset=membership.clock_offset, ca=membership.ca, patience=patience
        )
        sender = Sender(store, membership, who, client, settings)

        async def limited() -> None:
            async with asyncio.timeout(seconds), client:
                with _offset_kept(settings, membership, client):
                    if sender.may_send(by_hand=by_hand, outcome=outcome) and await _stands(
                        store, settings, membership, client, sender, outcome
                    ):
                        everything = rows is None and by_hand
                        named = Outbox(store).due(who.agent_id, float("inf")) if everything else rows
                        await sender.send(outcome, named, progress=progress)

        asyncio.run(limited())
    except TimeoutError:
        outcome.stopped = "timeout"
    except (MembershipError, UnusableKey, SettingsError, AddressError) as error:
        log.warning("Nothing can be sent: %s %s", error, error.remedy)
        outcome.stopped = "misconfigured"
    except StoreError as error:
        log.warning("Nothing can be sent: %s %s", error, error.remedy)
        outcome.stopped = "store"
    return outcome


def _trim(store: Store, settings: Settings, who: Identity) -> None:
    """Keeps the queue within its caps. By a clock that nobody keeps nothing is too old: it may be far off."""
    kept = clock_trust()["source"] != "none"
    Outbox(store).trim(
        who.agent_id,
        max_bytes=settings.upload.max_size,
        max_age=settings.upload.max_age if kept else None,
        now=time.time(),
    )


async def _stands(
    store: Store,
    settings: Settings,
    membership: Membership,
    client: Client,
    sender: Sender,
    outcome: Outcome,
) -> bool:
    """Whether the agent is an active one; asked where that is unknown or long ago."""
    try:
        waiting = Outbox(store).waiting(membership.agent_id)
        await _refresh_if_due(settings, membership, client, waiting)
        if membership.status == "active":
            await offer_again(settings.data_dir, store, membership, client)
    except Refused as refused:
        sender.hold(refused, outcome)
        return False
    if membership.status != "active":
        sender.may_not(membership.status, outcome)
        return False
    return True


@contextlib.contextmanager
def _offset_kept(settings: Settings, membership: Membership, client: Client) -> Iterator[None]:
    """What the server says of this machine's clock is remembered, however the block ends."""
    try:
        yield
    finally:
        if client.clock_offset != membership.clock_offset:
            membership.clock_offset = client.clock_offset
            write_membership(settings.data_dir, membership)


async def _refresh_if_due(settings: Settings, membership: Membership, client: Client, waiting: int) -> None:
    """Asks where the agent stands if that is unknown or long ago, and tells of this machine then."""
    if membership.status == "active" and _age(membership.refreshed_at) < REFRESH_EVERY:
        return
    await refresh(settings.data_dir, membership, client)
    if membership.status == "active":
        await tell(membership, client, settings, waiting)


def _age(stamp: str | None) -> float:
    """Seconds since a stamp; endless where there is none, or one that lies in the future."""
    with contextlib.suppress(ValueError, OverflowError):
        age = time.time() - datetime.fromisoformat(stamp or "").timestamp()
        if age >= 0:
            return age
    return float("inf")
