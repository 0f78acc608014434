"""The OpenAPI document of the public listener. Its two `/v1` routes read raw bytes, so their part is written here.

`homeport mail openapi` prints the document; wire.md is the contract in words.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_SIGNED = {
    "Homeport-Key-Id": ("which key signed", "^[a-z0-9-]{1,32}$"),
    "Homeport-Timestamp": ("seconds since the epoch; at most 300 s from now", "^[0-9]{1,12}$"),
    "Homeport-Signature": ("`v1=` and the HMAC-SHA256 of the canonical string", "^v1=[0-9a-f]{64}$"),
}
_MESSAGE = {
    "Homeport-Message-Id": ("idempotency key, the same for every repeat", "^[0-9a-f]{32}$"),
    "Homeport-Mail-From": ("envelope sender, base64url of UTF-8; empty = null sender", "^[A-Za-z0-9_-]*$"),
    "Homeport-Rcpt-To": ("envelope recipient, base64url of UTF-8", "^[A-Za-z0-9_-]+$"),
    "Homeport-Content-Length": ("bytes of the body", "^[0-9]{1,15}$"),
    "Homeport-Content-SHA256": ("SHA-256 of the body", "^[0-9a-f]{64}$"),
}


def _header(name: str, description: str, pattern: str, *, required: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
    }


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "message_id": {"type": "string"},
        "smtp": {
            "type": "object",
            "description": "only where the refusal is final",
            "required": ["code", "enhanced", "text"],
            "properties": {
                "code": {"type": "integer", "minimum": 500, "maximum": 599},
                "enhanced": {"type": "string"},
                "text": {"type": "string"},
            },
        },
    },
}
_RECEIPT = {
    "type": "object",
    "required": ["status", "message_id", "sha256", "queue_id"],
    "properties": {
        "status": {"type": "string", "enum": ["delivered", "queued", "held"]},
        "message_id": {"type": "string"},
        "sha256": {"type": "string"},
        "queue_id": {"type": ["string", "null"]},
    },
}
_HEALTH = {
    "type": "object",
    "required": ["status", "queue"],
    "properties": {
        "status": {"type": "string", "const": "ok"},
        "queue": {
            "type": "object",
            "required": ["length", "oldest_s"],
            "properties": {"length": {"type": "integer"}, "oldest_s": {"type": "integer"}},
        },
    },
}


def _json(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": _PROBLEM}}}


_POST_MESSAGE: dict[str, Any] = {
    "operationId": "postMessage",
    "summary": "Take one message for one recipient: deliver it, or keep it durably, or say why not",
    "parameters": [
        *(_header(name, *about) for name, about in (_SIGNED | _MESSAGE).items()),
        _header(
            "Homeport-Retained-At",
            "only on a drain: epoch seconds of first receipt",
            "^[0-9]{1,15}$",
            required=False,
        ),
    ],
    "requestBody": {
        "required": True,
        "description": "The raw message, byte for byte",
        "content": {"message/rfc822": {"schema": {"type": "string", "format": "binary"}}},
    },
    "responses": {
        "200": _json(_RECEIPT, "Delivered: the mailbox server said 250, now or earlier"),
        "202": _json(_RECEIPT, "Durable in the spool: queued, or held for the operator"),
        "400": _problem("Malformed header, or a body that is not what was announced"),
        "401": _problem("Signature refused"),
        "404": _problem("Unknown mailbox (final)"),
        "408": _problem("The body took too long"),
        "409": _problem("Message id used for another message"),
        "413": _problem("Over 25 MiB (final)"),
        "421": _problem("Domain not accepted here"),
        "422": _problem("Bad address, mail loop or refused content (final)"),
        "500": _problem("Unexpected error; never final"),
        "503": _problem("Busy, or nothing can be stored; try again"),
        "507": _problem("Disk full; or mailbox full, final only by setting"),
    },
}
_GET_HEALTH: dict[str, Any] = {
    "operationId": "getHealth",
    "summary": "Say that the mail API works, and how much waits for delivery",
    "parameters": [_header(name, *about) for name, about in _SIGNED.items()],
    "responses": {"200": _json(_HEALTH, "The mail API works"), "401": _problem("Signature refused")},
}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the public application."""
    generated = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    generated["paths"] |= {"/v1/messages": {"post": _POST_MESSAGE}, "/v1/health": {"get": _GET_HEALTH}}
    return generated
