"""What an endpoint is given, and what it answers: Cloudflare's envelope, its errors, its two ways of paging.

An endpoint is a plain function from a Call to an Answer; it raises Refused for an error. It runs on the server's event
loop, one at a time, so a request changes the state wholly or, when it raises before its first change, not at all.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.fakes.cloudflare.permissions import Token
    from tests.fakes.cloudflare.state import State

Json = dict[str, Any]


class Refused(Exception):
    """An answer with `success: false`; its code and message are the first and only of `errors`."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.answer = failure(status, code, message)


class Part(NamedTuple):
    """One part of a multipart body."""

    name: str
    filename: str | None
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has passed authentication and permission.

    path    the values of the placeholders in the route, percent-decoded
    query   the first value of each parameter; unknown ones are refused by `validation.query`
    body    as sent; `parts` holds it when it is multipart
    """

    state: State
    token: Token
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    parts: Sequence[Part] = ()

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refused(400, 6003, "Invalid request: the body is not valid JSON") from error


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Endpoint = Callable[[Call], Answer]


class Route(NamedTuple):
    """`path` has placeholders such as {zone_id}; {key:path} takes slashes too."""

    method: str
    path: str
    endpoint: Endpoint


def parts_of(content_type: str, body: bytes) -> list[Part]:
    """Return the parts of a multipart body (RFC 7578); none when it isn't one."""
    match = re.match(r'multipart/form-data;.*\bboundary="?([^";]+)"?', content_type, re.IGNORECASE)
    if match is None:
        return []
    parts = []
    for piece in (b"\r\n" + body).split(b"\r\n--" + match[1].encode("latin-1"))[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(re.findall(r"(?im)^([\w-]+):\s*(.*?)\s*$", head.decode()))
        fields = {name.lower(): value for name, value in fields.items()}
        disposition = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', fields.get("content-disposition", "")))
        kind = fields.get("content-type", "text/plain")
        parts.append(Part(disposition.get("name", ""), disposition.get("filename"), kind, data))
    return parts


def success(result: Any, *, info: Json | None = None) -> Answer:
    body: Json = {"success": True, "errors": [], "messages": [], "result": result}
    if info is not None:
        body["result_info"] = info
    return Answer(200, _dump(body))


def failure(status: int, code: int, message: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    body = {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}
    return Answer(status, _dump(body), headers=headers or {})


def raw(data: bytes, content_type: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(200, data, content_type, headers or {})


def _dump(body: Json) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def page(
    call: Call,
    items: Sequence[Any],
    *,
    per_page: int,
    most: int,
    least: int = 1,
    shown_as: Callable[[Any], Any] = lambda item: item,
) -> Answer:
    """Answer one page; past the end an empty one, which is how the SDK's iterators learn that they are done."""
    size = integer(call, "per_page", per_page, least=least, most=most)
    number = integer(call, "page", 1, least=1, most=10**9)
    shown = [shown_as(item) for item in items[(number - 1) * size : number * size]]
    info = {
        "page": number,
        "per_page": size,
        "count": len(shown),
        "total_count": len(items),
        "total_pages": math.ceil(len(items) / size),
    }
    return success(shown, info=info)


def cursor_slice(call: Call, names: Sequence[str], size: int) -> tuple[Sequence[str], str]:
    """Return the names after the request's cursor, at most `size`, and the cursor of what is left ("" at the end).

    names   sorted; a cursor is opaque to clients and stays valid when names come and go between two requests
    """
    after = ""
    if given := call.query.get("cursor"):
        try:
            after = base64.urlsafe_b64decode(given.encode("ascii")).decode()
        except ValueError as error:
            raise Refused(400, 10001, "invalid cursor") from error
        names = [name for name in names if name > after]
    shown = names[:size]
    return shown, base64.urlsafe_b64encode(shown[-1].encode()).decode() if len(names) > size else ""


def integer(call: Call, name: str, default: int, *, least: int, most: int) -> int:
    given = call.query.get(name)
    if given is None:
        return default
    try:
        value = int(given)
    except ValueError as error:
        raise Refused(400, 1001, f"Invalid parameter {name}: {given!r} is not a number") from error
    if not least <= value <= most:
        raise Refused(400, 1001, f"Invalid parameter {name}: {value} is not between {least} and {most}")
    return value


def boolean(call: Call, name: str) -> bool | None:
    match call.query.get(name):
        case None:
            return None
        case "true":
            return True
        case "false":
            return False
        case other:
            raise Refused(400, 1001, f"Invalid parameter {name}: {other!r} is neither true nor false")
