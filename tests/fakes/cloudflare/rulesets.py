"""Rulesets of a zone in two phases: WAF custom rules and rate limiting rules. Sources: README.md, "Rulesets"."""

from __future__ import annotations

from cloudflare.types.rulesets import ruleset_create_params
from cloudflare.types.rulesets.rule_create_params import BlockRule as CreatedRule
from cloudflare.types.rulesets.rule_edit_params import BlockRule as EditedRule

from tests.fakes.cloudflare.accounts import zone_of
from tests.fakes.cloudflare.envelope import Answer, Call, Json, Refused, Route, success
from tests.fakes.cloudflare.state import Ruleset, Zone, new_id, now
from tests.fakes.cloudflare.validation import body, query

CUSTOM, RATE = "http_request_firewall_custom", "http_ratelimit"
MAX_RULES = {CUSTOM: {"free": 5, "pro": 20, "business": 100}, RATE: {"free": 1, "pro": 2, "business": 5}}
_FREE_PERIOD_S = 10
_FREE_FIELDS = ("http.request.uri.path", "cf.client.bot")  # of a rate limiting rule's expression
_OTHER_FIELDS = ("http.host", "http.request.method", "http.request.uri.query", "http.request.full_uri", "ip.src")


def _answer(ruleset: Ruleset) -> Answer:
    document = {
        "id": ruleset.id,
        "name": ruleset.name,
        "description": "",
        "kind": "zone",
        "phase": ruleset.phase,
        "version": str(ruleset.version),
        "last_updated": ruleset.last_updated,
    }
    # Cloudflare leaves `rules` out while there are none.
    return success(document | ({"rules": ruleset.rules} if ruleset.rules else {}))


def _entry_point(call: Call) -> Answer:
    query(call)
    phase = call.path["phase"]
    for ruleset in zone_of(call).rulesets:
        if ruleset.phase == phase:
            return _answer(ruleset)
    raise Refused(404, 10003, f"could not find entrypoint ruleset in the {phase} phase")


def _create(call: Call) -> Answer:
    query(call)
    given = body(call, ruleset_create_params.RulesetCreateParams)
    zone, phase = zone_of(call), given["phase"]
    if given["kind"] != "zone" or phase not in MAX_RULES:
        raise Refused(400, 20217, f"this fake knows zone rulesets of {sorted(MAX_RULES)}")
    if any(ruleset.phase == phase for ruleset in zone.rulesets):
        message = (
            f"'zone' is not a valid value for kind because exceeded maximum number of zone rulesets for phase {phase}"
        )
        raise Refused(400, 20217, message)
    ruleset = Ruleset(given["name"], phase)
    for rule in given.get("rules", []):
        _add(zone, ruleset, rule)
    zone.rulesets.append(ruleset)
    return _answer(ruleset)


def _add(zone: Zone, ruleset: Ruleset, given: Json) -> None:
    limit = MAX_RULES[ruleset.phase][zone.plan]
    if len(ruleset.rules) >= limit:
        raise Refused(400, 20017, f"exceeded maximum number of rules in the phase {ruleset.phase}: {limit}")
    ruleset.rules.append(_judged(zone, ruleset, given, new_id()))


def _judged(zone: Zone, ruleset: Ruleset, given: Json, id_: str) -> Json:
    expression, limit = given.get("expression", ""), given.get("ratelimit")
    if not expression or expression.count("(") != expression.count(")"):
        raise Refused(400, 20127, f"'{expression}' is not a valid value for expression because it cannot be parsed")
    if (limit is not None) != (ruleset.phase == RATE):
        raise Refused(400, 20120, "ratelimit belongs to rules of the phase http_ratelimit, and only to them")
    if limit is not None and zone.plan == "free":
        _judge_free(expression, limit)
    kept = {name: value for name, value in given.items() if name not in ("id", "position")}
    return {"enabled": True, "ref": id_} | kept | {"id": id_, "version": "1", "last_updated": now()}


def _judge_free(expression: str, limit: Json) -> None:
    """What the Free plan has of rate limiting."""
    if limit["period"] != _FREE_PERIOD_S or limit.get("mitigation_timeout") != _FREE_PERIOD_S:
        raise Refused(400, 20120, f"not entitled to use the period {limit['period']}, can only use [{_FREE_PERIOD_S}]")
    if used := [name for name in _OTHER_FIELDS if name in expression]:
        raise Refused(400, 20127, f"not entitled to use the field {used[0]}, can only use {list(_FREE_FIELDS)}")
    if sorted(limit["characteristics"]) != ["cf.colo.id", "ip.src"]:
        raise Refused(400, 20120, "not entitled to use these characteristics")


def _touch(ruleset: Ruleset) -> Answer:
    ruleset.version += 1
    ruleset.last_updated = now()
    return _answer(ruleset)


def _ruleset(call: Call) -> Ruleset:
    zone: Zone = zone_of(call)
    for ruleset in zone.rulesets:
        if ruleset.id == call.path["ruleset_id"]:
            return ruleset
    raise Refused(404, 10000, "could not find ruleset")


def _place(call: Call, ruleset: Ruleset) -> int:
    for place, rule in enumerate(ruleset.rules):
        if rule["id"] == call.path["rule_id"]:
            return place
    raise Refused(404, 10000, f"could not find rule {call.path['rule_id']}")


def _create_rule(call: Call) -> Answer:
    query(call)
    ruleset = _ruleset(call)
    _add(zone_of(call), ruleset, body(call, CreatedRule))
    return _touch(ruleset)


def _edit_rule(call: Call) -> Answer:
    """Replace a rule by what is given, which must be all of it."""
    query(call)
    ruleset = _ruleset(call)
    place = _place(call, ruleset)
    ruleset.rules[place] = _judged(
        zone_of(call), ruleset, body(call, EditedRule, elsewhere=["ruleset_id"]), call.path["rule_id"]
    )
    return _touch(ruleset)


def _delete_rule(call: Call) -> Answer:
    query(call)
    ruleset = _ruleset(call)
    del ruleset.rules[_place(call, ruleset)]
    return _touch(ruleset)


_PATH = "/zones/{zone_id}/rulesets"
_RULES = _PATH + "/{ruleset_id}/rules"

ROUTES = [
    Route("POST", _PATH, _create),
    Route("GET", _PATH + "/phases/{phase}/entrypoint", _entry_point),
    Route("POST", _RULES, _create_rule),
    Route("PATCH", _RULES + "/{rule_id}", _edit_rule),
    Route("DELETE", _RULES + "/{rule_id}", _delete_rule),
]
