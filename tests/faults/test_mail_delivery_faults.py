"""What can happen to a message between two servers, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ots.netio.mail.message import compose, flaw_of
from ots.netio.mail.received import hop_delays, hop_times
from ots.probes.mail_delivery import MailDelivery
from tests.faults.lying_smtp import Act, Session, lying_smtp, silence
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.peers.postfix import Postfix
from tests.recording import Recording, record

DELIVERY = MailDelivery()
LETTER = compose("a@ots.test", "b@ots.test", 300, 0.0)

Fault = tuple[str, str, str]


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No socket of a test outlives it."""
    before = len(psutil.Process().net_connections("tcp"))
    yield
    assert len(psutil.Process().net_connections("tcp")) <= before


async def deliver(smtp: str, dovecot: Dovecot, recipient: str, **params: Any) -> Recording:
    secret = params.pop("password_is", PASSWORD)
    more = {name: params.pop(name) for name in ("limit", "cancel_after", "max_bytes") if name in params}
    given = {
        "recipient": recipient,
        "mailbox": f"imap://127.0.0.1:{dovecot.imap}",
        "mailbox_user": recipient,
        "mailbox_password": "${secret:mail}",
        "ca_file": str(dovecot.authority.root),
        "timeout": 2.0,
        "window": 1.0,
        "interval": 0.1,
        "settle": 0.0,
        **params,
    }
    made = await record(DELIVERY, smtp, given, secrets={"${secret:mail}": secret}, **more)
    assert secret not in repr(made)
    return made


def error_of(made: Recording) -> Fault:
    error = made.only.error
    assert error is not None
    made.metrics()
    return error.class_, error.phase, error.code


def ratio(made: Recording) -> Any:
    return made.metric("mail_end_to_end_failure_ratio").stats["value"]


def takes_and(dovecot: Dovecot, recipient: str, *changes: Any, late: float = 0.0) -> Mapping[str, Act]:
    """Accepts the message, and delivers what each of the changes makes of it, `late` seconds afterwards."""
    tasks: list[asyncio.Task[None]] = []

    async def put(data: bytes) -> None:
        await asyncio.sleep(late)
        await asyncio.to_thread(dovecot.deliver, recipient, *(change(data) for change in changes))

    async def act(session: Session) -> None:
        await session.data()
        tasks.append(asyncio.create_task(put(session.server.taken[-1])))
        await session.say("250 taken")

    return {"DATA": act}


def same(data: bytes) -> bytes:
    return data


def other_content(data: bytes) -> bytes:
    """One character of the attachment's base64 turned into another."""
    place = data.rindex(b"\r\n\r\n") + 10
    return data[:place] + (b"A" if data[place : place + 1] != b"A" else b"B") + data[place + 1 :]


def without_attachment(data: bytes) -> bytes:
    return data.replace(b"application/octet-stream", b"text/plain")


def other_text(data: bytes) -> bytes:
    return data.replace(b"It may be deleted", b"It may be harmful")


def with_footer(data: bytes) -> bytes:
    return data.replace(b"\r\nToken:", b" \r\nToken:").replace(b"\r\n--", b"\r\n-- \r\nBuy more.\r\n--", 2)


async def test_never_arrives(postfix: Postfix) -> None:
    """Accepted by postfix and thrown away: lost after the window, not before."""
    start = time.monotonic()
    made = await deliver(f"smtp://127.0.0.1:{postfix.smtp}", postfix.dovecot, "lost@ots.test")
    assert time.monotonic() - start > 1.0
    assert error_of(made) == ("loss", "delivery", "NOT_SEEN")
    assert made.only.error is not None and made.only.error.retryable and made.only.error.remedy
    assert ratio(made) == 1
    metric = made.metric("mail_end_to_end_seconds")
    assert metric.n_lost == 1 and metric.nulls["stats.median"] == "loss"
    # It was sent all the same.
    assert made.metric("smtp_session_failure_ratio").stats["value"] == 0
    assert made.only.method["left_behind"] is True


async def test_arrives_twice(dovecot: Dovecot) -> None:
    """Counted as a duplicate, no failure, and both are deleted."""
    recipient = dovecot.mailbox()
    async with lying_smtp(takes_and(dovecot, recipient, same, same)) as server:
        made = await deliver(server.url, dovecot, recipient, settle=0.3)
    assert made.only.error is None
    assert made.metric("mail_duplicates").stats["value"] == 1
    assert ratio(made) == 0
    assert dovecot.left(recipient) == []


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
@pytest.mark.parametrize(
    ("change", "code"),
    [(other_content, "SHA256"), (without_attachment, "NO_ATTACHMENT"), (other_text, "BODY")],
)
async def test_arrives_changed(change: Any, code: str, scheme: str, dovecot: Dovecot) -> None:
    """A flipped character in the attachment, no attachment, another text: `content`, and deleted."""
    recipient = dovecot.mailbox()
    mailbox = f"{scheme}://127.0.0.1:{getattr(dovecot, scheme)}"
    async with lying_smtp(takes_and(dovecot, recipient, change)) as server:
        made = await deliver(server.url, dovecot, recipient, size=3000, mailbox=mailbox)
    assert error_of(made) == ("content", "verify", code)
    assert made.metric("mail_corrupted").stats["value"] == 1
    assert ratio(made) == 1
    assert dovecot.left(recipient) == []


async def test_one_good_copy_is_enough(dovecot: Dovecot) -> None:
    """A changed one beside it is counted."""
    recipient = dovecot.mailbox()
    async with lying_smtp(takes_and(dovecot, recipient, other_content, same)) as server:
        made = await deliver(server.url, dovecot, recipient, size=3000, settle=0.3)
    assert made.only.error is None
    assert made.metric("mail_corrupted").stats["value"] == 1
    assert made.metric("mail_duplicates").stats["value"] == 1
    assert dovecot.left(recipient) == []


async def test_arrival_takes_what_it_takes(dovecot: Dovecot) -> None:
    """Delivered 0.5 s after its acceptance: that is the time, and up to a look more."""
    recipient = dovecot.mailbox()
    async with lying_smtp(takes_and(dovecot, recipient, same, late=0.5)) as server:
        made = await deliver(
            server.url, dovecot, recipient, window=5.0, mailbox=f"pop3://127.0.0.1:{dovecot.pop3}"
        )
    took = made.metric("mail_end_to_end_seconds").stats["median"]
    assert isinstance(took, float) and 0.5 <= took < 0.5 + 0.1 + 0.2


async def test_greylisted(postfix: Postfix) -> None:
    """Not accepted is not lost: `rejected`, may be tried again, and no failed delivery."""
    made = await deliver(f"smtp://127.0.0.1:{postfix.smtp}", postfix.dovecot, "grey@ots.test")
    assert error_of(made) == ("rejected", "request", "450")
    assert made.only.error is not None and made.only.error.retryable
    assert ratio(made) is None
    assert made.metric("smtp_session_failure_ratio").stats["value"] == 1


async def test_wrong_password_of_the_mailbox(postfix: Postfix) -> None:
    """auth/login, said to be the mailbox's; no message was sent, and SMTP is not to blame."""
    recipient = postfix.dovecot.mailbox()
    made = await deliver(
        f"smtp://127.0.0.1:{postfix.smtp}", postfix.dovecot, recipient, password_is="let me in"
    )
    assert error_of(made)[:2] == ("auth", "login")
    assert made.only.error is not None and made.only.error.message.startswith("mailbox: ")
    assert made.metric("smtp_service_non_accessibility_ratio").n == 0
    assert ratio(made) is None
    assert postfix.dovecot.left(recipient) == []


@pytest.mark.parametrize("where", ["EHLO", "DATA"])
async def test_sending_is_never_answered(where: str, dovecot: Dovecot) -> None:
    """The server's silence ends it; the mailbox is closed."""
    recipient = dovecot.mailbox()
    async with lying_smtp({where: silence}) as server:
        made = await deliver(server.url, dovecot, recipient, timeout=0.4)
    assert error_of(made) == ("timeout", "login" if where == "EHLO" else "request", "TIMEOUT")


async def test_accepted_without_a_word(dovecot: Dovecot) -> None:
    """The server takes the message and hangs up before 250: it may arrive, is looked for, and deleted."""
    recipient = dovecot.mailbox()

    async def act(session: Session) -> None:
        await session.data()
        await asyncio.to_thread(dovecot.deliver, recipient, session.server.taken[-1])
        session.writer.close()

    async with lying_smtp({"DATA": act}) as server:
        made = await deliver(server.url, dovecot, recipient)
    assert error_of(made) == ("cutoff", "transfer", "EOF")
    assert dovecot.left(recipient) == []


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
async def test_cancelled_while_waiting(scheme: str, dovecot: Dovecot) -> None:
    """The message comes a moment after the cancel: it is deleted all the same."""
    recipient = dovecot.mailbox()
    mailbox = f"{scheme}://127.0.0.1:{getattr(dovecot, scheme)}"
    async with lying_smtp(takes_and(dovecot, recipient, same, late=0.5)) as server:
        made = await deliver(server.url, dovecot, recipient, mailbox=mailbox, window=30.0, cancel_after=0.4)
        assert error_of(made)[0] == "cancelled"
        await server.empty()
    assert dovecot.left(recipient) == []
    assert "left_behind" not in made.only.method


async def test_time_is_up(dovecot: Dovecot) -> None:
    """The engine's limit ends it; what was accepted and not seen may still come: that is said."""
    recipient = dovecot.mailbox()
    async with lying_smtp({}) as server:
        made = await deliver(server.url, dovecot, recipient, window=30.0, limit=0.5)
    assert error_of(made)[0] == "timeout"
    assert made.only.method["left_behind"] is True


async def test_the_data_budget_ends_it(postfix: Postfix) -> None:
    """A message larger than what may be moved is broken off, and the server keeps none of it."""
    recipient = postfix.dovecot.mailbox()
    made = await deliver(
        f"smtp://127.0.0.1:{postfix.smtp}", postfix.dovecot, recipient, size=1_000_000, max_bytes=200_000
    )
    assert error_of(made)[0] == "resource"
    assert made.data.sent_bytes < 400_000
    assert postfix.dovecot.left(recipient) == []


@pytest.mark.parametrize(
    "url",
    ["smtp://x", "imap://u:secret@h", "imap://", "somewhere", "imaps://h:0"],
)
def test_a_mailbox_that_is_none(url: str) -> None:
    """Said before anything runs, and without a password that stood in it."""
    with pytest.raises(ValueError, match="mailbox") as error:
        DELIVERY.Params.model_validate({"recipient": "a@b", "mailbox": url})
    assert "secret@" not in str(error.value.errors(include_input=False))  # type: ignore[attr-defined]


# What comes out of a mailbox is anybody's.


def test_what_servers_may_do_to_a_message() -> None:
    """A footer, another wrapping and more headers are no flaw."""
    letter = compose("a@ots.test", "b@ots.test", 5000, 0.0)
    assert flaw_of(letter, letter.data) is None
    assert flaw_of(letter, b"Received: from x by y; Thu, 1 Jan 1970 00:00:00 +0000\r\n" + letter.data) is None
    assert flaw_of(letter, with_footer(letter.data)) is None
    assert flaw_of(letter, letter.data.replace(b"\r\n", b"\n")) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 1000,
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n" * 10_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(500)),
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n" * 1_000_000,
        b"Content-Type: text/plain" + b';\r\n a="b' * 500_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 5000,
        b"Received: x" + b"; x" * 80_000 + b"\r\n\r\n",
        b"Content-Type: text/plain; charset=no-such\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\n\r\n=====",
        b"Content-Type: text/plain; charset*0*=x''%ff;\r\nSubject: =?x?y?z?=\r\n\r\n\xff",
    ],
)
def test_a_hostile_message_is_only_wrong(data: bytes) -> None:
    """Whatever lies in the mailbox, it ends as a flaw and in time."""
    letter = compose("a@ots.test", "b@ots.test", 100, 0.0)
    start = time.monotonic()
    assert flaw_of(letter, data) in ("BODY", "UNREADABLE")
    assert hop_times(data) in ([], [None])
    assert time.monotonic() - start < 5


@given(st.lists(st.tuples(st.integers(0, 1200), st.binary(max_size=40)), max_size=12))
@settings(max_examples=300, deadline=None)
def test_a_message_that_was_tampered_with_anywhere(changes: list[tuple[int, bytes]]) -> None:
    """Whatever is written over it, the verdict is a flaw or none, and never an exception."""
    data = bytearray(LETTER.data)
    for place, piece in changes:
        data[place : place + len(piece)] = piece
    assert flaw_of(LETTER, bytes(data)) in (None, "UNREADABLE", "BODY", "NO_ATTACHMENT", "SHA256")
    hop_delays(hop_times(bytes(data)))


def test_hops_and_their_delays() -> None:
    """Oldest first; a header without a time is a hop without a stamp, and clocks may disagree."""
    head = (
        b"Received: from b by c; Thu, 26 Nov 2026 10:00:09 +0100 (CET)\r\n"
        b"Received: from a by b;\r\n\tThu, 26 Nov 2026 09:00:10 -0000\r\n"
        b"Received: by a id 5; nonsense\r\n"
        b"Received: nothing\r\n"
        b"Subject: x\r\n\r\nReceived: not a header\r\n"
    )
    times = hop_times(head)
    assert times[:2] == [None, None] and len(times) == 4
    assert hop_delays(times) == [None, None, -1.0]
    assert hop_delays([]) == []
