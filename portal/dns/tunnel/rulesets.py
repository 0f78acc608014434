"""Rules of a zone at Cloudflare, one by one: whatever else stands in their ruleset is never written.

Each phase of a zone has at most one entry point ruleset, which holds its rules. A zone in which nobody has made a rule
has none; it is then created with ours in it, which Cloudflare refuses when somebody else was faster.
"""

from __future__ import annotations

from typing import Any

from portal.dns.tunnel import rules
from portal.dns.tunnel.rules import Kind
from portal.integrations.cloudflare import Cloudflare, NotFound, Zone

Json = dict[str, Any]


async def rules_of(cf: Cloudflare, zone: Zone, kind: Kind) -> list[Json]:
    """All rules of a phase, in their order. Raise CloudflareError."""
    return (await _entry_point(cf, zone, kind) or {}).get("rules") or []


async def put_rule(cf: Cloudflare, zone: Zone, kind: Kind, hostname: str, value: Json | None) -> None:
    """Bring the rule for a hostname about, or take it away. What is so already is left alone. Raise CloudflareError."""
    entry_point = await _entry_point(cf, zone, kind)
    present = rules.ours((entry_point or {}).get("rules") or [], kind, hostname)
    if value == (None if present is None else rules.value_of(present)):
        return

    async def settled() -> bool | None:
        found = rules.ours(await rules_of(cf, zone, kind), kind, hostname)
        return True if (None if found is None else rules.value_of(found)) == value else None

    if value is None and present is not None and entry_point is not None:
        call, arguments, named = "rulesets.rules.delete", [present["id"]], {"ruleset_id": entry_point["id"]}
    elif entry_point is None:
        call, arguments = "rulesets.create", []
        ruleset = {"name": rules.RULESET_NAMES[kind], "kind": "zone", "phase": rules.PHASES[kind], "rules": [value]}
        named = {"extra_body": ruleset}
    elif present is None:
        call, arguments, named = "rulesets.rules.create", [entry_point["id"]], {"extra_body": value}
    else:
        call, arguments = "rulesets.rules.edit", [present["id"]]
        named = {"ruleset_id": entry_point["id"], "extra_body": value}
    await cf.change(call, *arguments, settled=settled, zone=zone, **named)


async def _entry_point(cf: Cloudflare, zone: Zone, kind: Kind) -> Json | None:
    try:
        found: Json = await cf.read("rulesets.phases.get", rules.PHASES[kind], zone=zone)
    except NotFound:
        return None
    return found
