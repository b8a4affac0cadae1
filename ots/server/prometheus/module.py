"""A module: how a probe is made, in the words of blackbox_exporter's configuration.

What is left out here is not supported and refused when the file is read, never passed over.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import dns.exception
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
)
from pydantic_core import PydanticCustomError

from ots.netio.icmp.packet import TOKEN_BYTES

Prober = Literal["http", "tcp", "dns", "icmp"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_UNITS = (365 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1, 0.001)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMG]?)i?B", re.ASCII)
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
# Bytes of anything come from targets; a pattern's text is UTF-8, as are the bytes it is held against.
_OPTIONS.max_mem = 8 << 20


class Pattern:
    """A regular expression of RE2, as blackbox_exporter has it: in time proportional to the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._compiled = re2.compile(text.encode(), _OPTIONS)

    def found_in(self, data: bytes) -> bool:
        return self._compiled.search(data) is not None

    def expand(self, data: bytes, template: str) -> bytes | None:
        """The template with $1, ${1} and ${name} filled from the match; None if there is none."""
        match = self._compiled.search(data)
        if match is None:
            return None

        def fill(reference: re.Match[str]) -> str:
            name = reference[1] or reference[2]
            if reference[0] == "$$":
                return "$"
            try:
                group = match.group(int(name) if name.isdigit() else name)
            except (IndexError, KeyError):
                group = b""
            return (group or b"").decode("utf-8", "replace")

        return re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", fill, template).encode()


def _pattern(value: Any) -> Pattern:
    if isinstance(value, Pattern):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("pattern", "expected a regular expression as text")
    try:
        return Pattern(value)
    except re2.error as error:
        said = error.args[0].decode("utf-8", "replace") if error.args else "not valid"
        raise PydanticCustomError("pattern", "{said}", {"said": f"no regular expression: {said}"}) from None


def _duration(value: Any) -> float:
    if value == 0 and not isinstance(value, bool):
        return 0.0
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise PydanticCustomError("duration", "expected a duration as Prometheus writes it: 5s, 1m30s, 500ms")
    return float(sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS, strict=True)))


def _size(value: Any) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError("size", "expected a size: 10MB, 512KiB")
    return int(float(match[1]) * 1024 ** ("", "K", "M", "G").index(match[2]))


def _token(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise PydanticCustomError("token", "not a word that HTTP takes here")
    return value


def _fields(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _TOKEN.fullmatch(name) or not _FIELD_VALUE.fullmatch(text):
            raise PydanticCustomError("header", "{name}: not a header field", {"name": name[:60]})
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise PydanticCustomError("header", "{name} is set by the probe itself", {"name": name})
    return value


def _qname(value: str) -> str:
    try:
        dns.name.from_text(value)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise PydanticCustomError("name", "no name: {said}", {"said": str(error)}) from None
    return value


def _one_of(of: Any, what: str) -> AfterValidator:
    """Checks a word of the DNS registries."""

    def known(value: str) -> str:
        try:
            of.from_text(value)
        except (dns.exception.DNSException, ValueError, KeyError):
            raise PydanticCustomError("word", "unknown {what}", {"what": what}) from None
        return value

    return AfterValidator(known)


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Regexp = Annotated[Pattern, PlainValidator(_pattern), PlainSerializer(lambda pattern: pattern.text)]
Regexps = Annotated[list[Regexp], Field(default_factory=list)]
Timeout = Annotated[float, PlainValidator(_duration)]
Status = Annotated[int, Field(ge=100, le=599)]


class Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Family(Written):
    preferred_ip_protocol: Literal["ip4", "ip6"] = "ip6"
    ip_protocol_fallback: bool = True


class TLSConfig(Written):
    insecure_skip_verify: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    min_version: Literal["TLS12", "TLS13"] | None = None
    max_version: Literal["TLS12", "TLS13"] | None = None


class BasicAuth(Written):
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: str | None = None


class Authorization(Written):
    type: Annotated[str, AfterValidator(_token)] = "Bearer"
    credentials: SecretStr = SecretStr("")
    credentials_file: str | None = None


class HeaderRule(Written):
    header: Annotated[str, AfterValidator(_token)]
    regexp: Regexp
    allow_missing: bool = False


class HTTPModule(Family):
    valid_status_codes: list[Status] = []
    valid_http_versions: list[Literal["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"]] = []
    method: Annotated[str, AfterValidator(_token), Field(max_length=20)] = "GET"
    headers: Annotated[dict[str, str], AfterValidator(_fields)] = {}
    body: Annotated[str, Field(max_length=1 << 20)] = ""
    body_size_limit: Annotated[int, PlainValidator(_size)] | None = None
    fail_if_ssl: bool = False
    fail_if_not_ssl: bool = False
    fail_if_body_matches_regexp: Regexps
    fail_if_body_not_matches_regexp: Regexps
    fail_if_header_matches: list[HeaderRule] = []
    fail_if_header_not_matches: list[HeaderRule] = []
    follow_redirects: bool = True
    no_follow_redirects: bool = False
    enable_http2: bool = False
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    bearer_token: SecretStr | None = None
    tls_config: TLSConfig = TLSConfig()

    @property
    def follows(self) -> bool:
        """Whether redirects are followed."""
        return self.follow_redirects and not self.no_follow_redirects


class QueryResponse(Written):
    expect: Regexp | None = None
    send: str = ""
    starttls: bool = False


class TCPModule(Family):
    query_response: list[QueryResponse] = []
    tls: bool = False
    tls_config: TLSConfig = TLSConfig()
    source_ip_address: str | None = None


class RecordRules(Written):
    fail_if_matches_regexp: Regexps
    fail_if_all_match_regexp: Regexps
    fail_if_not_matches_regexp: Regexps
    fail_if_none_matches_regexp: Regexps


def _no_rules() -> RecordRules:
    return RecordRules.model_validate({})


class DNSModule(Family):
    query_name: Annotated[str, AfterValidator(_qname)]
    query_type: Annotated[str, BeforeValidator(_upper), _one_of(dns.rdatatype, "record type")] = "ANY"
    query_class: Annotated[str, BeforeValidator(_upper), _one_of(dns.rdataclass, "class")] = "IN"
    recursion_desired: bool = True
    transport_protocol: Literal["udp", "tcp"] = "udp"
    dns_over_tls: bool = False
    tls_config: TLSConfig = TLSConfig()
    valid_rcodes: list[Annotated[str, _one_of(dns.rcode, "answer code")]] = ["NOERROR"]
    validate_answer_rrs: Annotated[RecordRules, Field(default_factory=_no_rules)]
    validate_authority_rrs: Annotated[RecordRules, Field(default_factory=_no_rules)]
    validate_additional_rrs: Annotated[RecordRules, Field(default_factory=_no_rules)]
    source_ip_address: str | None = None


class ICMPModule(Family):
    payload_size: Annotated[int, Field(ge=TOKEN_BYTES, le=65_507)] = 56
    dont_fragment: bool = False
    ttl: Annotated[int, Field(ge=1, le=255)] = 64
    source_ip_address: str | None = None


class Module(Written):
    """One entry of `modules:`; only the part of its own prober has something in it."""

    prober: Prober
    timeout: Timeout = 0.0
    http: HTTPModule | None = None
    tcp: TCPModule | None = None
    dns: DNSModule | None = None
    icmp: ICMPModule | None = None
