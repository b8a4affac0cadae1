"""`ots server probe`: a target's figures for Prometheus, in the place of a blackbox_exporter."""

from __future__ import annotations

from pathlib import Path

import click

from ots.commands import exit_codes
from ots.commands.case_errors import problem_document
from ots.commands.listen import address_of
from ots.commands.output import CommandError, json_option, print_json
from ots.i18n import _

_EXAMPLES = """\b
Examples:
  ots server probe --config blackbox.yml --allow allow.yml
  ots server probe --config blackbox.yml --allow allow.yml --listen 192.0.2.7:9115
"""


@click.command(
    "probe",
    help=_(
        "Serve /probe and /metrics to Prometheus, with the modules of a file written for blackbox_exporter. "
        "SIGHUP reads the files again; ends with Ctrl-C or SIGTERM."
    )
    + "\n\n"
    + _EXAMPLES,
)
@click.option(
    "--config",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("The modules: how to probe."),
)
@click.option(
    "--allow",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("What may be probed: names, networks and ports. Nothing else is."),
)
@click.option(
    "--listen",
    default="127.0.0.1:9115",
    show_default=True,
    metavar="HOST:PORT",
    help=_("Serve HTTP here."),
)
@click.option(
    "--limit",
    type=click.IntRange(1, 50_000),
    default=1000,
    show_default=True,
    help=_("Probes at the same time, at most."),
)
@json_option
def probe_command(config: Path, allow: Path, listen: str, limit: int, as_json: bool) -> int:
    import asyncio

    from ots.probe import Failed
    from ots.server.listening import CannotServe, Place, bound, taken
    from ots.strictyaml import YamlError

    try:
        from ots.server.prometheus.service import serve
    except ModuleNotFoundError as error:
        raise CommandError(
            _("{module} is missing").format(module=error.name),
            remedy="pip install 'ots-toolkit[server]'",
            exit_code=exit_codes.INTERNAL,
        ) from None

    place = Place(*address_of(listen))
    try:
        with bound(place) as listener:
            (taken_place,) = taken([place], [listener])

            def ready() -> None:
                if as_json:
                    print_json({"url": taken_place.url})
                else:
                    click.echo(_("listening on {url}").format(url=taken_place.url))

            asyncio.run(serve(listener, config, allow, limit=limit, ready=ready))
    except CannotServe as error:
        raise CommandError(str(error), exit_code=exit_codes.INTERNAL) from None
    except OSError as error:
        raise CommandError(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")) from None
    except YamlError as error:
        raise CommandError(
            str(error), details=[problem_document(problem) for problem in error.problems]
        ) from None
    except Failed as failure:
        raise CommandError(failure.error.message, exit_code=exit_codes.INTERNAL) from None
    return exit_codes.PASS
