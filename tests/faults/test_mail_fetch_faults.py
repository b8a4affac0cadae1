"""What a mail server can do to who wants a message of it: class, phase and code, and nothing left over."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from ots.model.outcome import outcome_of
from tests.faults.lying_mail import (
    CONTENT,
    HONEST_IMAP,
    HONEST_POP3,
    TOKEN,
    Act,
    Service,
    Session,
    able,
    body,
    endless,
    hang_up,
    lying_mail,
    reply,
    silence,
    tagged,
)
from tests.mail_kit import Expected, error_of, fetch
from tests.peers.dovecot import PASSWORD


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No socket of a test outlives it."""
    before = len(psutil.Process().net_connections("tcp"))
    yield
    assert len(psutil.Process().net_connections("tcp")) <= before


async def _end(session: Session) -> None:
    session.writer.close()


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


async def test_a_server_that_wants_to_know_who_we_are() -> None:
    """It opens no folder before ID."""

    async def examine(session: Session) -> None:
        if "ID" in session.server.asked:
            await HONEST_IMAP["EXAMINE"](session)
        else:
            await session.say(f"{session.tag} NO unsafe login")

    lies = {**able("AUTH=PLAIN SASL-IR ID"), "EXAMINE": examine, "ID": tagged("NO who cares")}
    async with lying_mail("imap", lies) as server:
        assert (await fetch(server.url)).only.error is None


async def test_a_server_that_does_not_search() -> None:
    """The newest headers are looked through instead, and the method says so."""
    async with lying_mail("imap", {"SEARCH": tagged("NO not here")}) as server:
        made = await fetch(server.url, find=TOKEN)
        assert made.only.error is None
        assert made.only.method["search"] == "own"
        assert error_of(await fetch(server.url, find="another")) == ("loss", "delivery", "NOT_FOUND")


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
