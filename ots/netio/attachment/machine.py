"""What machine this is, and how busy it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from ots import __version__

_NO_MODEL = frozenset(
    {"", "none", "default string", "to be filled by o.e.m.", "system product name", "unknown"}
)
"""What boards say whose maker filled nothing in."""

_CONTAINER_TRACES = {"docker": ".dockerenv", "podman": "run/.containerenv"}


def device(root: Path = Path("/")) -> tuple[dict[str, Any], dict[str, str]]:
    """The machine's facts, and the reason of each that is missing. No serial number, no name."""
    facts: dict[str, Any] = {
        "model": _firmware(root, "product_name") or _device_tree_model(root),
        "manufacturer": _firmware(root, "sys_vendor"),
        "os": operating_system(_read(root / "etc/os-release")) or platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "virtualised": virtualisation(root),
        "power": None,
        "battery_ratio": None,
        "thermal_state": None,
        "python": platform.python_version(),
        "ots": __version__,
    }
    nulls = {"thermal_state": "not_read"}
    facts["power"], facts["battery_ratio"] = power(root / "sys/class/power_supply")
    for name, reason in (
        ("model", "not_told_by_firmware"),
        ("manufacturer", "not_told_by_firmware"),
        ("power", "not_told_by_system"),
        ("battery_ratio", "no_battery"),
    ):
        if facts[name] is None:
            nulls[name] = reason
    return facts, nulls


def operating_system(os_release: str) -> str | None:
    """PRETTY_NAME of an os-release file."""
    for line in os_release.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "PRETTY_NAME":
            return value.strip().strip("\"'") or None
    return None


def virtualisation(root: Path = Path("/")) -> str:
    """`none`, `vm`, or the container's kind; a container on a virtual machine is a container here."""
    for kind, trace in _CONTAINER_TRACES.items():
        if (root / trace).exists():
            return kind
    container = _read(root / "run/systemd/container").strip()
    if container:
        return container
    if "hypervisor" in cpu_flags(_read(root / "proc/cpuinfo")) or (root / "sys/hypervisor/type").exists():
        return "vm"
    return "none"


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The flags of the first processor in /proc/cpuinfo; none on architectures that list none."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def power(supplies: Path) -> tuple[str | None, float | None]:
    """(`ac` or `battery`, charge 0..1). Without a battery and without a mains sensor nothing is known."""
    online: list[bool] = []
    charge: float | None = None
    discharging = False
    for supply in _folders(supplies):
        kind = _read(supply / "type").strip()
        if kind in ("Mains", "USB"):
            online.append(_read(supply / "online").strip() == "1")
        elif kind == "Battery" and _read(supply / "scope").strip() != "Device":
            percent = _read(supply / "capacity").strip()
            charge = int(percent) / 100 if percent.isdecimal() else None
            discharging = _read(supply / "status").strip() == "Discharging"
    if any(online):
        return "ac", charge
    if charge is not None:
        return "battery" if discharging or online else "ac", charge
    return None, None


class LoadMeter:
    """How busy the machine was since the last reading."""

    def __init__(self) -> None:
        self._busy, self._total = _processor_time()

    def read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """CPU share since the last reading (0..1), load averages, free memory; reasons of what is missing."""
        busy, total = _processor_time()
        elapsed = total - self._total
        share = (busy - self._busy) / elapsed if elapsed > 0 else None
        self._busy, self._total = busy, total
        averages = psutil.getloadavg()
        facts: dict[str, Any] = {
            "cpu_ratio": None if share is None else round(min(1.0, max(0.0, share)), 4),
            "load_1m": averages[0],
            "load_5m": averages[1],
            "load_15m": averages[2],
            "memory_available_bytes": psutil.virtual_memory().available,
        }
        return facts, {} if share is not None else {"cpu_ratio": "too_soon"}


def _processor_time() -> tuple[float, float]:
    """(busy, all) seconds of all processors; waiting for a disk is idle, time taken by the host is busy."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # guest time is contained in user time already
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - idle, total


def _firmware(root: Path, name: str) -> str | None:
    value = _read(root / "sys/class/dmi/id" / name).strip()
    return None if value.lower() in _NO_MODEL else value


def _device_tree_model(root: Path) -> str | None:
    return _read(root / "proc/device-tree/model").strip("\0\n ") or None


def _folders(place: Path) -> Iterable[Path]:
    try:
        return sorted(place.iterdir())
    except OSError:
        return ()


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
