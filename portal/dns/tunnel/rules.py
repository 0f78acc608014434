"""The rules in front of the mail API at Cloudflare, as they are to be, and as they are. Pure.

What may come in stands in `expression` alone: the Worker posts messages and asks for the health, both below /v1/, and
the mail API serves nothing else in public. Everything else is blocked before it reaches the tunnel.

Sources: "WAF custom rules" and "Rate limiting rules", "Availability" and "Parameters", in Cloudflare's documentation,
2026-08. On the Free plan: five custom rules with all standard fields; one rate limiting rule, counted by IP address
over 10 s and blocked for 10 s, whose expression knows only the path. So that rule counts /v1/ of every hostname of the
zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["waf", "rate"]

PHASES: dict[Kind, str] = {"waf": "http_request_firewall_custom", "rate": "http_ratelimit"}
RULESET_NAMES: dict[Kind, str] = {"waf": "WAF custom rules", "rate": "Rate limiting rules"}
MARKER = "homeport:"
FREE = "free"
FREE_RATE_RULES = 1
PERIOD_S = 10  # the only one on the Free plan; blocked for as long
# All mail comes from one address, the Worker's: a burst of mail must pass, a flood must not (60 a second).
REQUESTS_PER_PERIOD = 600

# What Cloudflare adds to a rule by itself; the rest is what can be written back.
_THEIRS = frozenset({"id", "version", "ref", "last_updated", "categories"})


def expression(kind: Kind, hostname: str) -> str:
    """What the rule fits: for "waf" what is blocked, for "rate" what is counted. A hostname is A-labels, so quotes
    and backslashes have no way in."""
    path = 'starts_with(http.request.uri.path, "/v1/")'
    if kind == "rate":
        return f"({path})"
    return f'(http.host eq "{hostname}" and not ({path} and http.request.method in {{"GET" "POST"}}))'


def description(kind: Kind, hostname: str) -> str:
    return f"{MARKER} {'only the mail API' if kind == 'waf' else 'rate of the mail API'} of {hostname}"


def wanted(kind: Kind, hostname: str) -> Json:
    rule: Json = {
        "description": description(kind, hostname),
        "expression": expression(kind, hostname),
        "action": "block",
        "enabled": True,
    }
    if kind == "rate":
        rule["ratelimit"] = {
            "characteristics": ["cf.colo.id", "ip.src"],
            "period": PERIOD_S,
            "requests_per_period": REQUESTS_PER_PERIOD,
            "mitigation_timeout": PERIOD_S,
        }
    return rule


def value_of(rule: Mapping[str, Any]) -> Json:
    """What of a rule can be written back."""
    return {name: value for name, value in rule.items() if name not in _THEIRS}


def ours(rules: Iterable[Json], kind: Kind, hostname: str) -> Json | None:
    """The rule that was made here for a hostname, whatever has become of it but its description."""
    return next((rule for rule in rules if rule.get("description") == description(kind, hostname)), None)


def state_of(present: Json | None, kind: Kind, hostname: str) -> Literal["in-place", "missing", "different"]:
    if present is None:
        return "missing"
    return "in-place" if is_as_wanted(present, kind, hostname) else "different"


def is_as_wanted(present: Mapping[str, Any], kind: Kind, hostname: str) -> bool:
    """Members that Cloudflare or somebody added beside ours, such as logging, are no difference."""
    return includes(present, wanted(kind, hostname))


def includes(present: Any, value: Any) -> bool:
    """Whether something is there as given, whatever else it has in addition."""
    if isinstance(value, Mapping) and isinstance(present, Mapping):
        return all(includes(present.get(name), each) for name, each in value.items())
    if isinstance(value, list) and isinstance(present, list):
        return sorted(map(repr, present)) == sorted(map(repr, value))
    return bool(present == value)


def repaired(present: Mapping[str, Any] | None, kind: Kind, hostname: str) -> Json:
    """The rule as it is to be: what stands there beside ours stays; one that is right already stays as it is."""
    if present is None:
        return wanted(kind, hostname)
    kept = value_of(present)
    return kept if is_as_wanted(present, kind, hostname) else kept | wanted(kind, hostname)


def taken_by(rules: Sequence[Json], plan: str, kind: Kind) -> Json | None:
    """The rule that leaves no room for a new one: on the Free plan there is one rate limiting rule, be it somebody
    else's or ours for another hostname."""
    if kind != "rate" or plan not in (FREE, "") or len(rules) < FREE_RATE_RULES:  # "": not known
        return None
    return rules[0]
