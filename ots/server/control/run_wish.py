"""What is to be run, as people ask for it, and as the `args` of a command."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ots.remote import control_wire as wire

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
_Key = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
_Value = Annotated[str, msgspec.Meta(max_length=1000)]


class RunWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A case by its name, which every agent knows or gets; never a path or a text.

    `parameters` set the case's variables, `thresholds` (step id → list) replace the case's own,
    `max_duration` is in seconds.
    """

    case: _Name
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")] | None = None
    parameters: Annotated[dict[_Key, _Value], msgspec.Meta(max_length=50)] = {}
    thresholds: Annotated[dict[_Key, list[dict[str, Any]]], msgspec.Meta(max_length=50)] = {}
    max_duration: Annotated[float, msgspec.Meta(ge=1.0, le=86_400.0)] = 600.0
    tags: Annotated[dict[_Key, _Value], msgspec.Meta(max_length=20)] = {}


def run_args(wish: RunWish, *, run_id: str | None, agents: int) -> dict[str, Any]:
    """The command's `args`."""
    made = wire.RunArgs(
        name=wish.case,
        version=wish.version,
        sha256=wish.sha256,
        parameters=wish.parameters,
        thresholds=wish.thresholds,
        max_duration=wish.max_duration,
        tags=wish.tags,
        group_run_id=run_id,
        agents=agents,
    )
    found: dict[str, Any] = msgspec.to_builtins(made)
    return found
