"""Workers KV: namespaces, keys, values. Strongly consistent here, unlike Cloudflare's (README, "KV")."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from cloudflare.types.kv import NamespaceCreateParams, NamespaceUpdateParams
from cloudflare.types.kv.namespaces import KeyBulkGetParams, key_bulk_update_params

from tests.fakes.cloudflare.envelope import (
    Answer,
    Call,
    Json,
    Refused,
    Route,
    cursor_slice,
    integer,
    page,
    raw,
    success,
)
from tests.fakes.cloudflare.state import Namespace, Value
from tests.fakes.cloudflare.validation import body, checked, one_of, query

MAX_VALUE_BYTES = 25 * 1024**2
MAX_KEY_BYTES = 512
MAX_METADATA_BYTES = 1024
MIN_TTL_S = 60
BULK_LIMIT = 10_000
BULK_GET_LIMIT = 100

_ID = re.compile(r"[0-9a-f]{32}")


def _answer(namespace: Namespace) -> Json:
    return {"id": namespace.id, "title": namespace.title, "supports_url_encoding": True}


def _namespace(call: Call, act: str) -> Namespace:
    wanted = call.path["namespace_id"]
    if not _ID.fullmatch(wanted):
        raise Refused(400, 10011, f"{act}: 'could not parse UUID from request's namespace_id: {wanted}'")
    for namespace in call.state.namespaces:
        if namespace.id == wanted:
            return namespace
    raise Refused(404, 10013, f"{act}: 'namespace not found'")


def _list_namespaces(call: Call) -> Answer:
    query(call, "page", "per_page", "order", "direction")
    order = one_of(call, "order", "id", "title") or "id"
    is_reversed = one_of(call, "direction", "asc", "desc") == "desc"
    found = sorted(call.state.namespaces, key=lambda namespace: str(getattr(namespace, order)), reverse=is_reversed)
    return page(call, [_answer(namespace) for namespace in found], per_page=20, most=1000)


def _title(call: Call, given: Json, act: str, *, of: Namespace | None = None) -> str:
    title: str = given["title"]
    if not title.strip() or len(title) > MAX_KEY_BYTES:
        raise Refused(400, 10019, f"{act}: 'namespace titles must not be empty, and at most {MAX_KEY_BYTES} long'")
    if any(other.title == title for other in call.state.namespaces if other is not of):
        raise Refused(400, 10014, f"{act}: 'a namespace with this account ID and title already exists'")
    return title


def _create_namespace(call: Call) -> Answer:
    query(call)
    given = body(call, NamespaceCreateParams)
    namespace = Namespace(_title(call, given, "create namespace"))
    call.state.namespaces.append(namespace)
    return success(_answer(namespace))


def _get_namespace(call: Call) -> Answer:
    query(call)
    return success(_answer(_namespace(call, "get namespace")))


def _rename_namespace(call: Call) -> Answer:
    query(call)
    given = body(call, NamespaceUpdateParams)
    namespace = _namespace(call, "rename namespace")
    namespace.title = _title(call, given, "rename namespace", of=namespace)
    return success(_answer(namespace))


def _delete_namespace(call: Call) -> Answer:
    """Delete a namespace, values and all, but not under a Worker that is bound to it."""
    query(call)
    namespace = _namespace(call, "remove namespace")
    users = [
        script.name
        for script in call.state.scripts.values()
        if any(binding.get("namespace_id") == namespace.id for binding in script.bindings)
    ]
    if users:
        raise Refused(400, 10052, f"remove namespace: 'namespace has associated scripts: {', '.join(users)}'")
    call.state.namespaces.remove(namespace)
    return success({})


def _list_keys(call: Call) -> Answer:
    given = query(call, "limit", "cursor", "prefix")
    values = _live(_namespace(call, "list keys"))
    names = sorted(name for name in values if name.startswith(given.get("prefix", "")))
    shown, cursor = cursor_slice(call, names, integer(call, "limit", 1000, least=10, most=1000))
    keys = []
    for name in shown:
        value = values[name]
        optional = {"expiration": value.expiration, "metadata": value.metadata}
        keys.append({"name": name, **{field: given for field, given in optional.items() if given is not None}})
    return success(keys, info={"count": len(keys), "cursor": cursor})


def _live(namespace: Namespace) -> dict[str, Value]:
    """Return the values that haven't expired."""
    at = time.time()
    return {name: value for name, value in namespace.values.items() if (value.expiration or at + 1) > at}


def _value(call: Call) -> Value:
    value = _live(_namespace(call, "get")).get(call.path["key_name"])
    if value is None:
        raise Refused(404, 10009, "get: 'key not found'")
    return value


def _get_value(call: Call) -> Answer:
    query(call)
    value = _value(call)
    headers = {} if value.expiration is None else {"expiration": str(value.expiration)}
    return raw(value.data, "application/octet-stream", headers=headers)


def _get_metadata(call: Call) -> Answer:
    query(call)
    return success(_value(call).metadata)


def _put_value(call: Call) -> Answer:
    given = query(call, "expiration", "expiration_ttl")
    namespace = _namespace(call, "put")
    parts = {part.name: part for part in call.parts}
    metadata: Any = None
    if call.parts:
        if not parts.keys() <= {"value", "metadata"} or "value" not in parts:
            raise Refused(400, 10012, f"put: 'a form must have value, may have metadata, not {sorted(parts)}'")
        data = parts["value"].data
        if "metadata" in parts:
            try:
                metadata = json.loads(parts["metadata"].data)
            except ValueError as error:
                raise Refused(400, 10012, "put: 'metadata must be valid json'") from error
    elif call.headers.get("content-type", "").startswith("multipart/"):
        raise Refused(400, 10012, "put: 'could not parse the form'")
    else:
        data = call.body
    times = {name: float(value) for name, value in given.items()}
    namespace.values[_key(call.path["key_name"])] = _new_value(data, metadata, times)
    return success({})


def _key(name: str) -> str:
    if name in ("", ".", "..") or len(name.encode()) > MAX_KEY_BYTES:
        raise Refused(414, 10030, f"put: 'key length limit of {MAX_KEY_BYTES} bytes exceeded, or empty'")
    return name


def _new_value(data: bytes, metadata: Any, times: Mapping[str, Any]) -> Value:
    """Return a value; `times` may have expiration and expiration_ttl, which wins. Raise Refused."""
    if len(data) > MAX_VALUE_BYTES:
        raise Refused(413, 10033, f"put: 'value length of {len(data)} exceeds limit of {MAX_VALUE_BYTES}'")
    if metadata is not None and len(json.dumps(metadata).encode()) > MAX_METADATA_BYTES:
        raise Refused(400, 10040, f"put: 'metadata exceeds limit of {MAX_METADATA_BYTES} bytes'")
    expiration = times.get("expiration")
    if (ttl := times.get("expiration_ttl")) is not None:
        expiration = time.time() + ttl
        if ttl < MIN_TTL_S:
            raise Refused(400, 10028, f"put: 'expiration_ttl must be at least {MIN_TTL_S}'")
    elif expiration is not None and expiration < time.time() + MIN_TTL_S:
        raise Refused(400, 10028, f"put: 'expiration must be at least {MIN_TTL_S} seconds in the future'")
    return Value(data, metadata, None if expiration is None else int(expiration))


def _delete_value(call: Call) -> Answer:
    query(call)
    _namespace(call, "remove key").values.pop(call.path["key_name"], None)
    return success({})


def _bulk_put(call: Call) -> Answer:
    query(call)
    namespace = _namespace(call, "bulk put keys")
    pairs = call.json()
    if not isinstance(pairs, list) or len(pairs) > BULK_LIMIT:
        raise Refused(400, 10026, f"bulk put keys: 'a list of at most {BULK_LIMIT} pairs'")
    new = {}
    for pair in pairs:
        checked(pair, key_bulk_update_params.Body, code=10012)
        try:
            data = base64.b64decode(pair["value"], validate=True) if pair.get("base64") else pair["value"].encode()
        except ValueError as error:
            raise Refused(400, 10012, f"bulk put keys: 'value of {pair['key']} is not base64'") from error
        new[_key(pair["key"])] = _new_value(data, pair.get("metadata"), pair)
    namespace.values.update(new)
    return success({"successful_key_count": len(pairs), "unsuccessful_keys": []})


def _bulk_delete(call: Call) -> Answer:
    query(call)
    namespace = _namespace(call, "bulk remove keys")
    names = call.json()
    if not isinstance(names, list) or len(names) > BULK_LIMIT or not all(isinstance(name, str) for name in names):
        raise Refused(400, 10026, f"bulk remove keys: 'a list of at most {BULK_LIMIT} names'")
    for name in names:
        namespace.values.pop(name, None)
    return success({"successful_key_count": len(names), "unsuccessful_keys": []})


def _bulk_get(call: Call) -> Answer:
    query(call)
    given = body(call, KeyBulkGetParams)
    if len(given["keys"]) > BULK_GET_LIMIT:
        raise Refused(400, 10026, f"bulk get keys: 'at most {BULK_GET_LIMIT} keys'")
    values = _live(_namespace(call, "bulk get keys"))
    answer: Json = {}
    for name in given["keys"]:
        value = values.get(name)
        if value is None:
            answer[name] = None
            continue
        text = value.data.decode(errors="replace")
        shown = json.loads(text) if given.get("type") == "json" else text
        answer[name] = {"value": shown, "metadata": value.metadata} if given.get("withMetadata") else shown
    return success({"values": answer})


_PATH = "/accounts/{account_id}/storage/kv/namespaces"
_ONE = _PATH + "/{namespace_id}"

ROUTES = [
    Route("GET", _PATH, _list_namespaces),
    Route("POST", _PATH, _create_namespace),
    Route("GET", _ONE, _get_namespace),
    Route("PUT", _ONE, _rename_namespace),
    Route("DELETE", _ONE, _delete_namespace),
    Route("GET", _ONE + "/keys", _list_keys),
    Route("GET", _ONE + "/metadata/{key_name}", _get_metadata),
    Route("GET", _ONE + "/values/{key_name}", _get_value),
    Route("PUT", _ONE + "/values/{key_name}", _put_value),
    Route("DELETE", _ONE + "/values/{key_name}", _delete_value),
    Route("PUT", _ONE + "/bulk", _bulk_put),
    Route("POST", _ONE + "/bulk/delete", _bulk_delete),
    Route("POST", _ONE + "/bulk/get", _bulk_get),
]
