"""R2's management API: buckets, their lifecycle, and objects through the API (not S3)."""

from __future__ import annotations

import hashlib
import re
import uuid

from cloudflare.types.r2 import BucketCreateParams
from cloudflare.types.r2.buckets import LifecycleUpdateParams

from tests.fakes.cloudflare.envelope import (
    Answer,
    Call,
    Json,
    Refused,
    Route,
    cursor_slice,
    failure,
    integer,
    raw,
    success,
)
from tests.fakes.cloudflare.state import Bucket, Object, now
from tests.fakes.cloudflare.validation import body, one_of, query

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_CLASSES = ("Standard", "InfrequentAccess")
# What a new bucket has: uploads that were never completed go after a week.
DEFAULT_LIFECYCLE = {
    "id": "Default Multipart Abort Rule",
    "enabled": True,
    "conditions": {"prefix": ""},
    "abortMultipartUploadsTransition": {"condition": {"type": "Age", "maxAge": 604800}},
}


def _ready(call: Call) -> None:
    """Refuse all of R2 on an account that never opened it; and other jurisdictions, which this fake doesn't have."""
    if not call.state.r2_enabled:
        raise Refused(403, 10042, "Please enable R2 through the Cloudflare Dashboard.")
    if call.headers.get("cf-r2-jurisdiction", "default") != "default":
        raise Refused(400, 10001, "Invalid request: this fake has only the default jurisdiction")


def _bucket(call: Call) -> Bucket:
    _ready(call)
    bucket = call.state.buckets.get(call.path["bucket_name"])
    if bucket is None:
        raise Refused(404, 10006, "The specified bucket does not exist.")
    return bucket


def _answer(bucket: Bucket) -> Json:
    return {
        "name": bucket.name,
        "creation_date": bucket.creation_date,
        "location": bucket.location,
        "storage_class": bucket.storage_class,
        "jurisdiction": "default",
    }


def _list(call: Call) -> Answer:
    _ready(call)
    given = query(call, "cursor", "direction", "name_contains", "order", "per_page", "start_after")
    names = [
        name
        for name in sorted(call.state.buckets)
        if given.get("name_contains", "") in name and name > given.get("start_after", "")
    ]
    per_page = integer(call, "per_page", 20, least=1, most=1000)
    shown, cursor = cursor_slice(call, names, per_page)
    if one_of(call, "direction", "asc", "desc") == "desc":
        raise Refused(400, 10001, "Invalid request: this fake lists buckets only in ascending order")
    info: Json = {"per_page": per_page}
    if cursor:
        info["cursor"] = cursor
    return success({"buckets": [_answer(call.state.buckets[name]) for name in shown]}, info=info)


def _create(call: Call) -> Answer:
    _ready(call)
    query(call)
    given = body(call, BucketCreateParams, elsewhere=["cf-r2-jurisdiction"])
    name = given["name"]
    if not _NAME.fullmatch(name):
        raise Refused(400, 10005, "The specified bucket name is not valid.")
    if name in call.state.buckets:
        raise Refused(409, 10004, "The bucket you tried to create already exists, and you own it.")
    location = given.get("locationHint", "apac")
    bucket = Bucket(name, location, given.get("storageClass", "Standard"), lifecycle=[dict(DEFAULT_LIFECYCLE)])
    call.state.buckets[name] = bucket
    return success(_answer(bucket))


def _get(call: Call) -> Answer:
    query(call)
    return success(_answer(_bucket(call)))


def _edit(call: Call) -> Answer:
    query(call)
    bucket = _bucket(call)
    bucket.storage_class = _storage_class(call) or bucket.storage_class
    return success(_answer(bucket))


def _storage_class(call: Call) -> str | None:
    wanted = call.headers.get("cf-r2-storage-class")
    if wanted not in (None, *_CLASSES):
        raise Refused(400, 10001, f"Invalid request: no storage class {wanted!r}")
    return wanted


def _delete(call: Call) -> Answer:
    query(call)
    bucket = _bucket(call)
    if bucket.objects:
        message = f"The bucket you tried to delete ({bucket.name}) is not empty (account {call.state.account_id})."
        raise Refused(409, 10008, message)
    del call.state.buckets[bucket.name]
    return success({})


def _get_lifecycle(call: Call) -> Answer:
    query(call)
    return success({"rules": _bucket(call).lifecycle})


def _put_lifecycle(call: Call) -> Answer:
    query(call)
    bucket = _bucket(call)
    bucket.lifecycle = body(call, LifecycleUpdateParams, elsewhere=["cf-r2-jurisdiction"]).get("rules", [])
    return success({})


def _list_objects(call: Call) -> Answer:
    bucket = _bucket(call)
    given = query(call, "cursor", "delimiter", "per_page", "prefix", "start_after")
    prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
    keys, folders = [], set()
    for key in sorted(bucket.objects):
        if not key.startswith(prefix) or key <= given.get("start_after", ""):
            continue
        head, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else ("", "", "")
        if found:
            folders.add(prefix + head + found)
        else:
            keys.append(key)
    per_page = integer(call, "per_page", 20, least=1, most=1000)
    shown, cursor = cursor_slice(call, keys, per_page)
    info: Json = {"per_page": per_page, "is_truncated": bool(cursor)}
    if cursor:
        info["cursor"] = cursor
    if folders:
        info["delimited"] = sorted(folders)
    return success([_object_answer(key, bucket.objects[key]) for key in shown], info=info)


def _object_answer(key: str, stored: Object) -> Json:
    return {
        "key": key,
        "etag": _etag(stored),
        "last_modified": stored.last_modified,
        "size": len(stored.data),
        "http_metadata": {"contentType": stored.content_type},
        "custom_metadata": stored.custom_metadata,
        "ssec": False,
        "storage_class": stored.storage_class,
    }


def _etag(stored: Object) -> str:
    return hashlib.md5(stored.data, usedforsecurity=False).hexdigest()


def _get_object(call: Call) -> Answer:
    query(call)
    stored = _bucket(call).objects.get(call.path["object_key"])
    if stored is None:
        raise Refused(404, 10007, "The specified key does not exist.")
    return raw(stored.data, stored.content_type, headers={"etag": f'"{_etag(stored)}"'})


def _put_object(call: Call) -> Answer:
    query(call)
    bucket, key = _bucket(call), call.path["object_key"]
    content_type = call.headers.get("content-type", "application/octet-stream")
    stored = Object(call.body, content_type, storage_class=_storage_class(call) or bucket.storage_class)
    bucket.objects[key] = stored
    answer = {"key": key, "etag": _etag(stored), "size": str(len(call.body)), "storage_class": stored.storage_class}
    return success({**answer, "uploaded": now(), "version": uuid.uuid4().hex})


def _delete_object(call: Call) -> Answer:
    query(call)
    key = call.path["object_key"]
    if _bucket(call).objects.pop(key, None) is None:
        return failure(200, 10007, "The specified key does not exist.")  # README, "R2": seen without a 404
    return success({"key": key})


_PATH = "/accounts/{account_id}/r2/buckets"
_ONE = _PATH + "/{bucket_name}"
_OBJECT = _ONE + "/objects/{object_key:path}"

ROUTES = [
    Route("GET", _PATH, _list),
    Route("POST", _PATH, _create),
    Route("GET", _ONE, _get),
    Route("PATCH", _ONE, _edit),
    Route("DELETE", _ONE, _delete),
    Route("GET", _ONE + "/lifecycle", _get_lifecycle),
    Route("PUT", _ONE + "/lifecycle", _put_lifecycle),
    Route("GET", _ONE + "/objects", _list_objects),
    Route("GET", _OBJECT, _get_object),
    Route("PUT", _OBJECT, _put_object),
    Route("DELETE", _OBJECT, _delete_object),
]
