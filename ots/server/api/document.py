"""The OpenAPI 3.1 document, written from the declarations that the server obeys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from ots import __version__
from ots.remote.wire import Problem
from ots.server.api.operation import PATH_PARAMETERS, Access, Operation, Raw, alternatives
from ots.server.api.problems import CODES, MEDIA_TYPE

_REFERENCE = "#/components/schemas/{name}"
_BODY_PROBLEMS = ("invalid-body", "too-large", "too-slow", "unsupported-media", "expands-too-far")
_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.AGENT: [{"agentSignature": []}],
    Access.AGENT_IN_ANY_STATE: [{"agentSignature": []}],
    Access.PERSON: [{"apiToken": []}, {"session": []}],
}


def openapi(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document as a JSON-like object."""
    chosen = list(operations)
    schemas = _schemas(chosen)
    paths: dict[str, dict[str, Any]] = {}
    for operation in chosen:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "OTS server",
            "version": __version__,
            "description": "Agents, licences, reports. Errors are RFC 9457 problems with a stable `code`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "apiToken": {"type": "http", "scheme": "bearer", "description": "ots-api-…"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "ots-session",
                    "description": "After a log-in; changes need X-CSRF-Token, too.",
                },
                "agentSignature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Signature",
                    "description": "RFC 9421: Signature-Input and Signature with the agent's Ed25519 key.",
                },
            },
        },
    }


class _Schemas:
    """JSON Schemas of the structs: `components`, and a reference to each."""

    def __init__(self, types: list[type[msgspec.Struct]]) -> None:
        found, self.components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
        self.of = dict(zip(types, found, strict=True))


def _schemas(operations: list[Operation]) -> _Schemas:
    shapes = [
        shape
        for operation in operations
        for shape in (operation.takes, *operation.gives.values())
        if isinstance(shape, type)
    ]
    return _Schemas(list(dict.fromkeys([Problem, *shapes])))


def _described(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[3]],
        "security": _SECURITY[operation.access],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation), *_headers(operation)],
        "responses": {
            **{str(status): _given(shape, schemas) for status, shape in operation.gives.items()},
            **_problems(operation, schemas),
        },
        "x-rate": {"per_second": operation.rate.value[0], "at_once": operation.rate.value[1]},
    }
    if operation.scope is not None:
        described["x-scope"] = operation.scope
        described["x-everywhere"] = operation.everywhere
    if operation.takes is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.takes, schemas)}
    return described


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": f"^{PATH_PARAMETERS[name]}$"},
        }
        for name in re.findall(r"\{([a-z0-9_]+)\}", operation.path)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = msgspec.json.schema(operation.query)
    described = schema["$defs"][operation.query.__name__]
    required = described.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in described["properties"].items()
    ]


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in operation.headers
    ]


def _given(shape: Any, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": "Done."}
    if shape is not None:
        described["content"] = _content(shape, schemas)
    return described


def _content(shape: Any, schemas: _Schemas) -> dict[str, Any]:
    if isinstance(shape, Raw):
        binary: dict[str, Any] = {}
        return {media_type: {"schema": binary} for media_type in shape.media_types}
    return {"application/json": {"schema": schemas.of[shape]}}


def _problems(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    """One entry for each status, with the codes that it can carry."""
    codes = [*alternatives(operation.access), *operation.problems]
    if operation.takes is not None:
        codes += _BODY_PROBLEMS
    else:
        codes += ["too-large"]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(CODES[code][0], []).append(code)
    return {
        str(status): {
            "description": ", ".join(found),
            "content": {MEDIA_TYPE: {"schema": schemas.of[Problem]}},
        }
        for status, found in sorted(by_status.items())
    }
