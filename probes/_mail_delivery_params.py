"""The parameters of mail_delivery: how to send, where the message should arrive, how long to wait for it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field

from ots.i18n import N_
from ots.netio.mail.account import Account, TLSMode
from ots.netio.mail.sending_params import SendingParams
from ots.probe import Targets
from ots.schema.quantity import Duration, Secret

_SLACK = 256 << 10
"""Bytes by which servers may make a message larger: headers, footers, another encoding."""

_MAILBOXES = Targets(
    forms=("url",),
    schemes=("imap", "imaps", "pop3", "pop3s"),
    default_ports=(("imap", 143), ("imaps", 993), ("pop3", 110), ("pop3s", 995)),
)


def _mailbox_url(text: str) -> str:
    return _MAILBOXES.parse(text).text


class MailDeliveryParams(SendingParams):
    """Parameters of `mail_delivery`."""

    mailbox: Annotated[
        str,
        AfterValidator(_mailbox_url),
        Field(
            description=N_("Where the message arrives: imap://, imaps://, pop3:// or pop3s:// URL."),
            examples=["imaps://mail.example"],
        ),
    ]
    mailbox_user: Annotated[
        str | None,
        Field(description=N_("Who opens the mailbox; the URL's user, else user, else the recipient.")),
    ] = None
    mailbox_password: Annotated[
        Secret | None, Field(description=N_("Password of the mailbox; password, if not given."))
    ] = None
    mailbox_tls: Annotated[
        TLSMode, Field(description=N_("Like tls, for the mailbox: auto, starttls or none."))
    ] = "auto"
    window: Annotated[
        Duration,
        Field(ge=0.1, le=86400, description=N_("How long after its acceptance a message may arrive.")),
    ] = 180.0
    interval: Annotated[
        Duration,
        Field(
            ge=0.05,
            le=600,
            description=N_("Time between two looks: without IDLE, and into folders beside the inbox."),
        ),
    ] = 5.0
    settle: Annotated[
        Duration, Field(ge=0, le=600, description=N_("How long to wait for a second copy after the first."))
    ] = 1.0
    keep: Annotated[bool, Field(description=N_("Don't delete the message from the mailbox."))] = False

    def mailbox_account(self) -> Account:
        """Who reads the mailbox, and how."""
        target = _MAILBOXES.parse(self.mailbox)
        user = self.mailbox_user or (unquote(target.user) if target.user else None) or self.user
        return Account(
            target,
            self.route,
            user or self.recipient,
            self.mailbox_password or self.password,
            self.mailbox_tls,
            self.verify,
            self.ca_file,
            self.unencrypted_login,
            self.timeout,
        )

    @property
    def largest(self) -> int:
        """Bytes that the message may have when it arrives."""
        return 2 * self.wire_bytes + _SLACK
