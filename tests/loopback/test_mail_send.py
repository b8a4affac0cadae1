"""Sending mail through postfix: every kind of TLS and login, the phases, and times that agree with others."""

from __future__ import annotations

import asyncio
import hashlib
import time
from email import message_from_bytes
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from ots.netio.mail.message import compose
from ots.probes.mail_send import MailSend
from tests.comparison import disagreement
from tests.peers.authority import Authority
from tests.peers.dovecot import PASSWORD, Dovecot
from tests.peers.postfix import Postfix
from tests.peers.require import require
from tests.recording import Recording, record
from tests.waiting import until

SEND = MailSend()
SECRETS = {"${secret:mail}": PASSWORD}

SESSION_TOLERANCE = 0.005
"""Seconds by which the time of a whole session may differ from others', by the lower quartiles."""


def value(made: Recording, key: str) -> Any:
    stats = made.metric(key).stats
    return stats.get("median", stats.get("value"))


async def send(postfix: Postfix, ca: Authority, where: str, **params: Any) -> Recording:
    """To a mailbox of its own, by default."""
    given = {"recipient": postfix.dovecot.mailbox(), "ca_file": str(ca.root), **params}
    if "password" in given:
        given.setdefault("user", "sender@ots.test")
    made = await record(SEND, where, given, secrets=SECRETS)
    assert PASSWORD not in repr(made)
    return made


async def arrived(dovecot: Dovecot, address: str) -> bytes:
    """The one message of a mailbox, once it is there."""
    await until(lambda: bool(dovecot.left(address)))
    (message,) = dovecot.left(address)
    return message


@pytest.mark.parametrize(
    ("port", "params", "tls", "auth"),
    [
        ("smtp", {"tls": "none"}, "none", None),
        ("smtp", {}, "starttls", None),
        ("smtp", {"password": "${secret:mail}"}, "starttls", "plain"),
        ("submission", {"password": "${secret:mail}", "auth": "login"}, "starttls", "login"),
        ("smtps", {"password": "${secret:mail}"}, "implicit", "plain"),
    ],
)
async def test_each_way_in(
    port: str,
    params: dict[str, Any],
    tls: str,
    auth: str | None,
    postfix: Postfix,
    ca: Authority,
) -> None:
    """The message is accepted and arrives as it was sent; each phase that there was has a figure."""
    recipient = postfix.dovecot.mailbox()
    scheme = "smtps" if port == "smtps" else "smtp"
    url = f"{scheme}://127.0.0.1:{getattr(postfix, port)}"
    made = await send(postfix, ca, url, recipient=recipient, size=20_000, **params)
    assert made.only.error is None
    assert made.only.method["tls"] == tls
    assert made.only.method.get("auth") == auth
    present = {metric.key for metric in made.metrics()}
    assert ("smtp_starttls_seconds" in present) == (tls == "starttls")
    assert ("smtp_tls_handshake_seconds" in present) == (tls == "implicit")
    assert ("smtp_login_seconds" in present) == (auth is not None)
    for phase in ("banner", "ehlo", "accept", "setup_time", "session_time"):
        assert 0 < value(made, f"smtp_{phase}_seconds") < 5
    assert value(made, "smtp_service_non_accessibility_ratio") == 0
    message = message_from_bytes(await arrived(postfix.dovecot, recipient))
    _, text, attachment = message.walk()
    content = attachment.get_payload(decode=True)
    assert isinstance(content, bytes) and len(content) == 20_000
    assert hashlib.sha256(content).hexdigest() in str(text.get_payload())


async def test_over_ipv6(postfix: Postfix, ca: Authority) -> None:
    """The same over ::1."""
    made = await send(postfix, ca, f"smtp://[::1]:{postfix.smtp}")
    assert made.only.error is None
    assert made.only.method["address"] == "::1"


async def test_a_large_message(postfix: Postfix, ca: Authority) -> None:
    """5 MB within TLS: all of it counts, in the rate and in the data budget."""
    made = await send(postfix, ca, f"smtp://127.0.0.1:{postfix.smtp}", size=5_000_000)
    assert made.only.error is None
    size = value(made, "smtp_content_bytes")
    assert 6_800_000 < size < 6_900_000
    assert size < made.data.sent_bytes < size + 2000
    rate = value(made, "smtp_mean_data_rate_bits_per_second")
    assert rate == pytest.approx(8 * size / made.only.between("first_content", "completed"))
    assert made.progress[-1] == 1


@pytest.mark.slow
async def test_time_of_a_session_agrees(postfix: Postfix, ca: Authority, tmp_path: Path) -> None:
    """Connect to 250, a small message, taken in turn: ours agrees with curl's and with aiosmtplib's."""
    ours, curls, libs = [], [], []
    recipient, curl = postfix.dovecot.mailbox(), require("curl")
    letter = compose(recipient, recipient, 0, time.time())
    (tmp_path / "letter").write_bytes(letter.data)
    for _ in range(15):
        made = await send(postfix, ca, f"smtp://127.0.0.1:{postfix.smtp}", recipient=recipient, tls="none")
        ours.append(value(made, "smtp_session_time_seconds"))
        curls.append(await curl_seconds(curl, postfix.smtp, recipient, tmp_path / "letter"))
        # Without a name it would ask the resolver for its own.
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1", port=postfix.smtp, local_hostname="localhost", start_tls=False
        )
        start = time.monotonic()
        await client.connect()
        await client.sendmail(recipient, [recipient], letter.data)
        libs.append(time.monotonic() - start)
        await client.quit()
    assert not disagreement(ours, curls, SESSION_TOLERANCE)
    assert not disagreement(ours, libs, SESSION_TOLERANCE)


async def curl_seconds(curl: str, port: int, recipient: str, letter: Path) -> float:
    """From the name looked up to the message accepted, by curl's own clock."""
    process = await asyncio.create_subprocess_exec(
        *(curl, "-s", "-w", "%{time_total} %{time_namelookup}", f"smtp://127.0.0.1:{port}/localhost"),
        *("--mail-from", recipient, "--mail-rcpt", recipient, "-T", str(letter)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    total, lookup = map(float, out.split())
    return total - lookup


async def test_several_at_once(postfix: Postfix, ca: Authority) -> None:
    """Sending is exclusive to nothing."""
    url = f"smtp://127.0.0.1:{postfix.smtp}"
    made = await asyncio.gather(*(send(postfix, ca, url) for _ in range(4)))
    assert [recording.only.error for recording in made] == [None] * 4
