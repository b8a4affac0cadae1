"""`ots content`: publish signed cases, server lists and licence keys. For a manager's machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ots.commands import exit_codes
from ots.commands.kind import SecretPlace
from ots.commands.output import CommandError, json_option, print_json
from ots.i18n import _

if TYPE_CHECKING:
    from ots.content.repository import Repository

_EXAMPLES = """\b
Examples:
  ots content init --passphrase-from prompt
  ots content publish office.yaml --passphrase-from prompt
  ots content push https://ots.example --token-from file:/root/api-token
  ots content list
"""
_ROLES = ("targets", "cases", "servers", "licences")

_folder = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="OTS_CONTENT",
    help=_("The repository ($OTS_CONTENT, or content-repository in your data folder)."),
)
_passphrase = click.option(
    "--passphrase-from",
    "passphrase",
    type=SecretPlace(),
    help=_("Where the passphrase of the keys lies: env:NAME, file:PATH or prompt."),
)
_server_key = click.option(
    "--online-key", metavar="KEY", help=_("The server's public key: ots server content key shows it.")
)


@click.group("content", help=_("Publish signed cases, server lists and licence keys.") + "\n\n" + _EXAMPLES)
def command() -> None:
    pass


@command.command("init", help=_("Make a repository and its keys."))
@_folder
@_passphrase
@_server_key
@json_option
def init_command(folder: Path | None, passphrase: str | None, online_key: str | None, as_json: bool) -> None:
    from ots.content.repository import Repository

    place = _place(folder)
    with _faults():
        repository = Repository.create(place, _secret(passphrase), _public(online_key))
    if as_json:
        print_json(
            {"folder": str(place), "public": str(repository.public), "online_key_here": not online_key}
        )
        return
    click.echo(_("{folder} is made; its keys lie in {keys}").format(folder=place, keys=place / "keys"))
    root = repository.public / "metadata" / "1.root.json"
    click.echo(_("agents of a static host are given {root}").format(root=root))


@command.command("publish", help=_("Sign cases, a server list or licence keys; each case is checked first."))
@click.argument("cases", nargs=-1, metavar="[CASE]…")
@click.option(
    "--servers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("The list of speed test servers (YAML or JSON)."),
)
@click.option(
    "--licences",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("Licence issuers' keys and revocation lists (JSON)."),
)
@_folder
@_passphrase
@json_option
def publish_command(
    cases: tuple[str, ...],
    servers: Path | None,
    licences: Path | None,
    folder: Path | None,
    passphrase: str | None,
    as_json: bool,
) -> None:
    if not cases and servers is None and licences is None:
        raise CommandError(_("nothing to publish"), remedy=_("name cases, --servers or --licences"))
    checked = [_checked(name) for name in cases]
    with _faults():
        repository = _open(folder, passphrase)
        done = []
        for text, name, title, heavy in checked:
            new = repository.publish_case(name, text, title=title, heavy=heavy)
            done.append({"published": str(name), "new": new, "heavy": heavy})
        if servers is not None:
            repository.publish_servers(_servers(servers))
            done.append({"published": "servers", "new": True, "heavy": False})
        if licences is not None:
            repository.publish_licences(*_licences(licences))
            done.append({"published": "licences", "new": True, "heavy": False})
    if as_json:
        print_json({"folder": str(repository.folder), "published": done})
        return
    for one in done:
        click.echo(f"{one['published']}   " + (_("published") if one["new"] else _("is published already")))
    _say_next(repository)


@command.command("list", help=_("What is published, and until when each signature is good."))
@_folder
@json_option
def list_command(folder: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from tuf.api.metadata import Timestamp

    from ots.content.online import read, read_snapshot

    with _faults():
        repository = _open(folder, None)
        roles: list[dict[str, Any]] = [_dated("root", repository.root().signed)]
        roles += [_dated(role, repository.role(role)) for role in _ROLES]
        snapshot = read_snapshot(repository.public)
        if snapshot is not None:
            timestamp = read(repository.public, "timestamp.json", Timestamp).signed
            roles += [_dated("snapshot", snapshot.signed), _dated("timestamp", timestamp)]
        published = repository.published()
    if as_json:
        print_json({"roles": roles, "published": [asdict(one) for one in published]})
        return
    for role in roles:
        click.echo(
            f"{role['role']:<10} v{role['version']:<5} " + _("good until {when}").format(when=role["expires"])
        )
    for one in published:
        state = _("withdrawn") if one.withdrawn else _("heavy") if one.heavy else ""
        click.echo(f"{one.path:<40} {one.bytes:>8} B  {one.sha256[:12]}  {one.title}  {state}".rstrip())


@command.command("withdraw", help=_("Take a published version of a case from the agents."))
@click.argument("case")
@click.argument("version", type=click.IntRange(1))
@_folder
@_passphrase
@json_option
def withdraw_command(
    case: str, version: int, folder: Path | None, passphrase: str | None, as_json: bool
) -> None:
    from ots.content.layout import CaseName

    name = CaseName(case, version)
    with _faults():
        repository = _open(folder, passphrase)
        repository.withdraw_case(name)
    if as_json:
        print_json({"withdrawn": str(name)})
        return
    click.echo(_("{case} is withdrawn").format(case=name))
    _say_next(repository)


@command.command(
    "renew",
    help=_("Sign again what would expire: these roles, or snapshot and timestamp if the key is here."),
)
@click.argument("roles", nargs=-1, type=click.Choice(("root", *_ROLES)), metavar="[ROLE]…")
@_folder
@_passphrase
@json_option
def renew_command(roles: tuple[str, ...], folder: Path | None, passphrase: str | None, as_json: bool) -> None:
    with _faults():
        repository = _open(folder, passphrase)
        if roles:
            repository.renew(roles)
        elif not repository.freshen():
            raise CommandError(
                _("the key for snapshot and timestamp is not here"),
                remedy=_("the server renews them by itself; or name roles: ots content renew cases"),
            )
    renewed = list(roles) or ["snapshot", "timestamp"]
    if as_json:
        print_json({"renewed": renewed})
        return
    click.echo(_("renewed: {roles}").format(roles=", ".join(renewed)))
    _say_next(repository)


@command.command("push", help=_("Send what is new to a server, which verifies and serves it."))
@click.argument("url", metavar="URL")
@click.option(
    "--token-from",
    type=SecretPlace(),
    required=True,
    help=_("Where a manager's API token lies: env:NAME, file:PATH or prompt."),
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=_("Trust only the authorities in this file (PEM), not the system's."),
)
@click.option("--plain-http", is_flag=True, help=_("Allow http:// to another machine."))
@_folder
@json_option
def push_command(
    url: str, token_from: str, ca: Path | None, plain_http: bool, folder: Path | None, as_json: bool
) -> None:
    from ots.content.online import Unserveable
    from ots.remote.client import AddressError, Refused, check_address
    from ots.remote.content_push import push

    with _faults():
        repository = _open(folder, None)
        try:
            address = check_address(url, plain_http=plain_http)
            authority = None if ca is None else ca.read_text("ascii")
            versions = asyncio.run(push(repository.public, address, _secret(token_from) or "", authority))
        except AddressError as error:
            raise CommandError(str(error), remedy=error.remedy) from None
        except (Refused, Unserveable) as refusal:
            raise CommandError(str(refusal), exit_code=exit_codes.FAIL) from None
    if as_json:
        print_json({"url": address, "versions": versions})
        return
    shown = ", ".join(f"{role} v{version}" for role, version in versions.items())
    click.echo(_("{url} serves {versions}").format(url=address, versions=shown))


@click.group("keys", help=_("The keys of a repository: list them, give a role a new one."))
def _keys_group() -> None:
    pass


@_keys_group.command("list", help=_("Which key signs for which role, and which of them lie here."))
@_folder
@json_option
def keys_list_command(folder: Path | None, as_json: bool) -> None:
    with _faults():
        repository = _open(folder, None)
        root = repository.root().signed
        delegations = repository.role("targets").delegations
    known = {role: entry.keyids for role, entry in root.roles.items()}
    known |= (
        {} if delegations is None else {role: one.keyids for role, one in (delegations.roles or {}).items()}
    )
    rows = [
        {"role": role, "key_ids": list(key_ids), "here": _key_file(repository, role).exists()}
        for role, key_ids in known.items()
    ]
    if as_json:
        print_json({"keys": rows})
        return
    for role, key_ids in known.items():
        path = _key_file(repository, role)
        here = str(path) if path.exists() else _("elsewhere")
        click.echo(f"{role:<10} {', '.join(key[:16] for key in key_ids)}   {here}")


@_keys_group.command(
    "rotate", help=_("Give a role a new key; what the old one signs is refused from then on.")
)
@click.argument("role", type=click.Choice(("root", *_ROLES, "online")))
@_folder
@_passphrase
@_server_key
@json_option
def keys_rotate_command(
    role: str, folder: Path | None, passphrase: str | None, online_key: str | None, as_json: bool
) -> None:
    if online_key is not None and role != "online":
        raise CommandError(_("--online-key goes with the role online"))
    with _faults():
        repository = _open(folder, passphrase)
        repository.rotate(role, _public(online_key))
    if as_json:
        print_json({"rotated": role})
        return
    click.echo(_("{role} has a new key").format(role=role))
    _say_next(repository)


command.add_command(_keys_group)


def _place(folder: Path | None) -> Path:
    from ots.config.place import user_data_dir

    return (folder or user_data_dir() / "content-repository").expanduser().absolute()


def _open(folder: Path | None, passphrase: str | None) -> Repository:
    from ots.content.repository import Repository

    return Repository(_place(folder), _secret(passphrase))


def _key_file(repository: Repository, role: str) -> Path:
    return repository.folder / "keys" / f"{'online' if role in ('snapshot', 'timestamp') else role}.pem"


def _secret(place: str | None) -> str | None:
    from ots.config import settings
    from ots.config.secret import SecretError

    if place is None:
        return None
    try:
        return settings().secret(place).strip()
    except SecretError as error:
        raise CommandError(str(error), remedy=error.remedy) from None


def _public(text: str | None) -> Any:
    from ots.signing.keys import read_public

    try:
        return None if text is None else read_public(text)
    except ValueError:
        raise CommandError(
            _("a public key is 43 characters of base64url"), remedy=_("ots server content key shows it")
        ) from None


def _checked(name: str) -> tuple[bytes, Any, str, bool]:
    """A case as `ots cases check` checks it: its bytes, its name, its title and whether it is heavy."""
    from ots.commands.case_errors import case_errors
    from ots.commands.case_view import title
    from ots.commands.cases import load_named
    from ots.content.layout import MAX_CASE, CaseName
    from ots.session.find_case import read_case
    from ots.session.prepare import loads_the_link

    with case_errors():
        case = load_named(name, {})
        text = read_case(name)[0].encode("utf-8", "surrogateescape")
    if case.version is None:
        raise CommandError(_("{case} has no version, and what is published needs one").format(case=name))
    if len(text) > MAX_CASE:
        raise CommandError(_("{case} is larger than {limit} B").format(case=name, limit=MAX_CASE))
    return text, CaseName(case.id, case.version), title(case, "en")[:200], loads_the_link(case)


def _servers(path: Path) -> bytes:
    from ots.content.layout import MAX_SERVERS
    from ots.netio.speed.server_list import BadList, parse

    with path.open("rb") as file:
        data = file.read(MAX_SERVERS + 1)
    try:
        found = parse(data, str(path))
    except BadList as error:
        raise CommandError(str(error)) from None
    if not found.servers:
        raise CommandError(_("{path} names no server").format(path=path))
    return data


def _licences(path: Path) -> tuple[list[str], list[str]]:
    from ots.content.layout import MAX_LICENCES
    from ots.license.installed import issuer_keys, signed_revocations
    from ots.remote.licence_content import read_document

    with path.open("rb") as file:
        data = file.read(MAX_LICENCES + 1)
    try:
        document = read_document(data)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None
    known = issuer_keys(document.issuers)
    for text in document.revocations:
        if signed_revocations(text, known) is None:
            raise CommandError(
                _("{path}: none of its issuers signed a revocation list in it").format(path=path)
            )
    return document.issuers, document.revocations


def _dated(role: str, part: Any) -> dict[str, Any]:
    return {"role": role, "version": part.version, "expires": part.expires.isoformat()[:19] + "Z"}


def _say_next(repository: Repository) -> None:
    if repository.has_online_key:
        click.echo("  → " + _("copy {public} to where it is served").format(public=repository.public))
    else:
        click.echo("  → " + _("send it to the server: ots content push URL --token-from PLACE"))


@contextmanager
def _faults() -> Iterator[None]:
    from ots.content.online import Unserveable
    from ots.content.repository import PublishingError
    from ots.signing.keys import UnusableKey

    try:
        yield
    except (PublishingError, UnusableKey) as error:
        raise CommandError(str(error), remedy=error.remedy) from None
    except Unserveable as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(
            _("the repository can't be used: {why}").format(why=error.strerror or error),
            exit_code=exit_codes.NOT_WRITTEN,
        ) from None
