"""A certificate authority for the tests, and the server certificates that it signs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

__all__ = ["Authority", "ca", "founded"]

NAMES = ("localhost", "127.0.0.1", "::1", "www.ots.test")


@dataclass(frozen=True)
class Authority:
    """Files in PEM form: the root to trust, and the chain and key of one server that has all of `NAMES`."""

    root: Path
    chain: Path
    key: Path
    issuer: trustme.CA

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.issuer.configure_trust(context)
        return context

    def issue(self, folder: Path, *names: str) -> tuple[Path, Path]:
        """Another server certificate: (chain, key) for these names."""
        return _write(self.issuer.issue_cert(*names), folder, names[0].replace(":", "_"))


def _write(cert: trustme.LeafCert, folder: Path, name: str) -> tuple[Path, Path]:
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    key.write_bytes(cert.private_key_pem.bytes())
    return chain, key


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of this test session."""
    return founded(tmp_path_factory.mktemp("ca"))


def founded(folder: Path) -> Authority:
    """A new authority with its files in `folder`."""
    issuer = trustme.CA()
    root = folder / "root.pem"
    issuer.cert_pem.write_to_path(str(root))
    chain, key = _write(issuer.issue_cert(*NAMES), folder, "server")
    return Authority(root, chain, key, issuer)
