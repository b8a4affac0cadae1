"""After a server was restored: what it acknowledged within a week and lacks now waits to be sent again."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec

from ots.clock import rfc3339
from ots.remote import wire
from ots.remote.client import Client
from ots.remote.membership import Membership, write_membership
from ots.store import Store
from ots.store.outbox import Outbox

WITHIN = 7 * 86_400.0
"""Seconds; a backup is not older than this, or is lost to more than this."""

log = logging.getLogger("ots.remote")


async def offer_again(folder: Path, store: Store, membership: Membership, client: Client) -> None:
    """Asks a server of another epoch what it lacks, and puts that on the queue. Raises Refused, StoreError,
    MembershipError; then it is asked again the next time.
    """
    if membership.server_epoch == membership.epoch:
        return
    since = rfc3339(time.time() + membership.clock_offset - WITHIN)
    outbox = Outbox(store)
    known = outbox.acknowledged(membership.agent_id, membership.server_id, since)
    count = 0
    for start in range(0, len(known), wire.HELD_AT_ONCE):
        part = known[start : start + wire.HELD_AT_ONCE]
        asked = wire.HeldReports(
            reports=[
                wire.Held(report_id=one.report_id, revision=one.revision, sha256=one.sha256) for one in part
            ]
        )
        answer = await client.call(
            "POST", "/agent/reports/have", msgspec.json.encode(asked), {"Content-Type": "application/json"}
        )
        lacking = set(answer.read(wire.LackedReports).lacking)
        count += outbox.send_again([one.id for one in part if one.report_id in lacking])
    if count:
        log.warning("The server was restored and lacks %d reports, which are sent again", count)
    membership.epoch = membership.server_epoch
    write_membership(folder, membership)
