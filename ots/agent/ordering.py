"""From a server's command to the order that it means."""

from __future__ import annotations

import re

import msgspec

from ots.agent.examining import NoCommand
from ots.agent.order import CaseReference, Order
from ots.license.policy import Entitlement
from ots.remote import control_wire as wire

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


def order_of(command: wire.Command, rights: Entitlement, *, not_before: float, not_after: float) -> Order:
    """The order that a `run` or `preview` means; the times are by this machine's clock.

    Raises NoCommand where it means none, or the licence grants no runs from a server.
    """
    try:
        args = msgspec.convert(command.args, wire.RunArgs)
    except msgspec.ValidationError as error:
        raise NoCommand("malformed", f"args: {error}", command.command_id) from None
    if not _NAME.fullmatch(args.name) or args.name.endswith((".yaml", ".yml")):
        raise NoCommand("case-name", "a case is named, never a file", command.command_id)
    refusal = rights.refusal("remote-run")
    most = rights.limit("agents_per_run")
    if refusal is not None:
        raise NoCommand("licence", "the licence does not grant remote-run", command.command_id)
    if most is not None and args.agents > most:
        raise NoCommand("licence", f"at most {most:g} agents in one run", command.command_id)
    return Order(
        order_id=command.command_id,
        origin="command",
        issuer=msgspec.structs.replace(command.issuer, kind="remote"),
        case=CaseReference(name=args.name, version=args.version, sha256=args.sha256),
        parameters=args.parameters,
        thresholds=args.thresholds,
        not_before=not_before,
        not_after=not_after,
        max_duration=args.max_duration,
        tags=args.tags,
        group_run_id=args.group_run_id,
    )
