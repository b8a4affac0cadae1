"""What a mail server can do to who wants a message of it: class, phase and code, and nothing left over."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from ots.model.outcome import outcome_of
from ots.netio.mail.mailbox import Arrival, Mailbox
from ots.probe import Context
from ots.probes.mail_fetch import MailFetch
from tests.command_line import CommandLine
from tests.faults.lying_mail import (
    CONTENT,
    HEADER,
    HONEST_IMAP,
    HONEST_POP3,
    TOKEN,
    Act,
    LyingMail,
    Service,
    Session,
    endless,
    hang_up,
    lying_mail,
    many,
    reply,
    silence,
    tagged,
)
from tests.mail_kit import SECRET, SECRETS, message, reading
from tests.peers.authority import Authority
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.recording import Recording, record

FETCH = MailFetch()
Expected = tuple[str, str, str]


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No socket of a test outlives it."""
    before = len(psutil.Process().net_connections("tcp"))
    yield
    assert len(psutil.Process().net_connections("tcp")) <= before


async def fetch(
    url: str, *, limit: float = 20.0, cancel_after: float | None = None, **params: Any
) -> Recording:
    given = {
        "user": "me",
        "password": SECRET,
        "timeout": 0.3,
        "unencrypted_login": True,
        **params,
    }
    made = await record(FETCH, url, given, secrets=SECRETS, limit=limit, cancel_after=cancel_after)
    assert PASSWORD not in repr(made)
    return made


def error_of(made: Recording) -> Expected:
    """Class, phase and code; whatever happened, the figures can be made."""
    error = made.only.error
    assert error is not None
    assert made.only.outcome == outcome_of(error.class_)
    made.metrics()
    return error.class_, error.phase, error.code


async def _end(session: Session) -> None:
    session.writer.close()


def body(*pieces: bytes, size: int = len(CONTENT), silent: bool = False) -> Act:
    """FETCH of a message whose literal is said to have `size` bytes, or of which nothing is said."""

    async def act(session: Session) -> None:
        if "BODY.PEEK[]" not in session.argument:
            await session.ok(f"* 20 FETCH (UID 20 RFC822.SIZE {len(CONTENT)})")
            return
        if not silent:
            await session.say(f"* 20 FETCH (UID 20 BODY[] {{{size}}}".encode() + b"\r\n", *pieces)

    return act


def able(capabilities: str) -> dict[str, Act]:
    """What it says that it can do, in the greeting and when asked."""
    return {
        "": reply(f"* OK [CAPABILITY IMAP4rev1 {capabilities}] hello"),
        "CAPABILITY": tagged("OK done", f"* CAPABILITY IMAP4rev1 {capabilities}"),
    }


def newest(line: str) -> Act:
    """FETCH that says this of the newest message."""
    return tagged("OK done", line)


async def _half_and_reset(session: Session) -> None:
    await body(CONTENT[:3000])(session)
    if "BODY.PEEK[]" in session.argument:
        await asyncio.sleep(0.1)
        await hang_up(session)


async def _half_and_end(session: Session) -> None:
    await body(CONTENT[:3000])(session)
    if "BODY.PEEK[]" in session.argument:
        session.writer.close()


async def _retr_reset(session: Session) -> None:
    await session.say(b"+OK\r\n" + CONTENT[:3000])
    await asyncio.sleep(0.1)
    await hang_up(session)


async def _retr_end(session: Session) -> None:
    await session.say(b"+OK\r\n" + CONTENT[:3000])
    session.writer.close()


GARBAGE = bytes(range(128, 256)) * 300 + b"\r\n"

IMAP_LIES: Mapping[str, tuple[Mapping[str, Act], Expected]] = {
    "says goodbye at once": ({"": reply("* BYE too many of you")}, ("rejected", "login", "BYE")),
    "never greets": ({"": silence}, ("timeout", "login", "TIMEOUT")),
    "hangs up at once": ({"": hang_up}, ("cutoff", "login", "ECONNRESET")),
    "greets with garbage": ({"": reply(GARBAGE)}, ("protocol", "login", "LONG_LINE")),
    "speaks another protocol": ({"": reply("220 smtp.example ESMTP")}, ("protocol", "login", "BAD_RESPONSE")),
    "knows us already": ({"": reply("* PREAUTH hello")}, ("protocol", "login", "PREAUTH")),
    "greets without end": ({"": endless(b"* " + b"x" * 4000)}, ("protocol", "login", "LONG_LINE")),
    "can too much": (
        {"": reply("* OK hello"), "CAPABILITY": endless(b"* CAPABILITY " + b"X" * 4000 + b"\r\n")},
        ("protocol", "login", "LONG_ANSWER"),
    ),
    "refuses the password": (
        {"AUTHENTICATE": tagged("NO [AUTHENTICATIONFAILED] no")},
        ("auth", "login", "AUTHENTICATIONFAILED"),
    ),
    "repeats the password": ({"AUTHENTICATE": tagged(f"NO {PASSWORD}?")}, ("auth", "login", "NO")),
    "has no time now": (
        {"AUTHENTICATE": tagged("NO [UNAVAILABLE] later")},
        ("rejected", "login", "UNAVAILABLE"),
    ),
    "knows no log-in": ({"AUTHENTICATE": tagged("BAD what?")}, ("rejected", "login", "BAD")),
    "asks on and on": ({"AUTHENTICATE": reply("+ ", "+ ")}, ("protocol", "login", "BAD_RESPONSE")),
    "never answers the log-in": ({"AUTHENTICATE": silence}, ("timeout", "login", "TIMEOUT")),
    "takes no log-in here": (
        {"": reply("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hello")},
        ("rejected", "login", "LOGINDISABLED"),
    ),
    "has no inbox": ({"EXAMINE": tagged("NO [NONEXISTENT] gone")}, ("rejected", "request", "NONEXISTENT")),
    "answers another question": ({"EXAMINE": reply("A99 OK done")}, ("protocol", "request", "BAD_RESPONSE")),
    "has no status": ({"EXAMINE": tagged("FINE done")}, ("protocol", "request", "BAD_RESPONSE")),
    "leaves in the middle": (
        {"EXAMINE": reply("* BYE shutting down")},
        ("rejected", "request", "BYE"),
    ),
    "talks without end": (
        {"EXAMINE": endless(b"* OK still here\r\n")},
        ("protocol", "request", "LONG_ANSWER"),
    ),
    "has a literal where none is due": (
        {"EXAMINE": reply("* FLAGS {4000000000}")},
        ("protocol", "request", "LONG_ANSWER"),
    ),
    "has many literals": (
        {"EXAMINE": endless(b"* X {200000}\r\n" + b"x" * 200_000 + b"\r\n")},
        ("protocol", "request", "LONG_ANSWER"),
    ),
    "forgets the newest": (
        {"FETCH": newest("* 20 FETCH (FLAGS ())")},
        ("protocol", "request", "BAD_RESPONSE"),
    ),
    "has a huge message": (
        {"FETCH": newest("* 20 FETCH (UID 20 RFC822.SIZE 4294967295)")},
        ("content", "transfer", "TOO_BIG"),
    ),
    "announces a small one and sends a huge one": (
        {"FETCH": body(b"x" * 1000, size=99_999_999_999_999)},
        ("content", "transfer", "TOO_BIG"),
    ),
    "sends nothing": ({"FETCH": body()}, ("timeout", "first_byte", "TIMEOUT")),
    "does not answer": ({"FETCH": body(silent=True)}, ("timeout", "first_byte", "TIMEOUT")),
    "stops in the message": ({"FETCH": body(CONTENT[:3000])}, ("stalled", "transfer", "STALLED")),
    "resets in the message": ({"FETCH": _half_and_reset}, ("cutoff", "transfer", "ECONNRESET")),
    "hangs up in the message": ({"FETCH": _half_and_end}, ("cutoff", "transfer", "EOF")),
    "sends more than it says": (
        {"FETCH": body(CONTENT + b")\r\n", size=1000)},
        ("protocol", "transfer", "BAD_RESPONSE"),
    ),
    "never says that this was all": ({"FETCH": body(CONTENT, b")\r\n")}, ("timeout", "transfer", "TIMEOUT")),
    "goes on after the message": (
        {"FETCH": body(CONTENT, b")\r\n" + b"* 1 EXISTS\r\n" * 30_000)},
        ("protocol", "transfer", "LONG_ANSWER"),
    ),
    "has lost the message": (
        {"FETCH": newest("* 20 FETCH (UID 20 BODY[] NIL)")},
        ("content", "transfer", "EMPTY_MESSAGE"),
    ),
}


@pytest.mark.parametrize("name", IMAP_LIES)
async def test_an_imap_server_that(name: str) -> None:
    """Every misbehaviour has its class, its phase and its code, soon."""
    lies, expected = IMAP_LIES[name]
    async with lying_mail("imap", lies) as server:
        start = time.monotonic()
        assert error_of(await fetch(server.url, headers=0)) == expected
        assert time.monotonic() - start < 3


POP3_LIES: Mapping[str, tuple[Mapping[str, Act], Expected]] = {
    "refuses at once": ({"": reply("-ERR too many of you")}, ("rejected", "login", "-ERR")),
    "never greets": ({"": silence}, ("timeout", "login", "TIMEOUT")),
    "hangs up at once": ({"": hang_up}, ("cutoff", "login", "ECONNRESET")),
    "greets with garbage": ({"": reply(GARBAGE)}, ("protocol", "login", "LONG_LINE")),
    "speaks another protocol": ({"": reply("* OK IMAP")}, ("protocol", "login", "BAD_RESPONSE")),
    "can too much": (
        {"CAPA": endless(b"X" * 4000 + b"\r\n", first=b"+OK\r\n")},
        ("protocol", "login", "LONG_ANSWER"),
    ),
    "refuses the password": ({"PASS": reply("-ERR [AUTH] no")}, ("auth", "login", "AUTH")),
    "refuses without a code": ({"PASS": reply("-ERR no")}, ("auth", "login", "-ERR")),
    "repeats the password": ({"PASS": reply(f"-ERR {PASSWORD}?")}, ("auth", "login", "-ERR")),
    "is in use": ({"PASS": reply("-ERR [IN-USE] locked")}, ("rejected", "login", "IN-USE")),
    "never answers the log-in": ({"PASS": silence}, ("timeout", "login", "TIMEOUT")),
    "can not count": ({"STAT": reply("+OK many")}, ("protocol", "request", "BAD_RESPONSE")),
    "counts too far": ({"STAT": reply("+OK 99999999999 1")}, ("protocol", "request", "BAD_RESPONSE")),
    "has less than it says": ({"LIST": reply("-ERR no such message")}, ("rejected", "request", "-ERR")),
    "has a huge message": ({"LIST": reply("+OK 20 4294967295")}, ("content", "transfer", "TOO_BIG")),
    "has lost the message": ({"RETR": reply("-ERR gone")}, ("rejected", "transfer", "-ERR")),
    "sends nothing": ({"RETR": reply("+OK")}, ("timeout", "first_byte", "TIMEOUT")),
    "does not answer": ({"RETR": silence}, ("timeout", "first_byte", "TIMEOUT")),
    "ends instead of an answer": ({"RETR": _end}, ("protocol", "first_byte", "EOF")),
    "sends an empty message": ({"RETR": reply("+OK", ".")}, ("content", "transfer", "EMPTY_MESSAGE")),
    "stops in the message": (
        {"RETR": reply(b"+OK\r\n" + CONTENT[:3000])},
        ("stalled", "transfer", "STALLED"),
    ),
    "resets in the message": ({"RETR": _retr_reset}, ("cutoff", "transfer", "ECONNRESET")),
    "hangs up in the message": ({"RETR": _retr_end}, ("cutoff", "transfer", "EOF")),
    "never ends the message": (
        {"RETR": endless(b"x" * 9000 + b"\r\n", first=b"+OK\r\n")},
        ("content", "transfer", "TOO_BIG"),
    ),
}


@pytest.mark.parametrize("name", POP3_LIES)
async def test_a_pop3_server_that(name: str) -> None:
    """Every misbehaviour has its class, its phase and its code, soon."""
    lies, expected = POP3_LIES[name]
    async with lying_mail("pop3", lies) as server:
        start = time.monotonic()
        assert error_of(await fetch(server.url, headers=0, largest=5_000_000)) == expected
        assert time.monotonic() - start < 3


@pytest.mark.parametrize("service", ["imap", "pop3"])
async def test_a_mailbox_of_100_000_messages(service: Service) -> None:
    """The newest, its headers and the one with a token: in a moment, and without a list of the others."""
    async with lying_mail(service, {}, messages=100_000) as server:
        for find in (None, TOKEN):
            start = time.monotonic()
            made = await fetch(server.url, timeout=5, find=find)
            assert time.monotonic() - start < 2
            assert made.only.error is None
            assert made.metric(f"{service}_mailbox_messages").stats["median"] == 100_000
            assert made.only.method["headers"] == 10
        assert len(server.asked) < 200


@dataclass
class _Kept:
    """Takes what a session writes."""

    data: bytes = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        """Everything has gone where it goes."""


def spoiled(honest: Act, chance: random.Random) -> Act:
    """An honest answer in which something has been lost, doubled, exchanged or put in."""

    async def act(session: Session) -> None:
        kept: Any = _Kept()
        await honest(dataclasses.replace(session, writer=kept))
        data = kept.data
        for _ in range(chance.randint(1, 4)):
            place, length = chance.randrange(len(data) + 1), chance.choice([1, 2, 9, 400])
            put = chance.choice([b"", b"{9}\r\n", b"\r\n.\r\n", b'"', b"* 7 EXISTS\r\n", chance.randbytes(9)])
            data = data[:place] + put * chance.randint(1, 3) + data[place + chance.choice([0, length]) :]
        await session.say(data)

    return act


@pytest.mark.parametrize("service", ["imap", "pop3"])
async def test_answers_that_were_spoiled(service: Service) -> None:
    """A hundred servers, each with three answers that are not what they should be: never a bug of ours."""
    honest = HONEST_IMAP if service == "imap" else HONEST_POP3
    seen: set[str] = set()

    async def one(seed: int) -> None:
        chance = random.Random(seed)
        lies = {name: spoiled(honest[name], chance) for name in chance.sample(sorted(honest), 3)}
        async with lying_mail(service, lies) as server:
            made = await fetch(server.url, find=chance.choice([None, TOKEN]), delete=True, everywhere=True)
        error = made.only.error
        assert error is None or outcome_of(error.class_) == "failure", (seed, error)
        made.metrics()
        seen.add("none" if error is None else error.class_)

    await asyncio.gather(*(one(seed) for seed in range(100)))
    assert {"protocol", "timeout"} <= seen


async def test_headers_without_end() -> None:
    """The list of headers is bounded, too."""

    async def act(session: Session) -> None:
        await endless(
            b"* 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT)] {100000}\r\n" + b"x" * 100_000 + b")\r\n"
        )(session)

    async with lying_mail("imap", {"FETCH": act}) as server:
        assert error_of(await fetch(server.url)) == ("protocol", "request", "LONG_ANSWER")
    async with lying_mail("pop3", {"TOP": endless(b"X: y\r\n" * 1000, first=b"+OK\r\n")}) as server:
        assert error_of(await fetch(server.url)) == ("protocol", "request", "LONG_ANSWER")


async def test_a_size_that_was_only_guessed() -> None:
    """Some servers do: the bytes that came are counted, what was announced is said, and nothing fails."""
    async with lying_mail("pop3", {"LIST": reply("+OK 20 12345")}) as server:
        made = await fetch(server.url)
    assert made.only.error is None
    assert made.metric("pop3_content_bytes").stats["median"] == len(CONTENT)
    assert made.only.method["announced_bytes"] == 12345


async def test_pop3_without_top() -> None:
    """The list of headers is missing with its reason; the message comes all the same."""
    lies = {"CAPA": reply("-ERR what?"), "TOP": reply("-ERR what?")}
    async with lying_mail("pop3", lies) as server:
        made = await fetch(server.url)
        assert made.only.error is None
        assert made.metric("pop3_header_seconds").n_valid == 0
        made = await fetch(server.url, find=TOKEN, headers=0)
    assert error_of(made) == ("unsupported", "request", "TOP")


async def test_imap_log_in_by_login_and_by_steps() -> None:
    """Without AUTH=PLAIN, LOGIN; without SASL-IR, the proof is sent when the server asks for it."""
    got: list[str] = []

    async def login(session: Session) -> None:
        got.append(session.argument)
        await session.ok()

    async def authenticate(session: Session) -> None:
        await session.say("+ ")
        got.append((await session.reader.readline()).decode().strip())
        await session.ok()

    async with lying_mail("imap", {**able(""), "LOGIN": login}) as server:
        assert (await fetch(server.url, user='a"b')).only.error is None
    async with lying_mail("imap", {**able("AUTH=PLAIN"), "AUTHENTICATE": authenticate}) as server:
        assert (await fetch(server.url)).only.error is None
    assert got == [f'"a\\"b" "{PASSWORD}"', "AG1lAG1haWwtcGFzcy13MHJk"]


async def test_deleting_removes_nothing_else() -> None:
    """A server without UIDPLUS where others have marked messages: ours is marked, and EXPUNGE is not said."""
    alone = able("AUTH=PLAIN SASL-IR")
    async with lying_mail("imap", alone) as server:
        made = await fetch(server.url, delete=True)
        assert "STORE" in server.asked and "EXPUNGE" not in server.asked
    assert made.only.error is None
    assert "marked as deleted" in str(made.log.lines)
    async with lying_mail("imap", {**alone, "SEARCH": tagged("OK done", "* SEARCH")}) as server:
        await fetch(server.url, delete=True)
        assert "EXPUNGE" in server.asked


async def test_a_deletion_that_is_not_confirmed() -> None:
    """POP3 deletes at QUIT: a server that says no to it still has the message."""
    async with lying_mail("pop3", {"QUIT": reply("-ERR could not remove")}) as server:
        assert error_of(await fetch(server.url, delete=True)) == ("rejected", "teardown", "-ERR")


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
        assert sessions > 6


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
        (step,) = json.loads(done.stdout)["steps"]
        assert (step["error"] or {}).get("class") == error
        assert password not in line.run("report", "show", "last").stdout
