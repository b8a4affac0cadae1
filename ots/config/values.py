"""The settings with their types, units, defaults and help: the one place where each is described."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from ots import __version__
from ots.config import agent
from ots.config.layers import SettingsError, Stated, gather
from ots.config.place import default_data_dir
from ots.config.secret import SecretStore
from ots.units import Dimension, UnitError, parse

_DEFAULT = "default"

OPEN_SECTIONS = frozenset({"budget", "features", "vars"})
"""Sections whose names are the user's."""


def _quantity(dimension: Dimension) -> BeforeValidator:
    def convert(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str):
            raise ValueError(f"{value!r} has no unit")
        try:
            return parse(value, dimension)
        except UnitError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(convert)


Seconds = Annotated[float, _quantity("duration"), Field(gt=0)]
Bytes = Annotated[float, _quantity("size"), Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobDefaults(_Section):
    """Whose work the reports are, where no option says otherwise."""

    id: Annotated[str | None, Field(description="Job number.")] = None
    customer: Annotated[str | None, Field(description="Who the work is for.")] = None
    site: Annotated[str | None, Field(description="Where it is done.")] = None
    engineer: Annotated[str | None, Field(description="Who does it.")] = None
    purpose: Annotated[str | None, Field(description="What for: acceptance, complaint, routine.")] = None
    plan: Annotated[str | None, Field(description="The test plan it belongs to.")] = None


class Retention(_Section):
    """How much is kept. What waits to be sent goes last."""

    max_size: Annotated[
        Bytes | None,
        Field(description="Most that all reports may take on disk, such as 2 GB; null: no limit."),
    ] = 2e9
    max_age: Annotated[
        Seconds | None, Field(description="How long a report is kept, such as 400 d; null: for ever.")
    ] = None


def _switch(value: object) -> object:
    """`on` and `off`, as people write a switch."""
    return {"on": True, "off": False, "true": True, "false": False}.get(str(value).lower(), value)


def _keys(value: object) -> object:
    """`ots config set` gives one text."""
    return [key for key in value.replace(",", " ").split() if key] if isinstance(value, str) else value


Switch = Annotated[bool, BeforeValidator(_switch)]


class License(_Section):
    """Whose licences count."""

    issuers: Annotated[
        tuple[str, ...],
        BeforeValidator(_keys),
        Field(description="Public keys of issuers, beside those that enrolment brought."),
    ] = ()


class Upload(_Section):
    """What goes to the server, and when; without an enrolment nothing does."""

    mode: Annotated[
        Literal["auto", "manual", "off"],
        Field(description="auto: every report goes to the server; manual: by ots report upload; off: none."),
    ] = "auto"
    position: Annotated[Switch, Field(description="Whether the position goes with a report.")] = True
    device: Annotated[Switch, Field(description="Whether its model and system go with a report.")] = True
    addresses: Annotated[
        Switch,
        Field(description="Whether this machine's addresses, gateway and name servers go with a report."),
    ] = True
    wait: Annotated[
        Seconds, Field(description="How long a run waits at its end until its report is sent, such as 10 s.")
    ] = 10.0
    max_size: Annotated[
        Bytes | None,
        Field(description="Most that may wait to be sent, such as 256 MiB; null: no limit."),
    ] = 268_435_456.0
    max_age: Annotated[
        Seconds | None, Field(description="How long a report waits to be sent, such as 30 d; null: for ever.")
    ] = 2_592_000.0


class Settings(_Section):
    """All settings. `origin` says where a value came from."""

    data_dir: Annotated[Path, Field(description="Where reports are kept.")] = Field(
        default_factory=default_data_dir
    )
    language: Annotated[
        Literal["en", "zh"] | None, Field(description="Language of what people read; null: the terminal's.")
    ] = None
    interface: Annotated[
        str | None, Field(description="Network interface to measure through, where a step names none.")
    ] = None
    job: JobDefaults = JobDefaults()
    retention: Retention = Retention()
    license: License = License()
    features: Annotated[
        dict[str, Switch], Field(description="Functions that are switched off here, such as ftp_upload: off.")
    ] = {}
    upload: Upload = Upload()
    budget: Annotated[
        dict[str, str],
        Field(
            description="Most that unattended runs may move over a link in a month, such as '5 GB from 15'."
        ),
    ] = {}
    vars: Annotated[dict[str, str], Field(description="Variables of cases.")] = {}

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _secrets: SecretStore = PrivateAttr(default_factory=SecretStore)

    def origin(self, name: str) -> str:
        """Where the value of a dotted name was stated: a file and its line, a variable, or `default`."""
        return self._origins.get(name, _DEFAULT)

    def agent(self) -> dict[str, Any]:
        """Who measures, as a report says it."""
        return {"agent_id": self.agent_id, "version": __version__}

    @property
    def agent_id(self) -> str:
        """The random UUID of this installation; made when it is first asked for."""
        return agent.agent_id(self.data_dir)

    def secret(self, reference: str) -> str:
        """The value behind `name`, `env:NAME`, `file:PATH` or `prompt`; SecretError has a remedy."""
        return self._secrets.get(reference)


def load(stated: Mapping[str, Stated] | None = None) -> Settings:
    """The settings that files and environment state (or those given). Raises SettingsError."""
    stated = gather() if stated is None else stated
    tree: dict[str, Any] = {}
    for name, entry in stated.items():
        section, _, part = name.partition(".")
        if not part:
            tree[section] = entry.value
        else:
            tree.setdefault(section, {})[part] = _variable(entry.value) if section == "vars" else entry.value
    if isinstance(tree.get("data_dir"), str):
        tree["data_dir"] = Path(tree["data_dir"]).expanduser().absolute()
    if isinstance(tree.get("language"), str) and "language" in stated:
        tree["language"] = _language(stated["language"])
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError("\n".join(_faults(error, stated))) from None
    settings._origins.update({name: entry.origin for name, entry in stated.items()})
    return settings


def names() -> dict[str, str]:
    """Every setting's dotted name with its help; a section's values one by one."""
    found: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, _Section):
            for part, inner in section.model_fields.items():
                found[f"{name}.{part}"] = inner.description or ""
        else:
            found[name] = field.description or ""
    return found


def listed() -> str:
    """All that can be asked for or set, in one line."""
    return ", ".join(f"{name}.NAME" if name in OPEN_SECTIONS else name for name in names())


def _variable(value: object) -> object:
    """A case's variable is put into the case as text, so a number of the settings becomes its text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _language(stated: Stated) -> object:
    """OTS_LANG may look like a locale (`zh_CN.UTF-8`), and an unknown language is no error there."""
    if not stated.origin.startswith("environment"):
        return stated.value
    short = str(stated.value)[:2].lower()
    return short if short in ("en", "zh") else None


def _faults(error: ValidationError, stated: Mapping[str, Stated]) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False):
        name = ".".join(str(part) for part in fault["loc"][:2])
        section = name.partition(".")[0]
        entry = stated.get(name) or stated.get(section)
        place = f"{entry.origin}: " if entry is not None and entry.origin else ""
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            from difflib import get_close_matches

            near = get_close_matches(name, list(names()), 1)
            message = "there is no such setting" + (f"; did you mean {near[0]}?" if near else "")
        lines.append(f"{place}{name}: {message}")
    return lines
