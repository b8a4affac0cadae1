"""`ots server run`: the cloud server, with nothing to configure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ots.commands import exit_codes
from ots.commands.case_errors import problem_document
from ots.commands.listen import address_of
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.server_place import server_folder, server_options
from ots.i18n import _

if TYPE_CHECKING:
    from ots.server.prometheus.readers import Network
    from ots.server.run import Ready

_EXAMPLES = """\b
Examples:
  ots server run
  ots server run --listen '[::]:443' --cert cert.pem --key key.pem
  ots server run --keep 90 --peers 192.0.2.7:8080
  ots server run --probe-config blackbox.yml --probe-allow allow.yml --metrics-network 192.0.2.0/24
  OTS_SERVER_DATABASE=postgresql://ots@db.example/ots ots server run --processes 4
"""


@click.command(
    "run",
    help=_("Serve agents and people: enrolment, licences, reports. Ends with Ctrl-C or SIGTERM.")
    + "\n\n"
    + _EXAMPLES,
)
@server_options
@click.option("--listen", multiple=True, metavar="HOST:PORT", help=_("Where (127.0.0.1:8443); repeatable."))
@click.option(
    "--cert",
    type=click.Path(exists=True, dir_okay=False),
    help=_("Serve HTTPS with this certificate (PEM)."),
)
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help=_("The certificate's key, as PEM."))
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help=_("Several need PostgreSQL."),
)
@click.option(
    "--proxy",
    multiple=True,
    metavar="NETWORK",
    help=_("Believe what a proxy here says of its clients' addresses; repeatable."),
)
@click.option(
    "--rates",
    type=click.FloatRange(0.01, 10_000),
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help=_("Let everybody call so many times as often as usual: many agents behind one address."),
)
@click.option(
    "--patience",
    type=click.FloatRange(0.1, 600),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help=_("Wait so long for a header, for a body or an answer so long and a second for every 8000 bytes."),
)
@click.option(
    "--keep",
    type=click.FloatRange(0, 36_500, min_open=True),
    metavar="DAYS",
    help=_("Keep the contents of reports no longer than this, whatever a licence grants; hashes stay."),
)
@click.option(
    "--keep-history",
    type=click.FloatRange(3, 36_500),
    default=400.0,
    show_default=True,
    metavar="DAYS",
    help=_("Keep what came of commands, group runs and planned runs so long, and as long as their reports."),
)
@click.option(
    "--agent-ping",
    type=click.FloatRange(0.2, 600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help=_("Ping connected agents about this often; a line silent for 2.5 times as long is dead."),
)
@click.option(
    "--agent-return",
    type=click.FloatRange(0.1, 600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help=_("Let agents whose line was lost come back at a moment within this time, each at another."),
)
@click.option(
    "--peers",
    multiple=True,
    metavar="HOST:PORT",
    help=_("Run a test server for speed tests beside it, in processes of its own; repeatable."),
)
@click.option(
    "--probe-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("Serve /probe to Prometheus with the modules of this file; needs --probe-allow."),
)
@click.option(
    "--probe-allow",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("What may be probed: names, networks and ports. Nothing else is."),
)
@click.option(
    "--metrics-network",
    multiple=True,
    metavar="NETWORK",
    help=_("Answer /metrics and /probe to this network only; repeatable."),
)
@click.option(
    "--metrics-token-from",
    metavar="WHERE",
    help=_("Answer /metrics and /probe only with this bearer token: env:NAME or file:PATH."),
)
@click.option("--name", default="OTS server", show_default=True, metavar="TEXT", help=_("What it is called."))
@json_option
def run_command(
    data: Path | None,
    database: str | None,
    listen: tuple[str, ...],
    cert: str | None,
    key: str | None,
    processes: int,
    proxy: tuple[str, ...],
    rates: float,
    patience: float,
    keep: float | None,
    keep_history: float,
    agent_ping: float,
    agent_return: float,
    peers: tuple[str, ...],
    probe_config: Path | None,
    probe_allow: Path | None,
    metrics_network: tuple[str, ...],
    metrics_token_from: str | None,
    name: str,
    as_json: bool,
) -> int:
    from ots.log import configure

    if key is not None and cert is None:
        raise CommandError(_("--key needs --cert"))
    if processes > 1 and database is None:
        raise CommandError(
            _("several processes need PostgreSQL"), remedy=_("--database postgresql://…, or --processes 1")
        )
    proxies = tuple(str(network) for network in _networks(proxy))
    networks = _networks(metrics_network)
    if (probe_config is None) != (probe_allow is None):
        raise CommandError(_("--probe-config and --probe-allow need each other"))
    token = None if metrics_token_from is None else _token(metrics_token_from)
    addresses = [address_of(text) for text in listen or ("127.0.0.1:8443",)]
    _need_server()
    configure(1)

    from ots.server.database.database import DatabaseAway, DatabaseFull
    from ots.server.database.migrate import NewerDatabase
    from ots.server.first_start import UnfinishedRestore
    from ots.server.listening import CannotServe, Place
    from ots.server.patience import Patience
    from ots.server.peers.workers import WorkersFailed
    from ots.server.prometheus.readers import Readers
    from ots.server.run import Setup, run
    from ots.signing.keys import UnusableKey
    from ots.strictyaml import YamlError

    setup = Setup(
        folder=server_folder(data),
        places=[Place(host, port, tls=cert is not None) for host, port in addresses],
        name=name,
        database=database,
        processes=processes,
        cert=cert,
        key=key,
        proxies=proxies,
        rate_factor=rates,
        patience=Patience(silence=patience),
        peers=[Place(*address_of(text)) for text in peers],
        readers=Readers(networks, token),
        probes=None if probe_config is None or probe_allow is None else (probe_config, probe_allow),
        keep=None if keep is None else keep * 86_400.0,
        keep_history=keep_history * 86_400.0,
        agent_ping=agent_ping,
        agent_return=agent_return,
    )

    def ready(started: Ready) -> None:
        _tell(started, setup.folder, as_json=as_json)

    try:
        run(setup, ready)
    except YamlError as error:
        raise CommandError(
            str(error), details=[problem_document(problem) for problem in error.problems]
        ) from None
    except UnusableKey as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL, remedy=error.remedy) from None
    except (
        CannotServe,
        WorkersFailed,
        DatabaseAway,
        DatabaseFull,
        NewerDatabase,
        UnfinishedRestore,
        OSError,
    ) as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
    return exit_codes.PASS


def _networks(texts: Sequence[str]) -> list[Network]:
    import ipaddress

    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            raise CommandError(
                _("{text} is no network").format(text=text), remedy=_("for example 192.0.2.0/24")
            ) from None
    return found


def _token(where: str) -> str:
    """The token of whoever reads the figures."""
    from ots.config.secret import SecretError, SecretStore

    if not where.startswith(("env:", "file:")):
        raise CommandError(_("--metrics-token-from takes env:NAME or file:PATH"))
    try:
        return SecretStore().get(where)
    except SecretError as error:
        raise CommandError(str(error), remedy=error.remedy) from None


def _need_server() -> None:
    try:
        import alembic  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise CommandError(
            _("the server's packages are missing"), remedy="pip install 'ots-toolkit[server]'"
        ) from None


def _tell(started: Ready, folder: Path, *, as_json: bool) -> None:
    first = started.first
    if as_json:
        made = None if first is None else {"name": first.name, "password": first.password}
        urls, peers = ([place.url for place in places] for places in (started.places, started.peers))
        print_json({"urls": urls, "data": str(folder), "first_account": made, "peers": peers})
        return
    for place in started.places:
        click.echo(_("listening on {url}, data in {folder}").format(url=place.url, folder=folder))
    for place in started.peers:
        click.echo(_("test server on {url}").format(url=place.url))
    if first is not None:
        click.echo(
            _("first log-in: {name}, one-time password {password} (shown only now)").format(
                name=first.name, password=first.password
            )
        )
