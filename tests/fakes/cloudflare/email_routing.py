"""Email Routing: the zone's settings and records, its rules and catch-all, the account's destination addresses."""

from __future__ import annotations

from cloudflare.types.email_routing import (
    AddressCreateParams,
    DNSCreateParams,
    EmailRoutingEditParams,
    RuleCreateParams,
)
from cloudflare.types.email_routing.rules import CatchAllUpdateParams

from tests.fakes.cloudflare.accounts import zone_of
from tests.fakes.cloudflare.envelope import Answer, Call, Json, Refused, Route, boolean, page, success
from tests.fakes.cloudflare.state import Address, Record, Rule, Zone, now
from tests.fakes.cloudflare.validation import body, one_of, query

RULE_LIMIT = 200
ADDRESS_LIMIT = 200
SPF_INCLUDE = "include:_spf.mx.cloudflare.net"
_MX = (("route1.mx.cloudflare.net", 13), ("route2.mx.cloudflare.net", 86), ("route3.mx.cloudflare.net", 24))
_DKIM_SELECTOR = "cf2024-1"
_SPF = f'"v=spf1 {SPF_INCLUDE} ~all"'


def required_records(zone: Zone) -> list[Record]:
    """Return the records that Email Routing wants in a zone, new ones, not in it."""
    records = [Record("MX", zone.name, host, priority=priority, is_locked=True) for host, priority in _MX]
    records.append(Record("TXT", zone.name, _SPF, is_locked=True))
    if (dkim := zone.routing.dkim) is not None:
        records.append(Record("TXT", f"{_DKIM_SELECTOR}._domainkey.{zone.name}", dkim, is_locked=True))
    return records


def _is_there(zone: Zone, wanted: Record) -> bool:
    return any(_serves(record, wanted) for record in zone.records)


def _serves(record: Record, wanted: Record) -> bool:
    """Say whether a record does what a required one would: an SPF with the include, the MX host at any priority."""
    if (record.type, record.name) != (wanted.type, wanted.name):
        return False
    return SPF_INCLUDE in record.content if wanted.content == _SPF else record.content == wanted.content


def _foreign_mx(zone: Zone) -> list[Record]:
    hosts = {host for host, _ in _MX}
    return [r for r in zone.records if r.type == "MX" and r.name == zone.name and r.content not in hosts]


def status_of(zone: Zone) -> str:
    routing = zone.routing
    if not routing.enabled:
        return "unconfigured"
    if not all(_is_there(zone, wanted) for wanted in required_records(zone)) or _foreign_mx(zone):
        return "misconfigured/locked" if routing.records_locked else "misconfigured"
    return "ready" if routing.records_locked else "unlocked"


def _settings(zone: Zone) -> Answer:
    routing = zone.routing
    return success(
        {
            "id": routing.id,
            "tag": routing.id,
            "name": zone.name,
            "enabled": routing.enabled,
            "created": routing.created,
            "modified": routing.modified,
            "skip_wizard": routing.skip_wizard,
            "support_subaddress": routing.support_subaddress,
            "status": status_of(zone),
        }
    )


def _get(call: Call) -> Answer:
    query(call)
    return _settings(zone_of(call))


def _edit(call: Call) -> Answer:
    """Change the two flags. `enabled` is taken without complaint, and without effect."""
    query(call)
    given = body(call, EmailRoutingEditParams)
    zone = zone_of(call)
    zone.routing.skip_wizard = given.get("skip_wizard", zone.routing.skip_wizard)
    zone.routing.support_subaddress = given.get("support_subaddress", zone.routing.support_subaddress)
    zone.routing.modified = now()
    return _settings(zone)


def _own_domain(call: Call) -> Zone:
    """Return the zone after a look at the body, which may be missing, and may name the zone's domain."""
    query(call)
    zone = zone_of(call)
    if call.body:
        name = body(call, DNSCreateParams).get("name", zone.name)
        if name != zone.name:
            raise Refused(400, 2007, f"Invalid Input: this fake routes only {zone.name}, no subdomains")
    return zone


def _enable(call: Call) -> Answer:
    zone = _own_domain(call)
    enable(zone)
    return _settings(zone)


def enable(zone: Zone) -> None:
    """Enable, add what is missing and lock it. A second SPF record isn't added beside a foreign one. Raise Refused."""
    if _foreign_mx(zone):
        raise Refused(409, 2008, "Conflict: the zone has MX records of another mail service; delete them first.")
    has_spf = any(r.type == "TXT" and r.name == zone.name and "v=spf1" in r.content for r in zone.records)
    for wanted in required_records(zone):
        if not _is_there(zone, wanted) and not (wanted.content == _SPF and has_spf):
            zone.records.append(wanted)
    zone.routing.enabled = zone.routing.records_locked = True
    zone.routing.modified = now()


def _disable(call: Call) -> Answer:
    """Disable, and delete the records that Email Routing added, even if they were edited since."""
    zone = _own_domain(call)
    zone.records = [record for record in zone.records if not record.is_locked]
    zone.routing.enabled = False
    zone.routing.modified = now()
    return _settings(zone)


def _unlock(call: Call) -> Answer:
    zone = _own_domain(call)
    zone.routing.records_locked = False
    zone.routing.modified = now()
    return _settings(zone)


def _get_dns(call: Call) -> Answer:
    given = query(call, "subdomain")
    zone = zone_of(call)
    if given.get("subdomain", zone.name) != zone.name:
        raise Refused(400, 2007, f"Invalid Input: this fake routes only {zone.name}, no subdomains")
    wanted = required_records(zone)
    if not zone.routing.tells_missing:
        return success([_dns_answer(record) for record in wanted])
    missing = [record for record in wanted if not _is_there(zone, record)]
    errors = [{"code": _missing_code(record), "missing": _dns_answer(record)} for record in missing]
    return success({"errors": errors or None, "record": [_dns_answer(r) for r in wanted if r not in missing]})


def _dns_answer(record: Record) -> Json:
    answer = {"type": record.type, "name": record.name, "content": record.content, "ttl": record.ttl}
    return answer if record.priority is None else {**answer, "priority": record.priority}


def _missing_code(record: Record) -> str:
    if record.type == "MX":
        return "mx.missing"
    return "spf.missing" if record.content == _SPF else "dkim.missing"


def _rule_answer(rule: Rule, *, is_catch_all: bool = False) -> Json:
    answer = {
        "id": rule.id,
        "tag": rule.id,
        "name": rule.name,
        "enabled": rule.enabled,
        "matchers": rule.matchers,
        "actions": rule.actions,
        "source": rule.source,
    }
    return answer if is_catch_all else {**answer, "priority": rule.priority}


def _list_rules(call: Call) -> Answer:
    """List the rules, the catch-all last: it is one of them."""
    query(call, "enabled", "page", "per_page")
    enabled = boolean(call, "enabled")
    routing = zone_of(call).routing
    rules = [_rule_answer(rule) for rule in (*routing.rules, routing.catch_all) if enabled in (None, rule.enabled)]
    return page(call, rules, per_page=20, least=5, most=50)


def _find_rule(call: Call) -> Rule:
    for rule in zone_of(call).routing.rules:
        if rule.id == call.path["rule_id"]:
            return rule
    raise Refused(404, 2017, "Routing rule not found")


def _get_rule(call: Call) -> Answer:
    query(call)
    routing = zone_of(call).routing
    rule = routing.catch_all if call.path["rule_id"] == routing.catch_all.id else _find_rule(call)
    return success(_rule_answer(rule))


def _create_rule(call: Call) -> Answer:
    query(call)
    given = body(call, RuleCreateParams, code=2007)
    rules = zone_of(call).routing.rules
    _judge_literal(call, given)
    if len(rules) >= RULE_LIMIT:
        raise Refused(400, 2013, f"Rule limit of {RULE_LIMIT} reached")
    rule = Rule(**_fields(call, given))
    rules.append(rule)
    return success(_rule_answer(rule))


def _update_rule(call: Call) -> Answer:
    query(call)
    given = body(call, RuleCreateParams, code=2007)
    rule = _find_rule(call)
    _judge_literal(call, given, instead_of=rule)
    _replace(rule, _fields(call, given))
    return success(_rule_answer(rule))


def _delete_rule(call: Call) -> Answer:
    query(call)
    routing = zone_of(call).routing
    if call.path["rule_id"] == routing.catch_all.id:
        raise Refused(409, 2010, "Invalid rule operation")
    rule = _find_rule(call)
    routing.rules.remove(rule)
    return success(_rule_answer(rule))


def _get_catch_all(call: Call) -> Answer:
    query(call)
    return success(_rule_answer(zone_of(call).routing.catch_all, is_catch_all=True))


def _put_catch_all(call: Call) -> Answer:
    query(call)
    given = body(call, CatchAllUpdateParams, code=2007)
    if given["matchers"] != [{"type": "all"}]:
        raise Refused(400, 2007, "Invalid Input: the catch-all has the one matcher all")
    catch_all = zone_of(call).routing.catch_all
    _replace(catch_all, _fields(call, given))
    return success(_rule_answer(catch_all, is_catch_all=True))


def _replace(rule: Rule, fields: Json) -> None:
    for name, value in fields.items():
        setattr(rule, name, value)


def _fields(call: Call, given: Json) -> Json:
    """Return a rule's fields from a body that says all of it. Raise Refused for an action that can't be."""
    if not zone_of(call).routing.enabled:
        raise Refused(400, 2009, "Email Routing is not enabled on this zone")
    if given.get("source") == "wrangler" and "owner_worker_tag" not in given:
        raise Refused(400, 2007, "Invalid Input: owner_worker_tag is required when source is wrangler")
    _judge_actions(call, given["actions"])
    return {
        "matchers": given["matchers"],
        "actions": given["actions"],
        "name": given.get("name", ""),
        "enabled": given.get("enabled", True),
        "priority": int(given.get("priority", 0)),
        "source": given.get("source", "api"),
    }


def _judge_literal(call: Call, given: Json, *, instead_of: Rule | None = None) -> None:
    """Refuse all matchers but the one this product knows, an address of the zone that no other rule has."""
    zone = zone_of(call)
    matchers = given["matchers"]
    if any(matcher["type"] == "all" for matcher in matchers):
        raise Refused(409, 2010, "Invalid rule operation")  # there is one catch-all, and it has its own endpoint
    if len(matchers) != 1 or matchers[0].get("field") != "to" or "value" not in matchers[0]:
        raise Refused(400, 2007, "Invalid Input: a rule has one matcher: literal, field to, and a value")
    local, at, domain = matchers[0]["value"].rpartition("@")
    if not (local and at) or domain.lower() != zone.name:
        raise Refused(400, 2007, f"Invalid Input: {matchers[0]['value']} is not an address of {zone.name}")
    for rule in zone.routing.rules:
        if rule is not instead_of and rule.matchers[0]["value"].lower() == matchers[0]["value"].lower():
            raise Refused(409, 2014, "Duplicated Zone rule")


def _judge_actions(call: Call, actions: list[Json]) -> None:
    if len(actions) != 1:
        raise Refused(400, 2007, "Invalid Input: a rule has one action")
    values = actions[0].get("value", [])
    match actions[0]["type"]:
        case "drop":
            return
        case "worker":
            if len(values) != 1:
                raise Refused(400, 2007, "Invalid Input: the action worker has one value, the script's name")
            _judge_worker(call, values[0])
        case _:
            verified = {address.email for address in call.state.addresses if address.verified}
            if len(values) != 1 or values[0].lower() not in verified:
                raise Refused(400, 2012, "Destination address is not verified")


def _judge_worker(call: Call, name: str) -> None:
    late = call.state.routing_blind_to.get(name, 0)
    if late > 0:
        call.state.routing_blind_to[name] = late - 1
    if late > 0 or name not in call.state.scripts:
        raise Refused(404, 2016, "Workers Script Info not found")


def _address_answer(address: Address) -> Json:
    return {
        "id": address.id,
        "tag": address.id,
        "email": address.email,
        "verified": address.verified,
        "created": address.created,
        "modified": address.modified,
    }


def _list_addresses(call: Call) -> Answer:
    query(call, "direction", "page", "per_page", "verified")
    verified = boolean(call, "verified")
    found = [a for a in call.state.addresses if verified in (None, a.verified is not None)]
    found.sort(key=lambda address: address.created, reverse=one_of(call, "direction", "asc", "desc") == "desc")
    return page(call, [_address_answer(address) for address in found], per_page=20, least=5, most=50)


def _create_address(call: Call) -> Answer:
    """Add an address, unverified: Cloudflare writes to it, and a person follows a link."""
    query(call)
    email = body(call, AddressCreateParams, code=2007)["email"].lower()
    if email.count("@") != 1 or email.startswith("@") or email.endswith("@"):
        raise Refused(400, 2007, f"Invalid Input: {email} is not an address")
    if any(address.email == email for address in call.state.addresses):
        raise Refused(409, 2006, "Destination address already exists")
    if len(call.state.addresses) >= ADDRESS_LIMIT:
        raise Refused(400, 2013, f"Address limit of {ADDRESS_LIMIT} reached")
    address = Address(email)
    call.state.addresses.append(address)
    return success(_address_answer(address))


def _find_address(call: Call) -> Address:
    for address in call.state.addresses:
        if address.id == call.path["address_id"]:
            return address
    raise Refused(404, 2005, "Destination address not found")


def _get_address(call: Call) -> Answer:
    query(call)
    return success(_address_answer(_find_address(call)))


def _delete_address(call: Call) -> Answer:
    query(call)
    address = _find_address(call)
    call.state.addresses.remove(address)
    return success(_address_answer(address))


_ZONE = "/zones/{zone_id}/email/routing"
_ADDRESSES = "/accounts/{account_id}/email/routing/addresses"

ROUTES = [
    Route("GET", _ZONE, _get),
    Route("PATCH", _ZONE, _edit),
    Route("PUT", _ZONE, _edit),
    Route("POST", _ZONE + "/enable", _enable),
    Route("POST", _ZONE + "/disable", _disable),
    Route("POST", _ZONE + "/unlock", _unlock),
    Route("GET", _ZONE + "/dns", _get_dns),
    Route("POST", _ZONE + "/dns", _enable),
    Route("PATCH", _ZONE + "/dns", _unlock),
    Route("DELETE", _ZONE + "/dns", _disable),
    Route("GET", _ZONE + "/rules", _list_rules),
    Route("POST", _ZONE + "/rules", _create_rule),
    Route("GET", _ZONE + "/rules/catch_all", _get_catch_all),
    Route("PUT", _ZONE + "/rules/catch_all", _put_catch_all),
    Route("GET", _ZONE + "/rules/{rule_id}", _get_rule),
    Route("PUT", _ZONE + "/rules/{rule_id}", _update_rule),
    Route("DELETE", _ZONE + "/rules/{rule_id}", _delete_rule),
    Route("GET", _ADDRESSES, _list_addresses),
    Route("POST", _ADDRESSES, _create_address),
    Route("GET", _ADDRESSES + "/{address_id}", _get_address),
    Route("DELETE", _ADDRESSES + "/{address_id}", _delete_address),
]
