"""Which keys an agent comes to trust: only those that a trusted one named for this server and purpose."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.remote import wire
from ots.remote.succession import followed
from ots.signing.keys import write_public
from ots.signing.statement import sign

HERE = "server-1"
FIRST, SECOND, THIRD, STRANGER = (Ed25519PrivateKey.generate() for _ in range(4))


def public(key: Ed25519PrivateKey) -> str:
    return write_public(key.public_key())


def named(by: Ed25519PrivateKey, after: str, **changes: str) -> str:
    fields = {"server_id": HERE, "purpose": "receipt", "former": public(by), "key": after, "made_at": "now"}
    statement = msgspec.convert({**fields, **changes}, wire.Succession)
    return sign(msgspec.to_builtins(statement), wire.SUCCESSION, by)


def test_a_chain_leads_from_the_pinned_key_to_the_newest() -> None:
    chain = [named(FIRST, public(SECOND)), named(SECOND, public(THIRD))]
    assert followed(chain, [public(FIRST)], "receipt", HERE) == [public(FIRST), public(SECOND), public(THIRD)]
    assert followed(chain, [public(SECOND)], "receipt", HERE) == [public(SECOND), public(THIRD)]


@pytest.mark.parametrize(
    "statement",
    [
        named(STRANGER, public(SECOND)),
        named(FIRST, public(SECOND), server_id="server-2"),
        named(FIRST, public(SECOND), purpose="licence"),
        named(FIRST, "no key at all"),
        sign({"key": public(SECOND)}, wire.SUCCESSION, FIRST),
        sign(msgspec.json.decode(b'{"server_id":"server-1"}'), wire.RECEIPT, FIRST),
        "nonsense",
        "",
    ],
    ids=["stranger", "other-server", "other-purpose", "no-key", "fields", "type", "nonsense", "nothing"],
)
def test_what_proves_nothing_is_passed_over(statement: str) -> None:
    proven = named(FIRST, public(THIRD))
    assert followed([statement, proven], [public(FIRST)], "receipt", HERE) == [public(FIRST), public(THIRD)]


def test_a_key_that_was_never_trusted_leads_nowhere() -> None:
    assert followed([named(FIRST, public(SECOND))], [public(STRANGER)], "receipt", HERE) == [public(STRANGER)]
