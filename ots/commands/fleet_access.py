"""How the commands of `ots fleet` reach a server, which agents they mean, and what can go wrong there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ots.commands import exit_codes
from ots.commands.kind import SecretPlace
from ots.commands.output import CommandError
from ots.i18n import _

if TYPE_CHECKING:
    from ots.remote.manager import Manager

Command = TypeVar("Command", bound=Callable[..., Any])

_KINDS = {"tag": "tags", "agent": "agents", "department": "departments", "project": "projects"}
_MAX_CA = 1 << 20


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server is and where the token lies."""

    server: str | None
    token_from: str
    ca: Path | None
    plain_http: bool

    def manager(self) -> Manager:
        """The way to the server. Raises CommandError."""
        from ots.remote.client import AddressError, check_address
        from ots.remote.manager import Manager

        address = self.server or os.environ.get("OTS_SERVER")
        if not address:
            raise CommandError(_("no server is named"), remedy=_("export OTS_SERVER=https://…, or --server"))
        try:
            url = check_address(address, plain_http=self.plain_http)
        except AddressError as error:
            raise CommandError(str(error), remedy=error.remedy) from None
        return Manager(url, self._token(), ca=None if self.ca is None else _pem(self.ca))

    def _token(self) -> str:
        from ots.config import settings
        from ots.config.secret import SecretError

        try:
            return settings().secret(self.token_from).strip()
        except SecretError as error:
            raise CommandError(str(error), remedy=_("an API token: export OTS_TOKEN=…")) from None


class OnType(click.ParamType[tuple[str, str]]):
    """`tag=north`, `agent=…`, `department=…`, `project=…`, or `all`."""

    name = "selector"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        kind, separator, text = str(value).partition("=")
        if str(value) == "all":
            return "all", ""
        if not separator or kind not in _KINDS or not text:
            self.fail(_("{value!r} names no agents").format(value=str(value)[:60]), param, ctx)
        return _KINDS[kind], text


def on_option(required: bool = True) -> Callable[[Command], Command]:
    """Adds `--on`, which the command gets as pairs of a kind and a text."""
    return click.option(
        "--on",
        type=OnType(),
        multiple=True,
        required=required,
        metavar="tag=…|agent=…|department=…|project=…|all",
        help=_("Which agents; of one kind any may fit, of different kinds each must. Repeatable."),
    )


def access_options(command: Command) -> Command:
    """Adds the options that every command of the fleet has; the command gets them for `Access`."""
    for option in (
        click.option("--plain-http", is_flag=True, help=_("Allow http:// to another machine.")),
        click.option(
            "--ca",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help=_("Trust only the authorities in this file (PEM), not the system's."),
        ),
        click.option(
            "--token-from",
            type=SecretPlace(),
            default="env:OTS_TOKEN",
            show_default=True,
            help=_("Where the API token lies: env:NAME, file:PATH or prompt."),
        ),
        click.option("--server", metavar="URL", help=_("The server's address (OTS_SERVER).")),
    ):
        command = option(command)
    return command


def choice(on: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """What `--on` means, as the interface takes it. Raises CommandError."""
    if ("all", "") in on:
        if len(on) > 1:
            raise CommandError(_("--on all goes with no other --on"))
        return {"everything": True}
    chosen: dict[str, Any] = {}
    for kind, text in on:
        chosen.setdefault(kind, []).append(text)
    return chosen


def fits(agent: dict[str, Any], chosen: dict[str, Any]) -> bool:
    """Whether an agent, as the server shows it, is meant."""
    named = {agent["agent_id"], agent["name"]}
    return (
        ("agents" not in chosen or bool(named & set(chosen["agents"])))
        and ("tags" not in chosen or bool(set(agent["tags"]) & set(chosen["tags"])))
        and ("departments" not in chosen or agent["department"] in chosen["departments"])
        and ("projects" not in chosen or agent["project"] in chosen["projects"])
    )


async def chosen_agents(manager: Manager, on: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    """The agents that `--on` means, all where nothing is said, as the server shows them."""
    chosen = choice(on)
    return [agent async for agent in manager.items("/agents") if fits(agent, chosen)]


@contextmanager
def server_faults() -> Iterator[None]:
    """What a server refuses, in words and exit codes."""
    from ots.remote.client import Refused

    try:
        yield
    except Refused as refused:
        answered = refused.decision != "retry"
        code = exit_codes.FAIL if answered else exit_codes.ERROR
        if refused.code == "licence-required":
            code = exit_codes.LICENCE_REFUSED
        raise CommandError(
            _("{reason} ({code})").format(reason=refused, code=refused.code),
            exit_code=code,
            remedy=_remedy(refused.code),
        ) from None


def _remedy(code: str) -> str | None:
    if code == "login-required":
        return _("make an API token on the server, and export OTS_TOKEN=…")
    if code == "forbidden":
        return _("a token of somebody with the role operator or manager may do this")
    if code in ("unreachable", "timeout"):
        return _("check the address and the network, and try again")
    return None


def _pem(path: Path) -> str:
    try:
        with path.open("r", encoding="ascii") as file:
            return file.read(_MAX_CA)
    except (OSError, UnicodeDecodeError):
        raise CommandError(_("the file of --ca holds no certificate")) from None
