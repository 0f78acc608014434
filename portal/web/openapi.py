"""The OpenAPI document, as the generated client and the contract tests read it.

Operation ids are the names of the route functions, unique over all rooms. Every operation may answer with a problem
document: that is `default`, instead of the framework's own 422, which the portal never sends.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from kit.problem import MEDIA_TYPE

_PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `type` is stable and documented; branch on it, never on text.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "of /problems/invalid-request: where and what, never the value",
            "items": {
                "type": "object",
                "required": ["where", "message"],
                "properties": {"where": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
    "additionalProperties": True,
}
_ANSWER = {
    "description": "A problem",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_UNUSED = ("HTTPValidationError", "ValidationError")


def operation_id(route: APIRoute) -> str:
    """For `generate_unique_id_function`."""
    return route.name


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document. Raise ValueError when two operations have one id."""
    generated = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    operations = [operation for path in generated["paths"].values() for operation in path.values()]
    if twice := [name for name, count in Counter(each["operationId"] for each in operations).items() if count > 1]:
        raise ValueError(f"two routes have the name {', '.join(sorted(twice))}")
    for operation in operations:
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = _ANSWER
    schemas = generated.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNUSED:
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    return cast(dict[str, Any], _with_ecma_patterns(generated))


def _with_ecma_patterns(node: object) -> object:
    """Patterns are ECMA-262 in OpenAPI: the end of a text is `$` there, which pydantic also writes as `\\z`."""
    if isinstance(node, list):
        return [_with_ecma_patterns(each) for each in node]
    if not isinstance(node, dict):
        return node
    pattern = {"pattern": node["pattern"].replace(r"\z", "$")} if isinstance(node.get("pattern"), str) else {}
    return {key: _with_ecma_patterns(value) for key, value in node.items()} | pattern
