"""What an SMTP server can do to who sends mail: class, phase and code of it, and no password on the wire."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from ots.probes.mail_send import MailSend
from tests.faults.lying_smtp import Act, LyingSMTP, Session, lying_smtp, reply, silence
from tests.faults.scripted_server import reset
from tests.peers.authority import Authority
from tests.peers.dovecot import PASSWORD
from tests.peers.postfix import MESSAGE_LIMIT, Postfix
from tests.recording import Recording, record

SEND = MailSend()
TO = "someone@ots.test"
SECRET = "0pen-s3same"
LOGIN = {"user": "me", "password": "${secret:mail}"}
OPENLY = {**LOGIN, "unencrypted_login": True}
QUICK = {"timeout": 0.3, "stall_limit": 0.3, "accept_timeout": 0.3}

Fault = tuple[str, str, str]


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """No socket of a test outlives it."""
    before = len(psutil.Process().net_connections("tcp"))
    yield
    assert len(psutil.Process().net_connections("tcp")) <= before


async def send(server: LyingSMTP, **params: Any) -> Recording:
    given = {"recipient": TO, **QUICK, **params}
    return await record(SEND, server.url, given, secrets={"${secret:mail}": SECRET})


def error_of(made: Recording) -> Fault:
    """Class, phase and code; whatever happened, the figures can be made, and nobody sees the password."""
    error = made.only.error
    assert error is not None
    made.metrics()
    assert SECRET not in repr(made)
    assert base64.b64encode(SECRET.encode()).decode().rstrip("=") not in repr(made)
    return error.class_, error.phase, error.code


async def hang_up(session: Session) -> None:
    """Ends the connection with RST."""
    reset(session.writer)


async def close(session: Session) -> None:
    """Ends the connection in good order."""
    session.writer.close()


async def _endless_line(session: Session) -> None:
    while True:
        await session.say(b"250-" + b"x" * 4096)


async def _endless_answer(session: Session) -> None:
    for _ in range(100_000):
        await session.say("250-X-EXTENSION-THAT-NOBODY-HAS-EVER-HEARD-OF")


async def _refuses_content(session: Session) -> None:
    await session.data()
    await session.say("552 5.3.4 too big")


async def _refuses_in_the_middle(session: Session) -> None:
    await session.say("354 go on")
    await session.reader.read(1000)
    await session.say("552 5.3.4 too big")
    await asyncio.sleep(0.05)
    session.writer.transport.abort()


async def _accepts_in_the_middle(session: Session) -> None:
    await session.say("354 go on")
    await session.reader.read(1000)
    await session.say("250 taken")
    await asyncio.Event().wait()


async def _never_answers(session: Session) -> None:
    await session.data()


async def _reads_nothing(session: Session) -> None:
    await session.say("354 go on")
    await asyncio.Event().wait()


async def _resets_after(session: Session) -> None:
    await session.data()
    reset(session.writer)


async def _resets_in_the_middle(session: Session) -> None:
    await session.say("354 go on")
    await session.reader.read(1000)
    reset(session.writer)


BIG = {"size": 8_000_000}


async def _repeats(session: Session) -> None:
    """Quotes what it was sent, as badly written servers do."""
    sent = base64.b64decode(session.line.split()[-1]).decode().split("\0")
    await session.say(f"535 wrong: {session.line} {sent}")


LIES: Mapping[str, tuple[Mapping[str, Act], dict[str, Any], Fault]] = {
    "no banner": ({"": silence}, {}, ("timeout", "login", "TIMEOUT")),
    "busy": ({"": reply("421 too many connections")}, {}, ("rejected", "login", "421")),
    "no service": ({"": reply("554 no SMTP here")}, {}, ("rejected", "login", "554")),
    "hangs up at once": ({"": hang_up}, {}, ("cutoff", "login", "ECONNRESET")),
    "closes at once": ({"": close}, {}, ("protocol", "login", "EOF")),
    "garbage": ({"": reply(b"\x00\xff\x1b[2J\r\n" * 5000)}, {}, ("protocol", "login", "BAD_REPLY")),
    "another protocol": ({"": reply("SSH-2.0-OpenSSH_9")}, {}, ("protocol", "login", "BAD_REPLY")),
    "codes that change": ({"EHLO": reply(b"250-a\r\n550 b\r\n")}, {}, ("protocol", "login", "BAD_REPLY")),
    "endless line": ({"EHLO": _endless_line}, {}, ("protocol", "login", "LONG_LINE")),
    "huge line": ({"EHLO": reply(b"250 " + b"x" * 20_000)}, {}, ("protocol", "login", "LONG_LINE")),
    "endless answer": ({"EHLO": _endless_answer}, {}, ("protocol", "login", "LONG_ANSWER")),
    "never says hello": ({"EHLO": silence}, {}, ("timeout", "login", "TIMEOUT")),
    "wrong password": ({"AUTH": reply("535 5.7.8 no")}, OPENLY, ("auth", "login", "535")),
    "repeats the password": ({"AUTH": _repeats}, OPENLY | {"auth": "plain"}, ("auth", "login", "535")),
    "says nothing but the password": (
        {"AUTH": reply(SECRET)},
        OPENLY,
        ("protocol", "login", "BAD_REPLY"),
    ),
    "not now": ({"AUTH": reply("454 4.7.0 later")}, OPENLY, ("auth", "login", "454")),
    "no login": ({"EHLO": reply("250 peer")}, OPENLY, ("auth", "login", "NO_AUTH")),
    "other logins": (
        {"EHLO": reply(b"250-peer\r\n250 AUTH GSSAPI\r\n")},
        OPENLY,
        ("auth", "login", "NO_AUTH"),
    ),
    "not that login": (
        {"EHLO": reply(b"250-peer\r\n250 AUTH PLAIN\r\n")},
        {**OPENLY, "auth": "login"},
        ("auth", "login", "NO_MECHANISM"),
    ),
    "no challenge": (
        {"AUTH": reply("334 a")},
        {**LOGIN, "auth": "cram-md5"},
        ("protocol", "login", "BAD_CHALLENGE"),
    ),
    "log-in reset": ({"AUTH": hang_up}, OPENLY, ("cutoff", "login", "ECONNRESET")),
    "wants a login": ({"MAIL": reply("530 5.7.0 who are you?")}, {}, ("auth", "login", "530")),
    "sender refused": ({"MAIL": reply("553 no")}, {}, ("rejected", "request", "553")),
    "no relay": ({"RCPT": reply("554 5.7.1 relay denied")}, {}, ("rejected", "request", "554")),
    "greylisting": ({"RCPT": reply("450 4.2.0 come again")}, {}, ("rejected", "request", "450")),
    "quota": ({"RCPT": reply("552 5.2.2 mailbox full")}, {}, ("rejected", "request", "552")),
    "disk full": ({"DATA": reply("452 4.3.1 no space")}, {}, ("rejected", "request", "452")),
    "answers in advance": (
        {"MAIL": reply(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n")},
        {},
        ("protocol", "request", "UNASKED"),
    ),
    "says goodbye meanwhile": (
        {"MAIL": reply(b"250 ok\r\n421 going down\r\n")},
        {},
        ("rejected", "request", "421"),
    ),
    "no go-ahead": ({"DATA": reply("250 ok")}, {}, ("protocol", "request", "250")),
    "too big": ({"DATA": _refuses_content}, {}, ("rejected", "transfer", "552")),
    "too big, said early": ({"DATA": _refuses_in_the_middle}, BIG, ("rejected", "transfer", "552")),
    "accepted too early": ({"DATA": _accepts_in_the_middle}, BIG, ("protocol", "transfer", "EARLY_ANSWER")),
    "no answer": ({"DATA": _never_answers}, {}, ("timeout", "transfer", "TIMEOUT")),
    "stall": ({"DATA": _reads_nothing}, BIG, ("stalled", "transfer", "STALLED")),
    "stall of a small one": ({"DATA": _reads_nothing}, {}, ("timeout", "transfer", "TIMEOUT")),
    "reset at the end": ({"DATA": _resets_after}, {}, ("cutoff", "transfer", "ECONNRESET")),
    "reset in the middle": ({"DATA": _resets_in_the_middle}, BIG, ("cutoff", "transfer", "ECONNRESET")),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_server_that(name: str) -> None:
    """Every misbehaviour has its class, its phase and its code."""
    lies, params, expected = LIES[name]
    async with lying_smtp(lies) as server:
        made = await send(server, **params)
        assert error_of(made) == expected
        assert made.only.error is not None
        assert made.only.error.retryable == (
            expected[2].startswith("4") or expected[0] in ("timeout", "stalled", "cutoff")
        )


async def test_greylisted_and_then_taken() -> None:
    """The first try is `rejected` and may be tried again; the next one, as a step's retry, gets through."""
    async with lying_smtp({"RCPT": reply("450 4.2.0 greylisted", "250 ok")}) as server:
        first = await send(server)
        assert error_of(first) == ("rejected", "request", "450")
        second = await send(server)
        assert second.only.error is None
        assert len(server.taken) == 1


async def test_helo_where_ehlo_is_not_known() -> None:
    """An old server is spoken to in the old way (RFC 5321 section 3.2)."""
    async with lying_smtp({"EHLO": reply("502 what?"), "HELO": reply("250 hello")}) as server:
        made = await send(server)
    assert made.only.error is None
    assert "HELO" in server.asked


async def test_starttls_stripped() -> None:
    """Somebody takes STARTTLS out of the answer: no password goes out, asked for or not."""
    async with lying_smtp({}) as server:
        for params in (LOGIN, {"tls": "starttls"}, {**LOGIN, "tls": "starttls"}):
            assert error_of(await send(server, **params)) == ("tls", "tls", "NO_STARTTLS")
        assert "AUTH" not in server.asked and "MAIL" not in server.asked


async def test_starttls_offered_and_refused() -> None:
    """An offer that is not kept is no reason to go on without."""
    offer = reply(b"250-peer\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
    async with lying_smtp({"EHLO": offer, "STARTTLS": reply("454 4.7.0 not now")}) as server:
        assert error_of(await send(server, **LOGIN)) == ("tls", "tls", "454")
        assert "AUTH" not in server.asked


async def test_answers_slipped_in_before_tls() -> None:
    """What was said in plain text before the handshake is not believed afterwards (RFC 3207 section 6)."""
    offer = reply(b"250-peer\r\n250 STARTTLS\r\n")
    slipped = reply(b"220 go\r\n250-peer\r\n250 AUTH PLAIN\r\n")
    async with lying_smtp({"EHLO": offer, "STARTTLS": slipped}) as server:
        class_, phase, _ = error_of(await send(server, **LOGIN))
        assert (class_, phase) == ("tls", "tls") or class_ == "timeout"
        assert "AUTH" not in server.asked


async def test_parameters_that_would_show_the_password() -> None:
    """tls: none with a password is refused before anything is sent."""
    async with lying_smtp({}) as server:
        made = await send(server, **LOGIN, tls="none")
        assert error_of(made) == ("config", "config", "UNENCRYPTED_LOGIN")
        assert made.only.error is not None and made.only.error.remedy
        assert server.asked == []


async def test_cram_md5_shows_no_password() -> None:
    """Without TLS it is the one login that is used; what goes out is the keyed hash of the challenge."""
    challenge = b"<1896.697170952@ots.test>"
    said: list[str] = []

    async def cram(session: Session) -> None:
        await session.say("334 " + base64.b64encode(challenge).decode())
        said.append(base64.b64decode(await session.reader.readline()).decode())
        await session.say("235 welcome")

    async with lying_smtp({"AUTH": cram}) as server:
        made = await send(server, **LOGIN, auth="cram-md5")
    assert made.only.error is None
    assert said == ["me " + hmac.new(SECRET.encode(), challenge, "md5").hexdigest()]
    assert made.only.method["auth"] == "cram-md5"


async def test_a_password_without_a_user() -> None:
    """A contradiction in the parameters."""
    async with lying_smtp({}) as server:
        made = await send(server, password="${secret:mail}", unencrypted_login=True)
    assert error_of(made) == ("config", "config", "NO_USER")


async def test_dots_and_size_on_the_wire() -> None:
    """The server gets the message as it was composed, and was told its size before."""
    sizes: list[str] = []

    async def mail(session: Session) -> None:
        sizes.append(session.line)
        await session.say("250 ok")

    async with lying_smtp({"MAIL": mail}) as server:
        made = await send(server, size=1000)
    (taken,) = server.taken
    assert sizes == [f"MAIL FROM:<{TO}> SIZE={len(taken)}"]
    assert made.metric("smtp_content_bytes").stats["median"] == len(taken)


async def test_acceptance_takes_what_the_server_takes() -> None:
    """0.3 s between the last dot and 250: that is the acceptance, and no phase else has it."""

    async def slow(session: Session) -> None:
        await session.data()
        await asyncio.sleep(0.3)
        await session.say("250 taken")

    async with lying_smtp({"DATA": slow}) as server:
        made = await send(server, accept_timeout=5, size=100_000)
    assert made.only.error is None
    assert made.metric("smtp_accept_seconds").stats["median"] == pytest.approx(0.3, abs=0.05)
    for phase in ("banner", "ehlo"):
        took = made.metric(f"smtp_{phase}_seconds").stats["median"]
        assert isinstance(took, float) and took < 0.1


async def test_acceptance_is_not_the_transfer() -> None:
    """1.4 MB at 1.6 MB/s: what the kernel still holds back when we are through with it is transfer."""

    async def slow(session: Session) -> None:
        await session.say("354 go on")
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            piece = await session.reader.read(16_000)
            tail = (tail + piece)[-5:]
            await asyncio.sleep(len(piece) / 1.6e6)
        await session.say("250 taken")

    async with lying_smtp({"DATA": slow}, buffer=16_000) as server:
        made = await send(server, size=1_000_000, accept_timeout=5)
    assert made.only.error is None
    accept = made.metric("smtp_accept_seconds").stats["median"]
    assert isinstance(accept, float) and accept < 0.25
    rate = made.metric("smtp_mean_data_rate_bits_per_second").stats["median"]
    assert isinstance(rate, float) and 8e6 < rate < 13.5e6


async def test_login_takes_what_the_server_takes() -> None:
    """0.3 s until 235."""

    async def slow(session: Session) -> None:
        await asyncio.sleep(0.3)
        await session.say("235 welcome")

    async with lying_smtp({"AUTH": slow}) as server:
        made = await send(server, **OPENLY, timeout=2, auth="plain")
    assert made.metric("smtp_login_seconds").stats["median"] == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("where", ["", "EHLO", "DATA"])
async def test_cancelled(where: str) -> None:
    """At any moment it ends, hangs up, and what it had measured can be summarised."""
    act = _never_answers if where == "DATA" else silence
    async with lying_smtp({where: act}) as server:
        made = await record(
            SEND, server.url, {"recipient": TO, "size": 8_000_000, "stall_limit": 30}, cancel_after=0.15
        )
        assert error_of(made)[0] == "cancelled"
        await server.empty()


async def test_time_is_up() -> None:
    """The engine's limit ends it as a time-out."""
    async with lying_smtp({"MAIL": silence}) as server:
        made = await record(SEND, server.url, {"recipient": TO}, limit=0.2)
        assert error_of(made)[0] == "timeout"
        await server.empty()


async def test_expired_certificate(ca: Authority) -> None:
    """Its own code, at the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issuer.issue_cert("127.0.0.1", not_after=datetime(2000, 1, 1, tzinfo=UTC)).configure_cert(context)
    async with lying_smtp({}, tls=context) as server:
        made = await record(
            SEND, server.url.replace("smtp:", "smtps:"), {"recipient": TO, "ca_file": str(ca.root)}
        )
    assert error_of(made) == ("tls", "tls", "CERTIFICATE_VERIFY_FAILED: CERT_HAS_EXPIRED")


async def test_expired_certificate_after_starttls(ca: Authority) -> None:
    """The same within the dialogue; the password stays here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issuer.issue_cert("127.0.0.1", not_after=datetime(2000, 1, 1, tzinfo=UTC)).configure_cert(context)

    async def upgrade(session: Session) -> None:
        await session.say("220 go")
        await session.writer.start_tls(context)

    offer = reply(b"250-peer\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
    async with lying_smtp({"EHLO": offer, "STARTTLS": upgrade}) as server:
        made = await send(server, **LOGIN, ca_file=str(ca.root))
        assert error_of(made) == ("tls", "tls", "CERTIFICATE_VERIFY_FAILED: CERT_HAS_EXPIRED")
        assert "AUTH" not in server.asked


async def test_refused_at_the_door() -> None:
    """Nobody listens: refused while connecting."""
    made = await record(SEND, "smtp://127.0.0.1:1", {"recipient": TO})
    assert error_of(made) == ("refused", "connect", "ECONNREFUSED")


@pytest.mark.parametrize("address", ["a b@c", "a@b\r\nRCPT TO:<x@y>", "<a@b>", "a@", "@b", '"a b"@c', "a@b>"])
def test_an_address_that_would_be_a_command(address: str) -> None:
    """Nobody smuggles a command in through an address."""
    with pytest.raises(ValueError, match="is no mail address"):
        SEND.Params.model_validate({"recipient": address})


# Against the real one.


async def test_wrong_password_at_postfix(postfix: Postfix, ca: Authority) -> None:
    """535, with a remedy and without the password."""
    made = await record(
        SEND,
        f"smtps://127.0.0.1:{postfix.smtps}",
        {"recipient": TO, "user": "me@ots.test", "password": "${secret:mail}", "ca_file": str(ca.root)},
        secrets={"${secret:mail}": SECRET},
    )
    assert error_of(made) == ("auth", "login", "535")
    assert made.only.error is not None and made.only.error.remedy


@pytest.mark.parametrize(
    ("recipient", "size", "expected"),
    [
        ("nobody@ots.test", 0, ("rejected", "request", "550")),
        ("full@ots.test", 0, ("rejected", "request", "552")),
        ("grey@ots.test", 0, ("rejected", "request", "450")),
        ("x@elsewhere.example", 0, ("rejected", "request", "554")),
        ("someone@ots.test", MESSAGE_LIMIT, ("rejected", "request", "552")),
    ],
)
async def test_refused_by_postfix(
    recipient: str, size: int, expected: Fault, postfix: Postfix, ca: Authority
) -> None:
    """An unknown user, a full mailbox, greylisting, relaying, a message too big: by postfix itself."""
    params = {"recipient": recipient, "size": size, "ca_file": str(ca.root)}
    made = await record(SEND, f"smtp://127.0.0.1:{postfix.smtp}", params)
    assert error_of(made) == expected


async def test_a_certificate_that_nobody_vouches_for(postfix: Postfix) -> None:
    """Without the authority's file the handshake fails, and nothing is said after it."""
    made = await record(
        SEND,
        f"smtp://127.0.0.1:{postfix.smtp}",
        {"recipient": TO, "user": "me@ots.test", "password": "${secret:mail}"},
        secrets={"${secret:mail}": PASSWORD},
    )
    class_, phase, code = error_of(made)
    assert (class_, phase) == ("tls", "tls") and code.startswith("CERTIFICATE_VERIFY_FAILED")


async def test_tls_spoken_to_a_plain_port_and_the_reverse(postfix: Postfix, ca: Authority) -> None:
    """smtps:// at a port that greets in plain text is no TLS; smtp:// at one of TLS hears nothing."""
    params = {"recipient": TO, "ca_file": str(ca.root), "timeout": 0.5}
    made = await record(SEND, f"smtps://127.0.0.1:{postfix.smtp}", params)
    assert error_of(made)[:2] == ("tls", "tls")
    made = await record(SEND, f"smtp://127.0.0.1:{postfix.smtps}", params)
    assert error_of(made) == ("timeout", "login", "TIMEOUT")
    assert made.only.error is not None and "smtps://" in (made.only.error.remedy or "")
