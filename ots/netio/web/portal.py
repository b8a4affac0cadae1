"""Captive portals: networks that answer every request with their own log-in page.

Three signs. Status 511 is one by definition (RFC 6585 section 6). A redirect to somebody else's host is one
where it came over a connection that anybody on the way could have answered; what came over verified TLS is
from the site itself. And a URL that is known to answer 204 answers otherwise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import replace

from yarl import URL

from ots.i18n import N_
from ots.netio.http.client import REDIRECTS, Client
from ots.netio.http.dialer import Way
from ots.netio.net import SystemNet
from ots.probe import Failed

AUTHENTICATION_REQUIRED = 511


def captive_portal(message: str, *, remedy: str | None = None) -> Failed:
    """The failure: what came is not from the site that was asked."""
    return Failed(
        "content",
        "verify",
        "captive_portal",
        message,
        remedy=remedy or N_("Log in to this network in a browser, then measure again."),
    )


def leads_away(page: URL, place: URL, allowed: Collection[str]) -> bool:
    """Whether a redirect leaves the site: neither host lies within the other's domain, nor is it allowed."""
    here, there = (_domain(url.host or "") for url in (page, place))
    if any(_within(there, _domain(host)) for host in allowed):
        return False
    return not (_within(here, there) or _within(there, here))


async def check_204(url: URL, way: Way) -> str:
    """Asks a URL that answers 204 in an open network; `Failed` for a captive portal.

    Returns why it says nothing (no answer, an error status), empty where it is 204. Its trigger points and
    its time are not the attempt's.
    """
    silent = replace(way, net=SystemNet(way.clock, _ignore, way.net.guard), mark=_ignore, addresses={})
    client = Client(silent)
    try:
        answer = await client.ask(url, {})
    except Failed as failure:
        return str(failure.error.message)
    finally:
        await client.close()
    if answer.status in REDIRECTS or answer.status == AUTHENTICATION_REQUIRED or 200 <= answer.status < 300:
        if answer.status == 204:
            return ""
        raise captive_portal(f"{url.host} answered {answer.status} where an open network gets 204")
    return f"{url.host} answered {answer.status}"


def _domain(host: str) -> str:
    return host.lower().rstrip(".").removeprefix("www.")


def _within(host: str, domain: str) -> bool:
    """`static.example.org` lies within `example.org`; addresses are within themselves only."""
    return host == domain or (host.endswith(f".{domain}") and "." in domain and not _is_address(domain))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ignore(trigger: str, *, t: float | None = None, source: str = "app") -> None:
    """What happens after the page load is no trigger point of it."""
