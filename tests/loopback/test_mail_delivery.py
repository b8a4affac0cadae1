"""Mail from end to end: through postfix into dovecot, noticed by IDLE or by polling, checked and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from ots.probes.mail_delivery import MailDelivery
from tests.peers.authority import Authority
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.peers.postfix import Postfix
from tests.recording import Recording, record

DELIVERY = MailDelivery()
SECRETS = {"${secret:mail}": PASSWORD}

COALESCING = 0.6
"""Seconds by which dovecot may delay its word of a new message to whoever is in IDLE."""


def value(made: Recording, key: str) -> Any:
    stats = made.metric(key).stats
    return stats.get("median", stats.get("value"))


async def deliver(postfix: Postfix, ca: Authority, mailbox: str, recipient: str, **params: Any) -> Recording:
    """Over STARTTLS, without a login at the sending side."""
    given = {
        "recipient": recipient,
        "mailbox": mailbox,
        "mailbox_user": recipient,
        "mailbox_password": "${secret:mail}",
        "ca_file": str(ca.root),
        "window": 10.0,
        "interval": 0.1,
        "settle": 0.0,
        **params,
    }
    made = await record(DELIVERY, f"smtp://127.0.0.1:{postfix.smtp}", given, secrets=SECRETS)
    assert PASSWORD not in repr(made)
    return made


def url_of(dovecot: Dovecot, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{getattr(dovecot, scheme)}"


@pytest.mark.parametrize("scheme", ["imap", "imaps", "pop3", "pop3s"])
async def test_into_each_kind_of_mailbox(scheme: str, postfix: Postfix, ca: Authority) -> None:
    """Found, unchanged, once, not in the spam folder, and gone again; the result says how it was noticed."""
    dovecot = postfix.dovecot
    recipient = dovecot.mailbox()
    dovecot.deliver(recipient, b"Subject: not ours\r\n\r\nstays\r\n")
    interval = 5.0 if scheme.startswith("imap") else 0.1
    made = await deliver(postfix, ca, url_of(dovecot, scheme), recipient, size=50_000, interval=interval)
    assert made.only.error is None
    took = value(made, "mail_end_to_end_seconds")
    assert 0 <= took < 5
    method = made.only.method
    if scheme.startswith("imap"):
        assert method["noticed_by"] == "idle"
        assert value(made, "mail_notification_seconds") == took
    else:
        assert method["noticed_by"] == "poll"
        assert value(made, "mail_poll_interval_seconds") == method["resolution"] == 0.1
    assert method["e2e_start"] == "accepted"
    assert method["mailbox_tls"] == ("implicit" if scheme.endswith("s") else "starttls")
    assert value(made, "mail_end_to_end_failure_ratio") == 0
    assert [value(made, f"mail_{count}") for count in ("duplicates", "corrupted", "in_spam")] == [0, 0, 0]
    assert value(made, "mail_hops") == 2
    delay = value(made, "mail_hop_delay_seconds")
    assert delay is not None and 0 <= delay <= 2
    # What belongs to sending is not mixed with what belongs to reading.
    assert made.only.between("connect_start", "completed") == value(made, "smtp_session_time_seconds")
    prefix = scheme.removesuffix("s")
    for phase in ("greeting", "login", "message"):
        assert value(made, f"{prefix}_{phase}_seconds") > 0
    (left,) = dovecot.left(recipient)
    assert b"not ours" in left


async def test_in_the_spam_folder(postfix: Postfix, ca: Authority) -> None:
    """It is found there, too, counted as such, and deleted; it has arrived all the same."""
    dovecot = postfix.dovecot
    made = await deliver(postfix, ca, url_of(dovecot, "imap"), "junked@ots.test")
    assert made.only.error is None
    assert value(made, "mail_in_spam") == 1
    assert made.only.method["noticed_by"] == "poll"
    assert not [left for left in dovecot.left("junked@ots.test", "Junk") if b"Subject: OTS test" in left]


async def test_what_is_to_be_kept_is_kept(postfix: Postfix, ca: Authority) -> None:
    """`keep`: the message stays in the mailbox."""
    dovecot = postfix.dovecot
    recipient = dovecot.mailbox()
    made = await deliver(postfix, ca, url_of(dovecot, "imap"), recipient, keep=True)
    assert made.only.error is None
    (left,) = dovecot.left(recipient)
    assert b"Subject: OTS test" in left


async def test_the_user_logs_in_at_both_ends(postfix: Postfix, ca: Authority) -> None:
    """One user and one password for sending and for reading, as with most providers."""
    dovecot = postfix.dovecot
    user = dovecot.mailbox()
    made = await record(
        DELIVERY,
        f"smtps://{user.replace('@', '%40')}@127.0.0.1:{postfix.smtps}",
        {
            "recipient": user,
            "mailbox": url_of(dovecot, "imaps"),
            "password": "${secret:mail}",
            "ca_file": str(ca.root),
            "settle": 0.0,
        },
        secrets=SECRETS,
    )
    assert made.only.error is None
    assert made.only.method["auth"] == "plain"
    assert dovecot.left(user) == []


async def test_idle_is_sooner_than_polling(postfix: Postfix, ca: Authority) -> None:
    """IDLE tells within dovecot's own delay; POP3 is late by up to its interval, and says so."""
    dovecot = postfix.dovecot
    told = await deliver(postfix, ca, url_of(dovecot, "imap"), dovecot.mailbox(), interval=30.0)
    assert told.only.error is None
    assert value(told, "mail_end_to_end_seconds") < COALESCING + 0.5
    looked = await deliver(postfix, ca, url_of(dovecot, "pop3"), dovecot.mailbox(), interval=1.0)
    assert looked.only.error is None
    assert value(looked, "mail_end_to_end_seconds") < 1.5
    assert looked.only.method["resolution"] == 1.0
