"""Uploading as commands ask for it: the queue of this installation to the server that it belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
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

    By hand neither a pause nor a report's next try is waited for.

    Whatever was not sent stays on the queue.
    """
    outcome = Outcome()
    try:
        membership = read_membership(settings.data_dir)
        if membership is None:
            outcome.stopped = "not-enrolled"
            return outcome
        who = identity(settings.data_dir)
        check_address(membership.url, plain_http=membership.plain_http)
        Outbox(store).trim(
            who.agent_id,
            max_bytes=settings.upload.max_size,
            # A clock that nobody keeps may be years off, and would call everything old.
            max_age=settings.upload.max_age if clock_trust()["source"] != "none" else None,
            now=time.time(),
        )

        async def limited() -> None:
            async with asyncio.timeout(seconds):
                await _send(store, settings, membership, who, outcome, rows, by_hand, progress)

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


async def _send(
    store: Store,
    settings: Settings,
    membership: Membership,
    who: Identity,
    outcome: Outcome,
    rows: Sequence[int] | None,
    by_hand: bool,
    progress: Progress | None,
) -> None:
    patience = Patience() if by_hand else _HASTE
    offset = membership.clock_offset
    client = Client(membership.url, who, clock_offset=offset, ca=membership.ca, patience=patience)
    async with client:
        sender = Sender(store, membership, who, client, settings)
        if not sender.may_send(by_hand=by_hand, outcome=outcome):
            return
        try:
            await _refresh_if_due(settings, membership, client, Outbox(store).waiting(who.agent_id))
        except Refused as refused:
            sender.hold(refused, outcome)
            return
        if membership.status != "active":
            outcome.stopped = f"agent-{membership.status}"
            return
        if rows is None and by_hand:
            rows = Outbox(store).due(who.agent_id, float("inf"))
        await sender.send(outcome, rows, progress=progress)
    if client.clock_offset != offset:
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
