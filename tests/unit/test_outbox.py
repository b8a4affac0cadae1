"""The outbox as a state machine: whatever happens in whatever order, a report is in exactly one state."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ots.store import Store
from ots.store.outbox import KeptReceipt, Offer, Outbox
from ots.store.queue_note import FILE
from tests.store_kit import AGENT, finish, make_report

OFFER = Offer(b"{}", "0" * 64, "signature", ("/a",))
RECEIPT = KeptReceipt("server", "0" * 64, "2026-03-01T08:00:00Z", "statement", "signature", ())
EVENTS = (
    "measure",
    "add",
    "try",
    "postpone",
    "arrived",
    "park",
    "sent",
    "lose",
    "trim",
    "delete",
    "withdraw",
)


def do(event: str, which: int, store: Store, outbox: Outbox) -> None:
    """One event on one of the reports, if it can happen to it."""
    if event == "measure":
        finish(store, make_report(), queue="by-hand" if which % 2 else "schedule")
        return
    if event == "withdraw":
        outbox.withdraw_all(AGENT)
        return
    if event == "trim":
        outbox.trim(AGENT, max_bytes=which * 400, max_age=None, now=0.0)
        return
    entries = store.list()
    if not entries:
        return
    entry = entries[which % len(entries)]
    if event == "add":
        outbox.add([entry])
    elif event == "delete":
        store.delete(entry)
    item = outbox.item(entry.id)
    if item is None:
        return
    if event == "try":
        outbox.begin_try(item, item.offer or OFFER)
    elif event in ("postpone", "arrived"):
        outbox.postpone(item, until=9.0, reason="x", arrived=event == "arrived", refused=False)
    elif event == "park":
        outbox.park(item, "poison")
    elif event == "sent":
        outbox.begin_try(item, item.offer or OFFER)
        outbox.sent(item, RECEIPT)
    elif event == "lose":
        outbox.lose(item)


def check(store: Store, outbox: Outbox) -> None:
    """What must hold between any two events."""
    queued = {row for (row,) in store.select("SELECT id FROM outbox")}
    for entry in store.list():
        assert entry.upload in ("none", "waiting", "sending", "sent", "parked")
        if entry.upload in ("waiting", "sending"):
            assert entry.id in queued and outbox.item(entry.id) is not None
        else:
            assert outbox.item(entry.id) is None
        if entry.upload == "sent":
            assert outbox.receipt(entry) is not None and entry.id not in queued
    due = set(outbox.due(AGENT, float("inf")))
    assert due == {entry.id for entry in store.list() if entry.upload in ("waiting", "sending")}
    told = [(gap.first_seq, gap.last_seq) for gap in outbox.gaps(AGENT)]
    assert all(first <= last for first, last in told)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 5)), max_size=30))
def test_any_order_of_events(events: list[tuple[str, int]]) -> None:
    """Queue, states, receipts and the note beside the store agree at every moment."""
    with tempfile.TemporaryDirectory() as name, Store.open(Path(name)) as store:
        outbox = Outbox(store)
        for _ in range(2):
            finish(store, make_report(), queue="by-hand")
        for event, which in events:
            do(event, which, store, outbox)
            check(store, outbox)
        store.note_queue()
        noted = json.loads((Path(name) / FILE).read_bytes())[AGENT]
        numbers = {number for first, last in noted["waiting"] for number in range(first, last + 1)}
        unsent = {e.seq for e in store.list() if e.upload in ("waiting", "sending", "parked")}
        assert numbers == unsent
        assert noted["last"] == store.next_seq(AGENT) - 1
