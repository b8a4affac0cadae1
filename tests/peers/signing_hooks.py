"""For schemathesis: requests to an agent's operations are signed, as that agent would, once they are made.

The agent's id and key come from the environment, `OTS_TEST_AGENT` and `OTS_TEST_KEY` (PEM).
"""

from __future__ import annotations

import os
import time
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ots.signing.request import signed_headers


class AgentAuth(requests.auth.AuthBase):
    """Signs what is about to be sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        key = load_pem_private_key(os.environ["OTS_TEST_KEY"].encode(), password=None)
        assert isinstance(key, Ed25519PrivateKey)
        assert request.url is not None and request.method is not None
        parts = urlsplit(request.url)
        body = request.body or b""
        assert isinstance(body, str | bytes)
        request.headers.pop("Authorization", None)
        request.headers.update(
            signed_headers(
                request.method,
                parts.path,
                parts.query,
                body.encode() if isinstance(body, str) else body,
                key=key,
                key_id=os.environ["OTS_TEST_AGENT"],
                created=int(time.time()),
            )
        )
        return request


@schemathesis.hook
def before_call(_context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Agents sign; nobody leaves, since the others would have no agent left."""
    if case.path.startswith("/api/v1/agent/") or case.path == "/api/v1/agent":
        kwargs["auth"] = AgentAuth()
