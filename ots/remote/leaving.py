"""What of a report leaves this machine: as the settings allow, and without secrets.

Where nothing has to be left out these are the stored bytes. Otherwise they are others, and it is those that
are signed; the receipt remembers what was left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ots import log
from ots.config.values import Upload
from ots.remote.redaction import clean, clean_text

WITHHELD = "withheld"
_ADDRESSES = ("addresses", "gateway", "dns", "public_address")
_WIFI_NAMES = ("ssid_hash", "bssid_hash")
_FREE = frozenset({"message", "text", "remedy", "notes", "params", "tags", "targets"})
"""Members in which people and servers say what they like; only there a known secret is looked for as such,
since one that is an ordinary word would turn up in words of the format."""

_TEXTUAL = ("text/", "application/json", "application/har+json", "application/xml", "message/")

Artifact = Callable[[str], bytes | None]
"""The bytes of a file beside the report by their SHA-256; None where there are none."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The bytes that may leave, and the files beside them under the hashes by which the report names them.

    `artifacts` maps each hash in the outgoing report to that of the stored file.
    """

    document: bytes
    left_out: tuple[str, ...]
    artifacts: Mapping[str, str]


def leaving(stored: bytes, allowed: Upload, artifact: Artifact) -> Leaving:
    """What may leave of a stored report. Raises ValueError if it is no report."""
    report = json.loads(stored)
    try:
        left_out = [*_withhold(report, allowed), *_blot(report)]
        artifacts = dict(_files(report, artifact, left_out))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"this is no report: {error!r}") from None
    document = msgspec.json.encode(report) if left_out else stored
    return Leaving(document, tuple(left_out), artifacts)


def clean_artifact(media_type: str, data: bytes) -> bytes:
    """A file without secrets; only text is looked into, and what has none comes back as it is."""
    if not media_type.startswith(_TEXTUAL):
        return data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    if "json" in media_type:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False).encode() if list(clean(value, log.redact)) else data
    blotted = log.redact(clean_text(text))
    return data if blotted == text else blotted.encode()


def _withhold(report: Any, allowed: Upload) -> Iterator[str]:
    for index, context in enumerate(report["contexts"]):
        nulls = context["nulls"]
        place = f"/contexts/{index}"
        if not allowed.position and context["position"] is not None:
            context["position"] = None
            nulls["position"] = WITHHELD
            yield f"{place}/position"
        if not allowed.device:
            device = context["device"]
            if list(_empty(device, "device", tuple(device), nulls, place)):
                yield f"{place}/device"
        if not allowed.addresses:
            network = context["network"]
            yield from _empty(network, "network", _ADDRESSES, nulls, place)
            if isinstance(network.get("wifi"), dict):
                yield from _empty(network["wifi"], "wifi", _WIFI_NAMES, nulls, f"{place}/network")


def _empty(
    section: dict[str, Any], name: str, members: tuple[str, ...], nulls: dict[str, str], place: str
) -> Iterator[str]:
    """Takes members of a section out, each with its reason; a list becomes an empty one."""
    for member in members:
        if section.get(member):
            section[member] = [] if isinstance(section[member], list) else None
            nulls[f"{name}.{member}"] = WITHHELD
            yield f"{place}/{name}/{member}"


def _blot(report: Any) -> Iterator[str]:
    yield from clean(report, str)
    yield from _known(report, "", free=False)


def _known(value: Any, pointer: str, *, free: bool) -> Iterator[str]:
    """Blots out the secrets that this process was given, in the free parts of the report."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in members:
        here = free or key in _FREE
        if isinstance(inner, dict | list):
            yield from _known(inner, f"{pointer}/{key}", free=here)
        elif here and isinstance(inner, str) and log.redact(inner) != inner:
            value[key] = log.redact(inner)
            yield f"{pointer}/{key}"


def _files(report: Any, artifact: Artifact, left_out: list[str]) -> Iterator[tuple[str, str]]:
    """The outgoing and the stored hash of each file; where they differ the report names the first."""
    for position, step in enumerate(report["steps"]):
        for index, entry in enumerate(step["artifacts"]):
            stored = str(entry["sha256"])
            data = artifact(stored)
            outgoing = data if data is None else clean_artifact(str(entry["media_type"]), data)
            if data is None or outgoing is None or outgoing == data:
                yield stored, stored
                continue
            entry["sha256"] = hashlib.sha256(outgoing).hexdigest()
            entry["bytes"] = len(outgoing)
            left_out.append(f"/steps/{position}/artifacts/{index}")
            yield str(entry["sha256"]), stored
