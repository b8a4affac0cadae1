"""What a server's reply means: codes of RFC 959 section 4.2 to classes of errors."""

from __future__ import annotations

from collections.abc import Sequence

from ots.i18n import N_
from ots.model.outcome import ErrorClass, Phase
from ots.probe import Failed

_BY_CODE: dict[str, ErrorClass] = {
    "425": "connect",
    "426": "cutoff",
    "430": "auth",
    "530": "auth",
    "532": "auth",
}
_RETRYABLE = frozenset({"421", "425", "426", "450", "451", "452"})

_REMEDY: dict[str, str] = {
    "530": N_("Check the user and the password."),
    "430": N_("Check the user and the password."),
}


def refusal(code: str, lines: Sequence[str], phase: Phase, asked: str) -> Failed:
    """The `Failed` of an answer that was not the one expected.

    4yz and 5yz refuse; what else comes at the wrong time is a breach of the protocol. `asked` is the command
    without its argument, which may be a secret.
    """
    text = lines[-1].strip(" -") if lines else ""
    said = f"{asked}: {code} {text}".rstrip()
    if code[:1] not in ("4", "5"):
        return Failed("protocol", phase, code or "BAD_REPLY", f"unexpected answer to {said}")
    return Failed(
        _BY_CODE.get(code, "rejected"),
        "login" if code in _REMEDY else phase,
        code,
        said,
        retryable=code in _RETRYABLE,
        remedy=_REMEDY.get(code),
    )
