"""Who asks for a run."""

from __future__ import annotations

from typing import Literal

import msgspec

IssuerKind = Literal["local", "schedule", "remote"]


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """A person at this machine (`local`), a schedule that such a person wrote, or a server (`remote`) with
    the user and the role that it acts for."""

    kind: IssuerKind
    user: str | None = None
    role: str | None = None
    department: str | None = None
    project: str | None = None
    server_id: str | None = None


LOCAL = Issuer(kind="local")
SCHEDULE = Issuer(kind="schedule")
REMOTE = Issuer(kind="remote")
