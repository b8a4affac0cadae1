"""Reading a mailbox in a test without the probe around it, and messages to put into one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ots.model.metric import Metric
from ots.model.outcome import outcome_of
from ots.netio.mail.account import MailParams
from ots.netio.mail.mailbox import Mailbox
from ots.netio.mail.mailboxes import mailbox_of
from ots.probe import AttemptData, Context, Estimate, Probe, Target
from ots.probes.mail_fetch import MailFetch
from tests.peers.dovecot import DOMAIN, PASSWORD
from tests.recording import Recording, record

SECRET = "${secret:mail}"
SECRETS = {SECRET: PASSWORD}

Expected = tuple[str, str, str]
"""Class, phase and code of an error."""


def message(token: str, body: bytes = b"Hello.\r\n") -> bytes:
    """A message whose subject and Message-ID hold a token."""
    header = (
        f"From: sender@{DOMAIN}\r\nTo: reader@{DOMAIN}\r\nSubject: Test {token}\r\n"
        f"Message-ID: <{token}@{DOMAIN}>\r\n\r\n"
    )
    return header.encode() + body


class Reading(Probe):
    """Hands the mailbox of its target to a function of the test, open, and closes it."""

    kind = "reading"
    version = 1
    summary = "Reads a mailbox."
    example = "imap://127.0.0.1/"
    targets = MailFetch.targets
    Params = MailParams
    metrics = ()

    def __init__(self, act: Callable[[Mailbox, Context], Awaitable[None]]) -> None:
        self._act = act

    def estimate(self, targets: Sequence[Target], params: MailParams) -> Estimate:
        return Estimate(1.0)

    async def run(self, ctx: Context, targets: Sequence[Target], params: MailParams) -> None:
        mailbox = mailbox_of(ctx, params.account(targets[0]))
        try:
            await mailbox.open()
            await self._act(mailbox, ctx)
        finally:
            await mailbox.close()

    def summarise(self, attempts: Sequence[AttemptData], params: Any) -> list[Metric]:
        return []


async def reading(
    url: str, user: str, act: Callable[[Mailbox, Context], Awaitable[None]], **params: Any
) -> Recording:
    """What became of an attempt in which `act` had the mailbox."""
    given = {"user": user, "password": SECRET, "unencrypted_login": True, "tls": "none", **params}
    return await record(Reading(act), url, given, secrets=SECRETS)


async def fetch(
    url: str, *, limit: float = 20.0, cancel_after: float | None = None, **params: Any
) -> Recording:
    """One attempt of `mail_fetch` at a server that may misbehave, with short waits."""
    given = {
        "user": "me",
        "password": SECRET,
        "timeout": 0.3,
        "unencrypted_login": True,
        **params,
    }
    made = await record(MailFetch(), url, given, secrets=SECRETS, limit=limit, cancel_after=cancel_after)
    assert PASSWORD not in repr(made)
    return made


def error_of(made: Recording) -> Expected:
    """Class, phase and code; whatever happened, the figures can be made."""
    error = made.only.error
    assert error is not None
    assert made.only.outcome == outcome_of(error.class_)
    made.metrics()
    return error.class_, error.phase, error.code
