"""The figures of an FTP session that stand beside those of its transfer."""

from __future__ import annotations

from collections.abc import Sequence

from ots.i18n import N_, _
from ots.model.metric import L_STATS, Metric, MetricDef
from ots.netio.ftp.params import FTPParams
from ots.netio.pooling import by_target
from ots.probe import AttemptData, Target

LOGIN = MetricDef(
    key="ftp_login_seconds",
    unit="s",
    type="sample",
    title=N_("Log-in time"),
    definition=N_("control connection's SYN sent to log-in accepted (230), TLS included"),
    stats=("median", *(stat for stat in L_STATS if stat != "median")),
    better="lower",
    source="RFC 959",
)
DATA_CONNECT = MetricDef(
    key="ftp_data_connect_seconds",
    unit="s",
    type="sample",
    title=N_("Data connection"),
    definition=N_("answer to EPSV or PASV to the data connection's handshake done; active: RETR to accepted"),
    stats=("median", *(stat for stat in L_STATS if stat != "median")),
    better="lower",
    source="RFC 959, RFC 2428",
)

METRICS = (LOGIN, DATA_CONNECT)


def summarise(attempts: Sequence[AttemptData]) -> list[Metric]:
    """Log-in and data connection of each target, over all connections of all attempts."""
    return [pool.statistics(definition) for pool in by_target(attempts) for definition in METRICS]


def security(target: Target, params: FTPParams) -> str:
    """`none`, `explicit` or `implicit`."""
    return "implicit" if target.scheme == "ftps" else params.tls


def warnings(targets: Sequence[Target], params: FTPParams) -> list[str]:
    """A password that everybody on the way can read."""
    if params.password is None or all(security(target, params) != "none" for target in targets):
        return []
    return [_("the password crosses the network unencrypted: use tls: explicit or ftps://")]
