"""Bodies and queries judged by the SDK's own parameter types: required fields, value types, and no unknown key.

The SDK's types are TypedDicts that mix path, query, header and body parameters; an endpoint names those that aren't in
the body. Names are those on the wire (`PropertyInfo(alias=...)`). pydantic isn't used: it would let unknown keys pass
unless the SDK's classes were altered, and validates lists lazily.
"""

from __future__ import annotations

import datetime as dt
import functools
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict  # as the SDK's own; those of typing don't know its classes

from tests.fakes.cloudflare.envelope import Call, Json, Refused

_UNIONS = (Union, types.UnionType)
_REQUIRED: tuple[Any, ...] = (Required,)
_WRAPPERS = (*_REQUIRED, Annotated, NotRequired)
_NUMBERS: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float)}
_EVERYWHERE = ("account_id", "zone_id")  # always in the path, and never in a body


def body(
    call: Call,
    params: Any,
    *,
    elsewhere: Collection[str] = (),
    partial: bool = False,
    code: int = 10001,
    optional: Collection[str] = (),
    is_open: bool = False,
) -> Json:
    """Return the request's JSON object when it fits `params`.

    params      a TypedDict of the SDK, or a union of such
    elsewhere   wire names of fields that are in the path, the query or a header
    partial     no field is required (PATCH)
    optional    fields the SDK requires and the API doesn't
    code        Cloudflare's error code of this product for a malformed body
    is_open     what the SDK doesn't know within the body's fields is let through, where Cloudflare keeps it; an
                unknown field beside them is still refused
    raises      Refused 400
    """
    given: Json = checked(
        call.json(), params, elsewhere=elsewhere, partial=partial, code=code, optional=optional, is_open=is_open
    )
    return given


def checked(
    value: Any,
    params: Any,
    *,
    elsewhere: Collection[str] = (),
    partial: bool = False,
    code: int = 10001,
    optional: Collection[str] = (),
    is_open: bool = False,
) -> Any:
    checker = _Checker({*elsewhere, *_EVERYWHERE}, partial=partial, optional=optional, is_open=is_open)
    for fault in checker.faults(value, params, "body", top=True):
        raise Refused(400, code, f"Invalid request: {fault}")
    return value


def query(call: Call, *known: str) -> Mapping[str, str]:
    """Return the query when it has only these parameters; a misspelt filter would otherwise return everything."""
    for name in call.query:
        if name not in known:
            raise Refused(400, 1001, f"Invalid request: unknown query parameter {name!r}")
    return call.query


def one_of(call: Call, name: str, *allowed: str) -> str | None:
    value = call.query.get(name)
    if value is not None and value not in allowed:
        raise Refused(400, 1001, f"Invalid parameter {name}: {value!r} is none of {', '.join(allowed)}")
    return value


class _Checker:
    def __init__(
        self, elsewhere: Collection[str], *, partial: bool, optional: Collection[str], is_open: bool = False
    ) -> None:
        self._elsewhere = elsewhere
        self._partial = partial
        self._optional = optional
        self._is_open = is_open

    def faults(self, value: Any, hint: Any, where: str, *, top: bool = False) -> Iterator[str]:
        hint = _bare(hint)
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in _UNIONS:
            yield from self._union(value, arguments, where, top=top)
        elif is_typeddict(hint):
            yield from self._object(value, hint, where, top=top)
        elif origin is Literal:
            # 1 == True: the type counts too
            if not any(value == allowed and type(value) is type(allowed) for allowed in arguments):
                yield f"{where} must be one of {list(arguments)}, not {value!r}"
        elif hint in (object, Any):
            return
        elif hint in _NUMBERS:
            if isinstance(value, bool) or not isinstance(value, _NUMBERS[hint]):
                yield f"{where} must be a number, not {value!r}"
        elif hint in (str, bool, type(None)):
            if not isinstance(value, hint):
                yield f"{where} must be of type {hint.__name__}, not {value!r}"
        elif hint is dt.datetime:
            yield from self._time(value, where)
        elif origin in (dict, Mapping):
            yield from self._map(value, arguments[1], where)
        elif len(arguments) == 1:  # List, Iterable, SequenceNotStr
            yield from self._list(value, arguments[0], where)
        else:
            raise AssertionError(f"{where}: {hint!r} is a type this check doesn't know")

    def _union(self, value: Any, members: tuple[Any, ...], where: str, *, top: bool) -> Iterator[str]:
        meant = [member for member in members if _names_type(value, member)] or members
        found = [list(self.faults(value, member, where, top=top)) for member in meant]
        if all(found):
            yield from min(found, key=len)

    def _object(self, value: Any, hint: Any, where: str, *, top: bool) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} must be an object"
            return
        fields = _fields(hint)
        for name in value:
            is_unknown = name not in fields and (top or not self._is_open)
            if is_unknown or (top and name in self._elsewhere):
                yield f"{where} has the unknown field {name!r}"
        for name, (field_hint, required) in fields.items():
            if name in value:
                yield from self.faults(value[name], field_hint, f"{where}.{name}")
            elif required and not (top and (self._partial or name in self._elsewhere)) and name not in self._optional:
                yield f"{where} lacks the field {name!r}"

    def _list(self, value: Any, item: Any, where: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{where} must be a list"
            return
        for number, element in enumerate(value):
            yield from self.faults(element, item, f"{where}[{number}]")

    def _map(self, value: Any, item: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} must be an object"
            return
        for name, element in value.items():
            yield from self.faults(element, item, f"{where}.{name}")

    def _time(self, value: Any, where: str) -> Iterator[str]:
        try:
            dt.datetime.fromisoformat(value)
        except (TypeError, ValueError):
            yield f"{where} must be a time in ISO 8601, not {value!r}"


def _bare(hint: Any) -> Any:
    while get_origin(hint) in _WRAPPERS:
        hint = get_args(hint)[0]
    return hint


@functools.cache  # reading the annotations of the SDK's 20 kinds of records takes longer than judging one
def _fields(hint: Any) -> dict[str, tuple[Any, bool]]:
    """Return wire name -> (type, required) of a TypedDict."""
    fields: dict[str, tuple[Any, bool]] = {}
    for name, annotated in get_type_hints(hint, include_extras=True).items():
        alias, inner, required = name, annotated, False
        while get_origin(inner) in _WRAPPERS:
            required |= (
                get_origin(inner) in _REQUIRED
            )  # `__required_keys__` is empty: the SDK's annotations are strings
            for extra in getattr(inner, "__metadata__", ()):
                alias = getattr(extra, "alias", None) or alias
            inner = get_args(inner)[0]
        fields[alias] = (inner, required)
    return fields


def _names_type(value: Any, member: Any) -> bool:
    """Say whether an object's `type` is the one that this member of a union is about."""
    member = _bare(member)
    if not (isinstance(value, dict) and is_typeddict(member)):
        return False
    kind = _fields(member).get("type")
    return kind is not None and value.get("type") in get_args(_bare(kind[0]))
