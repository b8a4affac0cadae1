"""The mailbox that a URL stands for."""

from __future__ import annotations

from ots.netio.mail.account import Account
from ots.netio.mail.imap import IMAPMailbox
from ots.netio.mail.mailbox import Mailbox, Service
from ots.netio.mail.pop3 import POP3Mailbox
from ots.probe import Context, Target


def service_of(target: Target) -> Service:
    """The protocol of a target."""
    return "imap" if target.scheme in ("imap", "imaps") else "pop3"


def mailbox_of(ctx: Context, account: Account) -> Mailbox:
    """A mailbox at the account's server, still closed."""
    return IMAPMailbox(ctx, account) if service_of(account.target) == "imap" else POP3Mailbox(ctx, account)
