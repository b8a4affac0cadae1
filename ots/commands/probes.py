"""`ots probes`: which kinds of measurement there are, and everything one of them declares."""

from __future__ import annotations

import shutil
from typing import Any

import click

from ots.commands.columns import in_columns
from ots.commands.output import CommandError, json_option, print_json
from ots.i18n import _
from ots.probe import Probe
from ots.registry import BrokenProbe, kinds


@click.group("probes", help=_("The kinds of measurement: list them, or show one with its parameters."))
def command() -> None:
    pass


@command.command("list", help=_("List every kind, third-party and broken ones too."))
@json_option
def list_probes(as_json: bool) -> None:
    known = kinds()
    broken = known.broken()
    rows = [
        {
            "kind": probe.kind,
            "version": probe.version,
            "from": known.origin(probe.kind).distribution,
            "summary": probe.summary,
            "exclusive": probe.exclusive,
            "targets": probe.targets.describe(),
            "available": not any(requirement.missing() for requirement in probe.requires),
        }
        for probe in known.usable()
    ]
    if as_json:
        print_json({"probes": rows, "broken": broken})
        return
    for row in rows:
        origin = "" if row["from"] == "built-in" else f"   ({row['from']})"
        click.echo(f"{row['kind']:<16} {_(str(row['summary']))}{origin}")
    for kind, reason in broken.items():
        click.echo(f"{kind:<16} " + _("broken: {reason}").format(reason=reason))


@command.command("show", help=_("Show a kind: parameters with defaults and ranges, metrics, requirements."))
@click.argument("kind")
@json_option
def show_probe(kind: str, as_json: bool) -> None:
    known = kinds()
    name = kind.replace("-", "_")
    if name not in known:
        raise CommandError(_("no probe {name!r}").format(name=kind), remedy=_("see ots probes list"))
    try:
        document = describe(known[name])
    except BrokenProbe as error:
        raise CommandError(str(error)) from None
    if as_json:
        print_json(document)
        return
    click.echo(f"{document['kind']} v{document['version']}   {_(document['summary'])}")
    click.echo(f"{_('target')}: {_(document['targets'])}   {_('exclusive')}: {document['exclusive']}")
    params = [
        (param["name"], param["type"], param["default"] or "–", _(param["help"]))
        for param in document["params"]
    ]
    metrics = [
        (metric["key"], f"{_(metric['title'])} [{metric['unit']}]", ", ".join(metric["stats"]))
        for metric in document["metrics"]
    ]
    width = shutil.get_terminal_size((100, 24)).columns
    for title, rows, widest in ((_("Parameters"), params, 22), (_("Metrics"), metrics, 32)):
        click.echo(f"\n{title}")
        for line in in_columns(rows, width, widest=widest):
            click.echo(line)
    for requirement in document["requires"]:
        state = requirement["missing"] or _("there")
        click.echo(f"\n{_('Needs')} {requirement['name']}: {state}")
        if requirement["missing"]:
            click.echo(f"  → {requirement['remedy']}")


def describe(probe: Probe) -> dict[str, Any]:
    """Everything that a probe declares, as `ots probes show`, the reference and the tests see it."""
    from ots.schema.quantity import kind_of, written

    schema = probe.Params.model_json_schema()
    return {
        "kind": probe.kind,
        "version": probe.version,
        "summary": probe.summary,
        "targets": probe.targets.describe(),
        "many_targets": probe.targets.many,
        "exclusive": probe.exclusive,
        "params": [
            {
                "name": name,
                "type": kind_of(field),
                "default": written(field),
                "required": field.is_required(),
                "help": field.description or "",
            }
            for name, field in probe.Params.model_fields.items()
        ],
        "params_schema": schema,
        "metrics": [
            {
                "key": metric.key,
                "unit": metric.unit,
                "type": metric.type,
                "stats": list(metric.stats),
                "better": metric.better,
                "title": metric.title,
                "definition": metric.definition,
                "source": metric.source,
            }
            for metric in probe.metrics
        ],
        "requires": [
            {
                "lack": requirement.lack,
                "name": requirement.name,
                "missing": requirement.missing(),
                "remedy": requirement.remedy,
            }
            for requirement in probe.requires
        ],
    }
