"""`ots targets`: named lists of targets, for `ots ping @core` and for cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands.case_errors import case_errors, problem_document
from ots.commands.columns import cells, padded
from ots.commands.output import CommandError, json_option, print_json
from ots.config.place import target_files
from ots.i18n import _, ngettext

if TYPE_CHECKING:
    from ots.schema.target_list import Lists, TargetList
    from ots.strictyaml import Problem

_EXAMPLES = """\b
Examples:
  ots targets add core 192.0.2.1 192.0.2.2
  ots ping @core
  ots targets add backbone @core 198.51.100.7
  ots targets import sites.txt --name sites
  ots targets export --output lists.yaml
"""
_SYSTEM = click.option("--system", is_flag=True, help=_("The lists of the whole machine, not your own."))
_MAX_BYTES = 1_000_000


class _Name(click.ParamType[str]):
    """The name of a list, with or without its `@`."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ots.schema.target_list import name_fault

        name = str(value).removeprefix("@")
        fault = name_fault(name)
        if fault is not None:
            self.fail(fault, param, ctx)
        return name


@click.group("targets", help=_("Named target lists: ots ping @core.") + "\n\n" + _EXAMPLES)
def command() -> None:
    pass


@command.command("list", help=_("The lists, how many targets each stands for, and where it is written."))
@json_option
def list_command(as_json: bool) -> None:
    with _faults():
        lists = _lists()
        rows = [_row(entry, lists) for entry in lists.values()]
    if as_json:
        print_json({"lists": rows})
    elif not rows:
        click.echo(_("no target lists yet: ots targets add NAME TARGET…"), err=True)
    else:
        width = max(cells(row["name"]) for row in rows)
        for row in rows:
            number = row["targets"]
            what = (
                row["problem"]
                if number is None
                else ngettext("{n} target", "{n} targets", number).format(n=number)
            )
            click.echo(f"@{padded(row['name'], width)}  {what}   {row['path']}:{row['line']}")


@command.command("show", help=_("The targets of one list, and which probes can measure them all."))
@click.argument("name", type=_Name())
@json_option
def show_command(name: str, as_json: bool) -> None:
    from ots.schema.target_list import members_of

    with _faults():
        lists = _lists()
        found = members_of(name, lists)
    probes = [kind for kind in _fitting(found[0].text) if all(kind in _fitting(one.text) for one in found)]
    if as_json:
        entry = lists[name]
        print_json(
            {
                "name": name,
                "path": entry.source,
                "line": entry.mark.line,
                "members": [member.text for member in entry.members],
                "targets": [{"target": member.text, "place": member.place} for member in found],
                "probes": probes,
            }
        )
        return
    width = max(cells(member.text) for member in found)
    for member in found:
        click.echo(f"{padded(member.text, width)}  {click.style(member.place, dim=True)}")
    fit = ", ".join(probes) if probes else _("no probe takes all of them")
    click.echo(_("for: {probes}").format(probes=fit))


@command.command("add", help=_("Add targets to a list, which is made if there is none."))
@click.argument("name", type=_Name())
@click.argument("targets", nargs=-1, required=True, metavar="TARGET…")
@_SYSTEM
@json_option
def add_command(name: str, targets: tuple[str, ...], system: bool, as_json: bool) -> None:
    with _faults():
        own = _texts(_written(system))
        _check(targets)
        new = [text for text in dict.fromkeys(targets) if text not in own.get(name, [])]
        _write(system, {name: [*own.get(name, []), *new]})
    if as_json:
        print_json({"path": str(_file(system)), "name": name, "added": new})
    else:
        number = len(own.get(name, [])) + len(new)
        known = ngettext("{n} entry", "{n} entries", number).format(n=number)
        click.echo(f"@{name}   {known}   {_file(system)}")


@command.command("remove", help=_("Take targets out of a list, or the whole list away."))
@click.argument("name", type=_Name())
@click.argument("targets", nargs=-1, metavar="TARGET…")
@_SYSTEM
@json_option
def remove_command(name: str, targets: tuple[str, ...], system: bool, as_json: bool) -> None:
    with _faults():
        own = _texts(_written(system))
        if name not in own:
            raise CommandError(
                _("there is no list @{name} in {path}").format(name=name, path=_file(system)),
                remedy=_("ots targets list shows what there is"),
            )
        strangers = [text for text in targets if text not in own[name]]
        if strangers:
            raise CommandError(
                _("not in @{name}: {targets}").format(name=name, targets=" ".join(strangers)),
                remedy=_("ots targets show {name} shows what is").format(name=name),
            )
        left = [text for text in own[name] if text not in targets] if targets else []
        _write(system, {name: left})
    removed = list(targets) or own[name]
    if as_json:
        print_json({"path": str(_file(system)), "name": name, "removed": removed, "left": left})
    elif left:
        number = len(left)
        known = ngettext("{n} entry", "{n} entries", number).format(n=number)
        click.echo(f"@{name}   {known}   {_file(system)}")
    else:
        click.echo(_("@{name} is gone").format(name=name))


@command.command(
    "import",
    help=_("Take lists over from a file: YAML as export writes it, or with --name one target a line."),
)
@click.argument("file", type=click.File("rb"), metavar="FILE")
@click.option("--name", type=_Name(), help=_("The file has one target a line; they become this list."))
@click.option("--replace", is_flag=True, help=_("Replace lists that exist and differ."))
@_SYSTEM
@json_option
def import_command(file: Any, name: str | None, replace: bool, system: bool, as_json: bool) -> None:
    from ots.schema.target_list import read_lines, read_lists
    from ots.strictyaml import YamlError

    source, content = getattr(file, "name", "-"), file.read(_MAX_BYTES + 1)
    with _faults():
        try:
            read = read_lists(content, source) if name is None else read_lines(content, source, name)
        except YamlError as error:
            raise _broken(error.problems) from None
        given, own = _texts(read), _texts(_written(system))
        _check([text for members in given.values() for text in members])
        other = [known for known, members in given.items() if own.get(known, members) != members]
        if other and not replace:
            raise CommandError(
                _("these exist with other targets: {names}").format(names=" ".join("@" + it for it in other)),
                remedy=_("--replace puts the file's in their place"),
            )
        _write(system, given)
    if as_json:
        print_json({"path": str(_file(system)), "lists": given, "replaced": other})
    else:
        for known, members in given.items():
            number = ngettext("{n} entry", "{n} entries", len(members)).format(n=len(members))
            click.echo(f"@{known}   {number}   {_file(system)}")


@command.command("export", help=_("Write lists, and those that they name, as one YAML file."))
@click.argument("names", type=_Name(), nargs=-1, metavar="[NAME]…")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(("yaml", "text")),
    default="yaml",
    show_default=True,
    help=_("text: one target a line, lists opened."),
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help=_("File instead of stdout."))
@json_option
def export_command(names: tuple[str, ...], format_name: str, output: Path | None, as_json: bool) -> None:
    from ots.commands.showing import deliver
    from ots.schema.target_list import members_of, with_inner
    from ots.session.target_edit import as_yaml

    with _faults():
        lists = _lists()
        wanted = list(names or lists)
        opened = {member.text: None for name in wanted for member in members_of(name, lists)}
        chosen = _texts({name: lists[name] for name in with_inner(wanted, lists)})
    if as_json and output is None:
        print_json({"lists": chosen, "targets": list(opened)})
        return
    text = as_yaml(chosen) if format_name == "yaml" else "".join(f"{target}\n" for target in opened)
    deliver(text or "# no lists\n", output)
    if output is not None:
        if as_json:
            print_json({"lists": list(chosen), "path": str(output)})
        else:
            click.echo(output)


def _lists() -> Lists:
    from ots.session.target_lists import OwnLists

    return OwnLists()


def _file(system: bool) -> Path:
    return target_files()[0 if system else 1]


def _written(system: bool) -> Lists:
    from ots.session.target_lists import read_file

    return read_file(_file(system))


def _texts(lists: Mapping[str, TargetList]) -> dict[str, list[str]]:
    return {name: [member.text for member in entry.members] for name, entry in lists.items()}


def _row(entry: TargetList, lists: Lists) -> dict[str, Any]:
    """One list as JSON; `targets` is null where it can't be opened, and `problem` says why."""
    from ots.schema.target_list import ListError, members_of

    row: dict[str, Any] = {"name": entry.name, "path": entry.source, "line": entry.mark.line}
    try:
        return {**row, "targets": len(members_of(entry.name, lists)), "problem": None}
    except ListError as error:
        return {**row, "targets": None, "problem": str(error)}


def _fitting(text: str) -> list[str]:
    """The probes whose grammar has this target."""
    from ots.registry import kinds
    from ots.schema.target import TargetError

    found = []
    for probe in kinds().usable():
        try:
            probe.targets.parse(text)
        except TargetError:
            continue
        found.append(probe.kind)
    return found


def _check(texts: tuple[str, ...] | list[str]) -> None:
    """Refuses what no probe here could ever measure."""
    from ots.registry import kinds
    from ots.schema.target import TargetError
    from ots.schema.target_list import member_fault

    for text in texts:
        fault = member_fault(text)
        if fault is not None:
            raise CommandError(fault)
        if not text.startswith("@") and not _fitting(text):
            try:
                kinds()["ping"].targets.parse(text)
            except TargetError as error:
                raise CommandError(_("no probe takes this target: {why}").format(why=error)) from None


def _write(system: bool, changed: Mapping[str, list[str]]) -> None:
    """Writes the lists if these, and all that could be opened before, can be opened then."""
    from ots.schema.target_list import ListError, members_of, with_texts
    from ots.session.target_edit import CannotChange, change
    from ots.session.target_lists import read_file

    files = {path: read_file(path) for path in target_files()}
    before = {name: entry for lists in files.values() for name, entry in lists.items()}
    files[_file(system)] = with_texts(files[_file(system)], changed, str(_file(system)))
    after = {name: entry for lists in files.values() for name, entry in lists.items()}
    for name in after:
        try:
            members_of(name, after)
        except ListError as error:
            if name in changed or _opens(name, before):
                raise CommandError(str(error), remedy=_("nothing was changed")) from None
    try:
        change(_file(system), changed)
    except CannotChange as error:
        raise CommandError(str(error), remedy=error.remedy) from None


def _opens(name: str, lists: Lists) -> bool:
    from ots.schema.target_list import ListError, members_of

    try:
        members_of(name, lists)
    except ListError:
        return False
    return True


def _broken(problems: tuple[Problem, ...]) -> CommandError:
    return CommandError(
        "\n".join(map(str, problems)), details=[problem_document(problem) for problem in problems]
    )


@contextmanager
def _faults() -> Iterator[None]:
    """What is wrong with a file or a list as the command line says it."""
    from ots.schema.target_list import ListError

    with case_errors():
        try:
            yield
        except ListError as error:
            raise CommandError(str(error)) from None
