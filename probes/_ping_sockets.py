"""The ICMP sockets of a step: one for each family that its targets are of."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack

from ots.netio.icmp.members import Members
from ots.netio.icmp.sockets import ICMPSocket, SocketKind, open_socket
from ots.probe import Address, Context, Failed, Target
from ots.probes._ping_params import Family, PingParams

Sockets = dict[Family, ICMPSocket]


def open_sockets(
    stack: ExitStack,
    ctx: Context,
    reached: Sequence[tuple[Target, Address | Members]],
    params: PingParams,
    *,
    send_stamps: bool,
    first: SocketKind = "raw",
) -> Sockets | None:
    """A bound and configured socket for each family; None if the ping program is to be used instead. `first`
    is the kind that is tried before the other where the user has not chosen.

    A family that this machine hasn't got ends the attempts of its targets and is left out.
    """
    if params.socket == "system":
        return None
    sockets: Sockets = {}
    for family in sorted({found.family for target, found in reached}):
        try:
            opened = stack.enter_context(
                open_socket(family, params.socket, params.options, send_stamps=send_stamps, first=first)
            )
        except Failed as failure:
            if failure.error.class_ == "permission":
                if params.socket == "auto" and shutil.which("ping"):
                    return None
                raise
            for target in (target for target, found in reached if found.family == family):
                ctx.failed(target.text, failure)
            continue
        ctx.net.bind(opened.socket, params.route)
        sockets[family] = opened
    return sockets


def open_more(stack: ExitStack, ctx: Context, sockets: Sockets, params: PingParams) -> Sockets:
    """Another set of sockets as these are."""
    more: Sockets = {}
    for family, like in sockets.items():
        more[family] = stack.enter_context(
            open_socket(family, like.kind, params.options, send_stamps=like.kernel_send_stamps)
        )
        ctx.net.bind(more[family].socket, params.route)
    return more
