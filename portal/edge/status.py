"""The edge as it is: what Cloudflare shows, what the Worker says of itself, what we know. Nothing is guessed.

Whatever cannot be read stands as {"unknown": reason} in its place, and the rest is told all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kit.clock import Clock
from portal.edge import desired as desired_state
from portal.edge import dns, recipients, rules
from portal.edge.desired import CRON, NotReady
from portal.edge.live import Live, LiveWorker, LiveZone, Unknown
from portal.edge.ownership import Kind, Ownership
from portal.edge.service import EdgeService
from portal.edge.worker_client import WorkerError
from portal.integrations.cloudflare import CloudflareError
from portal.integrations.records import shown
from portal.settings import EdgeSettings

Json = dict[str, Any]


async def status(service: EdgeService, settings: EdgeSettings, *, clock: Clock) -> Json:
    """Raise TokenRefused, OwnershipError."""
    live = await service.look()
    owned = Ownership.load(settings.state_dir)
    return {
        "at": int(clock.now()),
        "installation": owned.installation if list(owned) else None,
        "worker": _worker(settings, live),
        "bucket": _named(live.bucket, settings.edge_bucket, owned, Kind.BUCKET),
        "namespace": _named(live.namespace, settings.edge_namespace, owned, Kind.NAMESPACE),
        "zones": {name: _zone(settings, zone) for name, zone in live.zones.items()},
        "added_zones": list(owned.zones),
        "recipients": await _recipients(service, settings, live, clock),
        "edge": await _edge(service),
    }


def _unknown(reason: str) -> Json:
    return {"unknown": reason}


def _worker(settings: EdgeSettings, live: Live) -> Json:
    try:
        local: Any = desired_state.version_of(desired_state.worker_module(settings))
    except NotReady as error:
        local = _unknown(str(error))
    found: Json = {"name": settings.edge_name, "local_version": local}
    worker = live.worker
    if isinstance(worker, Unknown):
        return found | _unknown(worker.reason)
    if not isinstance(worker, LiveWorker):
        return found | {"is_deployed": False}
    version = next((tag.removeprefix("version-") for tag in worker.tags if tag.startswith("version-")), None)
    return found | {
        "is_deployed": True,
        "version": version,
        "is_current": version == local if isinstance(local, str) else None,
        "modified_on": worker.script.get("modified_on"),
        "crons": list(worker.crons),
        "is_cron_set": worker.crons == (CRON,),
        "has_workers_dev_address": worker.is_routed,
    }


def _named(found: Any, name: str, owned: Ownership, kind: Kind) -> Json:
    if isinstance(found, Unknown):
        return {"name": name} | _unknown(found.reason)
    thing = owned.find(kind, None, name)
    return {
        "name": name,
        "exists": found is not None,
        "is_ours": thing is not None and not thing.is_adopted,
    }


def _zone(settings: EdgeSettings, zone: LiveZone | Unknown) -> Json:
    if isinstance(zone, Unknown):
        return _unknown(zone.reason)
    routing, catch_all, present = zone.routing, zone.catch_all, zone.rules
    return {
        "routing": _unknown(routing.reason)
        if isinstance(routing, Unknown)
        else {"enabled": bool(routing.get("enabled")), "status": routing.get("status")},
        "catch_all": _unknown(catch_all.reason) if isinstance(catch_all, Unknown) else _rule(settings, catch_all),
        "rules": _unknown(present.reason)
        if isinstance(present, Unknown)
        else [_rule(settings, rule) for rule in present if rules.literal(rule) is not None],
        "records": _records(zone),
    }


def _rule(settings: EdgeSettings, rule: Json) -> Json:
    return {
        "rule": rules.shown(rule),
        "enabled": bool(rule.get("enabled")),
        "is_to_worker": rule.get("actions") == rules.worker_action(settings.edge_name),
    }


def _records(zone: LiveZone) -> Json:
    for part in (zone.records, zone.needed):
        if isinstance(part, Unknown):
            return _unknown(part.reason)
    assert not isinstance(zone.records, Unknown)
    assert not isinstance(zone.needed, Unknown)
    found = dns.compare(zone.zone.name, zone.records, zone.needed, is_ready=zone.is_ready)
    return {
        "in_order": not (found.missing or found.foreign_mx or found.merges or found.problems),
        "missing": [f"{record['type']} {record['name']} {shown(record)}" for record in found.missing],
        "foreign_mx": [shown(record) for record in found.foreign_mx],
        "spf_without_cloudflare": [record["content"] for record, _ in found.merges],
        "problems": list(found.problems),
    }


async def _recipients(service: EdgeService, settings: EdgeSettings, live: Live, clock: Clock) -> Json:
    namespace = live.namespace
    if isinstance(namespace, Unknown):
        return _unknown(namespace.reason)
    found: Json = {}
    for domain in live.zones:
        try:
            pushed = await service.pushed(namespace["id"], domain) if namespace else None
        except CloudflareError as error:
            found[domain] = _unknown(str(error))
            continue
        found[domain] = _list(pushed, settings, clock) if pushed else None
    return found


def _list(pushed: recipients.Pushed, settings: EdgeSettings, clock: Clock) -> Json:
    age_s = max(0, int(clock.now()) - pushed.at)
    return {
        "count": len(pushed.hashes),
        "catch_all": pushed.is_catch_all,
        "generation": pushed.generation,
        "at": pushed.at,
        "age_s": age_s,
        "refuses": pushed.is_complete and not pushed.is_catch_all and age_s < settings.edge_recipients_max_age_s,
    }


async def _edge(service: EdgeService) -> Json:
    try:
        return await (await service.worker()).status()
    except (WorkerError, NotReady, CloudflareError) as error:
        return _unknown(str(error))


def lines(document: Json, time: Callable[[float | None], str]) -> list[tuple[str, str]]:
    """The document as (what, how it is), for people."""
    found = [("Worker", _worker_line(document["worker"]))]
    if "crons" in document["worker"]:
        crons = ", ".join(document["worker"]["crons"]) or "none: nothing is drained"
        found.append(("cron", crons + ("" if document["worker"]["is_cron_set"] else "  (not ours)")))
    for what in ("bucket", "namespace"):
        part = document[what]
        state = _why(part) or ("exists" if part["exists"] else "is not there")
        found.append((what, f"{part['name']}: {state}{', ours' if part.get('is_ours') else ''}"))
    for name, zone in document["zones"].items():
        found += [(name, line) for line in _zone_lines(zone)]
    if why := _why(document["recipients"]):
        found.append(("recipients", why))
    else:
        for domain, each in document["recipients"].items():
            found.append((f"list {domain}", _list_line(each)))
    return found + _edge_lines(document["edge"], time)


def _why(part: Any) -> str:
    return f"unknown: {part['unknown']}" if isinstance(part, dict) and "unknown" in part else ""


def _worker_line(worker: Json) -> str:
    if why := _why(worker):
        return why
    if not worker["is_deployed"]:
        return f"{worker['name']} is not deployed"
    local = worker["local_version"]
    current = {
        True: "as built here",
        False: f"built here: {local}; `homeport edge deploy` uploads it",
        None: f"built here: {_why(local)}",
    }[worker["is_current"]]
    return f"{worker['name']} version {worker['version'] or 'unknown'} ({current})"


def _zone_lines(zone: Json) -> list[str]:
    if why := _why(zone):
        return [why]
    routing, catch_all, records = zone["routing"], zone["catch_all"], zone["records"]
    found = [
        "Email Routing " + (_why(routing) or f"{'on' if routing['enabled'] else 'off'}, {routing['status']}"),
        "catch-all: " + (_why(catch_all) or catch_all["rule"]),
    ]
    if why := _why(zone["rules"]):
        found.append(f"rules: {why}")
    else:
        found += [f"rule: {rule['rule']}" for rule in zone["rules"]]
    if why := _why(records):
        found.append(f"records: {why}")
    elif records["in_order"]:
        found.append("MX and SPF in order")
    else:
        for what in ("missing", "foreign_mx", "spf_without_cloudflare", "problems"):
            found += [f"records, {what.replace('_', ' ')}: {each}" for each in records[what]]
    return found


def _list_line(pushed: Json | None) -> str:
    if pushed is None:
        return "none: nothing is refused for an unknown recipient"
    if why := _why(pushed):
        return why
    refuses = "refuses unknown recipients" if pushed["refuses"] else "refuses nobody"
    catch_all = ", catch-all" * pushed["catch_all"]
    return (
        f"{pushed['count']} addresses{catch_all}, generation {pushed['generation']}, {pushed['age_s']} s old, {refuses}"
    )


def _edge_lines(edge: Json, time: Callable[[float | None], str]) -> list[tuple[str, str]]:
    if why := _why(edge):
        return [("retained", why), ("watchdog", why)]
    found = []
    for what in ("retained", "held"):
        part = edge.get(what)
        if not isinstance(part, dict):
            found.append((what, "unknown: the Worker has no bucket"))
            continue
        oldest = f", the oldest of {time(part['oldest_at'])}" if part.get("oldest_at") else ""
        found.append((what, f"{part.get('count')}{'' if part.get('complete') else ' or more'}{oldest}"))
    origin = edge.get("origin")
    if not isinstance(origin, dict):
        found.append(("watchdog", "unknown: the Worker has no bucket to keep its state in"))
    elif origin.get("failing_since"):
        alerted = f", alerted {time(origin['alerted_at'])}" if origin.get("alerted_at") else ", not yet alerted"
        found.append(("watchdog", f"the mail API fails since {time(origin['failing_since'])}{alerted}"))
    else:
        found.append(("watchdog", "the mail API answers"))
    for day, counts in sorted((edge.get("days") or {}).items()):
        found.append((day, ", ".join(f"{kind} {count}" for kind, count in counts.items())))
    return found
