"""Sends a message over SMTP and says how long each part of it took.

The clock of the transfer stops when the server has said that it takes responsibility for the message (250
after the last dot). That is not delivery: `mail_delivery` looks for the message where it should arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ots.i18n import N_
from ots.model.metric import Metric
from ots.netio.mail import smtp_metrics
from ots.netio.mail.message import compose
from ots.netio.mail.sending_params import SendingParams
from ots.netio.mail.smtp import SMTPSession
from ots.netio.pooling import by_target
from ots.probe import AttemptData, Context, Estimate, Probe, Target, Targets


class MailSendParams(SendingParams):
    """Parameters of `mail_send`."""


class MailSend(Probe):
    kind = "mail_send"
    version = 1
    summary = N_("Sends a test message over SMTP and times each phase of it.")
    example = "smtp://user@192.0.2.1:587"
    targets = Targets(forms=("url",), schemes=("smtp", "smtps"), default_ports=(("smtp", 25), ("smtps", 465)))
    Params = MailSendParams
    metrics = smtp_metrics.METRICS

    def estimate(self, targets: Sequence[Target], params: MailSendParams) -> Estimate:
        sent = params.wire_bytes
        return Estimate(1.0 + sent / 1e6, 64 << 10, sent, params.longest_sending + sent / 1e5)

    async def run(self, ctx: Context, targets: Sequence[Target], params: MailSendParams) -> None:
        account = params.account(targets[0])
        letter = await ctx.thread(
            compose, params.sender_of(account), params.recipient, params.size, ctx.clock.wall()
        )
        session = SMTPSession(ctx, account, params.auth)
        try:
            await session.open()
            await session.send(letter, stall=params.stall_limit, timeout=params.accept_timeout)
        finally:
            await session.quit()

    def summarise(self, attempts: Sequence[AttemptData], params: MailSendParams) -> list[Metric]:
        return [metric for pool in by_target(attempts) for metric in smtp_metrics.summarise(pool)]

    def samples_planned(self, metric: str, targets: Sequence[Target], params: Any) -> int | None:
        return 1
