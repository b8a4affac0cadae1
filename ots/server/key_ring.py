"""Keys that were replaced: their public halves, and the old keys' word on which ones came after them.

The private half of a replaced key is not kept. The file lies beside the keys, in the server's folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ots.clock import rfc3339
from ots.config.whole_file import write_whole
from ots.remote import wire
from ots.signing.keys import UnusableKey, load_or_make, write_public
from ots.signing.statement import sign

FILE = "keys.json"
RECEIPT_KEY = "receipt.key"
LICENCE_KEY = "licence.key"
NAMES: dict[wire.KeyPurpose, str] = {"receipt": RECEIPT_KEY, "licence": LICENCE_KEY}


class Ring(msgspec.Struct, kw_only=True, frozen=True):
    """Public keys that still hold, the newest first, and the statements that lead from each to the next."""

    receipt: tuple[str, ...] = ()
    licence: tuple[str, ...] = ()
    successions: tuple[str, ...] = ()

    def listed(self, purpose: wire.KeyPurpose, present: str) -> list[str]:
        """The present key first, then those before it."""
        older: Sequence[str] = getattr(self, purpose)
        return [present, *(key for key in older if key != present)]


def read_ring(folder: Path) -> Ring:
    """What a folder has of it. Raises UnusableKey."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ring)
    except FileNotFoundError:
        return Ring()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnusableKey(f"{path} can't be used: {error}", "Bring the file back from a backup.") from None


def rotate(folder: Path, purpose: wire.KeyPurpose, server_id: str, now: float) -> str:
    """Replaces a key by a new one, whose public half is returned. Raises UnusableKey, OSError.

    The old key's word is on the disk before the new one is in its place: cut off in between, the old one goes
    on to be used and nothing is lost.
    """
    place = folder / NAMES[purpose]
    old, ring = load_or_make(place), read_ring(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".key-") as draft:
        fresh = Path(draft) / place.name
        key = write_public(load_or_make(fresh).public_key())
        former = write_public(old.public_key())
        statement = sign(
            msgspec.to_builtins(
                wire.Succession(
                    server_id=server_id, purpose=purpose, former=former, key=key, made_at=rfc3339(now)
                )
            ),
            wire.SUCCESSION,
            old,
        )
        changed = msgspec.structs.replace(
            ring,
            successions=(*ring.successions, statement),
            **{purpose: tuple(ring.listed(purpose, former))},
        )
        write_whole(folder / FILE, msgspec.json.format(msgspec.json.encode(changed), indent=2))
        os.replace(fresh, place)
    return key
