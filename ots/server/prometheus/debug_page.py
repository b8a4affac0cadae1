"""What `debug=true` shows: what happened, the figures, and the module with its secrets left out."""

from __future__ import annotations

from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from ots.server.prometheus.errand import Errand
from ots.server.prometheus.module import Module

_SECRET = "<secret>"
_OPEN_FIELDS = frozenset({"accept", "accept-language", "content-type", "host", "user-agent"})
"""Header fields whose values nobody hides."""


def debug_page(errand: Errand) -> str:
    """All of it as plain text."""
    registry = CollectorRegistry()
    registry.register(errand.figures)
    parts = (
        ("What happened, by seconds since the start:", "\n".join(errand.journal.lines)),
        ("Figures:", generate_latest(registry).decode()),
        ("Module:", yaml.safe_dump(_shown(errand.loaded.module), sort_keys=False, allow_unicode=True)),
    )
    return "\n\n".join(f"{title}\n{text}" for title, text in parts)


def _shown(module: Module) -> dict[str, Any]:
    """The module as one writes it. What may be a secret is not shown: credentials, bodies, what is sent."""
    shown: dict[str, Any] = module.model_dump(mode="json", exclude_none=True)
    http = shown.get("http", {})
    if http.get("headers"):
        http["headers"] = {
            name: value if name.lower() in _OPEN_FIELDS else _SECRET
            for name, value in http["headers"].items()
        }
    if http.get("body"):
        http["body"] = _SECRET
    for step in shown.get("tcp", {}).get("query_response", ()):
        if step.get("send"):
            step["send"] = _SECRET
    return shown
