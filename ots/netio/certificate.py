"""What a server's certificates say: validity, and whether they name the host (RFC 5280, RFC 9525)."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from ots.netio.tls import sent_chain
from ots.probe import Failed


@dataclass(frozen=True, slots=True)
class Certificates:
    """The chain as the server sent it, leaf first."""

    chain: Sequence[x509.Certificate]

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def first_to_end(self) -> datetime:
        """When the first certificate of the chain ceases to be valid, in UTC."""
        return min(certificate.not_valid_after_utc for certificate in self.chain)

    @property
    def issuer(self) -> str:
        return self.leaf.issuer.rfc4514_string()

    def names_host(self, host: str) -> bool:
        """Whether a subject alternative name of the leaf is this host's (RFC 9525 §6); the common name never
        counts."""
        try:
            names = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return any(_same_name(pattern, host) for pattern in names.get_values_for_type(x509.DNSName))
        return address in names.get_values_for_type(x509.IPAddress)


def certificates_of(connection: ssl.SSLSocket) -> Certificates:
    """The server's certificates. `Failed`, class `protocol`, if they can't be read."""
    encoded = sent_chain(connection)
    leaf = connection.getpeercert(binary_form=True)
    if not encoded and leaf is not None:
        encoded = [leaf]
    try:
        return Certificates([x509.load_der_x509_certificate(one) for one in encoded])
    except ValueError as error:
        raise Failed("protocol", "tls", "CERTIFICATE", f"unreadable certificate: {error}") from None


def days_left(end: datetime, now: float) -> float:
    """Days from `now` (seconds since 1970) to the end; negative once it is past."""
    return (end - datetime.fromtimestamp(now, UTC)).total_seconds() / 86400


def first_end(chain: Sequence[bytes]) -> datetime | None:
    """When the first of a chain in DER ceases to be valid; None if there is none that can be read."""
    try:
        return Certificates([x509.load_der_x509_certificate(one) for one in chain]).first_to_end
    except ValueError:
        return None


def _same_name(pattern: str, host: str) -> bool:
    """Whether a certificate's name covers a host: a star stands for the whole first label and no more."""
    presented, asked = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if not presented.startswith("*."):
        return presented == asked
    first, _, rest = asked.partition(".")
    return bool(first) and rest == presented[2:]
