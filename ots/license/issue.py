"""Making licences: what an issuer signs. Pure; whoever keeps the key and the serials calls it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.license.document import (
    Binding,
    Licence,
    Malformed,
    Revocations,
    Revoked,
    Subject,
    instant,
    moment,
    read_licence,
    read_revocations,
)
from ots.license.tiers import DAY, Tier
from ots.license.types import LICENCE, REVOCATIONS, WISH
from ots.signing.keys import decode64, key_id, read_public
from ots.signing.statement import MAX_CHARACTERS, StatementError, sign, strict_object, verify

USUAL_DAYS = 365.0
"""How long a licence holds unless the issuer says otherwise; a newer one is fetched in its last fifth."""

_REFRESH = 0.8


def for_agents(agent_ids: Iterable[str]) -> Binding:
    """A licence that holds on these agents."""
    return Binding(kind="agents", agents=tuple(sorted(set(agent_ids))))


def new_licence(
    tier: Tier,
    subject: Subject,
    binding: Binding,
    serial: int,
    now: float,
    *,
    days: float = USUAL_DAYS,
    grace_days: float = 14,
    not_before: float | None = None,
    revocation_min: int = 0,
    features: Mapping[str, bool] | None = None,
    limits: Mapping[str, float | None] | None = None,
    note: str = "",
) -> Licence:
    """A licence issued at `now`, checked as its reader will check it. Raises Malformed.

    `serial` must be above that of every licence that was issued for the same line: `next_serial`.
    """
    start = now if not_before is None else not_before
    try:
        draft = Licence(
            licence_id=str(uuid.uuid4()),
            serial=serial,
            tier=tier,
            subject=subject,
            binding=binding,
            issued_at=instant(now),
            not_before=instant(start),
            not_after=instant(start + days * DAY),
            refresh_after=instant(start + days * DAY * _REFRESH),
            grace_days=grace_days,
            revocation_min=revocation_min,
            features=dict(features or {}),
            limits=dict(limits or {}),
            note=note,
        )
    except (ValueError, OverflowError) as error:
        raise Malformed(str(error)) from None
    return read_licence(_plain(draft))


def renewed(licence: Licence, serial: int, now: float, *, revocation_min: int = 0) -> Licence:
    """The same grant for as long again, from now on."""
    return new_licence(
        licence.tier,
        licence.subject,
        licence.binding,
        serial,
        now,
        days=(moment(licence.not_after) - moment(licence.not_before)) / DAY,
        grace_days=licence.grace_days,
        revocation_min=max(revocation_min, licence.revocation_min),
        features=licence.features,
        limits=licence.limits,
        note=licence.note,
    )


def next_serial(issued: Iterable[int]) -> int:
    """The serial after all that were issued for a line."""
    return max(issued, default=0) + 1


def sign_licence(licence: Licence, key: Ed25519PrivateKey) -> str:
    """The text of a licence file."""
    return sign(_plain(licence), LICENCE, key)


def revocation_list(revoked: Sequence[Revoked], serial: int, now: float) -> Revocations:
    """All that is withdrawn, as of now. `serial` is above that of every list before."""
    return read_revocations(
        _plain(Revocations(serial=serial, issued_at=instant(now), revoked=tuple(revoked)))
    )


def sign_revocations(revocations: Revocations, key: Ed25519PrivateKey) -> str:
    """The text of a revocation list."""
    return sign(_plain(revocations), REVOCATIONS, key)


def read_request(text: str, public_key: str | None = None) -> dict[str, Any]:
    """What a licence request says (`agent_id`, `tier`, `note`, `public_key`), if the agent signed it.

    With `public_key`, the key that the agent enrolled with, no other is accepted. Without, the request proves
    only that whoever wrote it holds the key that it names. Raises StatementError.
    """
    try:
        key = read_public(_claimed_key(text) if public_key is None else public_key)
    except ValueError as error:
        raise StatementError("malformed", f"it names no usable key: {error}") from None
    return verify(text, WISH, {key_id(key): key})


def _claimed_key(text: str) -> str:
    """The key that a request names, unproven."""
    if len(text) > MAX_CHARACTERS or text.count(".") != 2:
        raise ValueError("this is no compact JWS")
    return str(strict_object(decode64(text.strip().split(".")[1])).get("public_key"))


def _plain(document: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(document)
    return plain
