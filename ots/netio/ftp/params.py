"""The parameters that both FTP probes share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ots.i18n import N_
from ots.netio.transfer.params import TransferParams
from ots.probe import NetworkParams
from ots.schema.quantity import Duration, Secret

ANONYMOUS = "anonymous"

PATIENCE = 15.0
"""Seconds. Servers answer a wrong password late on purpose, some after more than 5 s: `auth`, no time-out."""


class FTPParams(TransferParams, NetworkParams):
    """What every FTP transfer needs to know."""

    timeout: Annotated[
        Duration,
        Field(ge=0.05, le=300, description=N_("Longest wait for each answer and each connection.")),
    ] = PATIENCE
    user: Annotated[
        str | None, Field(description=N_("User to log in as; anonymous unless the URL names one."))
    ] = None
    password: Annotated[Secret | None, Field(description=N_("Password of the user."))] = None
    tls: Annotated[
        Literal["none", "explicit"],
        Field(description=N_("explicit: AUTH TLS before the login. ftps:// is TLS from the start.")),
    ] = "none"
    verify: Annotated[bool, Field(description=N_("Check the server's certificate."))] = True
    ca_file: Annotated[
        str | None, Field(description=N_("PEM file of the authorities to trust instead of the system's."))
    ] = None

    @property
    def longest(self) -> float:
        """Seconds that an attempt takes at most: a dozen answers before the first byte, each in its time."""
        return 12 * self.timeout + self.expected
