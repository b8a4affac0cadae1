"""`ots link`: where this machine is attached, as a picture."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict
from typing import Any

import click

from ots.commands.columns import cells, cut, padded
from ots.commands.output import CommandError, json_option, print_json
from ots.i18n import N_, _
from ots.netio.attachment.clock_trust import clock_trust
from ots.netio.attachment.interface import Interface, interfaces
from ots.netio.attachment.snapshot import network
from ots.units import display

_WORDS = (
    N_("ethernet"),
    N_("loopback"),
    N_("wifi"),
    N_("wwan"),
    N_("ppp"),
    N_("tunnel"),
    N_("bridge"),
    N_("vlan"),
    N_("bond"),
    N_("virtual"),
    N_("other"),
    N_("host"),
    N_("link"),
    N_("site"),
)
"""What the kernel says in words of its own, marked for the catalogue."""

_STATES = {
    "up": N_("connected"),
    "down": N_("not connected"),
    "lowerlayerdown": N_("not connected"),
    "dormant": N_("waiting"),
}

_MARK = {"up": "●", "unknown": "●", "down": "○"}
_EXAMPLES = "\b\nExamples:\n  ots link\n  ots link wlan0\n  ots link --json"


@click.command("link", help=_("Where this machine is attached.") + "\n\n" + _EXAMPLES)
@click.argument("interface", required=False)
@json_option
def command(interface: str | None, as_json: bool) -> None:
    links = _links()
    if interface is not None and all(link.name != interface for link in links):
        raise CommandError(
            _("there is no interface {name!r} here").format(name=interface),
            remedy=_("there are: {names}").format(names=", ".join(link.name for link in links)),
        )
    facts, nulls = network(links, interface, _key())
    clock = clock_trust()
    if as_json:
        print_json(
            {"network": facts, "nulls": nulls, "clock": clock, "interfaces": [asdict(link) for link in links]}
        )
        return
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    for line in picture(facts, links, clock, width):
        click.echo(line)


def one_line() -> str:
    """`via eth0 192.0.2.77   gateway 192.0.2.1   DNS 192.0.2.53`, for the start screen."""
    try:
        facts, _nulls = network(interfaces(), None, b"")
    except OSError as error:
        return _("attachment unknown: {reason}").format(reason=error.strerror)
    if facts["interface"] is None:
        return _("not attached to any network")
    pieces = [
        f"{_('via')} {facts['interface']} {' '.join(_global_addresses(facts))}".rstrip(),
        f"{_('gateway')} {', '.join(way['address'] for way in facts['gateway']) or '–'}",
        f"{_('DNS')} {', '.join(facts['dns']) or '–'}",
    ]
    return "   ".join(pieces)


def picture(facts: dict[str, Any], links: list[Interface], clock: dict[str, Any], width: int) -> list[str]:
    """The chain from this machine to the world, the facts of the link, and the other interfaces."""
    if facts["interface"] is None:
        return [_("not attached to any network")]
    rows: list[tuple[str, str]] = [(_("link"), _link_line(facts))]
    for family in ("4", "6"):
        rows += _family_rows(facts, family)
    rows.append((_("DNS"), ", ".join(facts["dns"]) or _("none")))
    if facts["wifi"] is not None:
        rows.append((_("Wi-Fi"), _wifi_line(facts["wifi"])))
    if facts["vpn"]:
        rows.append((_("tunnels"), ", ".join(facts["vpn"])))
    if facts["proxy"]:
        rows.append((_("proxy"), _("set by {names}").format(names=", ".join(facts["proxy"]))))
    rows.append((_("clock"), _clock_line(clock)))
    others = [link for link in links if link.name != facts["interface"]]
    return [_chain(facts, width), "", *_table(rows, width), *_others(others, width)]


def _chain(facts: dict[str, Any], width: int) -> str:
    """`this machine ━━ eth0 ━━ 192.0.2.1 ━━ …`; shorter links where the terminal is narrow."""
    stations = [_("this machine"), facts["interface"]]
    if facts["type"] != "loopback":
        stations.append(facts["gateway"][0]["address"] if facts["gateway"] else _("no gateway"))
        if facts["gateway"]:
            stations.append("…")
    for joint in (" ━━━━ ", " ━ ", "━"):
        plain = joint.join(stations)
        if len(plain) <= width:
            break
    tone = "green" if facts["state"] in ("up", "unknown") else "red"
    return click.style("● ", fg=tone) + joint.join(click.style(name, bold=True) for name in stations)


def _link_line(facts: dict[str, Any]) -> str:
    kind, state = facts["type"], _STATES.get(facts["state"])
    pieces = [facts["interface"], _(kind)]
    if state is not None:
        pieces.append(_(state))
    if facts["speed_bits_per_second"]:
        pieces.append(display(facts["speed_bits_per_second"], "bit/s"))
    if facts["mtu"]:
        pieces.append(f"MTU {facts['mtu']}")
    return "  ".join(pieces)


def _family_rows(facts: dict[str, Any], family: str) -> list[tuple[str, str]]:
    """One row for each address, the gateway beside the first."""
    gateways = [way["address"] for way in facts["gateway"] if way["family"] == family]
    addresses = [entry for entry in facts["addresses"] if entry["family"] == family]
    if not addresses:
        return [(f"IPv{family}", _("no address"))]
    rows = []
    for position, entry in enumerate(addresses):
        text = f"{entry['address']}/{entry['prefix']}"
        if entry["scope"] != "global":
            text += f"  {_(entry['scope'])}"
        if entry["temporary"]:
            text += f"  {_('temporary')}"
        if position == 0 and facts["type"] != "loopback":
            text += f"  {_('gateway')} {', '.join(gateways)}" if gateways else f"  {_('no gateway')}"
        rows.append((f"IPv{family}" if position == 0 else "", text))
    return rows


def _wifi_line(wifi: dict[str, Any]) -> str:
    pieces = []
    if wifi["channel"] is not None:
        pieces.append(_("channel {n}").format(n=wifi["channel"]))
    for key, unit in (("frequency_hertz", "Hz"), ("width_hertz", "Hz"), ("signal_dbm", "dBm")):
        if wifi[key] is not None:
            pieces.append(display(wifi[key], unit))
    for key, arrow in (("receiving_bits_per_second", "▼"), ("sending_bits_per_second", "▲")):
        if wifi[key] is not None:
            pieces.append(arrow + display(wifi[key], "bit/s"))
    return "  ".join(pieces) or _("not associated")


def _clock_line(clock: dict[str, Any]) -> str:
    if clock["source"] == "none":
        return _("not synchronised")
    bound = display(clock["error_bound_seconds"], "s")
    return f"±{bound}  {clock['source']}" + (f"  {clock['keeper']}" if clock["keeper"] else "")


def _table(rows: list[tuple[str, str]], width: int) -> list[str]:
    label = max(cells(name) for name, _text in rows)
    lines = []
    for name, text in rows:
        for position, piece in enumerate(_wrapped(text, max(20, width - label - 4))):
            head = name if position == 0 else ""
            lines.append("  " + click.style(padded(head, label), dim=True) + "  " + piece)
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most so many columns, broken where two spaces part its pieces."""
    lines = [""]
    for piece in text.split("  "):
        joined = f"{lines[-1]}  {piece}" if lines[-1] else piece
        if cells(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(piece)
    return lines


def _others(links: list[Interface], width: int) -> list[str]:
    if not links:
        return []
    names = max(len(link.name) for link in links)
    lines = ["", _("other interfaces")]
    for link in links:
        addresses = " ".join(f"{entry.ip}/{entry.prefix}" for entry in link.addresses)
        mark = _MARK.get(link.state, "○")
        line = f"  {mark} {link.name.ljust(names)}  {_(link.type)}  {addresses}".rstrip()
        lines.append(cut(line, width))
    return lines


def _global_addresses(facts: dict[str, Any]) -> list[str]:
    stated = [entry["address"] for entry in facts["addresses"] if entry["scope"] == "global"]
    return stated or [entry["address"] for entry in facts["addresses"][:1]]


def _links() -> list[Interface]:
    try:
        return interfaces()
    except OSError as error:
        raise CommandError(
            _("this system does not tell its interfaces: {reason}").format(reason=error.strerror)
        ) from None


def _key() -> bytes:
    """Blinds the names of Wi-Fi networks as this installation's reports do."""
    from ots.config import SettingsError, settings

    try:
        return settings().agent_id.encode()
    except SettingsError as error:
        raise CommandError(str(error), remedy=error.remedy) from None
