"""Fetches a message from a mailbox by IMAP or POP3 and times each phase of it.

One attempt is one session: greeting, TLS, log-in, a list of the newest headers as a mail client asks for it,
and one message whole. IMAP opens the mailbox read-only, so that nothing changes in it unless `delete` is
said; with POP3 the server may mark the message as read. The mailbox may hold any number of messages: only the
newest are looked at.

What the number is not: the speed of the link. A message is short, and its server reads it from a disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from ots.i18n import N_, _
from ots.model.metric import Metric
from ots.netio.mail import mailbox_metrics as published
from ots.netio.mail.account import MailParams
from ots.netio.mail.download import Download
from ots.netio.mail.mailbox import Found, Mailbox, Service
from ots.netio.mail.mailboxes import mailbox_of, service_of
from ots.netio.pooling import by_target
from ots.probe import AttemptData, Context, Estimate, Failed, Probe, Target, Targets
from ots.schema.quantity import Size

_HEADER_BYTES = 4000
"""What the headers of one message take at most as a rule, for the plan."""

_SLOW = 1e6
"""Bit/s at which the largest message has to come in time."""


class MailFetchParams(MailParams):
    find: Annotated[
        str | None,
        Field(
            pattern=r"^[ !#-\[\]-~]{1,200}$",
            description=N_(
                "Fetch the newest message with this in its subject or Message-ID, not just the newest."
            ),
        ),
    ] = None
    everywhere: Annotated[
        bool, Field(description=N_("With find: look for it in the folder for spam and the others, too."))
    ] = False
    headers: Annotated[
        int, Field(ge=0, le=1000, description=N_("List the headers of so many of the newest messages first."))
    ] = 10
    largest: Annotated[Size, Field(ge=1, description=N_("Give a message up that is larger than this."))] = (
        50_000_000
    )
    delete: Annotated[bool, Field(description=N_("Remove the message from the mailbox afterwards."))] = False


class MailFetch(Probe):
    """Reads one message."""

    kind = "mail_fetch"
    version = 1
    summary = N_("Fetches a message by IMAP or POP3 and times greeting, log-in, list and message.")
    example = "imaps://user@192.0.2.1/"
    targets = Targets(
        forms=("url",),
        schemes=("imap", "imaps", "pop3", "pop3s"),
        default_ports=(("imap", 143), ("imaps", 993), ("pop3", 110), ("pop3s", 995)),
    )
    Params = MailFetchParams
    metrics = tuple(dict.fromkeys((*published.definitions("imap"), *published.definitions("pop3"))))

    def estimate(self, targets: Sequence[Target], params: MailFetchParams) -> Estimate:
        return Estimate(
            1.0,
            received=params.largest + params.headers * _HEADER_BYTES,
            sent=_HEADER_BYTES,
            longest=12 * params.timeout + 8 * params.largest / _SLOW,
        )

    async def run(self, ctx: Context, targets: Sequence[Target], params: MailFetchParams) -> None:
        await _Fetch(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: MailFetchParams) -> list[Metric]:
        return [
            metric
            for pool in by_target(attempts)
            for metric in published.summarise(service_of(self.targets.parse(pool.target)), pool)
        ]

    def warnings(self, targets: Sequence[Target], params: MailFetchParams) -> list[str]:
        said = []
        if any(target.path not in ("", "/") for target in targets):
            said.append(_("the path of a mail URL is not used: it is the inbox that is read"))
        if params.everywhere and params.find is None:
            said.append(_("everywhere does nothing without find"))
        careless = params.unencrypted_login and params.password is not None and params.tls != "starttls"
        if careless and any(not params.account(target).implicit for target in targets):
            said.append(_("the password may cross the network unencrypted (unencrypted_login)"))
        return said


class _Fetch:
    """One attempt."""

    def __init__(self, ctx: Context, target: Target, params: MailFetchParams) -> None:
        self._ctx = ctx
        self._params = params
        self._prefix: Service = service_of(target)
        self._mailbox: Mailbox = mailbox_of(ctx, params.account(target))
        self._download = Download(ctx.clock, params.largest, lambda count: ctx.budget.spend(received=count))

    async def run(self) -> None:
        mailbox = self._mailbox
        try:
            try:
                await mailbox.open()
                self._ctx.record(f"{self._prefix}_mailbox_messages", mailbox.messages)
                await self._list()
                found = await self._choose()
                await mailbox.fetch(found, self._download)
                self._compare(found)
                if self._params.delete:
                    await mailbox.delete(found)
            finally:
                self._record()
                await mailbox.close()
            self._ctx.mark("closed")
        finally:
            self._ctx.method(**mailbox.facts)

    async def _list(self) -> None:
        """The headers of the newest messages, as a client shows them."""
        count, key = self._params.headers, f"{self._prefix}_header_seconds"
        if not count or not self._mailbox.messages:
            return
        start = self._ctx.clock.monotonic()
        try:
            listed = await self._mailbox.headers(count)
        except Failed as failure:
            if failure.error.class_ != "unsupported":
                raise
            self._ctx.record(key, None, t=start, reason="unsupported")
            return
        self._ctx.record(key, self._ctx.clock.monotonic() - start, t=start)
        self._ctx.method(headers=listed)

    async def _choose(self) -> Found:
        params, mailbox = self._params, self._mailbox
        if params.find is None:
            newest = await mailbox.newest()
            if newest is None:
                raise Failed("content", "request", "EMPTY_MAILBOX", "the inbox is empty")
            return newest
        found = await mailbox.find(params.find, everywhere=params.everywhere)
        if not found:
            raise Failed(
                "loss",
                "delivery",
                "NOT_FOUND",
                f"no message with {params.find!r} among the newest",
                remedy=None if params.everywhere else N_("It may lie in another folder: everywhere: yes."),
            )
        self._ctx.method(folder=found[0].folder, in_spam=found[0].spam, same=len(found))
        return found[0]

    def _compare(self, found: Found) -> None:
        """Some servers only guess how large a message is: that is said, and no failure."""
        if found.size is not None and found.size != self._download.size:
            self._ctx.method(announced_bytes=found.size)
            self._ctx.log.info(f"announced {found.size} bytes, got {self._download.size}")

    def _record(self) -> None:
        """What was reached, however far that was."""
        ctx, download, prefix = self._ctx, self._download, self._prefix
        for phase, (start, seconds) in self._mailbox.phases.items():
            ctx.record(published.key_of(prefix, phase), seconds, t=start)
        for trigger, stamp in (
            ("request_sent", download.asked),
            ("first_content", download.first),
            ("completed", download.completed),
        ):
            if stamp is not None:
                ctx.mark(trigger, t=stamp, source="socket")
        if download.asked is not None and download.completed is not None:
            ctx.record(f"{prefix}_message_seconds", download.completed - download.asked, t=download.asked)
            ctx.record(f"{prefix}_content_bytes", download.size)
