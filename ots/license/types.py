"""What the signed statements about licences call themselves in their header's `typ`."""

from __future__ import annotations

LICENCE = "ots-licence+jws"
"""A licence: fields of `ots.license.document.Licence`."""

REVOCATIONS = "ots-licence-revocations+jws"
"""Which licences no longer hold: fields of `ots.license.document.Revocations`."""

WISH = "ots-licence-request+jws"
"""A licence request that travels as a file: fields of `LicenceWish` and `agent_id`, `public_key`."""
