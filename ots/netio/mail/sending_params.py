"""The parameters of probes that send a message."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from ots.i18n import N_
from ots.netio.mail.account import Account, MailParams
from ots.netio.mail.address import MailAddress
from ots.netio.mail.login import Mechanism
from ots.netio.mail.message import wire_size
from ots.probe import Target
from ots.schema.quantity import Duration, Size

LARGEST = 50_000_000
"""Bytes of an attachment: more than any provider takes, and it is held in memory a few times over."""

_ANSWERS = 10
"""Answers before the content that each may take the whole time-out."""


class SendingParams(MailParams):
    """What to send, from whom, to whom, and how long to wait for what."""

    recipient: Annotated[
        MailAddress,
        Field(description=N_("Address that the message goes to."), examples=["probe@mail.example"]),
    ]
    sender: Annotated[
        MailAddress | None,
        Field(
            description=N_("Address that it comes from; the user, if that is one, else the recipient."),
        ),
    ] = None
    size: Annotated[
        Size, Field(ge=0, le=LARGEST, description=N_("Bytes of random content to attach; 0: no attachment."))
    ] = 0
    auth: Annotated[
        Mechanism,
        Field(description=N_("How to log in: auto takes the simplest that is safe on this connection.")),
    ] = "auto"
    stall_limit: Annotated[
        Duration,
        Field(ge=0.1, le=300, description=N_("Fail when the server takes nothing of the message so long.")),
    ] = 10.0
    accept_timeout: Annotated[
        Duration,
        Field(ge=0.1, le=600, description=N_("Longest wait for the answer to the whole message.")),
    ] = 60.0

    def account(self, target: Target) -> Account:
        account = super().account(target)
        # CRAM-MD5 shows nobody the password, with TLS or without.
        return replace(account, unencrypted_login=True) if self.auth == "cram-md5" else account

    def sender_of(self, account: Account) -> str:
        """Who the message comes from."""
        if self.sender is not None:
            return self.sender
        return account.user if account.user is not None and "@" in account.user else self.recipient

    @property
    def wire_bytes(self) -> int:
        """About what goes over the wire."""
        return wire_size(self.size)

    @property
    def longest_sending(self) -> float:
        """Seconds after which sending has certainly ended, unless the message itself takes its time."""
        return _ANSWERS * self.timeout + self.accept_timeout
