"""Rules of Email Routing: whose they are, how they read, how one of ours is taken back. Pure."""

from __future__ import annotations

from typing import Any

from portal.edge.live import LiveZone, Unknown
from portal.edge.ownership import Kind, Thing
from portal.edge.steps import Act, Step

Json = dict[str, Any]


def worker_action(script: str) -> list[Json]:
    return [{"type": "worker", "value": [script]}]


def is_rule_of(thing: Thing, rule: Json) -> bool:
    return (rule["id"] == thing.id) if thing.id else (literal(rule) or "").lower() == thing.name


def literal(rule: Json) -> str | None:
    """The one address that a rule is for."""
    matchers = rule.get("matchers") or []
    return matchers[0].get("value") if len(matchers) == 1 and matchers[0].get("type") == "literal" else None


def is_catch_all(rule: Json) -> bool:
    return any(matcher.get("type") == "all" for matcher in rule.get("matchers") or [])


def shown(rule: Json) -> str:
    actions = ", ".join(
        f"{each.get('type')} {' '.join(each.get('value') or [])}".strip() for each in rule.get("actions") or []
    )
    state = "" if rule.get("enabled") else " (switched off)"
    return f"{literal(rule) or 'every address'} -> {actions or 'nothing'}{state}"


def removal(thing: Thing, zone: LiveZone, script: str, reason: str) -> Step | None:
    """How a rule of ours is taken back; None when it is gone, or is no longer ours."""
    assert not isinstance(zone.rules, Unknown)
    assert not isinstance(zone.catch_all, Unknown)
    if thing.kind is Kind.CATCH_ALL:
        live = zone.catch_all
    else:
        live = next((rule for rule in zone.rules if is_rule_of(thing, rule)), {})
    if live.get("actions") != worker_action(script):
        return None
    act = Act.RESTORE if thing.former else Act.REMOVE
    after = shown(thing.former) if thing.former else None  # a catch-all stays, switched off, as in a new zone
    return Step(
        thing.kind, act, thing.zone, thing.name, shown(live), after, reason, id=live.get("id"), former=thing.former
    )
