"""A server that can be measured against: where it is, what it speaks, and who runs it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from yarl import URL

from ots.schema.target import Target, TargetError, Targets

ProtocolName = Literal["ots", "librespeed", "ndt7", "mini", "speedtest_cli"]
"""`mini` loads a Speedtest Mini server with OTS's engine, `speedtest_cli` with the program of that name."""

SCHEMES = ("http", "https", "ws", "wss")
PORTS = (("http", 80), ("https", 443), ("ws", 80), ("wss", 443))

AUTO = "auto"
"""The target that stands for the best server of the list."""

_URLS = Targets(forms=("url",), schemes=SCHEMES, default_ports=PORTS)
_LONGEST = 200


class Server(BaseModel):
    """One entry of a server list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=_LONGEST)]
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    protocol: ProtocolName | Literal["auto"] = "auto"
    operator: Annotated[str | None, Field(max_length=_LONGEST)] = None
    place: Annotated[str | None, Field(max_length=_LONGEST)] = None
    about: Annotated[str | None, Field(max_length=2000)] = None
    """Where the operator says who it is, and what it does with what it sees."""
    choose: bool = True
    """Whether auto may choose it; if not it has to be named."""

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            _URLS.parse(value)
        except TargetError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("name", "operator", "place", "about")
    @classmethod
    def _is_a_line(cls, value: str | None) -> str | None:
        if value is not None and (not value.isprintable() or value != value.strip()):
            raise ValueError("expected one line of printable text")
        return value

    @property
    def target(self) -> Target:
        return _URLS.parse(self.url)


def base_of(target: Target) -> URL:
    """The folder that a server's URL names; ws and wss are spoken as http and https first."""
    scheme = {"ws": "http", "wss": "https"}.get(target.scheme or "http", target.scheme or "http")
    path, _, query = target.path.partition("?")
    url = URL(f"{scheme}://{target.authority}{path}", encoded=True)
    return url.with_query(query) if query else url


def below(base: URL, path: str) -> URL:
    """A path below a base, whether or not that ends with a slash."""
    return URL(f"{base.origin()}{base.raw_path.rstrip('/')}/{path}", encoded=True)
