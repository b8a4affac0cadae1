"""The service as systemd wants it described: `Type=notify`, restarted if it ends, with few rights.

The only capability is CAP_NET_RAW, for the probes that send packets of their own making.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

NAME = "ots-agent.service"
PLACE = Path("/etc/systemd/system") / NAME

_UNIT = """\
[Unit]
Description=OTS agent: network measurements by schedule and by order
Documentation=https://github.com/ots-toolkit/ots
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command} agent run
ExecReload=/bin/kill -HUP $MAINPID
Environment=OTS_DATA_DIR=/var/lib/ots
Restart=always
RestartSec=5
WatchdogSec=60
TimeoutStartSec=60
TimeoutStopSec=45
KillMode=mixed
{user}
StateDirectory=ots
StateDirectoryMode=0700
ConfigurationDirectory=ots
UMask=0077
AmbientCapabilities=CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_RAW
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def command() -> str:
    """How this `ots` is called by its full path."""
    beside = Path(sys.executable).parent / "ots"
    return str(beside) if os.access(beside, os.X_OK) else f"{sys.executable} -m ots"


def text(user: str | None = None, ots: str | None = None) -> str:
    """The unit. Without a user systemd makes one for as long as the service runs."""
    who = "DynamicUser=yes" if user is None else f"User={user}\nGroup={user}"
    return _UNIT.format(command=ots or command(), user=who)
