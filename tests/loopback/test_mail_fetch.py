"""Reading mailboxes of dovecot by IMAP and POP3: each kind of TLS, the phases, and agreement with curl."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import Any

import pytest

from ots.netio.mail.download import Download
from ots.netio.mail.mailbox import Arrival, Mailbox
from ots.probe import Context
from ots.probes.mail_fetch import MailFetch
from tests.mail_kit import SECRET, SECRETS, message, reading
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.peers.require import require
from tests.recording import Recording, record
from tests.relay import relay

FETCH = MailFetch()

MESSAGE_TOLERANCE = 0.10
"""Share by which the time of a message over a limited line may differ from curl's."""

SESSION_TOLERANCE = 0.005
"""Seconds by which the shortest of several sessions may differ from the shortest of curl's."""


def url_of(dovecot: Dovecot, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{getattr(dovecot, scheme)}/"


def value(made: Recording, key: str) -> Any:
    stats = made.metric(key).stats
    return stats.get("median", stats.get("value"))


async def fetch(dovecot: Dovecot, scheme: str, user: str, **params: Any) -> Recording:
    given = {"user": user, "password": SECRET, "ca_file": str(dovecot.authority.root), **params}
    made = await record(FETCH, url_of(dovecot, scheme), given, secrets=SECRETS)
    assert PASSWORD not in repr(made)
    return made


@pytest.mark.parametrize(
    ("scheme", "params", "tls"),
    [
        ("imap", {"tls": "none", "unencrypted_login": True}, "none"),
        ("imap", {}, "starttls"),
        ("imaps", {}, "implicit"),
        ("pop3", {"tls": "none", "unencrypted_login": True}, "none"),
        ("pop3", {"tls": "starttls"}, "starttls"),
        ("pop3s", {}, "implicit"),
    ],
)
async def test_each_way_in(scheme: str, params: dict[str, Any], tls: str, dovecot: Dovecot) -> None:
    """The newest message comes whole; each phase that there was has a figure; the mailbox is as before."""
    user = dovecot.mailbox()
    dovecot.deliver(user, message("old"), message("new", os.urandom(30_000).hex().encode() + b"\r\n"))
    before = dovecot.names(user)
    made = await fetch(dovecot, scheme, user, **params)
    assert made.only.error is None
    prefix = scheme.removesuffix("s")
    stored = dovecot.left(user)[-1].replace(b"\n", b"\r\n")
    assert value(made, f"{prefix}_content_bytes") == len(stored)
    assert value(made, f"{prefix}_mailbox_messages") == 2
    assert made.only.method["tls"] == tls
    assert made.only.method["headers"] == 2
    present = {metric.key for metric in made.metrics() if metric.n_valid}
    assert (f"{prefix}_starttls_seconds" in present) == (tls == "starttls")
    assert (f"{prefix}_tls_handshake_seconds" in present) == (tls == "implicit")
    for phase in ("greeting", "login", "header", "message"):
        assert value(made, f"{prefix}_{phase}_seconds") > 0
    # Dovecot marks what it gives out by POP3 as read; IMAP lets us peek.
    assert len(dovecot.names(user)) == 2
    assert dovecot.names(user) == before or prefix == "pop3"


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
async def test_a_message_comes_as_it_is(scheme: str, dovecot: Dovecot) -> None:
    """Lines that begin with dots, are long or empty, and a body of 2 MB: byte for byte."""
    user, got = dovecot.mailbox(), bytearray()
    lines = [b".", b"..", b"...x", b"", b"A1 OK done", b"* 1 FETCH (BODY[] {3}", b"x" * 900, b"+OK", b")"]
    body = b"\r\n".join(lines * 2_000) + b"\r\n.\r\n"
    dovecot.deliver(user, message("odd", body))

    async def act(mailbox: Mailbox, ctx: Context) -> None:
        found = await mailbox.newest()
        assert found is not None
        download = Download(ctx.clock, 10_000_000, lambda count: None, keep=True)
        await mailbox.fetch(found, download)
        assert found.size == download.size == len(download.data)
        got.extend(download.data)
        # The dialogue goes on where it was.
        (again,) = await mailbox.find("odd")
        assert again.number == found.number

    made = await reading(url_of(dovecot, scheme), user, act)
    assert made.only.error is None
    assert bytes(got).endswith(message("odd", body))


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
async def test_one_of_many_is_found_and_deleted(scheme: str, dovecot: Dovecot) -> None:
    """The message with the token is taken, though newer ones are there; the others stay."""
    user = dovecot.mailbox()
    dovecot.deliver(user, *(message(f"token{number}") for number in range(9)))
    params = {"find": "token4", "delete": True}
    made = await fetch(dovecot, scheme, user, **params)
    assert made.only.error is None
    left = b"".join(dovecot.left(user))
    assert re.findall(rb"Subject: Test token(\d)", left) == [b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"8"]
    again = await fetch(dovecot, scheme, user, **params)
    assert again.only.error is not None
    error = again.only.error
    assert (error.class_, error.phase, error.code) == ("loss", "delivery", "NOT_FOUND")


async def test_a_message_in_the_folder_for_spam(dovecot: Dovecot) -> None:
    """It is not in the inbox, and found with `everywhere`; the method says where."""
    user = dovecot.mailbox()
    dovecot.deliver(user.replace("@", "+Junk@"), message("caught"))
    made = await fetch(dovecot, "imaps", user, find="caught")
    assert made.only.error is not None and made.only.error.code == "NOT_FOUND"
    assert made.only.error.remedy
    made = await fetch(dovecot, "imaps", user, find="caught", everywhere=True, delete=True)
    assert made.only.error is None
    assert (made.only.method["folder"], made.only.method["in_spam"]) == ("Junk", True)
    assert not dovecot.left(user, "Junk")


async def test_an_empty_mailbox(dovecot: Dovecot) -> None:
    """Nothing to fetch is a failure of its own, with what had been measured."""
    for scheme in ("imap", "pop3"):
        made = await fetch(dovecot, scheme, dovecot.mailbox())
        error = made.only.error
        assert error is not None
        assert (error.class_, error.phase, error.code) == ("content", "request", "EMPTY_MAILBOX")
        assert made.metric(f"{scheme}_login_seconds").n_valid == 1
        assert value(made, f"{scheme}_service_non_accessibility_ratio") == 1


async def arrival(
    dovecot: Dovecot, scheme: str, to: str, *, window: float, poll: float, deliver: bool = True
) -> tuple[Arrival | None, float]:
    """What a mailbox says of a message that is delivered while it is watched, and when that was."""
    user, seen = dovecot.mailbox(), []
    moment = 0.0

    async def act(mailbox: Mailbox, ctx: Context) -> None:
        nonlocal moment
        start = ctx.clock.monotonic()
        watching = asyncio.create_task(mailbox.arrival("awaited", start + window, poll))
        await asyncio.sleep(0.2)
        if deliver:
            await asyncio.to_thread(dovecot.deliver, user.replace("@", to), message("other"))
            moment = ctx.clock.monotonic()
            await asyncio.to_thread(dovecot.deliver, user.replace("@", to), message("awaited"))
        seen.append(await watching)

    made = await reading(url_of(dovecot, scheme), user, act)
    assert made.only.error is None
    return seen[0], moment


async def test_idle_tells_of_a_message(dovecot: Dovecot) -> None:
    """The server's own word, long before the next look. Dovecot gathers news for half a second."""
    came, delivered = await arrival(dovecot, "imap", "@", window=8, poll=6)
    assert came is not None
    assert (came.by, came.resolution, came.found.folder) == ("idle", 0.0, "INBOX")
    assert 0 <= came.seen - delivered < 2


async def test_a_message_that_comes_into_another_folder(dovecot: Dovecot) -> None:
    """IDLE watches the inbox alone: the others are looked at between, and the resolution says so."""
    came, delivered = await arrival(dovecot, "imap", "+Junk@", window=5, poll=0.4)
    assert came is not None
    assert (came.by, came.resolution, came.found.folder, came.found.spam) == ("poll", 0.4, "Junk", True)
    assert 0 <= came.seen - delivered < 2


async def test_pop3_looks_again_and_again(dovecot: Dovecot) -> None:
    """Each look is a session of its own; the resolution is the time between them."""
    came, delivered = await arrival(dovecot, "pop3", "@", window=5, poll=0.3)
    assert came is not None
    assert (came.by, came.resolution) == ("poll", 0.3)
    assert 0 <= came.seen - delivered < 1.5


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
async def test_a_message_that_never_comes(scheme: str, dovecot: Dovecot) -> None:
    """Nothing at the end of the window, and no error."""
    came, _ = await arrival(dovecot, scheme, "@", window=0.5, poll=0.2, deliver=False)
    assert came is None


async def curl_times(user: str, url: str) -> dict[str, float]:
    """curl's stamps of one download, in seconds from its start."""
    form = '{"connect": %{time_connect}, "ready": %{time_pretransfer}, "end": %{time_total}}'
    # It takes a user with his password from its standard input, so that no list of processes shows it.
    process = await asyncio.create_subprocess_exec(
        *(require("curl"), "-s", "-o", "/dev/null", "-w", form, "-K", "-", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(f'user = "{user}:{PASSWORD}"'.encode())
    assert process.returncode == 0
    times: dict[str, float] = json.loads(out)
    return times


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "path"), [("imap", "INBOX;MAILINDEX=1"), ("pop3", "1")])
async def test_time_of_a_message_agrees_with_curl(scheme: str, path: str, dovecot: Dovecot) -> None:
    """Half a megabyte at 1.5 MB/s, both at once, each in a session of its own."""
    user = dovecot.mailbox()
    dovecot.deliver(user, message("big", os.urandom(250_000).hex("\n", 30).encode().replace(b"\n", b"\r\n")))
    params = {"user": user, "password": SECRET, "headers": 0, "unencrypted_login": True, "tls": "none"}
    async with relay(getattr(dovecot, scheme), 1_500_000) as port:
        url = f"{scheme}://127.0.0.1:{port}/"
        for _ in range(8):
            made, times = await asyncio.gather(
                record(FETCH, url, params, secrets=SECRETS), curl_times(user, url + path)
            )
            assert made.only.error is None
            ours, theirs = value(made, f"{scheme}_message_seconds"), times["end"] - times["ready"]
            # A busy machine makes the line slower than it was told to be, and not for both alike.
            rate = value(made, f"{scheme}_mean_data_rate_bits_per_second")
            assert rate < 12e6 * (1 + MESSAGE_TOLERANCE)
            if rate > 11e6 and ours == pytest.approx(theirs, rel=MESSAGE_TOLERANCE):
                return
    pytest.fail(f"ours {ours:.3f} s, theirs {theirs:.3f} s, at {rate / 1e6:.1f} Mbit/s")


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "path"), [("imap", "INBOX;MAILINDEX=1"), ("pop3", "1")])
async def test_time_of_a_session_agrees_with_curl(scheme: str, path: str, dovecot: Dovecot) -> None:
    """Connect, log in, fetch a small message: as long as curl takes for it, in turns."""
    user = dovecot.mailbox()
    dovecot.deliver(user, message("small"))
    ours, theirs = [], []
    for tried in range(1, 61):
        made = await fetch(dovecot, scheme, user, headers=0, unencrypted_login=True, tls="none")
        ours.append(value(made, f"{scheme}_session_time_seconds"))
        theirs.append((await curl_times(user, url_of(dovecot, scheme) + path))["end"])
        # On a busy machine it takes more tries until neither was disturbed.
        if tried >= 15 and abs(min(ours) - min(theirs)) <= SESSION_TOLERANCE:
            return
    pytest.fail(f"ours {min(ours):.4f} s, theirs {min(theirs):.4f} s")
