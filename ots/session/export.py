"""May a report be shown in a format? Asked by commands that must not load all that rights rest on."""

from __future__ import annotations

from ots.config.layers import gather
from ots.license.policy import Refusal


def export_refusal(format_name: str) -> Refusal | None:
    """Why a report may not be shown in a format; None if it may.

    The tier `default` grants every format, so unless a function is switched off nothing more is read.
    """
    if not any(name.startswith("features.") for name in gather()):
        return None
    from ots.session.rights import present_rights

    return present_rights().refusal(f"export:{format_name}")
