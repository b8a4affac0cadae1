"""A mail server and whoever logs in there: what SMTP, IMAP and POP3 need to know alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import Field

from ots.i18n import N_
from ots.probe import Failed, NetworkParams, Route, Target
from ots.schema.quantity import Duration, Secret

TLSMode = Literal["auto", "starttls", "none"]

IMPLICIT = frozenset({"smtps", "imaps", "pop3s"})
"""Schemes of servers that speak TLS from the first byte (RFC 8314)."""


@dataclass(frozen=True, slots=True)
class Account:
    """One server, how to speak to it, and who logs in (nobody, if `user` is None).

    `password` is a reference for `ctx.secret`. `timeout` is the longest wait for each answer, in seconds.
    """

    target: Target
    route: Route = Route()
    user: str | None = None
    password: str | None = None
    tls: TLSMode = "auto"
    verify: bool = True
    ca_file: str | None = None
    unencrypted_login: bool = False
    timeout: float = 10.0

    @property
    def implicit(self) -> bool:
        """TLS from the first byte."""
        return self.target.scheme in IMPLICIT

    def refuse_unencrypted(self) -> None:
        """`Failed`, class `config`, where the parameters themselves say to send a password in plain text."""
        if self.tls == "none" and self.password is not None and not (self.implicit or self.unencrypted_login):
            raise Failed(
                "config",
                "config",
                "UNENCRYPTED_LOGIN",
                "tls: none would send the password unencrypted",
                remedy=N_("Let tls be auto or starttls, or allow unencrypted_login."),
            )

    def must_upgrade(self, offered: bool) -> bool:
        """Whether STARTTLS is to follow, given that the server offers it or not.

        `Failed`, class `tls`, where it is needed and not offered: asked for, or a password would else cross
        the network unencrypted. Whoever strips the offer on the way gets no password.
        """
        if self.implicit or self.tls == "none":
            return False
        needed = self.tls == "starttls" or (self.password is not None and not self.unencrypted_login)
        if needed and not offered:
            raise Failed(
                "tls",
                "tls",
                "NO_STARTTLS",
                "the server offers no STARTTLS"
                if self.tls == "starttls"
                else "the server offers no STARTTLS, and the password would cross the network unencrypted",
                remedy=N_(
                    "Use a URL with implicit TLS (smtps://, imaps://, pop3s://), or allow unencrypted_login."
                ),
            )
        return offered


class MailParams(NetworkParams):
    """What every mail probe needs to know of the server that its target names."""

    timeout: Annotated[
        Duration,
        Field(ge=0.05, le=300, description=N_("Longest wait for each answer and each connection.")),
    ] = 10.0
    user: Annotated[str | None, Field(description=N_("User to log in as; if not given, the URL's."))] = None
    password: Annotated[Secret | None, Field(description=N_("Password of the user."))] = None
    tls: Annotated[
        TLSMode,
        Field(
            description=N_(
                "auto: STARTTLS if offered; starttls: insist on it; none. smtps:// and its like are TLS."
            )
        ),
    ] = "auto"
    verify: Annotated[bool, Field(description=N_("Check the server's certificate."))] = True
    ca_file: Annotated[
        str | None, Field(description=N_("PEM file of the authorities to trust instead of the system's."))
    ] = None
    unencrypted_login: Annotated[
        bool, Field(description=N_("Send the password even where the connection is not encrypted."))
    ] = False

    def account(self, target: Target) -> Account:
        """The account at the probe's target."""
        user = self.user or (unquote(target.user) if target.user else None)
        return Account(
            target,
            self.route,
            user,
            self.password,
            self.tls,
            self.verify,
            self.ca_file,
            self.unencrypted_login,
            self.timeout,
        )
