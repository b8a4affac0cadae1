"""Whether an answer is what an HTTP module asks for."""

from __future__ import annotations

from ots.netio.fanout.response import Response
from ots.probe import Failed
from ots.server.prometheus.module import HeaderRule, HTTPModule

MOST_KEPT = 10 << 20
"""Bytes of a body that regular expressions are held against; a longer one fails the probe."""


class RegexFailed(Failed):
    """A regular expression of the module says no."""

    def __init__(self, message: str) -> None:
        super().__init__("content", "verify", "REGEXP", message)


def looks_into_body(http: HTTPModule) -> bool:
    return bool(http.fail_if_body_matches_regexp or http.fail_if_body_not_matches_regexp)


def most_bytes(http: HTTPModule) -> int:
    """The longest body that is taken."""
    limits = [
        limit for limit in (http.body_size_limit, MOST_KEPT if looks_into_body(http) else None) if limit
    ]
    return min(limits, default=1 << 50)


def judge(http: HTTPModule, answer: Response, *, tls: bool) -> None:
    """`Failed` says why an answer fails the probe."""
    if answer.status not in (http.valid_status_codes or range(200, 300)):
        raise Failed(
            "rejected", "first_byte", str(answer.status), f"status {answer.status} is not a valid one"
        )
    if tls and http.fail_if_ssl:
        raise Failed("content", "verify", "TLS", "the answer came over TLS")
    if not tls and http.fail_if_not_ssl:
        raise Failed("content", "verify", "NO_TLS", "the answer did not come over TLS")
    version = f"HTTP/{answer.version}"
    if http.valid_http_versions and version not in http.valid_http_versions:
        raise Failed("content", "verify", "VERSION", f"{version} is not a valid version")
    for rule in http.fail_if_header_matches:
        if any(rule.regexp.found_in(value) for value in _values(rule, answer)):
            raise RegexFailed(f"{rule.header} matches {rule.regexp.text}")
    for rule in http.fail_if_header_not_matches:
        values = _values(rule, answer)
        if values and not any(rule.regexp.found_in(value) for value in values):
            raise RegexFailed(f"{rule.header} does not match {rule.regexp.text}")
    body = bytes(answer.content or b"")
    for pattern in http.fail_if_body_matches_regexp:
        if pattern.found_in(body):
            raise RegexFailed(f"the body matches {pattern.text}")
    for pattern in http.fail_if_body_not_matches_regexp:
        if not pattern.found_in(body):
            raise RegexFailed(f"the body does not match {pattern.text}")


def _values(rule: HeaderRule, answer: Response) -> list[bytes]:
    """The field's values. `RegexFailed` if it is missing and must not be."""
    name = rule.header.lower().encode()
    values = [value.rstrip() for known, value in answer.pairs if known.lower() == name]
    if not values and not rule.allow_missing:
        raise RegexFailed(f"{rule.header} is missing")
    return values
