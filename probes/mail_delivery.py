"""Sends a message over SMTP and says when it has arrived in the recipient's mailbox, unchanged.

The mailbox is watched before the message leaves, and both ends go by one clock. 250 means queued, not
delivered: the time of delivery runs from there until the message is visible to the one who reads the mailbox,
by IDLE if the server knows it, else by looking again and again. What was sent is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.mail import mailbox_metrics, smtp_metrics
from ots.netio.mail.aside import aside
from ots.netio.mail.download import Download
from ots.netio.mail.mailbox import Arrival, Found, Mailbox
from ots.netio.mail.mailboxes import mailbox_of
from ots.netio.mail.message import Letter, compose, flaw_of
from ots.netio.mail.received import hop_delays, hop_times
from ots.netio.mail.smtp import SMTPSession
from ots.netio.pooling import by_target
from ots.probe import AttemptData, Context, Estimate, Failed, Probe, Target, Targets
from ots.probes import _mail_delivery_metrics as own
from ots.probes._mail_delivery_params import MailDeliveryParams

_HURRY = 1.5
"""Seconds for deleting what may have been left; a cancelled probe does not get much more."""

_LATECOMER = 0.75
"""Of these, the seconds in which a message may still arrive."""

_TIDY_POLL = 0.2

_MOST_COPIES = 10
"""Copies of one message that are looked at."""


_FACTS = ("address", "tls", "tls_version", "auth", "idle")
"""What is said of the mailbox's session."""


class MailDelivery(Probe):
    kind = "mail_delivery"
    version = 1
    summary = N_("Sends a test message, waits for it in the recipient's mailbox, checks and deletes it.")
    example = "smtp://user@192.0.2.1:587"
    targets = Targets(forms=("url",), schemes=("smtp", "smtps"), default_ports=(("smtp", 25), ("smtps", 465)))
    Params = MailDeliveryParams
    metrics = (*own.METRICS, *smtp_metrics.METRICS)

    def estimate(self, targets: Sequence[Target], params: MailDeliveryParams) -> Estimate:
        sent = params.wire_bytes
        return Estimate(
            3.0 + params.settle + sent / 1e6,
            params.largest,
            sent,
            2 * params.longest_sending + params.window + params.settle + sent / 1e5,
        )

    async def run(self, ctx: Context, targets: Sequence[Target], params: MailDeliveryParams) -> None:
        await _Delivery(ctx, targets[0], params).run()

    def summarise(self, attempts: Sequence[AttemptData], params: MailDeliveryParams) -> list[Metric]:
        return [
            metric
            for pool in by_target(attempts)
            for metric in (*own.summarise(pool), *smtp_metrics.summarise(pool))
        ]

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        return None if metric == own.HOP_DELAY.key else 1


class _Delivery:
    """One message there and back."""

    def __init__(self, ctx: Context, target: Target, params: MailDeliveryParams) -> None:
        self._ctx = ctx
        self._params = params
        self._account = params.account(target)
        self._session = SMTPSession(ctx, self._account, params.auth)
        self._mailbox = self._new_mailbox()
        self._letter: Letter | None = None
        self._clean = False
        """Nothing of ours lies in the mailbox any more."""
        self._tidy_limit = _HURRY + params.timeout

    async def run(self) -> None:
        params = self._params
        # What matters most stands first wherever the method is shown.
        self._ctx.method(noticed_by=None, resolution=None, tls=None)
        try:
            await self._open_mailbox()
            letter = self._letter = await self._compose()
            arrival = await self._send_and_watch(letter)
            copies = await self._copies(letter, arrival)
            await self._check(letter, copies)
            if not params.keep:
                await self._delete(self._mailbox, copies)
                await self._mailbox.close()
            self._clean = True
        except asyncio.CancelledError:
            self._tidy_limit = _HURRY
            raise
        finally:
            self._session.close()
            await self._hang_up()
            await self._tidy()

    def _new_mailbox(self) -> Mailbox:
        return mailbox_of(aside(self._ctx), self._params.mailbox_account())

    async def _open_mailbox(self) -> None:
        """What goes wrong here is said to be the mailbox's: there are two servers in this."""
        ctx, mailbox = self._ctx, self._mailbox
        try:
            await mailbox.open()
        except Failed as failure:
            error = failure.error
            raise Failed(
                error.class_,
                error.phase,
                error.code,
                f"mailbox: {error.message}",
                retryable=error.retryable,
                remedy=error.remedy,
            ) from None
        finally:
            for phase, (start, seconds) in mailbox.phases.items():
                if own.is_published(phase):
                    ctx.record(mailbox_metrics.key_of(mailbox.service, phase), seconds, t=start)
            ctx.method(
                **{f"mailbox_{fact}": value for fact, value in mailbox.facts.items() if fact in _FACTS}
            )

    async def _hang_up(self) -> None:
        try:
            await self._mailbox.close()
        except Failed as failure:
            self._ctx.log.debug(f"closing the mailbox: {failure}")

    async def _compose(self) -> Letter:
        params, ctx = self._params, self._ctx
        sender = params.sender_of(self._account)
        return await ctx.thread(compose, sender, params.recipient, params.size, ctx.clock.wall())

    async def _send_and_watch(self, letter: Letter) -> Arrival:
        """Watches the mailbox from before the message leaves until it is there, or its time is over."""
        ctx, params = self._ctx, self._params
        far = ctx.clock.monotonic() + params.longest_sending + params.window + 86400
        watching = asyncio.create_task(self._mailbox.arrival(letter.token, far, params.interval))
        try:
            await self._session.open()
            await self._session.send(letter, stall=params.stall_limit, timeout=params.accept_timeout)
            await self._session.quit()
            accepted = self._session.accepted
            assert accepted is not None
            ctx.method(e2e_start="accepted", window=params.window)
            await asyncio.wait({watching}, timeout=accepted + params.window - ctx.clock.monotonic())
            arrival = watching.result() if watching.done() else None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        if arrival is None or arrival.seen > accepted + params.window:
            ctx.record(own.END_TO_END.key, None, reason="loss")
            raise Failed(
                "loss",
                "delivery",
                "NOT_SEEN",
                f"accepted, and not seen within {params.window:g} s",
                retryable=True,
                remedy=N_("Ask the mail server what became of it, or give it more time (window)."),
            )
        self._seen(arrival, accepted)
        return arrival

    def _seen(self, arrival: Arrival, accepted: float) -> None:
        ctx = self._ctx
        ctx.mark("visible", t=arrival.seen, source="socket")
        # It may be visible before the sender hears that it was accepted.
        took = max(0.0, arrival.seen - accepted)
        ctx.record(own.END_TO_END.key, took)
        ctx.method(noticed_by=arrival.by, resolution=arrival.resolution)
        if arrival.by == "idle":
            ctx.record(own.NOTIFICATION.key, took)
        elif arrival.by == "poll":
            ctx.record(own.POLL_INTERVAL.key, arrival.resolution)

    async def _copies(self, letter: Letter, arrival: Arrival) -> list[Found]:
        """All that came of the message, after the time that a second copy may take."""
        await asyncio.sleep(self._params.settle)
        if self._mailbox.service == "pop3":
            # A POP3 session shows what was there at its beginning (RFC 1939 section 8).
            await self._mailbox.close()
            self._mailbox = self._new_mailbox()
            await self._mailbox.open()
        copies = await self._mailbox.find(letter.token, everywhere=True)
        return copies[:_MOST_COPIES] or [arrival.found]

    async def _check(self, letter: Letter, copies: Sequence[Found]) -> None:
        """Fetches every copy; `Failed`, class `content`, if none is what was sent."""
        ctx = self._ctx
        flaws = []
        for number, found in enumerate(copies):
            download = Download(
                ctx.clock, self._params.largest, lambda count: ctx.budget.spend(received=count), keep=True
            )
            await self._mailbox.fetch(found, download)
            data = bytes(download.data)
            flaws.append(await ctx.thread(flaw_of, letter, data))
            if not number:
                self._record_message(download)
                self._record_way(data)
        ctx.record(own.DUPLICATES.key, len(copies) - 1)
        ctx.record(own.CORRUPTED.key, sum(flaw is not None for flaw in flaws))
        ctx.record(own.IN_SPAM.key, sum(found.spam for found in copies))
        if None not in flaws:
            raise Failed("content", "verify", str(flaws[0]), "the message arrived, but not as it was sent")

    def _record_message(self, download: Download) -> None:
        if download.asked is not None and download.completed is not None:
            key = mailbox_metrics.key_of(self._mailbox.service, "message")
            self._ctx.record(key, download.completed - download.asked, t=download.asked)

    def _record_way(self, data: bytes) -> None:
        times = hop_times(data)
        self._ctx.record(own.HOPS.key, len(times))
        for delay in hop_delays(times):
            self._ctx.record(own.HOP_DELAY.key, delay, reason=None if delay is not None else "no_stamp")

    async def _delete(self, mailbox: Mailbox, copies: Sequence[Found]) -> None:
        for found in copies:
            await mailbox.delete(found)

    async def _tidy(self) -> None:
        """Leaves nothing behind, after a failure or a cancel too; what may stay is said in log and method."""
        sent = self._session.accepted is not None or self._session.uncertain
        letter = self._letter
        if self._clean or not sent or letter is None or self._params.keep:
            return
        mailbox = self._new_mailbox()
        try:
            async with asyncio.timeout(self._tidy_limit):
                await mailbox.open()
                copies = await mailbox.find(letter.token, everywhere=True)
                if not copies:
                    until = self._ctx.clock.monotonic() + _LATECOMER
                    if await mailbox.arrival(letter.token, until, _TIDY_POLL) is not None:
                        copies = await mailbox.find(letter.token, everywhere=True)
                await self._delete(mailbox, copies)
                self._clean = bool(copies)
        except (Failed, TimeoutError) as error:
            self._ctx.log.debug(f"tidying: {error or 'no answer in time'}")
        finally:
            if not self._clean:
                self._ctx.log.warning(f"a message may lie in the mailbox, or still come: {letter.subject}")
                self._ctx.method(left_behind=True)
            self._mailbox = mailbox
            await self._hang_up()
