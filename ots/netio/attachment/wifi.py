"""The Wi-Fi link of an interface, from the kernel's nl80211.

The names of a network and of its access point tell where somebody is, so that only keyed hashes of them leave
this module: equal ones can be recognised within one installation, and nowhere else.
"""

from __future__ import annotations

import errno
import hashlib
import struct
from typing import Any

from ots.netio.attachment import netlink

_CONTROL, _GET_FAMILY = 0x10, 3
_FAMILY_ID, _FAMILY_NAME = 1, 2
_GET_INTERFACE, _GET_STATION = 5, 17
_IFINDEX, _MAC, _STA_INFO, _FREQUENCY, _SSID, _WIDTH = 3, 6, 21, 38, 52, 159
_SIGNAL, _TX_RATE, _RX_RATE = 7, 8, 14
_RATE_16, _RATE_32 = 1, 5
"""Numbers of linux/genetlink.h and linux/nl80211.h."""

_WIDTHS = {0: 20, 1: 20, 2: 40, 3: 80, 4: 80, 5: 160, 6: 5, 7: 10, 13: 320}
"""NL80211_CHAN_WIDTH_… → MHz (80+80 counts as its first 80)."""

_GENERIC_HEADER = struct.Struct("=BBxx")


def wifi(index: int, key: bytes) -> dict[str, Any]:
    """The link of the interface with this index; values are None where the driver is silent.

    OSError if the kernel has no nl80211 or the interface is none of its.
    """
    family = _family()
    target = netlink.attribute(_IFINDEX, struct.pack("=I", index))
    about = netlink.ask(netlink.GENERIC, family, _GENERIC_HEADER.pack(_GET_INTERFACE, 0) + target)
    stations = netlink.ask(netlink.GENERIC, family, _GENERIC_HEADER.pack(_GET_STATION, 0) + target, dump=True)
    if not about:
        raise OSError(errno.ENODEV, "no such Wi-Fi interface")
    return interpret(about[0], stations[0] if stations else None, key)


def interpret(interface: bytes, station: bytes | None, key: bytes) -> dict[str, Any]:
    """The facts in nl80211's messages about an interface and the access point it is associated with."""
    own = netlink.attributes(interface[_GENERIC_HEADER.size :])
    peer = netlink.attributes(station[_GENERIC_HEADER.size :]) if station is not None else {}
    link = netlink.attributes(peer.get(_STA_INFO, b""))
    frequency = netlink.number(own[_FREQUENCY]) if _FREQUENCY in own else None
    signal = struct.unpack("=b", link[_SIGNAL][:1])[0] if link.get(_SIGNAL) else None
    return {
        "ssid_hash": keyed_hash(own[_SSID], key) if own.get(_SSID) else None,
        "bssid_hash": keyed_hash(peer[_MAC], key) if peer.get(_MAC) else None,
        "frequency_hertz": frequency * 1_000_000 if frequency else None,
        "channel": channel(frequency) if frequency else None,
        "width_hertz": _WIDTHS[netlink.number(own[_WIDTH])] * 1_000_000
        if _WIDTH in own and netlink.number(own[_WIDTH]) in _WIDTHS
        else None,
        "signal_dbm": signal,
        "sending_bits_per_second": _rate(link.get(_TX_RATE)),
        "receiving_bits_per_second": _rate(link.get(_RX_RATE)),
    }


def channel(megahertz: int) -> int | None:
    """The channel's number of a centre frequency (IEEE 802.11, annex E)."""
    if megahertz == 2484:
        return 14
    if 2412 <= megahertz <= 2472:
        return (megahertz - 2407) // 5
    if 5955 <= megahertz <= 7115:
        return (megahertz - 5950) // 5
    if 5160 <= megahertz <= 5885:
        return (megahertz - 5000) // 5
    return None


def keyed_hash(value: bytes, key: bytes) -> str:
    """16 hex digits that only the holder of the key can reproduce."""
    return hashlib.blake2b(value, key=key[:64], digest_size=8).hexdigest()


def _rate(info: bytes | None) -> float | None:
    """The physical rate in bit/s; the kernel counts in 100 kbit/s."""
    rates = netlink.attributes(info or b"")
    raw = rates.get(_RATE_32) or rates.get(_RATE_16)
    return netlink.number(raw) * 100_000.0 if raw else None


def _family() -> int:
    request = _GENERIC_HEADER.pack(_GET_FAMILY, 1) + netlink.attribute(_FAMILY_NAME, b"nl80211\0")
    for payload in netlink.ask(netlink.GENERIC, _CONTROL, request):
        found = netlink.attributes(payload[_GENERIC_HEADER.size :])
        if _FAMILY_ID in found:
            return netlink.number(found[_FAMILY_ID])
    raise OSError(errno.ENOENT, "no nl80211")
