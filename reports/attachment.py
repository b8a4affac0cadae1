"""Where the machine was attached, in a line of facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ots.model.report import Context, Report
from ots.reports.plain import plain


def facts(context: Context, gettext: Callable[[str], str]) -> list[tuple[str, str]]:
    """(name, value) of each known fact: interface with addresses, gateway, DNS, Wi-Fi."""
    _ = gettext
    network: Mapping[str, Any] = context.network
    found: list[tuple[str, str]] = []
    via = " ".join([_one(network.get("interface")), *_many(network.get("addresses"))]).strip()
    if via:
        found.append((_("via"), via))
    for name, key in ((_("gateway"), "gateway"), (_("DNS"), "dns")):
        values = _many(network.get(key))
        if values:
            found.append((name, ", ".join(values)))
    wifi = network.get("wifi")
    if isinstance(wifi, Mapping) and wifi:
        found.append((_("Wi-Fi"), ", ".join(_many(list(wifi.values())))))
    return found


def of_report(report: Report) -> Context | None:
    """The context in which the run began."""
    return report.contexts[0] if report.contexts else None


def _one(value: object) -> str:
    return "" if value is None else plain(value)


def _many(value: object) -> list[str]:
    """Texts out of a value that is one, a list, or records with an `address`."""
    if value is None or value == "":
        return []
    if isinstance(value, Mapping):
        return _many(value.get("address") or value.get("ip"))
    if isinstance(value, list | tuple):
        return [text for item in value for text in _many(item)]
    return [plain(value)]
