"""Ready-made rules: how much a server may ask of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from ots.policy.issuer import IssuerKind
from ots.policy.pattern import PUBLIC, Pattern
from ots.policy.rule import HEAVY, LIGHT, NOTHING, Rule

Preset = Literal["none", "light", "standard"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

DEFAULT: Preset = "light"
"""What holds where no document says anything."""

_REMOTE: Mapping[Preset, Rule] = {
    "none": NOTHING,
    "light": Rule(
        probes=LIGHT,
        targets=(Pattern(PUBLIC),),
        heavy="never",
        packets_per_second=50,
        packets=1000,
        flows=32,
        bytes_per_run=64_000_000,
        bytes_per_day=200_000_000,
        duration=900.0,
        secrets=frozenset(),
    ),
    "standard": Rule(
        probes=LIGHT | HEAVY | {"mail_fetch"},
        targets=(Pattern(PUBLIC),),
        heavy="consented",
        packets_per_second=1000,
        packets=100_000,
        flows=64,
        bytes_per_run=2_000_000_000,
        bytes_per_day=20_000_000_000,
        duration=3600.0,
        secrets=frozenset(),
    ),
}


def rule_of(preset: Preset, kind: IssuerKind) -> Rule:
    """What a preset lets a kind of issuer do. A person at this machine, and what such a person has planned,
    is bound only by what the probes themselves allow."""
    return _REMOTE[preset] if kind == "remote" else Rule()
