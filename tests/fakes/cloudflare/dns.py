"""DNS records of a zone: list, get, create, PUT, PATCH, delete, batch, export."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cloudflare.types.dns import batch_patch_param, batch_put_param, record_batch_params, record_create_params

from tests.fakes.cloudflare.accounts import zone_of
from tests.fakes.cloudflare.envelope import Answer, Call, Json, Refused, Route, boolean, page, raw, success
from tests.fakes.cloudflare.state import Record, Zone, now
from tests.fakes.cloudflare.validation import body, checked, one_of, query

BATCH_LIMIT = 200  # Free plan
BATCH_LIMIT_PAID = 3500
COMMENT_LIMIT = 100  # Free plan
PROXIABLE = ("A", "AAAA", "CNAME")
PRIORITIZED = ("MX", "URI")

# The types that are written by `data`, and what of it makes their content, in this order.
_CONTENT = {
    "CAA": ("flags", "tag", "value"),
    "CERT": ("type", "key_tag", "algorithm", "certificate"),
    "DNSKEY": ("flags", "protocol", "algorithm", "public_key"),
    "DS": ("key_tag", "algorithm", "digest_type", "digest"),
    "HTTPS": ("priority", "target", "value"),
    "LOC": (
        *(f"{of}_{part}" for of in ("lat", "long") for part in ("degrees", "minutes", "seconds", "direction")),
        *("altitude", "size", "precision_horz", "precision_vert"),
    ),
    "NAPTR": ("order", "preference", "flags", "service", "regex", "replacement"),
    "SMIMEA": ("usage", "selector", "matching_type", "certificate"),
    "SRV": ("weight", "port", "target"),
    "SSHFP": ("algorithm", "type", "fingerprint"),
    "SVCB": ("priority", "target", "value"),
    "TLSA": ("usage", "selector", "matching_type", "certificate"),
    "URI": ("weight", "target"),
}
_QUOTED = {"CAA": ("value",), "URI": ("target",), "NAPTR": ("flags", "service", "regex")}

_ADDRESSES = ("A", "AAAA", "CNAME")
_TYPES = (
    *("A", "AAAA", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HTTPS", "LOC", "MX", "NAPTR", "NS", "OPENPGPKEY"),
    *("PTR", "SMIMEA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI"),
)
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda value, wanted: value.lower() == wanted.lower(),
    "contains": lambda value, wanted: wanted.lower() in value.lower(),
    "startswith": lambda value, wanted: value.lower().startswith(wanted.lower()),
    "endswith": lambda value, wanted: value.lower().endswith(wanted.lower()),
}
_FILTERED: dict[str, Callable[[Record], str]] = {
    "name": lambda record: record.name,
    "content": lambda record: record.content,
    "comment": lambda record: record.comment or "",
}
_FILTERS = (
    *_FILTERED,
    *(f"{name}.{operator}" for name in (*_FILTERED, "tag") for operator in _OPERATORS),
    *("comment.present", "comment.absent", "tag", "tag.present", "tag.absent", "tag_match"),
    *("type", "proxied", "search", "match", "order", "direction", "page", "per_page", "include_shadow_metadata"),
)


def answer_of(record: Record) -> Json:
    answer: Json = {
        "id": record.id,
        "name": record.name,
        "type": record.type,
        "content": record.content,
        "proxiable": record.type in PROXIABLE,
        "proxied": record.proxied,
        "ttl": record.ttl,
        "settings": record.settings,
        "meta": {"email_routing": True, "read_only": True} if record.is_locked else {},
        "comment": record.comment,
        "tags": record.tags,
        "created_on": record.created_on,
        "modified_on": record.modified_on,
    }
    for name in ("priority", "data", "private_routing"):
        if (value := getattr(record, name)) is not None:
            answer[name] = value
    return answer


def _list(call: Call) -> Answer:
    given = query(call, *_FILTERS)
    one_of(call, "type", *_TYPES)
    tests = [*_tests(given, call)]
    combine = any if one_of(call, "match", "any", "all") == "any" and tests else all
    records = [record for record in _visible(zone_of(call)) if combine(test(record) for test in tests)]
    order = one_of(call, "order", "type", "name", "content", "ttl", "proxied")
    if order is not None:
        records.sort(key=lambda record: str(getattr(record, order)))
    if one_of(call, "direction", "asc", "desc") == "desc":
        records.reverse()
    return page(call, records, per_page=100, most=5_000_000, shown_as=answer_of)


def _tests(given: Mapping[str, str], call: Call) -> Iterable[Callable[[Record], bool]]:
    """Yield what a record has to satisfy."""
    if (type_ := given.get("type")) is not None:
        yield lambda record: record.type == type_
    if (proxied := boolean(call, "proxied")) is not None:
        yield lambda record: record.proxied == proxied
    for name, value_of in _FILTERED.items():
        for operator, holds in _OPERATORS.items():
            wanted = given.get(f"{name}.{operator}", given.get(name) if operator == "exact" else None)
            if wanted is not None:
                yield lambda record, v=value_of, h=holds, w=wanted: h(v(record), w)  # type: ignore[misc]
    if "comment.present" in given:
        yield lambda record: bool(record.comment)
    if "comment.absent" in given:
        yield lambda record: not record.comment
    if (search := given.get("search")) is not None:
        yield lambda record: any(search.lower() in value_of(record).lower() for value_of in _FILTERED.values())
    tag_tests = [*_tag_tests(given)]
    if tag_tests:
        combine = any if one_of(call, "tag_match", "any", "all") == "any" else all
        yield lambda record: combine(test(record) for test in tag_tests)


def _tag_tests(given: Mapping[str, str]) -> Iterable[Callable[[Record], bool]]:
    """Yield those for tags, which are `name:value`; present and absent ask for a name."""
    for operator, holds in _OPERATORS.items():
        wanted = given.get(f"tag.{operator}", given.get("tag") if operator == "exact" else None)
        if wanted is not None:
            yield lambda record, h=holds, w=wanted: any(h(tag, w) for tag in record.tags)  # type: ignore[misc]
    if (name := given.get("tag.present")) is not None:
        yield lambda record: any(tag.partition(":")[0] == name for tag in record.tags)
    if (lacking := given.get("tag.absent")) is not None:
        yield lambda record: all(tag.partition(":")[0] != lacking for tag in record.tags)


def _get(call: Call) -> Answer:
    query(call, "include_shadow_metadata")
    for record in _visible(zone_of(call)):
        if record.id == call.path["dns_record_id"]:
            return success(answer_of(record))
    raise Refused(404, 81044, "Record does not exist.")


class Draft:
    """A zone's records while a request changes them: nothing is the zone's before `commit`.

    Records are replaced, never changed, and are found by id and by name: a batch in a zone of 10,000 records takes no
    longer than it has changes.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self._records = {record.id: record for record in zone.records}
        self._named: dict[str, dict[str, Record]] = {}
        for record in zone.records:
            self._named.setdefault(record.name, {})[record.id] = record

    def commit(self) -> None:
        self.zone.records[:] = self._records.values()

    def create(self, given: Json) -> Record:
        """Add a record. Raise Refused."""
        record = Record(given["type"], "", "")
        self._apply(record, given)
        if len(self._records) >= self.zone.record_limit:
            raise Refused(400, 81045, "Record quota exceeded.")
        self._put(record)
        return record

    def change(self, record_id: str, given: Json, *, keep: bool) -> Record:
        """Replace a record, or with `keep` only the given fields of it. Raise Refused."""
        record = self._find(record_id)
        changed = dataclasses.replace(record)
        if not keep:
            changed.priority, changed.proxied, changed.comment, changed.tags = None, False, None, []
            changed.data, changed.settings, changed.private_routing = None, {}, None
        changed.type = given.get("type", record.type)
        self._apply(changed, given)
        changed.modified_on = now()
        del self._named[record.name][record.id]
        self._put(changed)
        return changed

    def remove(self, record_id: str) -> Record:
        record = self._find(record_id)
        del self._records[record.id], self._named[record.name][record.id]
        return record

    def _put(self, record: Record) -> None:
        self._records[record.id] = record
        self._named.setdefault(record.name, {})[record.id] = record

    def _find(self, record_id: str) -> Record:
        record = self._records.get(record_id)
        if record is None or _is_hidden(self.zone, record):
            raise Refused(404, 81044, "Record does not exist.")
        if record.is_locked and self.zone.routing.records_locked:
            raise Refused(400, 1046, "This record is managed by Email Routing. Disable Email Routing to change it.")
        return record

    def _apply(self, record: Record, given: Json) -> None:
        """Put the given fields into a record that isn't in the zone yet. Raise Refused if it doesn't fit there."""
        if "name" in given:
            record.name = full_name(self.zone, given["name"])
        for name in ("proxied", "comment", "tags", "settings", "private_routing"):
            if name in given:
                setattr(record, name, given[name])
        if "ttl" in given:
            record.ttl = 1 if given.get("proxied", record.proxied) else int(given["ttl"])
        if "priority" in given:
            record.priority = int(given["priority"])
        if "data" in given:
            record.data = dict(given["data"])
            record.content = _content_of(record.type, record.data)
            record.priority = record.data["priority"] if record.type == "SRV" else record.priority
        elif "content" in given:
            record.content = _canonical(record.type, given["content"])
        _judge(record)
        _judge_neighbours(self.zone, record, self._named.get(record.name, {}).values())


def _create(call: Call) -> Answer:
    query(call, "include_shadow_metadata")
    given = body(call, record_create_params.RecordCreateParams, code=1004)
    return _written(call, lambda draft: draft.create(given))


def _update(call: Call) -> Answer:
    query(call, "include_shadow_metadata")
    given = body(call, record_create_params.RecordCreateParams, code=1004)
    return _written(call, lambda draft: draft.change(call.path["dns_record_id"], given, keep=False))


def _edit(call: Call) -> Answer:
    query(call, "include_shadow_metadata")
    given = body(call, record_create_params.RecordCreateParams, partial=True, code=1004)
    return _written(call, lambda draft: draft.change(call.path["dns_record_id"], given, keep=True))


def _written(call: Call, write: Callable[[Draft], Record]) -> Answer:
    draft = Draft(zone_of(call))
    record = write(draft)
    draft.commit()
    return success(answer_of(record))


def _delete(call: Call) -> Answer:
    query(call)
    draft = Draft(zone_of(call))
    record = draft.remove(call.path["dns_record_id"])
    draft.commit()
    return success({"id": record.id})


_BATCH = ("deletes", "patches", "puts", "posts")


def _batch(call: Call) -> Answer:
    """Carry out all of it or none: deletes, patches, puts, posts, whatever their order in the body."""
    query(call, "include_shadow_metadata")
    given = call.json()
    if not isinstance(given, dict) or not given.keys() <= set(_BATCH):
        raise Refused(400, 1004, f"Invalid request: a batch has only {', '.join(_BATCH)}")
    given = {name: given.get(name) or [] for name in _BATCH}
    if not all(isinstance(items, list) for items in given.values()):
        raise Refused(400, 1004, f"Invalid request: {', '.join(_BATCH)} are lists")
    zone = zone_of(call)
    limit = BATCH_LIMIT if zone.plan == "free" else BATCH_LIMIT_PAID
    if sum(map(len, given.values())) > limit:
        raise Refused(400, 1004, f"Invalid request: more than {limit} changes in one batch")
    for item in given["deletes"]:
        checked(item, record_batch_params.Delete, code=1004)
    for item in given["patches"]:
        checked(item, batch_patch_param.BatchPatchParam, partial=True, code=1004)
        checked({"id": item.get("id")}, record_batch_params.Delete, code=1004)
    for item in given["puts"]:
        checked(item, batch_put_param.BatchPutParam, code=1004)
    for item in given["posts"]:
        checked(item, record_batch_params.Post, code=1004)
    draft = Draft(zone)
    done = {
        "deletes": [draft.remove(item["id"]) for item in given["deletes"]],
        "patches": [draft.change(item["id"], item, keep=True) for item in given["patches"]],
        "puts": [draft.change(item["id"], item, keep=False) for item in given["puts"]],
        "posts": [draft.create(item) for item in given["posts"]],
    }
    draft.commit()
    return success({name: [answer_of(record) for record in records] for name, records in done.items()})


def _export(call: Call) -> Answer:
    query(call)
    zone = zone_of(call)
    lines = [f";; Domain:     {zone.name}."]
    for record in _visible(zone):
        content = record.content if record.priority is None else f"{record.priority} {record.content}"
        lines.append(f"{record.name}.\t{record.ttl}\tIN\t{record.type}\t{content}")
    return raw("\n".join([*lines, ""]).encode(), "text/plain;charset=UTF-8")


def _visible(zone: Zone) -> list[Record]:
    return [record for record in zone.records if not _is_hidden(zone, record)]


def _is_hidden(zone: Zone, record: Record) -> bool:
    return record.is_locked and zone.routing.records_hidden


def full_name(zone: Zone, name: str) -> str:
    """Return a name as Cloudflare keeps it: lower case, no final dot, and always below the zone."""
    name = name.lower().rstrip(".")
    if name in ("@", "", zone.name):
        return zone.name
    return name if name.endswith(f".{zone.name}") else f"{name}.{zone.name}"


def _canonical(type_: str, content: str) -> str:
    match type_:
        case "MX" | "CNAME" | "NS" | "PTR":
            return content.lower().rstrip(".")
        case "AAAA":
            try:
                return str(ipaddress.IPv6Address(content))
            except ValueError as error:
                raise Refused(400, 9005, "Content for AAAA record must be a valid IPv6 address.") from error
        case _:
            return content


def _content_of(type_: str, data: Json) -> str:
    """Return what Cloudflare shows as content of a record that has data. Raise Refused when that lacks something."""
    names = _CONTENT.get(type_)
    if names is None:
        raise Refused(400, 9101, f"{type_} records have no data.")
    required = {*names, *(("priority",) if type_ == "SRV" else ())}
    if type_ != "LOC" and (missing := sorted(required - data.keys())):
        raise Refused(400, 9101, f"data lacks {', '.join(missing)}, required for {type_} records.")
    quoted = _QUOTED.get(type_, ())
    return " ".join(f'"{data[name]}"' if name in quoted else str(data[name]) for name in names if name in data)


def _judge(record: Record) -> None:
    if record.type in _CONTENT and record.data is None:
        raise Refused(400, 9101, f"data is a required field of {record.type} records.")
    if not record.content:
        raise Refused(400, 9005, f"Content for {record.type} record is missing.")
    if record.type == "A":
        try:
            ipaddress.IPv4Address(record.content)
        except ValueError as error:
            raise Refused(400, 9005, "Content for A record must be a valid IPv4 address.") from error
    if record.type in PRIORITIZED and record.priority is None:
        raise Refused(400, 9102, f"priority is a required field of {record.type} records.")
    if record.proxied and record.type not in PROXIABLE:
        raise Refused(400, 9004, "This record type cannot be proxied.")
    if record.ttl != 1 and not 60 <= record.ttl <= 86400:
        raise Refused(400, 9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")
    if record.comment is not None and len(record.comment) > COMMENT_LIMIT:
        raise Refused(400, 9313, f"DNS record comment is longer than {COMMENT_LIMIT} characters.")


def _judge_neighbours(zone: Zone, record: Record, there: Iterable[Record]) -> None:
    """Refuse what can't stand beside the records of its name; the record's own former state isn't one of them."""
    same_name = [other for other in there if other.id != record.id]
    if record.type == "CNAME" and any(other.type in _ADDRESSES for other in same_name):
        raise Refused(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
    if record.type in ("A", "AAAA") and any(other.type == "CNAME" for other in same_name):
        raise Refused(400, 81054, "A CNAME record with that host already exists.")
    for other in same_name:
        if _value(other) == _value(record):
            if (other.ttl, other.proxied) == (record.ttl, record.proxied):
                raise Refused(400, 81058, "An identical record already exists.")
            raise Refused(400, 81057, "The record already exists.")
    if record.type == "MX" and record.name == zone.name and zone.routing.enabled and zone.routing.records_locked:
        raise Refused(400, 890190, _MANAGED)


def _value(record: Record) -> tuple[Any, ...]:
    return record.type, record.priority, record.content.strip('"') if record.type == "TXT" else record.content


_MANAGED = "This zone is managed by Email Routing. Disable Email Routing to add/modify MX records."


_PATH = "/zones/{zone_id}/dns_records"

ROUTES = [
    Route("GET", _PATH, _list),
    Route("POST", _PATH, _create),
    Route("GET", _PATH + "/export", _export),
    Route("POST", _PATH + "/batch", _batch),
    Route("GET", _PATH + "/{dns_record_id}", _get),
    Route("PUT", _PATH + "/{dns_record_id}", _update),
    Route("PATCH", _PATH + "/{dns_record_id}", _edit),
    Route("DELETE", _PATH + "/{dns_record_id}", _delete),
]
