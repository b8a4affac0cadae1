"""Errors as RFC 9457 problems, each with a code that never changes its meaning."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from ots.remote.wire import Problem

CODES: dict[str, tuple[int, str]] = {
    "invalid-request": (400, "The request can't be understood"),
    "invalid-body": (422, "The body is not what this operation takes"),
    "signature-missing": (401, "The request is not signed"),
    "signature-invalid": (401, "The signature does not fit the request"),
    "clock-skew": (401, "The request's time is too far from the server's"),
    "agent-unknown": (401, "No agent of this id is enrolled"),
    "agent-pending": (403, "The agent waits for its approval"),
    "agent-suspended": (403, "The agent is suspended"),
    "agent-revoked": (403, "The agent was revoked"),
    "agent-left": (403, "The agent gave its place up; a token gives it one again"),
    "login-required": (401, "Log in, or send an API token"),
    "login-failed": (401, "Name and password do not fit"),
    "password-must-change": (403, "The one-time password must be changed first"),
    "csrf": (403, "The request did not come from a page of this server"),
    "forbidden": (403, "You may not do this"),
    "token-unknown": (403, "There is no such enrolment token"),
    "token-expired": (403, "The enrolment token has expired"),
    "token-exhausted": (403, "The enrolment token was used as often as it may be"),
    "token-revoked": (403, "The enrolment token was withdrawn"),
    "choice-not-allowed": (403, "The token is for another department or project"),
    "key-in-use": (409, "The agent's id or key is enrolled otherwise"),
    "licence-required": (403, "The licence does not cover this"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "Not with this method"),
    "conflict": (409, "The present state does not allow this"),
    "revision-conflict": (409, "Other bytes are kept under this revision"),
    "digest-mismatch": (422, "The body is not what its digest says"),
    "content-refused": (422, "The signed content can't be taken"),
    "schema-unsupported": (422, "The report's format is not known here"),
    "too-large": (413, "The body is too large"),
    "expands-too-far": (413, "The body unpacks to more than is taken"),
    "unsupported-media": (415, "The body's type or encoding is not taken here"),
    "too-slow": (408, "The body came too slowly"),
    "rate-limited": (429, "Too many requests"),
    "quota-exceeded": (429, "The licence's amount is used up"),
    "busy": (429, "The agent has as many open commands as it may have"),
    "overloaded": (503, "Too many agents connect at once"),
    "storage-full": (507, "The server has no room"),
    "database-away": (503, "The server's database does not answer"),
    "closing": (503, "The server is shutting down"),
    "internal": (500, "The server failed"),
}

MEDIA_TYPE = "application/problem+json"
_RETRY = {"storage-full": 60.0, "database-away": 5.0, "closing": 5.0}


class Refused(Exception):
    """A request ends as a problem."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        retry_after: float | None = None,
        errors: Sequence[dict[str, str]] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after = _RETRY.get(code) if retry_after is None else retry_after
        self.errors = list(errors)

    @property
    def status(self) -> int:
        return CODES[self.code][0]


def problem_response(refused: Refused, request_id: str) -> web.Response:
    """The answer of a refused request."""
    status, title = CODES[refused.code]
    body = Problem(
        type=f"urn:ots:problem:{refused.code}",
        title=title,
        status=status,
        code=refused.code,
        detail=refused.detail,
        request_id=request_id,
        retry_after=refused.retry_after,
        errors=refused.errors,
    )
    response = web.Response(status=status, body=msgspec.json.encode(body), content_type=MEDIA_TYPE)
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(refused.retry_after)))
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="ots"'
    return response
