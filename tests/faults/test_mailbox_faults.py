"""Reading a mailbox when passwords, TLS or patience are the matter; and waiting for what may never come."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import psutil
import pytest

from ots.netio.mail.mailbox import Arrival, Mailbox
from ots.probe import Context
from ots.probes.mail_fetch import MailFetch
from ots.schema.report import report_schema
from tests.command_line import CommandLine
from tests.faults.lying_mail import (
    CONTENT,
    HEADER,
    Act,
    LyingMail,
    Service,
    Session,
    able,
    body,
    endless,
    lying_mail,
    many,
    reply,
    silence,
    tagged,
)
from tests.mail_kit import SECRET, SECRETS, error_of, fetch, message, reading
from tests.peers.authority import Authority
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.recording import Recording, record

FETCH = MailFetch()


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No socket of a test outlives it."""
    before = len(psutil.Process().net_connections("tcp"))
    yield
    assert len(psutil.Process().net_connections("tcp")) <= before


# TLS and passwords.


@pytest.mark.parametrize("service", ["imap", "pop3"])
async def test_starttls_stripped(service: Service) -> None:
    """Somebody on the way takes the offer out of the greeting: no password goes out."""
    async with lying_mail(service, {}) as server:
        made = await fetch(server.url, unencrypted_login=False)
        assert error_of(made) == ("tls", "tls", "NO_STARTTLS")
        assert not {"LOGIN", "AUTHENTICATE", "USER", "PASS"} & set(server.asked)


@pytest.mark.parametrize(
    ("service", "command", "answer"),
    [("imap", "STARTTLS", tagged("NO not now")), ("pop3", "STLS", reply("-ERR not now"))],
)
async def test_starttls_offered_and_refused(service: Service, command: str, answer: Act) -> None:
    """The same when the server only takes its offer back."""
    offer: Mapping[str, Act] = {
        "": reply("* OK [CAPABILITY IMAP4rev1 STARTTLS] hi" if service == "imap" else "+OK hi"),
        "CAPA": reply(many(b"USER\r\n", b"STLS\r\n")),
        command: answer,
    }
    async with lying_mail(service, offer) as server:
        class_, phase, _ = error_of(await fetch(server.url, unencrypted_login=False))
        assert (class_, phase) == ("tls", "tls")
        assert server.asked[-1] == command


async def test_words_before_tls_are_not_believed(ca: Authority) -> None:
    """What somebody on the way put behind the answer to STARTTLS is not taken for the server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issuer.issue_cert("127.0.0.1").configure_cert(context)

    async def injected(session: Session) -> None:
        await session.say(f"{session.tag} OK go\r\n* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n".encode())
        await session.writer.start_tls(context)

    greeting = reply("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hi")
    async with lying_mail("imap", {"": greeting, "STARTTLS": injected}) as server:
        made = await fetch(server.url, unencrypted_login=False, timeout=2, ca_file=str(ca.root))
        assert made.only.error is None
        assert server.asked[:3] == ["STARTTLS", "CAPABILITY", "AUTHENTICATE"]


async def test_plain_text_is_refused_beforehand() -> None:
    """`tls: none` with a password is a mistake of the case, unless it is allowed."""
    for scheme in ("imap", "pop3"):
        made = await fetch(f"{scheme}://127.0.0.1:9/", tls="none", unencrypted_login=False)
        assert error_of(made) == ("config", "config", "UNENCRYPTED_LOGIN")


@pytest.mark.parametrize("service", ["imap", "pop3"])
async def test_expired_certificate(service: Service, ca: Authority) -> None:
    """Its own code, at the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issuer.issue_cert("127.0.0.1", not_after=datetime(2000, 1, 1, tzinfo=UTC)).configure_cert(context)
    async with lying_mail(service, {}, tls=context) as server:
        made = await fetch(server.url, ca_file=str(ca.root))
    assert error_of(made) == ("tls", "tls", "CERTIFICATE_VERIFY_FAILED: CERT_HAS_EXPIRED")


@pytest.mark.parametrize("scheme", ["imap", "imaps", "pop3", "pop3s"])
async def test_wrong_password_at_a_real_server(scheme: str, dovecot: Dovecot) -> None:
    """auth/login, with a remedy and without the password."""
    made = await record(
        FETCH,
        f"{scheme}://127.0.0.1:{getattr(dovecot, scheme)}/",
        {"user": dovecot.mailbox(), "password": SECRET, "ca_file": str(dovecot.authority.root)},
        secrets={SECRET: "let me in"},
    )
    class_, phase, _ = error_of(made)
    assert (class_, phase) == ("auth", "login")
    assert made.only.error is not None and made.only.error.remedy
    assert "let me in" not in repr(made)


async def test_the_wrong_port(dovecot: Dovecot) -> None:
    """Plain words to a port that waits for TLS, and TLS to one that does not know it: both are told apart."""
    made = await fetch(f"imap://127.0.0.1:{dovecot.imaps}/", tls="none")
    assert error_of(made) == ("timeout", "login", "TIMEOUT")
    assert made.only.error is not None and "imaps://" in str(made.only.error.remedy)
    made = await fetch(f"imaps://127.0.0.1:{dovecot.imap}/")
    assert error_of(made)[:2] == ("tls", "tls")


async def test_refused_at_the_door() -> None:
    """Nobody listens."""
    for scheme in ("imap", "pop3s"):
        assert error_of(await fetch(f"{scheme}://127.0.0.1:1/")) == ("refused", "connect", "ECONNREFUSED")


async def test_nobody_to_log_in() -> None:
    """A user with the end of a line in it, or none, is a mistake of ours."""
    for service in ("imap", "pop3"):
        async with lying_mail(
            service, {"": reply("* OK [CAPABILITY X] hi" if service == "imap" else "+OK")}
        ) as server:
            assert error_of(await fetch(server.url, user="a\r\nDELE 1"))[0] == "config"
            assert error_of(await fetch(server.url, user=None)) == ("config", "config", "NO_USER")


# Ends from outside.


@pytest.mark.parametrize("service", ["imap", "pop3"])
async def test_cancelled_and_out_of_time_in_the_message(service: Service) -> None:
    """What had come until then is kept; nothing stays open."""
    command, act = (
        ("FETCH", body(CONTENT[:3000])) if service == "imap" else ("RETR", reply(b"+OK\r\n" + CONTENT[:3000]))
    )
    async with lying_mail(service, {command: act}) as server:
        made = await fetch(server.url, headers=0, timeout=10, cancel_after=0.3)
        assert error_of(made)[0] == "cancelled"
        assert "first_content" in made.only.triggers and "completed" not in made.only.triggers
        made = await fetch(server.url, headers=0, timeout=10, limit=0.3)
        assert error_of(made)[0] == "timeout"
        assert made.metric(f"{service}_data_transfer_cutoff_ratio").stats["value"] == 1


async def test_the_data_budget_ends_it() -> None:
    """A message larger than what may be moved is given up."""
    async with lying_mail("imap", {}) as server:
        made = await record(
            FETCH,
            server.url,
            {"user": "me", "password": SECRET, "unencrypted_login": True},
            secrets=SECRETS,
            max_bytes=5000,
        )
    assert error_of(made)[0] == "resource"


# Waiting for a message.


async def arrival(server: LyingMail, window: float, poll: float) -> tuple[Recording, list[Arrival | None]]:
    seen: list[Arrival | None] = []

    async def act(mailbox: Mailbox, ctx: Context) -> None:
        seen.append(await mailbox.arrival("awaited", ctx.clock.monotonic() + window, poll))

    return await reading(server.url, "me", act, timeout=0.3), seen


async def test_idle_that_never_ends() -> None:
    """A server that talks during IDLE, or does not let go of it, is not waited for for ever."""
    nothing = {"SEARCH": tagged("OK done", "* SEARCH")}
    async with lying_mail(
        "imap", {**nothing, "IDLE": endless(b"* OK still here\r\n", first=b"+ idling\r\n")}
    ) as server:
        start = time.monotonic()
        made, _ = await arrival(server, 0.4, 5)
        assert time.monotonic() - start < 3
        assert error_of(made)[0] in ("protocol", "timeout")
    async with lying_mail("imap", {**nothing, "IDLE": reply("+ idling"), "DONE": silence}) as server:
        assert error_of((await arrival(server, 0.3, 5))[0]) == ("timeout", "delivery", "TIMEOUT")
    async with lying_mail("imap", {**nothing, "IDLE": tagged("NO not today")}) as server:
        assert error_of((await arrival(server, 0.3, 5))[0]) == ("rejected", "delivery", "NO")


async def test_imap_without_idle_is_asked_again() -> None:
    """The resolution is that of the looks."""
    looks = 0

    async def search(session: Session) -> None:
        nonlocal looks
        looks += 1
        await session.ok("* SEARCH 7" if looks > 4 else "* SEARCH")

    lies = {**able("AUTH=PLAIN SASL-IR"), "SEARCH": search, "NOOP": tagged("OK done")}
    async with lying_mail("imap", lies) as server:
        made, (came,) = await arrival(server, 5, 0.1)
    assert made.only.error is None
    assert came is not None and (came.by, came.resolution) == ("poll", 0.1)


async def test_pop3_that_is_busy_for_a_while() -> None:
    """A mailbox in use is looked at again later; one that stays so fails when the window ends."""
    sessions = 0

    async def password(session: Session) -> None:
        nonlocal sessions
        sessions += 1
        busy = sessions in (2, 3) or sessions > 5
        await session.say("-ERR [IN-USE] locked" if busy else "+OK")

    async with lying_mail("pop3", {"PASS": password, "TOP": reply(many(HEADER))}) as server:
        made, _ = await arrival(server, 0.6, 0.1)
        assert error_of(made) == ("rejected", "login", "IN-USE")
        assert sessions > 5


# The whole of it, from the command line.


def test_exit_code_and_report(dovecot: Dovecot, tmp_path: Path) -> None:
    """A wrong password: exit 1, a valid report, and the password nowhere. The right one: exit 0."""
    user = dovecot.mailbox()
    dovecot.deliver(user, message("x"))
    url = f"imap://{user.replace('@', '%40')}@localhost:{dovecot.imap}/"
    asked = [
        "mail-fetch",
        url,
        "--ca-file",
        str(dovecot.authority.root),
        "--password-from",
        "env:MAIL_PASSWORD",
    ]
    line = CommandLine(tmp_path)
    for password, code, error in (("let me in", 1, "auth"), (PASSWORD, 0, None)):
        done = line.run(*asked, "--json", env={"MAIL_PASSWORD": password})
        assert done.returncode == code, done.stdout + done.stderr
        assert password not in done.stdout + done.stderr
        report = json.loads(done.stdout)
        jsonschema.Draft202012Validator(report_schema()).validate(report)
        (step,) = report["steps"]
        assert (step["error"] or {}).get("class") == error
