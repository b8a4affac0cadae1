"""Sends what waits: reports, the files beside them, gap records. One sender at a time for each data folder.

The newest report goes first, then the backlog at the pace that the server asks for. A report leaves the queue
only on a receipt that one of the pinned keys signed for exactly the bytes that were sent.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ots.config import Settings
from ots.remote import wire
from ots.remote.client import Client, Refused
from ots.remote.enrol import refresh
from ots.remote.identity import Identity
from ots.remote.leaving import clean_artifact, leaving
from ots.remote.membership import Membership
from ots.remote.proof import sign_report
from ots.remote.retry import wait
from ots.signing.statement import StatementError, verify
from ots.store import Store
from ots.store.artifacts import path_of
from ots.store.error import DamagedReport, explained
from ots.store.liveness import FileLock
from ots.store.outbox import LONGEST_WAIT, Item, KeptReceipt, Offer, Outbox

LOCK = "upload.lock"
HELD_FOR = 3600.0
"""Seconds until an agent that was told to stop asks again."""

ASKED_AGAIN = 60.0
"""Seconds until an agent that waits for approval asks again."""

_DAMAGED_IN_TRANSIT = frozenset({"digest-mismatch", "invalid-request", "unsupported-media"})
_TRIES_IN_TRANSIT = 3
_SMALL = 200
"""Bytes; less is not worth packing."""

log = logging.getLogger("ots.remote")

Progress = Callable[[int, int], None]
"""How many reports were dealt with, of how many."""


@dataclass(slots=True)
class Outcome:
    """What one pass over the queue came to. `stopped` says why it ended before the queue did."""

    sent: list[int] = field(default_factory=list)
    parked: dict[int, str] = field(default_factory=dict)
    postponed: dict[int, str] = field(default_factory=dict)
    stopped: str | None = None
    busy: bool = False


class Sender:
    """One pass over the queue of a store. Raises StoreError where the store fails."""

    def __init__(
        self, store: Store, membership: Membership, who: Identity, client: Client, settings: Settings
    ) -> None:
        self._store = store
        self._outbox = Outbox(store)
        self._membership = membership
        self._who = who
        self._client = client
        self._settings = settings
        self._asked_for_keys = False

    def may_send(self, *, by_hand: bool, outcome: Outcome) -> bool:
        """Whether no pause forbids it; by hand none does."""
        now = time.time()
        pause = self._outbox.pause()
        if by_hand or not now < pause.until <= now + LONGEST_WAIT:
            return True
        outcome.stopped = pause.reason
        return False

    def may_not(self, status: wire.AgentStatus, outcome: Outcome) -> None:
        """The agent is not active: that is asked again later, soon where a person has yet to decide."""
        seconds = ASKED_AGAIN if status == "pending" else HELD_FOR
        outcome.stopped = f"agent-{status}"
        self._outbox.set_pause(0, time.time() + seconds, outcome.stopped)

    async def send(
        self, outcome: Outcome, rows: Sequence[int] | None = None, *, progress: Progress | None = None
    ) -> None:
        """Sends these rows, or all that are due, and writes down in `outcome` what came of each.

        Cancelled at any moment it leaves the queue as it must be: what was under way waits again.
        """
        place = self._store.folder / LOCK
        with explained(place):
            lock = FileLock.take(place)
        if lock is None:
            outcome.busy = True
            return
        try:
            if await (
                self._all_due(outcome, progress) if rows is None else self._each(rows, outcome, progress)
            ):
                await self._gaps()
        except Refused as refused:
            self.hold(refused, outcome)
        finally:
            self._store.note_queue()
            lock.release()

    async def _all_due(self, outcome: Outcome, progress: Progress | None) -> bool:
        """Sends all that are due, also what other processes put on the queue meanwhile."""
        tried: set[int] = set()
        while True:
            due = self._outbox.due(self._who.agent_id, time.time())
            rows = [row for row in due if row not in tried]
            if not rows:
                return True
            tried.update(rows)
            if not await self._each(rows, outcome, progress):
                return False

    async def _each(self, rows: Sequence[int], outcome: Outcome, progress: Progress | None) -> bool:
        """Sends these, at the server's pace; False where that had to stop."""
        for number, row in enumerate(rows):
            if number > 0 and self._membership.upload_interval > 0:
                await asyncio.sleep(self._membership.upload_interval)
            if progress is not None:
                progress(number, len(rows))
            item = self._outbox.item(row)
            if item is not None and not await self._one(item, outcome):
                return False
        return True

    async def _one(self, item: Item, outcome: Outcome) -> bool:
        """Sends one report; whether the next may be tried."""
        try:
            offer = self._offer(item)
        except (DamagedReport, ValueError) as error:
            log.warning("Report %d can't be sent: %s", item.seq, error)
            self._outbox.lose(item)
            outcome.parked[item.id] = "damaged"
            return True
        self._outbox.begin_try(item, offer)
        try:
            receipt, missing = await self._put(item, offer)
            remark = await self._put_artifacts(item, missing)
        except Refused as refused:
            return self._failed(item, refused, outcome)
        except asyncio.CancelledError:
            self._outbox.postpone(item, until=0.0, reason="interrupted", arrived=True, refused=False)
            raise
        self._outbox.sent(item, receipt, remark=remark)
        outcome.sent.append(item.id)
        return True

    def _failed(self, item: Item, refused: Refused, outcome: Outcome) -> bool:
        """Notes what a failure means for this report and for the rest; whether the next may be tried."""
        if refused.code == "revision-conflict" and self._outbox.still_sent(item, self._membership.server_id):
            outcome.sent.append(item.id)  # offered again, and the settings leave other bytes now
            return True
        transit = refused.code in _DAMAGED_IN_TRANSIT and item.refusals + 1 < _TRIES_IN_TRANSIT
        if refused.decision == "park" and not transit:
            self._outbox.park(item, refused.code)
            outcome.parked[item.id] = refused.code
            log.warning("The server won't have report %d: %s (%s)", item.seq, refused, refused.code)
            return True
        until = time.time() + wait(item.tries + 1, refused.retry_after)
        if refused.decision == "stop":
            until = 0.0  # the pause holds for all of them
        self._outbox.postpone(
            item,
            until=until,
            reason=refused.code,
            arrived=refused.arrived,
            refused=refused.decision == "park",
        )
        outcome.postponed[item.id] = refused.code
        if transit or refused.status == 500:
            return True  # this report's own trouble, as far as anybody can tell
        self.hold(refused, outcome)
        return False

    def hold(self, refused: Refused, outcome: Outcome) -> None:
        """Nothing more is tried for a while: the way or the server is at fault, or the agent must not."""
        failures = self._outbox.pause().failures + 1
        seconds = wait(failures, refused.retry_after)
        if refused.decision == "stop":
            seconds = max(seconds, HELD_FOR)
        self._outbox.set_pause(failures, time.time() + seconds, refused.code)
        outcome.stopped = refused.code
        log.info("Sending stops for %.0f s: %s (%s)", seconds, refused, refused.code)

    def _offer(self, item: Item) -> Offer:
        """What an earlier try brought to the server, or what may leave now, signed."""
        if item.offer is not None:
            return item.offer
        found = leaving(self._document(item), self._settings.upload, self._artifact)
        digest = hashlib.sha256(found.document).hexdigest()
        signature = sign_report(
            found.document, report_id=item.report_id, revision=item.revision, seq=item.seq, who=self._who
        )
        return Offer(found.document, digest, signature, found.left_out)

    def _document(self, item: Item) -> bytes:
        return self._store.document(self._store.get(item.report_id))

    async def _put(self, item: Item, offer: Offer) -> tuple[KeptReceipt, list[str]]:
        body, headers = _packed(offer.document)
        answer = await self._client.call(
            "PUT",
            f"/agent/reports/{item.report_id}/{item.revision}",
            body,
            {**headers, "Content-Type": "application/json", wire.SIGNATURE_HEADER: offer.signature},
        )
        stored = answer.read(wire.Stored)
        try:
            kept = check_receipt(stored.receipt, item, offer, self._membership)
        except Refused as refused:
            if refused.code != "receipt-unknown-key" or self._asked_for_keys:
                raise
            # The server may have another key since: the old one says so where the agent stands.
            self._asked_for_keys = True
            await refresh(self._settings.data_dir, self._membership, self._client)
            kept = check_receipt(stored.receipt, item, offer, self._membership)
        return kept, stored.missing_artifacts

    async def _put_artifacts(self, item: Item, missing: Iterable[str]) -> str | None:
        """Sends the files that the server lacks; a remark on those that it won't have or that are gone.

        That the licence covers the report and not its files is no reason to keep the report back.
        """
        wanted = set(missing)
        if not wanted:
            return None
        if not self._settings.features.get("upload:artifacts", True):
            return "artifact:switched-off"
        remark = None
        offered = {digest: kept for digest, kept in self._files(item).items() if digest in wanted}
        for digest in wanted:
            data = offered.get(digest)
            if data is None:
                remark = "artifact-gone"
                continue
            body, headers = _packed(data)
            try:
                await self._client.call(
                    "PUT",
                    f"/agent/artifacts/{digest}",
                    body,
                    {**headers, "Content-Type": "application/octet-stream"},
                )
            except Refused as refused:
                own = refused.decision == "park" or refused.code == "not-found"
                if not own and not refused.code.startswith("licence-"):
                    raise
                remark = f"artifact:{refused.code}"
        return remark

    def _files(self, item: Item) -> dict[str, bytes]:
        """The files beside a report as they may leave, by the hash under which the report names them."""
        found = {}
        types = {
            artifact["sha256"]: str(artifact["media_type"])
            for step in msgspec.json.decode(self._document(item))["steps"]
            for artifact in step["artifacts"]
        }
        for kept, media_type in types.items():
            data = self._artifact(kept)
            if data is not None:
                data = clean_artifact(media_type, data)
                found[hashlib.sha256(data).hexdigest()] = data
        return found

    def _artifact(self, digest: str) -> bytes | None:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            return None
        return _bytes_of(path_of(self._store.folder, digest))

    async def _gaps(self) -> None:
        """Sends what will never come, so that the server need not wait for it."""
        for gap in self._outbox.gaps(self._who.agent_id):
            body = msgspec.json.encode(dataclasses.asdict(gap))
            try:
                await self._client.call(
                    "PUT", f"/agent/gaps/{gap.gap_id}", body, {"Content-Type": "application/json"}
                )
            except Refused as refused:
                if refused.decision != "park":
                    raise
                log.warning("The server won't have a gap record: %s (%s)", refused, refused.code)
            self._outbox.gap_sent(gap.gap_id)


def check_receipt(text: str, item: Item, offer: Offer, membership: Membership) -> KeptReceipt:
    """The receipt, if a pinned key signed it for exactly what was offered. Raises Refused.

    A wrong receipt parks nothing and takes nothing off the queue: the report has yet to reach its server.
    """
    try:
        said = verify(text, wire.RECEIPT, membership.trusted_receipts())
        receipt = msgspec.convert(said, wire.Receipt)
    except StatementError as error:
        raise Refused(f"receipt-{error.fault}", f"the receipt proves nothing: {error}") from None
    except msgspec.ValidationError as error:
        raise Refused("receipt-malformed", f"the receipt proves nothing: {error}") from None
    expected = (item.agent_id, item.report_id, item.revision, offer.sha256, membership.server_id)
    found = (receipt.agent_id, receipt.report_id, receipt.revision, receipt.sha256, receipt.server_id)
    if found != expected:
        raise Refused("receipt-mismatch", "the receipt is for something else than what was sent")
    return KeptReceipt(
        receipt.server_id, receipt.sha256, receipt.received_at, text, offer.signature, offer.left_out
    )


def _packed(data: bytes) -> tuple[bytes, dict[str, str]]:
    """The body as it travels, and the header that says so."""
    if len(data) < _SMALL:
        return data, {}
    packed = gzip.compress(data, 6, mtime=0)
    return (packed, {"Content-Encoding": "gzip"}) if len(packed) < len(data) else (data, {})


def _bytes_of(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == path.name else None
