"""Who this agent is to a server: the installation's id and the key that is bound to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ots.config.agent import agent_id
from ots.signing.keys import load_or_make, write_public

KEY_FILE = "agent.key"


@dataclass(frozen=True, slots=True)
class Identity:
    """The agent's id and its private key, which never leaves its file."""

    agent_id: str
    key: Ed25519PrivateKey

    @property
    def public_key(self) -> str:
        """The 43 characters that a server and whoever verifies a report knows."""
        return write_public(self.key.public_key())


def identity(folder: Path) -> Identity:
    """The identity kept in a data folder; what is missing is made. Raises UnusableKey, SettingsError."""
    return Identity(agent_id(folder), load_or_make(folder / KEY_FILE))
