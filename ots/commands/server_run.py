"""`ots server run`: the cloud server, with nothing to configure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ots.commands import exit_codes
from ots.commands.listen import address_of
from ots.commands.output import CommandError, json_option, print_json
from ots.commands.server_place import server_folder, server_options
from ots.i18n import _

if TYPE_CHECKING:
    from ots.server.first_start import FirstAccount
    from ots.server.listening import Place

_EXAMPLES = """\b
Examples:
  ots server run
  ots server run --listen '[::]:443' --cert cert.pem --key key.pem
  ots server run --keep 90
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
    agent_ping: float,
    agent_return: float,
    name: str,
    as_json: bool,
) -> int:
    import ipaddress

    from ots.log import configure

    if key is not None and cert is None:
        raise CommandError(_("--key needs --cert"))
    if processes > 1 and database is None:
        raise CommandError(
            _("several processes need PostgreSQL"), remedy=_("--database postgresql://…, or --processes 1")
        )
    try:
        proxies = tuple(str(ipaddress.ip_network(text)) for text in proxy)
    except ValueError as error:
        raise CommandError(_("{text} is no network").format(text=error)) from None
    addresses = [address_of(text) for text in listen or ("127.0.0.1:8443",)]
    _need_server()
    configure(1)

    from ots.server.database.database import DatabaseAway, DatabaseFull
    from ots.server.database.migrate import NewerDatabase
    from ots.server.first_start import UnfinishedRestore
    from ots.server.listening import CannotServe, Place
    from ots.server.patience import Patience
    from ots.server.peers.workers import WorkersFailed
    from ots.server.run import Setup, run
    from ots.signing.keys import UnusableKey

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
        keep=None if keep is None else keep * 86_400.0,
        agent_ping=agent_ping,
        agent_return=agent_return,
    )

    def ready(places: list[Place], first: FirstAccount | None) -> None:
        _tell(places, first, setup.folder, as_json=as_json)

    try:
        run(setup, ready)
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


def _need_server() -> None:
    try:
        import alembic  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ImportError:
        raise CommandError(
            _("the server's packages are missing"), remedy="pip install 'ots-toolkit[server]'"
        ) from None


def _tell(places: list[Place], first: FirstAccount | None, folder: Path, *, as_json: bool) -> None:
    if as_json:
        made = None if first is None else {"name": first.name, "password": first.password}
        print_json({"urls": [place.url for place in places], "data": str(folder), "first_account": made})
        return
    for place in places:
        click.echo(_("listening on {url}, data in {folder}").format(url=place.url, folder=folder))
    if first is not None:
        click.echo(
            _("first log-in: {name}, one-time password {password} (shown only now)").format(
                name=first.name, password=first.password
            )
        )
