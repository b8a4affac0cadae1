"""`ots server peers`: the test server that others measure against."""

from __future__ import annotations

import click

from ots.commands import exit_codes
from ots.commands.listen import address_of
from ots.commands.output import CommandError, json_option, print_json
from ots.i18n import _

_PEERS_EXAMPLES = """\b
Examples:
  ots server peers
  ots server peers --listen 192.0.2.7:8080 --workers 4
  ots server peers --listen '[::]:80' --listen-tls '[::]:443' --cert cert.pem --key key.pem
"""


@click.command(
    "peers",
    help=_("Serve speed tests: of OTS, LibreSpeed, ndt7 and Speedtest Mini. Ends with Ctrl-C or SIGTERM.")
    + "\n\n"
    + _PEERS_EXAMPLES,
)
@click.option(
    "--listen", multiple=True, metavar="HOST:PORT", help=_("Serve HTTP here (127.0.0.1:8080); repeatable.")
)
@click.option("--listen-tls", multiple=True, metavar="HOST:PORT", help=_("Serve HTTPS here; repeatable."))
@click.option(
    "--cert",
    type=click.Path(exists=True, dir_okay=False),
    help=_("The server's certificate and what it hangs on, as PEM; without it, one that nobody trusts."),
)
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help=_("The certificate's key, as PEM."))
@click.option(
    "--workers", type=click.IntRange(1, 64), help=_("Processes that serve (one for each processor).")
)
@click.option(
    "--name",
    default="OTS test server",
    show_default=True,
    metavar="TEXT",
    help=_("How the server calls itself."),
)
@click.option(
    "--slots", type=click.IntRange(1, 1024), default=8, show_default=True, help=_("Tests at the same time.")
)
@click.option(
    "--slots-per-client",
    type=click.IntRange(1, 1024),
    default=2,
    show_default=True,
    help=_("Tests at the same time from one address."),
)
@click.option(
    "--connections",
    type=click.IntRange(1, 65535),
    default=2000,
    show_default=True,
    help=_("Connections of one process."),
)
@click.option(
    "--connections-per-client",
    type=click.IntRange(1, 65535),
    default=64,
    show_default=True,
    help=_("Connections from one address."),
)
@click.option(
    "--header-seconds",
    type=click.FloatRange(1, 3600),
    default=10.0,
    show_default=True,
    help=_("The longest that a request's header, or a pause between requests, may take."),
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    help=_("The longest a transfer, or a place, may last."),
)
@click.option(
    "--max-bytes",
    type=click.IntRange(1, 1 << 40),
    default=1 << 40,
    show_default=True,
    help=_("The largest a transfer may be."),
)
@json_option
def peers_command(
    listen: tuple[str, ...],
    listen_tls: tuple[str, ...],
    cert: str | None,
    key: str | None,
    workers: int | None,
    name: str,
    slots: int,
    slots_per_client: int,
    connections: int,
    connections_per_client: int,
    header_seconds: float,
    max_seconds: float,
    max_bytes: int,
    as_json: bool,
) -> int:
    from ots.server.listening import CannotServe, Place
    from ots.server.peers.limits import Limits
    from ots.server.peers.service import default_workers, run
    from ots.server.peers.workers import WorkersFailed

    if key is not None and cert is None:
        raise CommandError(_("--key needs --cert"))
    places = [Place(*address_of(text)) for text in listen or (() if listen_tls else ("127.0.0.1:8080",))]
    places += [Place(*address_of(text), tls=True) for text in listen_tls]
    count = workers or default_workers()
    limits = Limits(
        connections=connections,
        connections_per_client=connections_per_client,
        header_seconds=header_seconds,
        max_seconds=max_seconds,
        max_bytes=max_bytes,
        slots=slots,
        slots_per_client=slots_per_client,
    )

    def ready(taken: list[Place]) -> None:
        if as_json:
            print_json({"name": name, "workers": count, "urls": [place.url for place in taken]})
            return
        for place in taken:
            click.echo(_("listening on {url}, {count} processes").format(url=place.url, count=count))

    try:
        run(places, count, limits, name=name, cert=cert, key=key, ready=ready)
    except (CannotServe, WorkersFailed) as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
    return exit_codes.PASS
